"""`delayline deploy`, `validate` and `report`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import ladder_lines, percent, say
from toolchain.errors import BundleError, CheckpointError


def run(
    path: Path,
    target_name: str | None,
    vendor_samples: int | None,
    vendor_timeout_s: float,
    clip_delays: bool,
    extend_delays: bool,
    strict: bool,
    dry_run: bool,
    json: bool,
) -> tuple[Any, bool, int]:
    """Deploy a run; returns what to print, whether as JSON, and the exit code."""
    from toolchain.deployment.deploy import Options, deploy, prepare
    from toolchain.deployment.target import find_target
    from toolchain.training.run_folder import RunFolder

    if not path.is_dir():
        raise CheckpointError(f"run folder {path} does not exist; give a folder that `delayline train` made")
    run_folder = RunFolder(path)
    target = find_target(target_name or run_folder.recipe().deployment.target)
    options = Options(vendor_samples, vendor_timeout_s, clip_delays, strict, extend_delays)
    if dry_run:
        with shown_making():
            resources = [vars(r) for r in prepare(run_folder, target, options, say).placement.resources]
        return (resources if json else "\n".join(resource_lines(resources))), json, 0
    with shown_making():
        folder, report = deploy(run_folder, target, options, say)
    content = report.to_json()
    code = 0 if report.verdict == "pass" else 1
    return ({**content, "bundle": str(folder)} if json else _text(content, folder)), json, code


def run_validation(
    path: Path, device: str, samples: int | None, timeout_s: float, strict: bool, json: bool
) -> tuple[Any, bool, int]:
    """Validate a bundle; exit code 1 if the device differs from the emulator."""
    from toolchain.validation.validate import validate

    result = validate(path, device, samples=samples, timeout_s=timeout_s, strict=strict)
    code = 1 if result.equal is False else 0
    if json:
        return result.to_json(), True, code
    text = f"{device}: {percent(result.accuracy)} of {result.samples} samples"
    if result.equal:
        text += f"; {result.compared} equals the emulator's"
    elif result.first_divergence is not None:
        d = result.first_divergence
        text += (
            f"; differs from the emulator first in sample {d.sample}, layer {d.layer}, neuron {d.neuron}, "
            f"step {d.step}: {d.quantity} is {d.theirs}, emulated {d.ours}"
        )
    return text, False, code


def show_report(path: Path, open_page: bool, json: bool) -> Any:
    """The verdict and the ladder of a bundle, from its report.json."""
    file = path / "report.json"
    if not file.is_file():
        raise BundleError(f"bundle {path}: no report.json in it; give a folder that `delayline deploy` made")
    try:
        content = json_module.loads(file.read_text(encoding="utf-8"))
        text = _text(content, path)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"bundle {path}: report.json is damaged ({error!r}); deploy again") from error
    if open_page:
        import webbrowser

        webbrowser.open((path / "report.html").resolve().as_uri())
    return content if json else text


def resource_lines(resources: list[dict[str, Any]]) -> list[str]:
    """Use against limits as aligned text."""
    lines = []
    for r in resources:
        limit = "" if r["limit"] is None else f"of {r['limit']:.0f} "
        assumed = "  (assumed limit)" if str(r.get("note", "")).startswith("assumed") else ""
        unknown = "  (no limit known)" if r["limit"] is None else ""
        lines.append(f"  {r['name']:<26} {r['used']:>10.0f} {limit}{r.get('unit', '')}{assumed}{unknown}")
    return lines


def _text(content: dict[str, Any], folder: Path) -> str:
    head = f"verdict: {content['verdict']}  {content['name']} on {content['target']}"
    lines = [head, *(f"  {reason}" for reason in content["reasons"])]
    if content["vendor_equal"]:
        lines.append(f"  every spike, u and v equals {content['vendor']} on {content['vendor_samples']} samples")
    lines += ladder_lines(content["ladder"])
    lines.append(f"  report: {folder / 'report.html'}")
    return "\n".join(lines)
