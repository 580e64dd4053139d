"""The page of a validation: what each device did, how far they agree, and why one differs."""

from __future__ import annotations

from toolchain.report.accuracy import accuracy_section
from toolchain.report.diagnosis import diagnosis_section
from toolchain.report.shell import Section, page_of
from toolchain.report.tables import Column, table
from toolchain.report.wording import NOTHING, Markup, count, counted, escaped, listed, number
from toolchain.validation.result import DeviceResult, Validation

MARKS = {True: "✓", False: "✗"}
LADDER = "Devices in the order that was asked for. The loss is against the one before, in points of accuracy."
FLIPPED = 50
"""Samples that are listed by number; validation JSON has all."""


def validation_page(found: Validation) -> str:
    """One self-contained HTML file, in the dress of a deployment report."""
    sections: list[Section] = [
        ("accuracy", "Accuracy, device by device", accuracy_section(found.ladder, "", LADDER)),
        ("flipped", "Samples that flip", _flipped(found)),
        ("devices", "Devices", _devices(found)),
        ("conditions", "Conditions", _conditions(found)),
    ]
    for i, device in enumerate(found.devices):
        body = diagnosis_section(device.diagnosis, device.device, f"chart-window-{i}")
        sections.append((f"why-{i}", f"Why {device.device} differs", body))
    title = f"{found.name} on {found.target}"
    header = (
        f'<p class="kind">Validation</p>\n<h1>{escaped(found.name)} <span>on {escaped(found.target)}</span></h1>\n'
        f"{_verdict(found)}"
    )
    return page_of(f"{title}: validation {_word(found).lower()}", header, sections)


def _word(found: Validation) -> str:
    return "Pass" if found.passed else "Fail"


def _verdict(found: Validation) -> Markup:
    reasons = [f"{c.name}: {c.reason}" for c in found.checks if not c.passed]
    for device in found.devices:
        if device.equal is False or device.failed is not None:
            reasons += [f"{device.device} {_outcome(device)}", *device.causes]
    items = "".join(f"<li>{escaped(reason)}</li>" for reason in reasons)
    absent = f" Not here: {listed([d.device for d in found.absent])}." if found.absent else ""
    sentence = f"{_ran(found)}{absent}"
    return Markup(
        f'<div class="verdict {"pass" if found.passed else "fail"}">\n<p class="word"><span aria-hidden="true">'
        f'{MARKS[found.passed]}</span> {_word(found)}</p>\n<p class="sentence">{escaped(sentence)}</p>\n'
        + (f'<ul class="reasons">{items}</ul>\n' if items else "")
        + "</div>\n"
    )


def _ran(found: Validation) -> str:
    """How many samples of the set ran on which devices: seldom all of it."""
    whole = f"the {counted(found.set_size, 'sample')} of the {found.set_name} set"
    devices = [d for d in found.devices if d.absent is None]
    if not devices:
        return f"On no device, none of {whole}."
    running = [d for d in devices if d.tables is None]
    on = f"On {listed([d.device for d in devices])}"
    if not running:
        return f"{on}, which lays the network out and runs no sample."
    if len({d.samples for d in running}) > 1:
        return f"Of {whole}, {listed([f'{count(d.samples)} on {d.device}' for d in running])}."
    n = running[0].samples
    return f"{on}, {'all' if n == found.set_size else count(n)} of {whole}."


def _outcome(device: DeviceResult) -> str:
    """What came of a device, in words."""
    if device.absent is not None:
        return f"is absent: {device.absent}"
    if device.failed is not None:
        return f"failed: {device.failed}"
    if device.tables is not None:
        return f"equals: {device.compared}" if device.tables.equal else f"differs: {device.tables.difference}"
    if device.equal is None:
        return "ran; nothing of it must be equal"
    if device.equal:
        return f"equals the emulator: {device.compared}"
    text = f"differs from the emulator in {device.different} of {counted(device.samples, 'sample')}"
    if (d := device.first_divergence) is not None:
        text += (
            f", first in sample {d.sample}, layer {d.layer}, neuron {d.neuron}, step {d.step}: {d.quantity} is "
            f"{d.theirs}, emulated {d.ours}"
        )
    return text


def _devices(found: Validation) -> str:
    rows = []
    for d in found.devices:
        overflows = sum(n for events in d.overflows.values() for n in events.values())
        rows.append(
            [
                Markup(f'{escaped(d.device)}<span class="note">{escaped(d.about)}</span>'),
                _outcome(d),
                count(d.samples) if d.samples else NOTHING,
                count(overflows) if d.overflow_samples else NOTHING,
                number(1000 * d.seconds / d.samples) if d.samples and d.seconds else NOTHING,
            ]
        )
    columns = [
        Column("Device", numeric=False),
        Column("Outcome", numeric=False),
        Column("Samples"),
        Column("Overflows"),
        Column("A sample takes", unit="ms"),
    ]
    return table("Devices", columns, rows, "devices")


def _flipped(found: Validation) -> str:
    parts = []
    for rung in found.ladder:
        against = None if rung.tally is None else rung.tally.against
        if against is None or not (against.lost or against.gained):
            continue
        words = [
            f"{word} {_numbers(samples)}"
            for word, samples in (("lost", against.lost), ("gained", against.gained))
            if samples
        ]
        parts.append(f"<li>{escaped(rung.rung)} against {escaped(against.rung)}: {escaped('; '.join(words))}</li>")
    if not parts:
        return ""
    return f"<p>Samples that one device reads right and the other does not, by number.</p>\n<ul>{''.join(parts)}</ul>\n"


def _numbers(samples: tuple[int, ...]) -> str:
    more = f" and {len(samples) - FLIPPED} more" if len(samples) > FLIPPED else ""
    return ", ".join(count(s) for s in samples[:FLIPPED]) + more


def _conditions(found: Validation) -> str:
    if not found.checks:
        return ""
    rows = [[c.name, "holds" if c.passed else "fails", c.reason] for c in found.checks]
    columns = [Column("Condition", numeric=False), Column("Result", numeric=False), Column("Why", numeric=False)]
    return table("Conditions that were asked for", columns, rows)
