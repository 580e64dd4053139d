"""`delayline deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import ladder_lines, misfit_as_json, say
from toolchain.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from toolchain.deployment.options import Options
    from toolchain.training.run_folder import RunFolder


def run(
    name: str, overrides: list[str], target_name: str | None, options: Options, json: bool
) -> tuple[Any, bool, int]:
    """Deploy a run; returns what to print, whether as JSON, and the exit code."""
    from toolchain.deployment.deploy import deploy
    from toolchain.deployment.target import find_target

    run_folder = find_run(name, overrides)
    recipe = run_folder.recipe()
    target = find_target(target_name or recipe.deployment.target)
    with shown_making(), misfit_as_json(json, recipe.name, target.name):
        folder, report = deploy(run_folder, target, options, say)
    content = report.to_json()
    code = 0 if report.verdict == "pass" else 1
    return ({"fits": True, **content, "bundle": str(folder)} if json else report_text(content, folder)), json, code


def find_run(name: str, overrides: list[str]) -> RunFolder:
    """A run folder, whose recipe is frozen; raises CheckpointError, InputError."""
    from toolchain.training.run_folder import RunFolder

    path = Path(name)
    if not path.is_dir():
        raise CheckpointError(
            f"run folder {path} does not exist; give a folder that `delayline train` made, or a recipe with --dry-run"
        )
    if overrides:
        raise InputError(
            f"run folder {path}: its recipe is frozen, --set {overrides[0]} cannot change it; leave it out"
        )
    return RunFolder(path)


def pruning_lines(pruning: dict[str, Any] | None) -> list[str]:
    """How many synapses went from which projection, and what that saved; none without pruning."""
    if pruning is None:
        return []
    lines = [
        f"  pruned {p['removed']} of {p['synapses']} synapses of {p['projection']}" for p in pruning["projections"]
    ]
    if pruning["longest_slot"] is not None:
        lines.append(f"  pruned all synapses with a delay beyond slot {pruning['longest_slot']}")
    for s in pruning["savings"]:
        before, after = ("too large" if s[when] is None else str(s[when]) for when in ("before", "after"))
        lines.append(f"  {s['name'].replace('_', ' ')} before and after pruning: {before}, {after} {s['unit']}")
    return lines


def proof(content: dict[str, Any]) -> str:
    """What is equal to the vendor's, of a report where something is."""
    if (tables := content.get("tables")) is not None:
        return f"all {tables['words']} words of the tables equal {content['vendor']}'s, {tables['synapses']} synapses"
    return f"every spike, u and v equals {content['vendor']} on {content['vendor_samples']} samples"


def report_text(content: dict[str, Any], folder: Path) -> str:
    """Verdict, reasons, ladder and where the page is, of the content of a report.json."""
    head = f"verdict: {content['verdict']}  {content['name']} on {content['target']}"
    lines = [head, *(f"  {reason}" for reason in content["reasons"])]
    if content["vendor_equal"]:
        lines.append(f"  {proof(content)}")
    lines += ladder_lines(content["ladder"])
    lines += pruning_lines(content.get("pruning"))
    lines.append(f"  report: {folder / 'report.html'}")
    return "\n".join(lines)
