"""Distances of spike trains: elephant's, held against the definitions, and only computed where trains differ."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.attribution.distances import SpikeDistances, distances_present, pair_distances, spike_distances

Events = tuple[NDArray[np.int64], NDArray[np.int64]]
needs_elephant = pytest.mark.skipif(not distances_present(), reason="elephant is not installed (extra distances)")
trains = st.lists(st.integers(0, 60), unique=True, max_size=5).map(lambda t: np.array(sorted(t), dtype=np.int64))


def van_rossum(first: NDArray[np.int64], second: NDArray[np.int64], tau: float) -> float:
    """The integral of the definition, by the midpoint rule; spikes lie on the edges of the grid."""
    t = (np.arange((61 + 14 * tau) * 100) + 0.5) / 100
    f, g = (
        sum((np.where(t > s, np.exp(-(t - s) / tau), 0.0) for s in train.tolist()), np.zeros_like(t))
        for train in (first, second)
    )
    return float(np.sqrt(2 / tau * np.sum((f - g) ** 2) / 100))


def victor_purpura(first: NDArray[np.int64], second: NDArray[np.int64], cost: float) -> float:
    """The cheapest of all ways to pair some spikes of one train with as many of the other and to drop the rest."""
    best = float(first.size + second.size)
    for n in range(1, min(first.size, second.size) + 1):
        for a in itertools.combinations(first.tolist(), n):
            for b in itertools.combinations(second.tolist(), n):
                moved = cost * sum(abs(x - y) for x, y in zip(a, b, strict=True))
                best = min(best, moved + first.size + second.size - 2 * n)
    return best


@needs_elephant
@settings(max_examples=15, deadline=None)
@given(trains, trains, st.sampled_from([2.0, 10.0]), st.sampled_from([0.05, 0.1, 1.0]))
def test_elephant_computes_the_definitions(
    first: NDArray[np.int64], second: NDArray[np.int64], tau: float, cost: float
) -> None:
    ours = pair_distances(first, second, tau, cost)
    assert ours[0] == pytest.approx(van_rossum(first, second, tau), rel=1e-4, abs=1e-5)
    assert ours[1] == pytest.approx(victor_purpura(first, second, cost), abs=1e-9)


@needs_elephant
def test_a_spike_that_one_train_lacks_is_one_in_either_and_one_a_step_late_is_less() -> None:
    one, none, late = (np.array(t, dtype=np.int64) for t in ([20], [], [21]))
    assert pair_distances(one, none, 10.0, 0.1) == pytest.approx((1.0, 1.0))
    assert pair_distances(one, late, 10.0, 0.1) == pytest.approx((np.sqrt(2 - 2 * np.exp(-0.1)), 0.1))


def two_engines(seed: int, samples: int = 6, size: int = 5) -> tuple[list[dict[str, Events]], list[dict[str, Events]]]:
    """Spikes of which some are moved, some dropped; neuron 0 is the same in both."""
    rng = np.random.default_rng(seed)
    floating, chip = [], []
    for _ in range(samples):
        raster = rng.random((40, size)) < 0.1
        other = raster.copy()
        changed = rng.random((40, size)) < 0.02
        changed[:, 0] = False
        other ^= changed
        floating.append({"a": _events(raster)})
        chip.append({"a": _events(other)})
    return floating, chip


def _events(raster: NDArray[np.bool_]) -> Events:
    times, units = np.nonzero(raster)
    return times.astype(np.int64), units.astype(np.int64)


def _definitions(first: Events, second: Events, neuron: int) -> tuple[float, float]:
    a, b = (np.sort(times[units == neuron]) for times, units in (first, second))
    return van_rossum(a, b, 10.0), victor_purpura(a, b, 0.4)


@needs_elephant
def test_means_over_those_that_differ_are_means_over_all() -> None:
    floating, chip = two_engines(1)
    (found,) = spike_distances({"a": 5}, floating, chip, 2.0, tau_ms=20.0, cost_per_ms=0.2).populations
    every = np.array([[_definitions(f["a"], c["a"], j) for j in range(5)] for f, c in zip(floating, chip, strict=True)])
    assert (found.van_rossum, found.victor_purpura) == pytest.approx(tuple(every.mean(axis=(0, 1)).tolist()), rel=1e-4)
    assert found.differing == np.count_nonzero(every[..., 0])
    worst = {n.neuron: (n.van_rossum, n.victor_purpura) for n in found.worst}
    assert 0 not in worst
    for neuron, pair in worst.items():
        assert pair == pytest.approx(tuple(every[:, neuron].mean(axis=0).tolist()), rel=1e-4)
    assert [n.van_rossum for n in found.worst] == sorted((n.van_rossum for n in found.worst), reverse=True)  # type: ignore[type-var]


@needs_elephant
@pytest.mark.parametrize("pairs", [0, 1, 7, 1000])
def test_distances_are_of_so_many_whole_samples_as_were_allowed(pairs: int) -> None:
    floating, chip = two_engines(2)
    found = spike_distances({"a": 5}, floating, chip, 1.0, pairs=pairs)
    alone = [spike_distances({"a": 5}, [f], [c], 1.0, present=False) for f, c in zip(floating, chip, strict=True)]
    ends = np.cumsum([a.populations[0].differing for a in alone])
    assert found.compared_samples == max(1, int(np.count_nonzero(ends <= pairs)))
    assert (found.samples, found.populations[0].compared) == (6, 5 * found.compared_samples)


def test_rates_need_no_library_and_its_absence_is_said() -> None:
    floating, chip = two_engines(3)
    found = spike_distances({"a": 5}, floating, chip, 1.0, present=False)
    assert found.missing is not None
    assert "pip install 'delayline[distances]'" in found.missing
    (population,) = found.populations
    assert (population.van_rossum, population.victor_purpura, found.compared_samples) == (None, None, 0)
    rates = [sum(e["a"][0].size for e in engine) / (6 * 5) for engine in (floating, chip)]
    assert (population.float_rate, population.chip_rate) == pytest.approx(tuple(rates))
    changes = [abs(n.chip_rate - n.float_rate) for n in population.worst]
    assert changes == sorted(changes, reverse=True)


def test_equal_trains_and_no_samples_at_all() -> None:
    floating, _ = two_engines(4)
    same = spike_distances({"a": 5}, floating, floating, 1.0)
    assert (same.populations[0].differing, same.populations[0].worst) == (0, ())
    assert same.populations[0].van_rossum == (0.0 if distances_present() else None)
    none: SpikeDistances = spike_distances({"a": 5}, [], [], 1.0)
    assert (none.samples, none.compared_samples) == (0, 0)
