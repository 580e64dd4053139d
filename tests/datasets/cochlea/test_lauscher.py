"""The stages beside those of `lauscher`, the converter that the Spiking Heidelberg Digits were made with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample

from tests.oracles.lauscher_chain import in_this_process, their_probability, their_spikes, their_velocity, vowel
from toolchain.datasets.cochlea import Cochlea, bushy_cell, hair_cell
from toolchain.datasets.cochlea.lanes import LANES
from toolchain.datasets.cochlea.membrane import membrane_velocity, places

pytest.importorskip("lauscher", reason="the converter of the Spiking Heidelberg Digits is not installed")

from lauscher import transformations

FEW = np.array([60, 250, 295, 340, 390, 440, 480, 600])


@pytest.fixture(autouse=True)
def one_process() -> Iterator[None]:
    with in_this_process(seed=12):
        yield


def their_counts(sound: NDArray[np.float64], rate: int, units: NDArray[np.int64], repeats: int) -> NDArray[np.int64]:
    """Spikes of each channel, (repeats, n_units)."""
    probability = their_probability(sound, rate, units)
    counts = [np.bincount(their_spikes(probability)[1], minlength=units.size) for _ in range(repeats)]
    return np.array(counts)


def our_counts(sound: NDArray[np.float64], rate: int, units: NDArray[np.int64], repeats: int) -> NDArray[np.int64]:
    cochlea = Cochlea(units=units)
    found = [cochlea.spikes(sound, rate, seed=seed)[1] for seed in range(repeats)]
    return np.array([np.bincount(np.searchsorted(units, u), minlength=units.size) for u in found])


def test_transfer_functions_are_equal() -> None:
    theirs = transformations.BasilarMembrane()
    omega = 2 * np.pi * np.linspace(1.0, 24_000.0, 500)
    for place in places()[::50]:
        ours = membrane_velocity(omega, place)
        np.testing.assert_allclose(ours, theirs._v(omega, place), rtol=1e-9, atol=1e-12 * np.abs(ours).max())


def test_velocities_are_equal() -> None:
    """At 48 kHz, so nothing is resampled here.

    Theirs puts n / 2 + 1 samples into the time of n / 2: their clock is stretched by one sample over the whole sound,
    which is taken back first. And their bins are filtered as if they were up to 1 Hz higher, which is left: in
    channels of 100 Hz it shows.
    """
    rate, units = 48_000, np.array([150, 200, 300, 450, 600, 690])
    sound = vowel(0.4, rate) * (np.arange(19_200) < 13_000)
    theirs = np.array(their_velocity(sound, rate, units).channels)
    theirs = resample(theirs, theirs.shape[1] - 1, axis=1)
    ours = Cochlea(units=units).velocity(sound, rate)
    inside = slice(960, -960)
    for unit, a, b in zip(units, ours[:, inside], theirs[:, inside], strict=True):
        assert np.corrcoef(a, b)[0, 1] > (0.9997 if unit < 500 else 0.98)
        assert a.std() == pytest.approx(b.std(), rel=3e-3 if unit < 500 else 0.15)


def test_probabilities_are_equal_for_the_same_velocity() -> None:
    rng = np.random.default_rng(0)
    velocity = rng.uniform(5, 200, LANES) * rng.standard_normal((2_400, LANES))
    ours = np.empty(velocity.size, dtype=np.float32)
    rates = hair_cell.rates(1 / 24_000)
    hair_cell.release(velocity.astype(np.float32).ravel(), 0, 2_400, hair_cell.resting_state(), rates, ours)
    theirs = transformations.HairCell()
    for lane in (0, LANES - 1):
        expected = theirs._meddis(velocity[:, lane], 24_000)
        np.testing.assert_allclose(ours.reshape(-1, LANES)[:, lane], expected, rtol=2e-3, atol=1e-7)


def test_bushy_cells_are_equal_for_the_same_fibres() -> None:
    rng = np.random.default_rng(1)
    fibres = rng.random((3_000, 40)) < rng.choice([0.003, 0.02, 0.05], 30).repeat(100)[:, None]
    expected = transformations.BushyCell()._lif(fibres.astype(np.float64), 24_000)
    counts = np.repeat(fibres.sum(axis=1)[:, None], LANES, axis=1).astype(np.float32)
    bits = np.zeros(3_000, dtype=np.uint32)
    state, decays = bushy_cell.resting_state(), bushy_cell.decays(1 / 24_000)
    bushy_cell.integrate(counts.ravel(), 3_000, state, decays, bushy_cell.LANE_BITS, bits, 0)
    assert expected.sum() > 20
    np.testing.assert_array_equal((bits & 1) != 0, expected != 0)


def test_a_fibre_is_silent_for_as_many_steps() -> None:
    """The steps after a spike in which theirs removes others: 23, and it may fire in the 24th."""
    theirs = transformations.BushyCell(n_convergence=1)
    spikes = theirs._sample(np.full(200, 1.1), 24_000)
    assert np.flatnonzero(spikes[:, 0]).tolist() == list(range(0, 200, 24))


def same(ours: NDArray[np.int64], theirs: NDArray[np.int64], *, total: float, correlation: float) -> None:
    """Means of every channel within four standard errors; the sum, and the profile over channels, within these."""
    # Theirs are too few to tell the variance from; a channel that is nearly silent has at least that of a rare event.
    variance = ours.var(axis=0, ddof=1) + 0.05
    z = (ours.mean(axis=0) - theirs.mean(axis=0)) / np.sqrt(variance * (1 / len(ours) + 1 / len(theirs)))
    assert np.abs(z).max() < 4, z
    assert ours.mean() == pytest.approx(theirs.mean(), rel=total)
    assert np.corrcoef(ours.mean(axis=0), theirs.mean(axis=0))[0, 1] > correlation


def test_counts_are_those_of_lauscher_on_a_few_channels() -> None:
    sound = vowel(0.3, 48_000)
    same(our_counts(sound, 48_000, FEW, 40), their_counts(sound, 48_000, FEW, 4), total=0.1, correlation=0.95)


@pytest.mark.slow
def test_counts_are_those_of_lauscher_on_many_channels() -> None:
    sound, units = vowel(0.6, 48_000), np.arange(5, 700, 20)
    same(our_counts(sound, 48_000, units, 60), their_counts(sound, 48_000, units, 3), total=0.03, correlation=0.97)
