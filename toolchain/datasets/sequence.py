"""Two-class sequence detection (Meszaros, Knight, Nowotny 2025): which of two inputs spikes first?

Two inputs, one spike each, `gap` steps apart; the order is the class. With equal delays both orders look
the same to a readout of symmetric weights, so the task is solved by delays alone or not at all.
The four samples are two distinct ones, each twice, as in the published script (facts/data.md section 1.4).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from toolchain.datasets import Dataset, Samples, TaskSizes
from toolchain.recipe import Section
from toolchain.spikes import bin_events


class SequenceOptions(Section):
    """Steps between the two spikes, length of a sample, and how often the two orders are repeated."""

    gap: Annotated[int, Field(ge=1)] = 10
    steps: Annotated[int, Field(ge=2)] = 40
    repeats: Annotated[int, Field(ge=1)] = 2


def sizes(options: SequenceOptions) -> TaskSizes:
    """Two channels, two orders."""
    return TaskSizes(2, 2)


def load(options: SequenceOptions) -> Dataset:
    """Make the samples; training, validation and test are the same, for there are no others."""
    times = np.array([0, options.gap])
    orders = [(times, np.array([0, 1])), (times, np.array([1, 0]))] * options.repeats
    spikes, binning = bin_events(orders, 2, options.steps)
    samples = Samples(spikes, np.arange(2 * options.repeats, dtype=np.int64) % 2)
    provenance = "two-class sequence detection, synthetic by definition; all splits are the same two patterns"
    return Dataset(samples, samples, samples, 2, provenance, binning)
