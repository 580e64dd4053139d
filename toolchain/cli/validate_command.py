"""`delayline validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import percent, say
from toolchain.errors import InputError

if TYPE_CHECKING:
    from toolchain.validation.result import DeviceResult, Validation
    from toolchain.validation.validate import Request

ABSENT = 4
"""Exit code where a device that was asked for is not here."""
SHOWN = 10
"""Samples that are listed by number."""


def run(path: Path, request: Request, junit_file: Path | None, json: bool) -> tuple[Any, bool, int]:
    """Validate a bundle; returns what to print, whether as JSON, and the exit code."""
    from toolchain.storage import write_atomically
    from toolchain.validation.gate import junit
    from toolchain.validation.validate import page_file, validate

    if junit_file is not None and junit_file.is_dir():
        raise InputError(f"--junit {junit_file}: is a folder; give the file to write")
    try:
        with shown_making():
            found = validate(path, request, say)
    except KeyboardInterrupt:
        say("what is finished is kept: the same command goes on from there")
        raise
    if junit_file is not None:
        write_atomically(junit_file, junit(found))
    code = (ABSENT if found.absent else 0) if found.passed else 1
    text = f"{text_of(found)}\n  report: {page_file(path, request.set_name)}"
    return (found.to_json() if json else text), json, code


def list_devices(path: Path, json: bool) -> Any:
    """Every device that the bundle could run on, and what those lack that it cannot."""
    from toolchain.deployment.bundle import read_bundle
    from toolchain.devices.finding import devices_of, what_is_missing

    found = devices_of(read_bundle(path).target)
    listed = [{"device": name, "about": d.about, "absent": what_is_missing(d)} for name, d in found.items()]
    if json:
        return listed
    width = max(len(name) for name in found)
    return "\n".join(
        f"{d['device']:<{width}}  {d['about']}" + (f"\n{'':<{width}}  absent: {d['absent']}" if d["absent"] else "")
        for d in listed
    )


def text_of(found: Validation) -> str:
    """What was found, for people: the verdict, a line for every device, then the conditions."""
    verdict = "pass" if found.passed else "fail"
    verdict += f", without {', '.join(d.device for d in found.absent)}" if found.absent else ""
    lines = [f"validation: {verdict}  {found.name} on {found.target}, {found.set_name} set of {found.set_size}"]
    width = max(len(d.device) for d in found.devices)
    for device in found.devices:
        lines += [f"  {line}" for line in _device_lines(device, found, width)]
    for check in found.checks:
        lines.append(f"  {'holds' if check.passed else 'FAILS'}: {check.name}: {check.reason}")
    return "\n".join(lines)


def _device_lines(device: DeviceResult, found: Validation, width: int) -> list[str]:
    name = f"{device.device:<{width}}"
    if device.absent is not None:
        return [f"{name}  absent: {device.absent}"]
    if device.failed is not None:
        return [f"{name}  FAILED: {device.failed}"]
    lines = []
    rung = found.rung(device.device)
    if rung is not None and rung.tally is not None:
        interval = f"[{percent(rung.tally.low)}, {percent(rung.tally.high)}]"
        lines.append(f"{name}  {percent(rung.accuracy):>9}  {interval}  {rung.samples} samples")
        if (against := rung.tally.against) is not None:
            lines.append(
                f"{'':<{width}}  against {against.rung}: {len(against.lost)} lost, {len(against.gained)} gained, "
                f"{len(against.moved)} otherwise wrong, on {against.shared} samples; p = {against.p_value:.3g}"
            )
            flipped = sorted({*against.lost, *against.gained})
            if flipped:
                more = f" and {len(flipped) - SHOWN} more" if len(flipped) > SHOWN else ""
                lines.append(f"{'':<{width}}  flipped: {', '.join(map(str, flipped[:SHOWN]))}{more}")
    if device.tables is not None:
        lines.append(f"{name}  lays out {device.tables.synapses} synapses")
    if device.equal:
        lines.append(f"{'':<{width}}  {device.compared} equals the emulator's")
    elif device.equal is False:
        lines += [f"{'':<{width}}  {line}" for line in (_difference(device), *device.causes)]
    for population, events in device.overflows.items():
        lines += [
            f"{'':<{width}}  {population}: {event} {count} times on {device.overflow_samples} samples"
            for event, count in events.items()
            if count
        ]
    return lines


def _difference(device: DeviceResult) -> str:
    if device.tables is not None:
        return str(device.tables.difference)
    text = f"{device.different} of {device.samples} samples differ from the emulator"
    d = device.first_divergence
    if d is None:
        return f"{text}, the first is {device.differing[0]}; run again it does not differ"
    return (
        f"{text}, first in sample {d.sample}, layer {d.layer}, neuron {d.neuron}, step {d.step}: {d.quantity} is "
        f"{d.theirs}, emulated {d.ours}"
    )
