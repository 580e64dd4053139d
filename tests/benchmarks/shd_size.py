"""An SHD-layout file of SHD's size through the command line: seconds to load, seconds an epoch, peak memory.

    python -m tests.benchmarks.shd_size [--share 0.1] [--epochs 2] [--augment] [--threads N] [--folder FOLDER]

Makes shd_train.h5 (8,156 samples) and shd_test.h5 (2,264), about 8,000 events a sample: Poisson-like, of twelve tracks
in time and channel for each of 20 classes, float16 as published. Then `delayline train` in processes of its own: a dry
run with an empty cache (reads, bins, writes the cache), one with a full one, and training of 700-256-20 recurrent with
learned delays of up to 62 slots, 1 ms steps, batches of 32, validated on 5 % of the training set. Goals: an epoch under
30 s on 2 cores, under 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import numpy as np

from tests.benchmarks.workload import busy
from toolchain.datasets.spike_file import SpikeFileWriter

TRAIN, TEST, CLASSES, UNITS, EVENTS, TRACKS = 8156, 2264, 20, 700, 8000, 12
GOAL_SECONDS, GOAL_GB = 30.0, 3.0
RECIPE: dict[str, Any] = {
    "name": "shd_size",
    "dataset": {"task": "shd", "options": {"dt_ms": 1.0, "steps": 1000}},
    "network": {
        "dt_ms": 1.0,
        "populations": {
            "input": {"kind": "spike_source"},
            "hidden": {"kind": "lif", "size": 256, "tau_mem_ms": 20.0, "tau_syn_ms": 5.0, "threshold": 1.0},
            "output": {"kind": "leaky_readout", "tau_mem_ms": 20.0, "tau_syn_ms": 5.0},
        },
        "projections": [
            {
                "from": "input",
                "to": "hidden",
                "weight": {"normal": {"mean": 0.02, "sd": 0.02}},
                "delay": {"uniform": {"low": 0.0, "high": 62.0}},
                "learn_delay": True,
            },
            {
                "from": "hidden",
                "to": "hidden",
                "weight": {"normal": {"sd": 0.02}},
                "delay": {"uniform": {"low": 0.0, "high": 62.0}},
                "learn_delay": True,
            },
            {"from": "hidden", "to": "output", "weight": {"normal": {"sd": 0.1}}},
        ],
    },
    "training": {
        "epochs": 2,
        "batch_size": 32,
        "weight_rate": 0.001,
        "delay_rate": 0.1,
        "max_slot": 62,
        "validation": {"fraction": 0.05},
        "rates": {"target_spikes": 14.0, "strength": 1e-8},
    },
}


def make_set(folder: Path, share: float, only: str | None = None) -> None:
    """Both files, of this share of SHD's size, or only one of them."""
    random = np.random.default_rng(0)
    tracks = random.uniform((0.05, 0, 0.02, 5), (0.75, UNITS, 0.08, 30), size=(CLASSES, TRACKS, 4))
    for name, n in (("shd_train.h5", TRAIN), ("shd_test.h5", TEST)):
        if only not in (None, name):
            continue
        with SpikeFileWriter(
            folder / name, n_units=UNITS, label_names=[f"class {c}" for c in range(CLASSES)], real=False,
            what="Poisson-like noise of SHD's size", attributes={"generator": "tests.benchmarks.shd_size", "seed": 0},
            times_dtype="float16",
        ) as file:  # fmt: skip
            for sample in range(round(n * share)):
                label = sample % CLASSES
                which = random.integers(0, TRACKS, random.poisson(EVENTS))
                time_s, unit, time_sd, unit_sd = tracks[label, which].T
                times = np.abs(time_s + time_sd * random.standard_normal(which.size))
                units = np.rint(unit + unit_sd * random.standard_normal(which.size)).astype(np.int64) % UNITS
                file.add(times, units, label, speaker=sample % 10)


def measure(folder: Path, share: float, epochs: int, threads: int | None, augment: bool) -> dict[str, Any]:
    """Figures of one set; the folder keeps files and cache, but the cache is emptied for the first run."""
    if not (folder / "shd_test.h5").exists():
        make_set(folder, share)
    recipe = json.loads(json.dumps(RECIPE))
    recipe["dataset"]["options"]["path"] = str(folder)
    recipe["training"]["epochs"] = epochs
    if augment:
        recipe["training"]["augmentation"] = {"channel_shift": 40, "blend": round(7644 * share)}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    cache = Path(tempfile.mkdtemp(prefix="cache-", dir=folder))
    environment = {**os.environ, "DELAYLINE_CACHE": str(cache)}

    def run(*options: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "toolchain.cli", "train", str(folder / "recipe.yaml"), "--json", *options]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    first, peak_first = timed(lambda: run("--dry-run"))
    second, peak_second = timed(lambda: run("--dry-run"))
    limit = ["--threads", str(threads)] if threads else []
    start, before = time.monotonic(), getrusage(RUSAGE_CHILDREN)
    trained = run("--runs", str(folder / "runs"), *limit)
    whole, after = time.monotonic() - start, getrusage(RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = [json.loads(text) for text in (Path(trained["run"]) / "metrics.jsonl").read_text().splitlines()]
    return {
        "share": share,
        "load_seconds_first": round(first, 1),
        "load_gb_first": round(peak_first, 2),
        "load_seconds_cached": round(second, 1),
        "load_gb_so_far": round(peak_second, 2),
        "epoch_seconds": [line["seconds"] for line in lines],
        "train_accuracy": [round(line["train_accuracy"], 3) for line in lines],
        "hidden_spikes": [line["spikes_per_neuron"]["hidden"] for line in lines],
        "whole_seconds": round(whole, 1),
        "whole_processor_seconds": round(processor, 1),
        "peak_gb": round(after.ru_maxrss / 1e6, 2),
        "goal": f"{GOAL_SECONDS:g} s an epoch, {GOAL_GB:g} GB",
    }


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of a run, and the largest resident size of any process so far, GB."""
    start = time.monotonic()
    run()
    return time.monotonic() - start, getrusage(RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Train on a set of SHD's size and say what it costs.")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--augment", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if warning := busy():
        print(warning)
    place = nullcontext(str(options.folder)) if options.folder else tempfile.TemporaryDirectory()
    with place as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        found = measure(Path(folder), options.share, options.epochs, options.threads, options.augment)
    for name, value in found.items():
        print(f"{name:<22} {value}")


if __name__ == "__main__":
    main()
