"""A test set of SHD's size validated on the emulator through the command line: seconds, and memory by samples.

    python -m tests.benchmarks.validation [--target loihi2] [--samples 2264] [--folder FOLDER]

Makes a set with the layout of SHD (`shd_size`), trains 700-256-20 recurrent with learned delays for an epoch on 5 % of
its size, deploys it, then validates 2,264 samples of 1,000 steps on the emulator, in a process of its own that keeps
every sample. Goal: under 60 s on 2 cores, and no more memory for all samples than for an eighth of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.benchmarks import shd_size
from tests.benchmarks.workload import busy

GOAL_SECONDS = 60.0


def measure(folder: Path, target: str, samples: int) -> dict[str, Any]:
    """Figures of one target; files in the folder are used again."""
    environment = {**os.environ, "DELAYLINE_CACHE": str(folder / "cache")}

    def run(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "toolchain.cli", *arguments, "--json"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    runs = folder / "runs"
    if not runs.exists():
        (folder / "small").mkdir(parents=True)
        shd_size.make_set(folder / "small", 0.05)
        recipe = json.loads(json.dumps(shd_size.RECIPE))
        recipe["dataset"]["options"]["path"] = str(folder / "small")
        recipe["training"]["epochs"] = 1
        (folder / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
        run("train", str(folder / "recipe.yaml"), "--runs", str(runs))
        # The test set is then one of full size; the training set, of which nothing is needed, stays small.
        shd_size.make_set(folder / "small", 1.0, only="shd_test.h5")
    bundle = run("deploy", str(runs / "shd_size-1"), "--target", target, "--no-vendor")["bundle"]
    figures: dict[str, Any] = {"target": target}
    for n in (samples // 8, samples):
        start = time.monotonic()
        found = run("validate", bundle, "--on", "emulator", "--samples", str(n), "--anew")
        seconds = time.monotonic() - start
        device = found["devices"][0]
        figures[f"{n} samples"] = {
            "seconds": round(seconds, 1),
            "seconds_of_runs": round(device["seconds"], 1),
            "peak_gb": round(device["peak_bytes"] / 1e9, 3),
        }
    return {**figures, "goal": f"{GOAL_SECONDS:g} s, memory flat"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Validate a test set of SHD's size on the emulator.")
    parser.add_argument("--target", default="loihi2")
    parser.add_argument("--samples", type=int, default=shd_size.TEST)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if warning := busy():
        print(warning)
    place = nullcontext(str(options.folder)) if options.folder else tempfile.TemporaryDirectory()
    with place as folder:
        for name, value in measure(Path(folder), options.target, options.samples).items():
            print(f"{name:<16} {value}")


if __name__ == "__main__":
    main()
