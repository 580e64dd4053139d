"""How far the spikes of two engines are apart: van Rossum and Victor-Purpura distances, and rates, by population.

Van Rossum (2001): each spike becomes exp(-t / tau) from its time on, and the distance is that of the two sums,

    D^2 = (2 / tau) integral (f - g)^2 dt
        = sum over s, s' of e(s, s') + sum over r, r' of e(r, r') - 2 sum over s, r of e(s, r)

with e(a, b) = exp(-|a - b| / tau): 1 for a single spike that the other train lacks, as `elephant` scales it (the paper
has half of D^2). Victor and Purpura (1996): the least cost of turning one train into the other, 1 for a spike that is
taken out or put in, cost * |a - b| for one that is moved; a move is worth while up to 2 / cost.

Both are 0 for equal trains, so that only those that differ are given to `elephant`; it takes 5 ms for a pair, which is
why distances are of the first samples only, rates of all. Means are over all trains, equal ones included.

Source: van Rossum, Neural Computation 13 (2001); Victor, Purpura, J Neurophysiol 76 (1996); elephant 1.2.1,
`elephant.spike_train_dissimilarity`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.attribution.membrane import Events

TAU_MS = 10.0
COST_PER_MS = 0.1
PAIRS = 400
"""Trains that are given to elephant, at most, unless a single sample has more that differ."""
WORST = 5
REMEDY = "pip install 'delayline[distances]'"


@dataclass(frozen=True)
class NeuronDistance:
    """One neuron: distances, means over the samples; rates are spikes per sample, over all samples."""

    neuron: int
    van_rossum: float | None
    victor_purpura: float | None
    float_rate: float
    chip_rate: float


@dataclass(frozen=True)
class PopulationDistance:
    """Distances of a population; None where they were not computed.

    Attributes
    ----------
    trains, differing : pairs of trains (a neuron, a sample) over all samples, and how many of them differ
    compared : pairs that the distances are means over, equal ones included
    van_rossum, victor_purpura : means over neurons and samples
    float_rate, chip_rate : spikes per neuron and sample, over all samples
    worst : neurons whose distance is largest; without distances those whose rate changes most
    """

    population: str
    trains: int
    differing: int
    compared: int
    van_rossum: float | None
    victor_purpura: float | None
    float_rate: float
    chip_rate: float
    worst: tuple[NeuronDistance, ...]


@dataclass(frozen=True)
class SpikeDistances:
    """How far the emulator's spikes are from those of the float network.

    Attributes
    ----------
    samples : of rates
    compared_samples : of distances, the first of them; 0 where they were not computed
    tau_ms, cost_per_ms : parameters, in units of time
    tau_steps, cost_per_step : the same in steps
    missing : why there are no distances, and the remedy; None where there are
    """

    samples: int
    compared_samples: int
    tau_ms: float
    cost_per_ms: float
    tau_steps: float
    cost_per_step: float
    missing: str | None
    populations: tuple[PopulationDistance, ...]

    def to_json(self) -> dict[str, Any]:
        """For report.json."""
        return asdict(self)


def distances_present() -> bool:
    """Whether elephant is installed."""
    return importlib.util.find_spec("elephant") is not None


def pair_distances(
    first: NDArray[np.int64], second: NDArray[np.int64], tau_steps: float, cost_per_step: float
) -> tuple[float, float]:
    """Van Rossum and Victor-Purpura distance of two trains, as elephant computes them.

    Parameters
    ----------
    first, second : steps of the spikes, sorted
    """
    if np.array_equal(first, second):
        # elephant sums what cancels, and warns where rounding leaves it below 0.
        return 0.0, 0.0
    import quantities
    from elephant.spike_train_dissimilarity import van_rossum_distance, victor_purpura_distance

    trains = [quantities.Quantity(t.astype(np.float64), "s") for t in (first, second)]
    # A step stands for a second here: only the ratio to tau and to the cost matters.
    van_rossum = van_rossum_distance(trains, quantities.Quantity(tau_steps, "s"))[0, 1]
    victor_purpura = victor_purpura_distance(trains, quantities.Quantity(cost_per_step, "1/s"))[0, 1]
    return float(van_rossum), float(victor_purpura)


def spike_distances(
    sizes: Mapping[str, int],
    floating: Sequence[Mapping[str, Events]],
    chip: Sequence[Mapping[str, Events]],
    dt_ms: float,
    *,
    tau_ms: float = TAU_MS,
    cost_per_ms: float = COST_PER_MS,
    pairs: int = PAIRS,
    present: bool | None = None,
) -> SpikeDistances:
    """Compare the spikes of two engines.

    Parameters
    ----------
    sizes : population -> neurons; those that are compared
    floating, chip : of each sample population -> (times, units)
    dt_ms : length of a step
    pairs : differing trains whose distance is computed, at most; whole samples, one at least
    present : whether elephant is there; looked up if left out
    """
    present = distances_present() if present is None else present
    differing = [_differing(sizes, a, b) for a, b in zip(floating, chip, strict=True)]
    ends = np.cumsum([sum(len(found) for found in of.values()) for of in differing])
    count = min(len(differing), max(1, int(np.searchsorted(ends, pairs, side="right")))) if present else 0
    tau, cost = tau_ms / dt_ms, cost_per_ms * dt_ms
    populations = []
    for name, size in sizes.items():
        rates = [_counts([sample[name] for sample in engine], size) for engine in (floating, chip)]
        totals: NDArray[np.float64] | None = None
        if count:
            totals = np.zeros((2, size))
            for a, b, of in zip(floating[:count], chip[:count], differing[:count], strict=True):
                for neuron in of[name]:
                    trains = [np.sort(times[units == neuron]) for times, units in (a[name], b[name])]
                    totals[:, neuron] += pair_distances(trains[0], trains[1], tau, cost)
            totals /= count
        populations.append(
            PopulationDistance(
                name,
                size * len(differing),
                sum(len(of[name]) for of in differing),
                size * count,
                None if totals is None else float(totals[0].mean()),
                None if totals is None else float(totals[1].mean()),
                float(rates[0].mean()),
                float(rates[1].mean()),
                _worst(totals, *rates),
            )
        )
    missing = None if present else f"not computed, as elephant is not installed: {REMEDY}"
    return SpikeDistances(len(differing), count, tau_ms, cost_per_ms, tau, cost, missing, tuple(populations))


def _differing(sizes: Mapping[str, int], a: Mapping[str, Events], b: Mapping[str, Events]) -> dict[str, list[int]]:
    """Neurons whose trains are not the same, by population."""
    found = {}
    for name, size in sizes.items():
        ours, theirs = (times * size + units for times, units in (a[name], b[name]))
        found[name] = np.unique(np.setxor1d(ours, theirs) % size).tolist()
    return found


def _counts(samples: Sequence[Events], size: int) -> NDArray[np.float64]:
    """Spikes per sample of each neuron, (size,)."""
    units = np.concatenate([np.zeros(0, dtype=np.int64), *(u for _, u in samples)])
    return np.bincount(units, minlength=size) / max(1, len(samples))


def _worst(
    totals: NDArray[np.float64] | None, floating: NDArray[np.float64], chip: NDArray[np.float64]
) -> tuple[NeuronDistance, ...]:
    """Those farthest apart, of equal ones the first; neurons that do not differ are none."""
    change = np.abs(chip - floating)
    by = change if totals is None else totals[0]
    found = []
    for neuron in np.lexsort((np.arange(by.size), -change, -by))[:WORST].tolist():
        if by[neuron] or change[neuron]:
            van_rossum, victor_purpura = (None, None) if totals is None else totals[:, neuron].tolist()
            rates = float(floating[neuron]), float(chip[neuron])
            found.append(NeuronDistance(neuron, van_rossum, victor_purpura, *rates))
    return tuple(found)
