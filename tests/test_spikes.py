"""Spike trains: nothing is lost in binning without being counted, and no broken train is accepted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.spikes import Binning, SpikeTrains, bin_events, concatenate

N_UNITS, N_STEPS = 4, 6
EVENTS = st.lists(
    st.lists(st.tuples(st.integers(0, 2 * N_STEPS), st.integers(0, N_UNITS - 1)), max_size=25), max_size=5
)
quick = settings(deadline=None, max_examples=80)


def arrays(events: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(times, units) of a list of events."""
    return np.array([t for t, _ in events], dtype=np.int64), np.array([u for _, u in events], dtype=np.int64)


def trains(times: list[int], units: list[int], offsets: list[int]) -> SpikeTrains:
    return SpikeTrains(
        np.array(times, np.int32), np.array(units, np.int32), np.array(offsets, np.int64), N_UNITS, N_STEPS
    )


def as_lists(spikes: SpikeTrains) -> list[list[tuple[int, int]]]:
    """Events of each sample in stored order."""
    pairs = [(int(t), int(u)) for t, u in zip(spikes.times, spikes.units, strict=True)]
    return [pairs[a:b] for a, b in itertools.pairwise(spikes.offsets.tolist())]


@given(EVENTS)
@quick
def test_every_event_is_kept_merged_or_late(samples: list[list[tuple[int, int]]]) -> None:
    spikes, binning = bin_events([arrays(s) for s in samples], N_UNITS, N_STEPS)
    in_time = [[e for e in s if e[0] < N_STEPS] for s in samples]
    assert as_lists(spikes) == [sorted(set(s)) for s in in_time]
    assert binning.late == sum(len(s) for s in samples) - sum(len(s) for s in in_time)
    assert binning.merged == sum(len(s) - len(set(s)) for s in in_time)
    assert sum(len(s) for s in samples) == spikes.times.size + binning.merged + binning.late
    assert [str(a.dtype) for a in (spikes.times, spikes.units, spikes.offsets)] == ["int32", "int32", "int64"]


@given(EVENTS, st.randoms(use_true_random=False))
@quick
def test_the_order_of_events_within_a_sample_does_not_matter(samples: list[list[tuple[int, int]]], random: Any) -> None:
    shuffled = [random.sample(s, len(s)) for s in samples]
    (ours, first), (theirs, second) = (
        bin_events([arrays(s) for s in x], N_UNITS, N_STEPS) for x in (samples, shuffled)
    )
    assert as_lists(ours) == as_lists(theirs)
    assert first == second


@given(EVENTS)
@quick
def test_a_raster_is_true_at_the_events_and_nowhere_else(samples: list[list[tuple[int, int]]]) -> None:
    spikes, _ = bin_events([arrays(s) for s in samples], N_UNITS, N_STEPS)
    assert spikes.n_samples == len(samples)
    for index, sample in enumerate(samples):
        expected = np.zeros((N_UNITS, N_STEPS), dtype=np.bool_)
        for time, unit in sample:
            if time < N_STEPS:
                expected[unit, time] = True
        assert np.array_equal(spikes.dense(index), expected)


@given(EVENTS.filter(bool), st.data())
@quick
def test_selected_samples_have_the_rasters_of_the_originals(
    samples: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    spikes, _ = bin_events([arrays(s) for s in samples], N_UNITS, N_STEPS)
    index = data.draw(st.lists(st.integers(0, len(samples) - 1), max_size=8))
    chosen = spikes.select(index)
    assert chosen.n_samples == len(index)
    assert (chosen.n_units, chosen.n_steps) == (N_UNITS, N_STEPS)
    for position, original in enumerate(index):
        assert np.array_equal(chosen.dense(position), spikes.dense(original))


@pytest.mark.parametrize(("time", "unit"), [(-1, 0), (0, -1), (0, N_UNITS)])
def test_events_that_no_step_or_unit_can_hold_are_refused(time: int, unit: int) -> None:
    good = arrays([(0, 0)])
    with pytest.raises(InputError, match=rf"sample 1: .* outside 0\.\.{N_UNITS - 1}"):
        bin_events([good, arrays([(2, 1), (time, unit)])], N_UNITS, N_STEPS)


def test_a_unit_out_of_range_is_refused_even_past_the_last_step() -> None:
    with pytest.raises(InputError, match="sample 0"):
        bin_events([arrays([(N_STEPS + 3, N_UNITS)])], N_UNITS, N_STEPS)


@pytest.mark.parametrize("time", [2**31, 2**32, 2**32 + 5])
def test_a_time_beyond_32_bits_is_never_moved(time: int) -> None:
    """Times are kept in int32; an event that has no place there is refused or counted, not wrapped."""
    try:
        spikes, binning = bin_events([arrays([(time, 0)])], 1, 2**33)
    except InputError:
        return
    assert (spikes.times.tolist(), binning.late) in (([time], 0), ([], 1))


def test_binning_is_reported_in_words() -> None:
    assert str(Binning(3, 2)) == "3 events merged with another of the same unit and step, 2 past the last step"


@given(
    st.lists(st.tuples(st.integers(-1, N_STEPS), st.integers(-1, N_UNITS)), max_size=6),
    st.lists(st.integers(-1, 7), max_size=4),
    st.booleans(),
)
@settings(deadline=None, max_examples=250)
@example([(0, 0), (0, 1), (0, 0)], [0, 2, 3], True)
@example([(0, 1), (0, 0)], [0, 1, 2], True)
@example([(0, 0), (0, 0)], [0, 2], True)
@example([], [0, 0, 0], True)
@example([], [], False)
@example([(1, 1)], [0, 1, 1], False)
def test_a_train_is_accepted_exactly_if_it_is_sorted_unique_and_in_range(
    events: list[tuple[int, int]], offsets: list[int], closed: bool
) -> None:
    if closed:
        events, offsets = sorted(events), [0, *sorted(min(abs(o), len(events)) for o in offsets), len(events)]
    parts = [events[a:b] for a, b in itertools.pairwise(offsets)]
    valid = (
        bool(offsets)
        and offsets[0] == 0
        and offsets[-1] == len(events)
        and offsets == sorted(offsets)
        and all(0 <= t < N_STEPS and 0 <= u < N_UNITS for t, u in events)
        and all(part == sorted(set(part)) for part in parts)
    )
    message = ""
    try:
        trains([t for t, _ in events], [u for _, u in events], offsets)
    except InputError as error:
        message = str(error)
    assert bool(message) != valid
    assert "\n" not in message


def test_what_is_wrong_with_a_train_is_said() -> None:
    for (times, units, offsets), message in (
        (([1, 2], [0], [0, 2]), "2 times, 1 units"),
        (([1], [0], [0, 2]), "offsets ending at 2"),
        (([], [], []), "offsets ending at nothing"),
        (([1], [0], [1, 1]), "start at 0 and never fall"),
        (([N_STEPS], [0], [0, 1]), rf"time {N_STEPS} is outside 0\.\.{N_STEPS - 1}"),
        (([-4], [0], [0, 1]), "time -4 is outside"),
        (([0], [N_UNITS], [0, 1]), rf"unit {N_UNITS} is outside 0\.\.{N_UNITS - 1}"),
        (([1, 1], [0, 0], [0, 2]), "sorted by time, then unit, each once"),
    ):
        lists: tuple[list[int], list[int], list[int]] = (times, units, offsets)
        with pytest.raises(InputError, match=message):
            trains(*lists)


@given(st.lists(EVENTS, min_size=1, max_size=4))
@quick
def test_parts_make_one_set_of_all_their_samples_in_order(parts: list[list[list[tuple[int, int]]]]) -> None:
    binned = [bin_events([arrays(s) for s in part], N_UNITS, N_STEPS)[0] for part in parts]
    whole = concatenate(binned)
    assert as_lists(whole) == [sample for part in binned for sample in as_lists(part)]
    assert (whole.n_units, whole.n_steps) == (N_UNITS, N_STEPS)


def test_parts_of_different_sources_or_lengths_are_not_one_set() -> None:
    parts = [bin_events([], units, steps)[0] for units, steps in ((4, 6), (4, 7), (5, 6))]
    for pair in (parts[:2], parts[1:], []):
        with pytest.raises(InputError, match="cannot be one set; bin them alike"):
            concatenate(pair)
