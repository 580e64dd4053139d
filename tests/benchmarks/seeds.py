"""Accuracy over seeds: train and deploy a recipe several times, print every run, mean and deviation, and the ladder.

    python -m tests.benchmarks.seeds yin_yang --seeds 5
    python -m tests.benchmarks.seeds yin_yang --seeds 5 --set network.projections.0.learn_delay=false

Runs go into a temporary folder. Lava takes part only with --vendor-samples; the emulator, which the tests hold
equal to Lava, scores the whole test set.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from toolchain.cli.train_command import find_recipe
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.target import find_target
from toolchain.recipe import read_recipe
from toolchain.training.run_folder import RunFolder
from toolchain.training.sweep import Seed, Spread, create_sweep, run_sweep
from toolchain.training.trainer import TrainingResult


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--vendor-samples", type=int, default=0)
    options = parser.parse_args()
    columns: dict[str, list[float]] = {"valid": [], "float": [], "emulator": [], "seconds": []}
    ladder: dict[str, list[float]] = {}
    recipe = read_recipe(find_recipe(options.recipe), [*options.overrides, "training.seed=1"])
    target = find_target(recipe.deployment.target)
    clock = [time.monotonic()]

    def restart(seed: Seed, run: RunFolder) -> None:
        clock[0] = time.monotonic()

    def measure(seed: Seed, run: RunFolder, result: TrainingResult) -> None:
        seconds = time.monotonic() - clock[0]
        _, report = deploy(run, target, Options(vendor_samples=options.vendor_samples), lambda text: None)
        rungs = {rung.rung: 100 * rung.accuracy for rung in report.ladder}
        for rung, value in rungs.items():
            ladder.setdefault(rung, []).append(value)
        row = (100 * result.valid_accuracy, rungs["float"], rungs["emulator"], seconds)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
        equal = f"  equal to {target.vendor}: {report.vendor_equal}" if options.vendor_samples else ""
        print(
            f"seed {seed.seed}: " + "  ".join(f"{k} {v:.2f}" for k, v in zip(columns, row, strict=True)) + equal,
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        run_sweep(create_sweep(Path(folder), recipe, options.seeds), started=restart, finished=measure)
    for name, values in columns.items():
        spread = Spread.of(values)
        print(f"{name}: {spread.mean:.2f} ± {spread.deviation:.2f}")
    print("ladder: " + "  ".join(f"{rung} {statistics.mean(values):.2f}" for rung, values in ladder.items()))
    lost = [a - b for a, b in zip(columns["float"], columns["emulator"], strict=True)]
    print(f"points lost on the emulator: mean {statistics.mean(lost):+.2f}, worst {max(lost):+.2f}")


if __name__ == "__main__":
    main()
