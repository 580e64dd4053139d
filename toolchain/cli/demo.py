"""`make demo`: every shipped small task from recipe to validated bundle, ending with the verdict."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from pathlib import Path

from toolchain.cli.output import ladder_lines, percent, say

RECIPES = ("sequence", "digits", "yin_yang")
RUNS = Path("runs")


def main() -> int:
    """Train and deploy each recipe; 0 if every verdict is a pass, or Lava is absent and all else passes."""
    from toolchain.cli.train_command import find_recipe, progress_listener
    from toolchain.deployment.deploy import Options, deploy
    from toolchain.deployment.target import find_target
    from toolchain.recipe import read_recipe
    from toolchain.training.run_folder import create_run_folder
    from toolchain.training.trainer import prepare, train

    started = time.monotonic()
    verdicts = []
    page = RUNS
    for name in RECIPES:
        recipe = read_recipe(find_recipe(name))
        target = find_target(recipe.deployment.target)
        present = target.vendor_present()
        run = create_run_folder(RUNS, recipe)
        say(f"\n{name}: {recipe.about}")
        say(f"train -> {run.path}")
        with progress_listener(recipe.training.epochs) as listener:
            result = train(run, prepare(recipe), listener=listener)
        say(f"  test {percent(result.test_accuracy)} (best validation epoch {result.best_epoch})")
        folder, report = deploy(run, target, Options(vendor_samples=None if present else 0), say)
        for line in ladder_lines(report.to_json()["ladder"]):
            say(line)
        page = folder / "report.html"
        passed = report.verdict == "pass" or (not present and len(report.reasons) == 1)
        checked = (
            f"every spike, u and v equals {target.vendor} on {report.vendor_samples} samples"
            if report.vendor_equal
            else "; ".join(report.reasons)
        )
        verdicts.append((passed, f"  {name:<9} {report.verdict}: {checked}\n            {page}"))
        if not present:
            say(f"  {target.vendor}: {target.vendor_status()}")
    if sys.stdout.isatty() and not os.environ.get("CI") and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(page.resolve().as_uri())
    good = all(passed for passed, _ in verdicts)
    print(f"\nverdict: {'pass' if good else 'fail'}  ({time.monotonic() - started:.0f} s)")
    for _, line in verdicts:
        print(line)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
