"""Events taken out: only within what was asked for, everything else untouched, and everything counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_spikes
from toolchain.datasets.thinning import channel_mask, dropout, thin, tilt, time_mask
from toolchain.recipe.training_section import AugmentationSection
from toolchain.spikes import SpikeTrains, bin_events

quick = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
Mask = Callable[[SpikeTrains, int, np.random.Generator], tuple[SpikeTrains, int]]


def some(seed: int, rate: float = 0.2) -> SpikeTrains:
    random = np.random.default_rng(seed)
    return random_spikes(random, int(random.integers(1, 7)), int(random.integers(1, 9)), 12, rate)


def events(spikes: SpikeTrains, sample: int) -> list[tuple[int, int]]:
    """(time, unit) of each event of a sample, in order."""
    part = slice(int(spikes.offsets[sample]), int(spikes.offsets[sample + 1]))
    return list(zip(spikes.times[part].tolist(), spikes.units[part].tolist(), strict=True))


def full(n_samples: int, n_units: int, n_steps: int) -> SpikeTrains:
    """An event in every unit and step."""
    times, units = (grid.ravel() for grid in np.mgrid[:n_steps, :n_units])
    return bin_events([(times, units)] * n_samples, n_units, n_steps)[0]


@given(seeds, st.floats(0, 0.999))
@quick
def test_dropout_takes_events_out_and_counts_them(seed: int, probability: float) -> None:
    spikes = some(seed)
    left, removed = dropout(spikes, probability, np.random.default_rng(seed))
    assert removed == spikes.times.size - left.times.size
    for sample in range(spikes.n_samples):
        assert set(events(left, sample)) <= set(events(spikes, sample))


def test_dropout_is_as_likely_as_asked() -> None:
    spikes = random_spikes(np.random.default_rng(1), 40, 50, 60, 0.2)
    n = spikes.times.size
    assert n > 10_000
    removed = dropout(spikes, 0.3, np.random.default_rng(0))[1]
    assert removed / n == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / n) ** 0.5)
    assert dropout(spikes, 0.0, np.random.default_rng(0))[1] == 0


@given(seeds, st.integers(1, 20), st.booleans())
@quick
def test_a_mask_silences_one_band_and_nothing_else(seed: int, widest: int, in_time: bool) -> None:
    spikes = some(seed)
    axis, mask = (0, time_mask) if in_time else (1, channel_mask)
    left, removed = mask(spikes, widest, np.random.default_rng(seed))
    assert removed == spikes.times.size - left.times.size
    for sample in range(spikes.n_samples):
        before, after = events(spikes, sample), events(left, sample)
        gone = {event[axis] for event in set(before) - set(after)}
        assert [e for e in before if e[axis] not in gone] == after
        if gone:
            assert max(gone) - min(gone) < widest
            assert not any(min(gone) <= e[axis] <= max(gone) for e in after)


@pytest.mark.parametrize(("mask", "axis"), [(channel_mask, 1), (time_mask, 0)])
def test_widths_of_masks_are_uniform_and_every_place_is_masked(mask: Mask, axis: int) -> None:
    """3000 samples of 9 x 9: widths 0 to 4 within five standard errors of a fifth, each place masked at times."""
    n = 3000
    left, _ = mask(full(n, 9, 9), 4, np.random.default_rng(0))
    places = np.array([len({e[axis] for e in events(left, sample)}) for sample in range(n)])
    counts = np.bincount(9 - places, minlength=10)
    assert counts[5:].sum() == 0
    assert np.abs(counts[:5] / n - 0.2).max() < 5 * (0.2 * 0.8 / n) ** 0.5
    seen = np.bincount(left.times if axis == 0 else left.units, minlength=9)
    assert (seen < n * 9).all()


def test_a_time_mask_lies_where_the_word_is() -> None:
    """Events in the first 3 of 1000 steps: a mask of up to 3 steps hits them three times in four."""
    spikes, _ = bin_events([(np.arange(3), np.zeros(3, dtype=int))] * 400, 1, 1000)
    left, removed = time_mask(spikes, 3, np.random.default_rng(0))
    assert left.n_steps == 1000
    assert removed / 400 == pytest.approx(1.5, abs=0.3)


def test_a_mask_of_samples_without_events_takes_nothing() -> None:
    silent, _ = bin_events([(np.zeros(0, dtype=int), np.zeros(0, dtype=int))] * 3, 4, 5)
    for mask in (channel_mask, time_mask, tilt):
        left, removed = mask(silent, 1, np.random.default_rng(0))
        assert (left.n_samples, removed) == (3, 0)


def test_a_tilt_thins_towards_one_end_and_as_often_towards_the_other() -> None:
    """2000 samples of 11 channels and 60 steps: with p at most 1, the expected loss at an end is a quarter."""
    n, steps = 2000, 60
    spikes = full(n, 11, steps)
    left, removed = tilt(spikes, 1.0, np.random.default_rng(0))
    assert removed == spikes.times.size - left.times.size
    kept = np.zeros((n, 11))
    np.add.at(kept, (np.repeat(np.arange(n), np.diff(left.offsets)), left.units), 1)
    kept /= steps
    # Mean of p is 1/2, and an end is the far one half of the time; the middle always loses p / 2.
    assert kept.mean(axis=0) == pytest.approx(np.full(11, 0.75), abs=0.02)
    low, high = kept[:, 0] == 1, kept[:, 10] == 1
    assert (low | high).all(), "one end keeps everything"
    assert low.mean() == pytest.approx(0.5, abs=0.06)


def test_a_tilt_of_one_channel_is_no_division_by_zero() -> None:
    left, removed = tilt(full(50, 1, 10), 0.5, np.random.default_rng(0))
    assert left.times.size + removed == 500


@given(seeds)
@quick
def test_everything_together_counts_every_event(seed: int) -> None:
    spikes = some(seed, rate=0.6)
    wanted = AugmentationSection(channel_mask=2, time_mask=3, tilt=0.5, dropout=0.2)
    assert wanted.active
    left, removed = thin(spikes, wanted, np.random.default_rng(seed))
    assert left.times.size + removed == spikes.times.size
    untouched, nothing = thin(spikes, AugmentationSection(), np.random.default_rng(seed))
    assert untouched is spikes
    assert nothing == 0
