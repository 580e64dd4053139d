"""A report of realistic size: a recurrent network of 700-256-20 with learned delays, 2000 test samples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.target import ConstantError, CoreUse, Placement, ProjectionError, Resource
from toolchain.report.content import Events, Figures, Report, Rung

CORES = (
    ((0, "hidden", 0, 85), {"neurons_per_core": 86.0, "synaptic_memory_per_core": 736512.0}),
    ((1, "hidden", 86, 171), {"neurons_per_core": 86.0, "synaptic_memory_per_core": 736512.0}),
    ((2, "hidden", 172, 255), {"neurons_per_core": 84.0, "synaptic_memory_per_core": 719872.0}),
    ((3, "readout", 0, 19), {"neurons_per_core": 20.0, "synaptic_memory_per_core": 81920.0}),
)
Trains = tuple[NDArray[np.int64], NDArray[np.int64]]


def make_report(**changes: Any) -> Report:
    report = Report(
        verdict="pass",
        reasons=[],
        name="shd",
        target="loihi2",
        vendor="Lava",
        ladder=[
            Rung("float", 0.935, 2000),
            Rung("rounded_delays", 0.9345, 2000),
            Rung("quantised_weights", 0.9305, 2000),
            Rung("quantised_constants", 0.932, 2000),
            Rung("emulator", 0.9315, 2000),
            Rung("vendor", 0.9375, 16),
        ],
        vendor_equal=True,
        vendor_samples=16,
        first_divergence=None,
        placement=Placement(
            cores=tuple(CoreUse(*where, use) for where, use in CORES),
            resources=(
                Resource("cores", 4, 128, "cores", "Loihi 2, 128 neuron cores"),
                Resource("synaptic_memory_per_core", 736512, 1048576, "bits", "assumed: as on Loihi 1"),
                Resource("spikes_per_step", 311.4, None, "spikes", "measured on the test set"),
            ),
        ),
        projections=[
            ProjectionError("input->hidden", 179200, -3, 1204, 17, 0.00712, 178001, 2913),
            ProjectionError("hidden->hidden", 65536, -2, 310, 0, 0.0051, 65011, 0),
            ProjectionError("hidden->readout", 5120, -1, 3, 2, 0.0123, 0, 0),
        ],
        constants=[
            ConstantError("hidden", "voltage decay", 0.951229, 0.951171875, 3896),
            ConstantError("hidden", "current decay", 0.818731, 0.818603515625, 3353),
            ConstantError("readout", "threshold", math.inf, math.inf, 8388607),
        ],
        overflows={"hidden": {"current wrapped": 0, "voltage clipped": 0}, "readout": {"readout spiked": 0}},
        provenance={
            "recipe": "shd",
            "seed": 1234,
            "data": {"task": "shd", "test_samples": 2000, "sha256": "9f86d081884c7d659a2feaa0c55ad015" * 2},
            "packages": {"numpy": "1.26.4", "numba": "0.61.2"},
            "recipe_text": "name: shd\ndataset:\n  task: shd\n",
            "notes": [],
        },
    )
    return replace(report, **changes)


def some_spikes(rng: np.random.Generator, size: int, n_steps: int, n: int) -> Trains:
    key = np.sort(rng.choice(size * n_steps, n, replace=False))
    return (key // size).astype(np.int64), (key % size).astype(np.int64)


def without(spikes: Trains, *places: int) -> Trains:
    return np.delete(spikes[0], places), np.delete(spikes[1], places)


def make_figures(n_input: int = 1500, **changes: Any) -> Figures:
    """Spikes of which some differ.

    Of the 400 that the hidden population has in float, the engines in integers lack 5; one of these they
    have a step later, and one spike they have in addition.
    """
    rng = np.random.default_rng(3)
    sizes = {"input": 700, "hidden": 256, "readout": 20}
    stimulus, hidden = some_spikes(rng, 700, 100, n_input), some_spikes(rng, 256, 90, 400)
    moved = (np.array([hidden[0][7] + 1, 97]), np.array([hidden[1][7], 3]))
    assert not any((hidden[0] == moved[0][0]) & (hidden[1] == moved[1][0]))
    kept = without(hidden, 7, 50, 120, 200, 333)
    integer = np.concatenate([kept[0], moved[0]]), np.concatenate([kept[1], moved[1]])
    rasters: dict[str, Events] = {
        "float": {"input": stimulus, "hidden": hidden},
        "emulator": {"input": stimulus, "hidden": integer},
        "Lava": {"input": stimulus, "hidden": integer},
    }
    trained = rng.gamma(2.0, 9.0, 179200).astype(np.float32)
    recurrent = rng.uniform(0, 30, 65536).astype(np.float32)
    metrics = [
        {
            "epoch": i,
            "train_loss": 3 * math.exp(-i / 12) + 0.2,
            "valid_loss": 3 * math.exp(-i / 12) + 0.31 + 0.01 * (i % 3),
            "train_accuracy": 0.98 - 0.9 * math.exp(-i / 8),
            "valid_accuracy": 0.94 - 0.9 * math.exp(-i / 8) - 0.004 * (i % 4),
        }
        for i in range(1, 61)
    ]
    figures = Figures(
        delays={
            "input->hidden": (trained, np.minimum(np.rint(trained), 62).astype(np.int64)),
            "hidden->hidden": (recurrent, np.rint(recurrent).astype(np.int64)),
        },
        sizes=sizes,
        sample=17,
        label=4,
        n_steps=100,
        rasters=rasters,
        metrics=metrics,
    )
    return replace(figures, **changes)
