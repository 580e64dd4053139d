"""The report with everything in it: counted rungs, flipped samples, weight errors, cores on three chips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tests.report.example import make_figures, make_report
from toolchain.deployment.target import CoreUse, Placement, Resource
from toolchain.report.content import Figures, Report, SampleSpikes, WeightErrors
from toolchain.validation.flips import find_flips
from toolchain.validation.statistics import climb

CLASSES, SAMPLES, CORES_A_CHIP = 20, 400, 12


def full_report(**changes: Any) -> Report:
    """20 classes, 400 samples, the chip wrong on some that float has right and the reverse."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, CLASSES, SAMPLES)
    floating = np.where(rng.random(SAMPLES) < 0.93, labels, rng.integers(0, CLASSES, SAMPLES))
    chip = np.where(rng.random(SAMPLES) < 0.95, floating, rng.integers(-1, CLASSES, SAMPLES))
    predictions = [
        *((name, floating) for name in ("float", "rounded_delays")),
        *((name, chip) for name in ("quantised_weights", "quantised_constants", "emulator")),
        ("vendor", chip[:16]),
    ]
    cores = tuple(
        CoreUse(
            index % CORES_A_CHIP,
            "hidden" if index < 3 * CORES_A_CHIP - 4 else "readout",
            64 * index,
            64 * index + 63,
            {"neurons_per_core": 64.0, "synaptic_memory_per_core": 6400.0 * (index + 100)},
            index // CORES_A_CHIP,
            {"input->hidden": "dense, 8 weight + 6 delay bits"},
        )
        for index in range(3 * CORES_A_CHIP)
    )
    resources = (
        Resource("cores", 3 * CORES_A_CHIP, 384, "cores"),
        Resource("neurons_per_core", 64, 1024, "neurons"),
        Resource("synaptic_memory_per_core", 6400 * (3 * CORES_A_CHIP + 99), 1_048_576, "bits", "of the fullest core"),
    )
    report = make_report(
        ladder=climb(predictions, labels, CLASSES),
        flips=find_flips(predictions, labels, CLASSES),
        placement=Placement(cores, resources, {"hidden": "64 neurons a core, for input->hidden"}),
    )
    return replace(report, **changes)


def full_figures(**changes: Any) -> Figures:
    """Two samples that flipped beside the first, and weights rounded to two grids."""
    rng = np.random.default_rng(12)
    usual = make_figures()
    trained = rng.normal(0, 0.3, 5120)
    steps = (0.02, 0.01)
    step = np.where(trained < 0, *steps)
    quantised = np.clip(np.rint(trained / step), -45, 70) * step
    others = [
        SampleSpikes(sample, 3, usual.rasters, why)
        for sample, why in ((31, "right in float, wrong on the chip"), (207, "wrong in float, right on the chip"))
    ]
    figures = replace(usual, weights={"hidden->readout": WeightErrors(trained, quantised, steps)}, others=others)
    return replace(figures, **changes)
