"""`make demo`: every shipped small task from recipe to validated bundle, ending with the verdict."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.cli.output import ladder_lines, percent, say

RECIPES = ("sequence", "digits", "yin_yang")
RUNS = Path("runs")


@dataclass(frozen=True)
class Outcome:
    """One task: its verdict, what kept it from a pass, and where the page is."""

    name: str
    verdict: str
    proof: str
    page: Path
    only_vendor_missing: bool


def main() -> int:
    """Train and deploy each recipe; 0 if every verdict is a pass, or nothing but the vendor's code is missing."""
    started = time.monotonic()
    outcomes = [_run(name) for name in RECIPES]
    page = outcomes[-1].page
    if sys.stdout.isatty() and not os.environ.get("CI") and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(page.resolve().as_uri())
    print(f"\n{headline(outcomes)}  ({time.monotonic() - started:.0f} s)")
    for outcome in outcomes:
        print(f"  {outcome.name:<9} {outcome.verdict}: {outcome.proof}\n            {outcome.page}")
    return 0 if all(o.verdict == "pass" or o.only_vendor_missing for o in outcomes) else 1


def headline(outcomes: Sequence[Outcome]) -> str:
    """The verdict over all tasks."""
    if all(o.verdict == "pass" for o in outcomes):
        return "verdict: pass"
    if all(o.verdict == "pass" or o.only_vendor_missing for o in outcomes):
        return "verdict: no pass, for the vendor's code is missing here; everything else passes"
    return "verdict: fail"


def _run(name: str) -> Outcome:
    from toolchain.cli.deploy_command import proof as equal_to_vendor
    from toolchain.cli.train_command import find_recipe, progress_listener
    from toolchain.deployment.deploy import Options, deploy
    from toolchain.deployment.target import find_target
    from toolchain.recipe import read_recipe
    from toolchain.training.run_folder import create_run_folder
    from toolchain.training.trainer import prepare, train

    recipe = read_recipe(find_recipe(name))
    target = find_target(recipe.deployment.target)
    task = prepare(recipe)
    run = create_run_folder(RUNS, recipe)
    say(f"\n{name}: {recipe.about}\ntrain -> {run.path}")
    with progress_listener(recipe.training.epochs) as listener:
        result = train(run, task, listener=listener)
    say(f"  test {percent(result.test_accuracy)} (best validation epoch {result.best_epoch})")
    present = target.vendor_present()
    if not present:
        say(f"  {target.vendor}: {target.vendor_status()}")
    folder, report = deploy(run, target, Options(vendor_samples=None if present else 0), say)
    for line in ladder_lines(report.to_json()["ladder"]):
        say(line)
    proof = "; ".join(report.reasons)
    if report.verdict == "pass":
        proof = equal_to_vendor(report.to_json())
    return Outcome(name, report.verdict, proof, folder / "report.html", not present and len(report.reasons) == 1)


if __name__ == "__main__":
    sys.exit(main())
