"""Augmentation: each change against the same change done event by event, and nothing lost without being counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_spikes
from toolchain.datasets import Samples, augmentation
from toolchain.datasets.augmentation import (
    Augmented,
    Batch,
    channel_shift,
    draw_pairs,
    plan_epoch,
    time_shift,
    time_stretch,
)
from toolchain.errors import InputError
from toolchain.recipe.training_section import AugmentationSection
from toolchain.spikes import SpikeTrains, bin_events

quick = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
Events = list[tuple[int, int]]


def events(spikes: SpikeTrains, sample: int) -> Events:
    """(time, unit) of each event of a sample, in order."""
    part = slice(int(spikes.offsets[sample]), int(spikes.offsets[sample + 1]))
    return list(zip(spikes.times[part].tolist(), spikes.units[part].tolist(), strict=True))


def some(seed: int, rate: float = 0.2) -> Samples:
    random = np.random.default_rng(seed)
    spikes = random_spikes(random, int(random.integers(1, 7)), int(random.integers(1, 9)), 12, rate)
    return Samples(spikes, random.integers(0, 3, spikes.n_samples))


@given(seeds, st.integers(1, 20), st.booleans())
@quick
def test_a_shift_moves_all_events_of_a_sample_by_one_number_within_bounds(seed: int, most: int, in_time: bool) -> None:
    spikes = some(seed).spikes
    shifted, outside = (time_shift if in_time else channel_shift)(spikes, most, np.random.default_rng(seed))
    lost = 0
    for sample in range(spikes.n_samples):
        before, after = events(spikes, sample), events(shifted, sample)
        fitting = []
        for by in range(-most, most + 1):
            moved = [(t + by, u) if in_time else (t, u + by) for t, u in before]
            fitting.append([e for e in moved if 0 <= e[0] < spikes.n_steps and 0 <= e[1] < spikes.n_units])
        assert after in fitting
        lost += len(before) - len(after)
    assert outside == lost


@pytest.mark.parametrize("shift", [channel_shift, time_shift])
def test_shifts_are_uniform_from_minus_n_to_n(shift: object) -> None:
    """One event in the middle of 9 x 9, moved by -2..2, 5000 times; each move within five standard errors of 1/5."""
    n = 5000
    spikes, _ = bin_events([(np.array([4]), np.array([4]))] * n, 9, 9)
    moved, outside = (channel_shift if shift is channel_shift else time_shift)(spikes, 2, np.random.default_rng(0))
    place, still = (moved.units, moved.times) if shift is channel_shift else (moved.times, moved.units)
    assert outside == 0
    assert (still == 4).all()
    counts = np.bincount(place, minlength=9)
    assert counts[[0, 1, 7, 8]].sum() == 0
    assert np.abs(counts[2:7] / n - 0.2).max() < 5 * (0.2 * 0.8 / n) ** 0.5


@given(seeds, st.floats(0, 4))
@quick
def test_a_stretch_multiplies_all_times_of_a_sample_by_one_factor_within_bounds(seed: int, most: float) -> None:
    """Every event is where some factor puts it, and what is missing was counted."""
    spikes = some(seed).spikes
    stretched, lost = time_stretch(spikes, most, np.random.default_rng(seed))
    factors = (1 + most) ** np.random.default_rng(seed).uniform(-1, 1, spikes.n_samples)
    outside = merged = 0
    for sample, factor in enumerate(factors):
        assert 1 / (1 + most) <= factor <= 1 + most
        moved = [(int((t + 0.5) * factor), u) for t, u in events(spikes, sample)]
        inside = [e for e in moved if e[0] < spikes.n_steps]
        assert events(stretched, sample) == sorted(set(inside))
        outside += len(moved) - len(inside)
        merged += len(inside) - len(set(inside))
    assert lost == Augmented(outside, merged, 0)


def test_a_stretch_is_as_often_longer_as_shorter() -> None:
    """One event at step 100, stretched by up to 2, 5000 times: median 100, three quarters below 100 sqrt(2)."""
    n = 5000
    spikes, _ = bin_events([(np.array([100]), np.array([0]))] * n, 1, 400)
    times = time_stretch(spikes, 1.0, np.random.default_rng(0))[0].times
    assert times.min() >= 50
    assert times.max() <= 201
    assert np.quantile(times, [0.25, 0.5, 0.75]) == pytest.approx([71, 100, 142], rel=0.03)


def blend(samples: Samples, examples: int, random: np.random.Generator) -> tuple[Samples, Augmented]:
    """So many blends of samples, as an epoch draws and makes them."""
    one, other = draw_pairs(samples.labels, examples, random)
    assert np.array_equal(samples.labels[one], samples.labels[other])
    spikes, counts = augmentation.blend(samples.spikes, one, other, random)
    return Samples(spikes, samples.labels[one]), counts


def moved_to_the_middle(one: Events, other: Events) -> tuple[Events, Events]:
    """Both moved to the middle of their centres of mass, by whole numbers; not at all where one is silent."""
    if not one or not other:
        return one, other
    centres = [np.mean(part, axis=0) for part in (one, other)]
    middle = (centres[0] + centres[1]) / 2
    moved: list[Events] = []
    for part, centre in zip((one, other), centres, strict=True):
        t, u = (int(by) for by in np.rint(middle - centre))
        moved.append([(time + t, unit + u) for time, unit in part])
    return moved[0], moved[1]


@given(seeds, st.integers(1, 12))
@quick
def test_a_blend_is_made_of_two_samples_of_its_class(seed: int, examples: int) -> None:
    samples = some(seed)
    spikes = samples.spikes
    more, counts = blend(samples, examples, np.random.default_rng(seed))
    assert (more.spikes.n_samples, more.labels.size) == (examples, examples)
    possible = {}
    for label in set(samples.labels.tolist()):
        members = np.flatnonzero(samples.labels == label).tolist()
        pairs = [(a, b) for a in members for b in members if a != b or len(members) == 1]
        possible[label] = [moved_to_the_middle(events(spikes, a), events(spikes, b)) for a, b in pairs]
    for sample in range(examples):
        found = set(events(more.spikes, sample))
        assert any(found <= {*one, *other} for one, other in possible[int(more.labels[sample])])
    assert min(astuple(counts)) >= 0


def test_every_event_of_the_parents_of_blends_is_accounted_for() -> None:
    """With one class of two samples the parents of each blend are these two."""
    spikes = random_spikes(np.random.default_rng(3), 2, 20, 30, 0.3)
    samples = Samples(spikes, np.zeros(2, dtype=np.int64))
    more, counts = blend(samples, 400, np.random.default_rng(0))
    total = 400 * spikes.times.size
    assert more.spikes.times.size + counts.outside + counts.merged + counts.removed == total
    assert counts.removed / total == pytest.approx(0.5, abs=5 * 0.5 / total**0.5)
    one, other = moved_to_the_middle(events(spikes, 0), events(spikes, 1))
    inside = [e for e in (*one, *other) if 0 <= e[0] < 30 and 0 <= e[1] < 20]
    # Every event has its half, and one that both have is there but where both are lost.
    seen: dict[tuple[int, int], int] = {}
    for sample in range(400):
        for event in events(more.spikes, sample):
            seen[event] = seen.get(event, 0) + 1
    assert set(seen) == set(inside)
    for event, times in seen.items():
        expected = 1 - 0.5 ** inside.count(event)
        assert times / 400 == pytest.approx(expected, abs=6 * (expected * (1 - expected) / 400) ** 0.5)


def test_blends_of_one_sample_in_its_class_are_thinned_copies() -> None:
    samples = Samples(random_spikes(np.random.default_rng(3), 2, 10, 30, 0.3), np.array([0, 1]))
    more, counts = blend(samples, 50, np.random.default_rng(0))
    assert counts.outside == 0
    for sample, label in enumerate(more.labels.tolist()):
        assert set(events(more.spikes, sample)) <= set(events(samples.spikes, label))


def test_classes_of_blends_come_as_often_as_in_the_set() -> None:
    labels = np.repeat([0, 1], [30, 10])
    samples = Samples(random_spikes(np.random.default_rng(3), 40, 2, 3, 0.3), labels)
    share = np.mean(blend(samples, 4000, np.random.default_rng(0))[0].labels == 1)
    assert share == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 4000) ** 0.5)


def test_samples_of_no_set_cannot_be_blended() -> None:
    assert draw_pairs(np.zeros(0, dtype=np.int64), 5, np.random.default_rng(0)).shape == (2, 0)


def test_partners_are_all_others_of_the_class_equally_often() -> None:
    """Four of one class, 12 000 pairs: each of 12 ordered pairs within five standard errors of 1/12."""
    one, other = draw_pairs(np.array([7, 7, 3, 7, 7]), 15_000, np.random.default_rng(0))
    same = one == other
    assert set(one[same].tolist()) == {2}, "alone in its class"
    counts = Counter(zip(one[~same].tolist(), other[~same].tolist(), strict=True))
    n = counts.total()
    assert len(counts) == 12
    assert max(abs(c / n - 1 / 12) for c in counts.values()) < 5 * (11 / 144 / n) ** 0.5


def test_more_places_than_can_be_numbered_are_refused() -> None:
    spikes, _ = bin_events([(np.array([0]), np.array([0]))], 2**20, 2**30)
    with pytest.raises(InputError, match=r"augmentation: 10000 samples of 1048576 units .* 63 bits"):
        blend(Samples(spikes, np.zeros(1, dtype=np.int64)), 10_000, np.random.default_rng(0))


EVERYTHING = AugmentationSection(
    channel_shift=2, time_shift=3, time_stretch=0.3, blend=4, channel_mask=2, tilt=0.3, dropout=0.2
)


def batches(samples: Samples, seed: int, number: int, size: int = 3, random: int = 0) -> list[Batch]:
    """All batches of an epoch, its samples in an order that `random` decides."""
    epoch = plan_epoch(samples, EVERYTHING, seed, number)
    assert epoch.size == samples.labels.size + 4
    order = np.random.default_rng(random).permutation(epoch.size)
    return [epoch.batch(i, order[a : a + size]) for i, a in enumerate(range(0, epoch.size, size))]


@given(seeds)
@quick
def test_an_epoch_is_decided_by_its_seed_and_number_and_holds_every_label(seed: int) -> None:
    samples = some(seed)
    made, again = batches(samples, 1, 3), batches(samples, 1, 3)
    for one, other in zip(made, again, strict=True):
        for field in ("times", "units", "offsets"):
            assert np.array_equal(getattr(one.spikes, field), getattr(other.spikes, field))
        assert one.augmented == other.augmented
        assert np.array_equal(one.labels, other.labels)
        assert one.which.tolist() == list(range(one.spikes.n_samples))
        assert one.labels.size == one.spikes.n_samples
    pairs = plan_epoch(samples, EVERYTHING, 1, 3).pairs
    labels = Counter(np.concatenate([b.labels for b in made]).tolist())
    assert labels == Counter([*samples.labels.tolist(), *samples.labels[pairs[0]].tolist()])


@given(seeds)
@quick
def test_a_batch_does_not_depend_on_those_before_it(seed: int) -> None:
    """Resuming starts anew at an epoch; the order in which batches are made does not matter within one either."""
    epoch = plan_epoch(some(seed), EVERYTHING, 1, 1)
    last = np.arange(epoch.size)[-5:]
    alone = epoch.batch(1, last)
    epoch.batch(0, np.arange(epoch.size))
    again = epoch.batch(1, last)
    assert np.array_equal(alone.spikes.times, again.spikes.times)
    assert np.array_equal(alone.spikes.units, again.spikes.units)


def test_every_event_of_a_batch_is_there_or_counted() -> None:
    """Of blends the events of both parents."""
    samples = some(5, rate=0.4)
    sizes = np.diff(samples.spikes.offsets)
    epoch = plan_epoch(samples, EVERYTHING, 1, 1)
    batch = epoch.batch(0, np.arange(epoch.size))
    before = sizes.sum() + sizes[epoch.pairs].sum()
    counts = batch.augmented
    assert batch.spikes.times.size + counts.outside + counts.merged + counts.removed == before


def test_epochs_and_batches_differ() -> None:
    samples = some(5, rate=0.4)
    one, other = (batches(samples, 1, number)[0] for number in (1, 2))
    assert not np.array_equal(one.spikes.units, other.spikes.units)
    epoch = plan_epoch(samples, EVERYTHING, 1, 1)
    first, second = (epoch.batch(i, np.arange(epoch.size)) for i in (0, 1))
    assert not np.array_equal(first.spikes.units, second.spikes.units)


def test_without_augmentation_nothing_is_copied() -> None:
    nothing = EVERYTHING.model_copy(update=dict.fromkeys(AugmentationSection.model_fields, 0))
    assert not nothing.active
    samples = some(5)
    epoch = plan_epoch(samples, nothing, 1, 1)
    which = np.arange(samples.labels.size)[::-1]
    batch = epoch.batch(0, which)
    assert batch.spikes is samples.spikes
    assert batch.labels is samples.labels
    assert batch.which is which
    assert batch.augmented == Augmented()
