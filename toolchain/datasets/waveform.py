"""Waveforms from spikes: after each spike pattern the outputs have to draw the curve that belongs to it.

A task for losses on a trace. Each class is a frozen Poisson pattern over the inputs and a target curve for each
output, a sum of four sinusoids of 1, 2, 3 and 5 periods a sample with drawn amplitudes and phases, scaled to a peak of
1 (as the pattern generation of Bellec and others 2020, with several patterns). Samples are the pattern with
each spike moved by a drawn number of steps, so the curve has to be drawn from what is common to them.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.datasets import Dataset, Samples, TaskSizes
from toolchain.recipe import Section
from toolchain.spikes import Binning, bin_events

PERIODS = (1, 2, 3, 5)
PATTERN_SEED, SAMPLE_SEEDS = 2020, {"train": (1, 60), "valid": (2, 20), "test": (3, 20)}
"""Seeds, and samples of each class."""


class WaveformOptions(Section):
    """Patterns, channels, curves, length of a sample, mean spikes a channel, and how far spikes are moved (steps)."""

    classes: Annotated[int, Field(ge=2)] = 3
    inputs: Annotated[int, Field(ge=1)] = 40
    outputs: Annotated[int, Field(ge=1)] = 2
    steps: Annotated[int, Field(ge=10)] = 300
    spikes: Annotated[float, Field(gt=0)] = 5.0
    jitter: Annotated[float, Field(ge=0)] = 1.0


def curves(random: np.random.Generator, options: WaveformOptions) -> NDArray[np.float32]:
    """Target of each class and output, (classes, outputs, steps), at the end of each step; peak 1."""
    shape = (options.classes, options.outputs, len(PERIODS), 1)
    amplitude, phase = random.uniform(0.5, 2.0, shape), random.uniform(0, 2 * np.pi, shape)
    time = np.arange(1, options.steps + 1) / options.steps
    waves = (amplitude * np.sin(2 * np.pi * np.array(PERIODS)[:, None] * time + phase)).sum(axis=2)
    # Outputs start at rest, so a curve rises from 0 over the first tenth.
    waves *= np.minimum(1.0, 10 * time)
    scaled: NDArray[np.float32] = (waves / np.abs(waves).max(axis=2, keepdims=True)).astype(np.float32)
    return scaled


def sizes(options: WaveformOptions) -> TaskSizes:
    """All as the options say."""
    return TaskSizes(options.inputs, options.classes, options.outputs)


def load(options: WaveformOptions) -> Dataset:
    """Make patterns, curves and the three splits."""
    random = np.random.default_rng(PATTERN_SEED)
    targets = curves(random, options)
    last = options.steps - 1
    patterns = []
    for _ in range(options.classes):
        units = np.repeat(np.arange(options.inputs), random.poisson(options.spikes, options.inputs))
        patterns.append((random.uniform(0, last, units.size), units))
    merged = late = 0
    splits = {}
    for name, (seed, size) in SAMPLE_SEEDS.items():
        draw = np.random.default_rng([PATTERN_SEED, seed])
        labels = draw.permutation(np.repeat(np.arange(options.classes), size)).astype(np.int64)
        events = []
        for label in labels:
            times, units = patterns[label]
            moved = np.rint(times + draw.normal(0, options.jitter, times.size))
            # Moved beyond an end, a spike stays at the end: none is lost.
            events.append((np.clip(moved, 0, last).astype(np.int64), units))
        spikes, binning = bin_events(events, options.inputs, options.steps)
        merged, late = merged + binning.merged, late + binning.late
        splits[name] = Samples(spikes, labels)
    provenance = f"{options.classes} frozen spike patterns and a curve for each, synthetic by definition"
    return Dataset(
        splits["train"], splits["valid"], splits["test"], options.classes, provenance, Binning(merged, late), targets
    )
