"""What each change of quantisation does to V at spikes of the float network, whether or not they are lost by it.

The first divergence of a sample is the first of many spikes, so it finds the smallest margin, early in the sample. What
comes later, as a clipped delay may, is hidden behind it. Here single spikes of the float network are picked, from all
over the samples, and the chip's neuron is given the very input that the float one had: no consequence of an earlier
difference, every change in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolchain.attribution.divergence import CAUSES, Cause, Margins
from toolchain.attribution.membrane import Events
from toolchain.network import Network

SPIKES = 200
"""Spikes that are looked at, about."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Typical:
    """What one change does to V at spikes of one population, in thresholds.

    Attributes
    ----------
    spikes : of that population that were looked at
    rms, largest : root mean square, and largest size, of its contribution over all of these spikes
    """

    population: str
    cause: Cause
    spikes: int
    rms: float
    largest: float


@dataclass(frozen=True)
class Picked:
    """Margins at one spike of the float network, both engines on its input."""

    population: str
    margins: Margins


def picked_spikes(
    network: Network, spikes: Mapping[str, Events], sample: int, count: int
) -> list[tuple[str, int, int]]:
    """Spikes of lif populations that stand for all of a sample: (population, neuron, step).

    Evenly spaced among them, from a start that differs from sample to sample so that all parts have their turn.
    """
    names = [p.name for p in network.populations if p.kind == "lif"]
    found = [
        (name, int(unit), int(step))
        for name in names
        for step, unit in sorted(zip(*map(list, spikes[name]), strict=True))
    ]
    count = min(count, len(found))
    start = math.modf(sample * GOLDEN)[0]
    return [found[int((i + start) * len(found) / count)] for i in range(count)]


def typical_contributions(picked: Sequence[Picked]) -> list[Typical]:
    """By population, the change that moves V most first."""
    rows = []
    for population in dict.fromkeys(p.population for p in picked):
        mine = [{c.name: c.value for c in p.margins.contributions} for p in picked if p.population == population]
        here = []
        for cause in CAUSES:
            values = [of.get(cause, 0.0) for of in mine]
            largest = max(abs(v) for v in values)
            if largest:
                rms = math.sqrt(sum(v * v for v in values) / len(values))
                here.append(Typical(population, cause, len(values), rms, largest))
        rows += sorted(here, key=lambda t: -t.rms)
    return rows
