"""Synthetic Braille: the encoding against a slow one, the trials against what is published of the recordings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.datasets import load_dataset
from toolchain.datasets.sigma_delta import sigma_delta
from toolchain.datasets.synthetic_braille import DOTS, parts_of, slide, synthetic_braille
from toolchain.errors import RecipeError
from toolchain.network_builder import generator


def events_of(frames: NDArray[np.float64], threshold: float, rate_hz: float) -> list[tuple[float, int]]:
    """One sample by the published recipe: from extremum to extremum, each level by interpolation."""
    found = []
    for channel in range(frames.shape[1]):
        reading = frames[:, channel]
        ends = [0, *(i for i in range(1, len(reading) - 1) if _is_extreme(reading, i)), len(reading) - 1]
        level = reading[0]
        for first, last in itertools.pairwise(ends):
            sign = 1 if reading[last] > reading[first] else -1
            while sign * (reading[last] - level) >= threshold:
                level += sign * threshold
                frame = next(f for f in range(first, last) if sign * (reading[f + 1] - level) >= 0)
                part = (level - reading[frame]) / (reading[frame + 1] - reading[frame])
                found.append(((frame + part) / rate_hz, channel + (frames.shape[1] if sign < 0 else 0)))
    return sorted(found)


def _is_extreme(reading: NDArray[np.float64], i: int) -> bool:
    return bool((reading[i] - reading[i - 1]) * (reading[i + 1] - reading[i]) <= 0)


@pytest.mark.parametrize("threshold", [1, 2, 5])
def test_events_lie_where_the_published_recipe_puts_them(threshold: int) -> None:
    frames = np.round(np.cumsum(np.random.default_rng(3).normal(0, 2.5, (20, 51, 12)), axis=1))
    events = sigma_delta(frames, threshold, 40.0)
    assert events.offsets[-1] > 2000 / threshold
    for i, sample in enumerate(frames):
        part = slice(events.offsets[i], events.offsets[i + 1])
        expected = events_of(sample, threshold, 40.0)
        assert events.units[part].tolist() == [unit for _, unit in expected]
        np.testing.assert_allclose(events.times[part], [time for time, _ in expected], rtol=0, atol=1e-12)


def test_events_of_a_ramp_up_and_down() -> None:
    """0 to 10 in one frame of 25 ms crosses 2, 4, 6, 8, 10; back to 1 in the next crosses 8, 6, 4, 2."""
    frames = np.array([[[0.0], [10.0], [1.0]], [[3.0], [3.0], [4.9]]])
    events = sigma_delta(frames, 2.0, 40.0)
    assert events.offsets.tolist() == [0, 9, 9]
    assert events.units.tolist() == [0] * 5 + [1] * 4
    np.testing.assert_allclose(events.times[:5], [0.005, 0.01, 0.015, 0.02, 0.025])
    np.testing.assert_allclose(events.times[5:], 0.025 + 0.025 * np.array([2, 4, 6, 8]) / 9)


def test_letters_have_the_dots_of_braille() -> None:
    """K to T are A to J with dot 3; U, V, X, Y, Z are A to E with dots 3 and 6; W is J with dot 6."""
    for first, third in zip("ABCDEFGHIJ", "KLMNOPQRST", strict=True):
        assert {*DOTS[first], 3} == {*DOTS[third]}
    for first, third in zip("ABCDE", "UVXYZ", strict=True):
        assert {*DOTS[first], 3, 6} == {*DOTS[third]}
    assert {*DOTS["J"], 6} == {*DOTS["W"]}
    assert [DOTS[letter] for letter in ("Space", "A", "B", "C", "D")] == [(), (1,), (1, 2), (1, 4), (1, 4, 5)]
    assert DOTS["G"] == (1, 2, 4, 5)
    assert len({frozenset(d) for d in DOTS.values()}) == 27


def test_readings_are_whole_numbers_of_51_frames() -> None:
    readings = slide("G", generator(0, "test"))
    assert readings.shape == (51, 12)
    assert np.array_equal(readings, np.round(readings))
    assert readings.min() >= 0
    assert readings.max() >= 4


@pytest.mark.parametrize(("threshold", "published"), [(1, 87.6), (2, 38.0), (5, 10.5)])
def test_about_as_many_events_as_published_for_the_recordings(threshold: int, published: float) -> None:
    recordings = synthetic_braille(20, threshold, seed=0)
    counts = np.diff(recordings.events.offsets)
    assert 0.7 * published < counts.mean() < 1.4 * published
    assert recordings.events.times.max() <= 1.25


def test_a_trial_depends_on_seed_letter_and_repetition_alone() -> None:
    many, later = synthetic_braille(4, 2, seed=5), synthetic_braille(1, 2, seed=5, first=3)
    part = many.read(np.arange(3 * 27, 4 * 27))
    assert np.array_equal(part.times, later.events.times)
    assert np.array_equal(part.units, later.events.units)
    assert not np.array_equal(synthetic_braille(1, 2, seed=6).events.times, later.events.times)


def test_the_task_says_that_it_is_synthetic_and_shares_no_trial_between_parts() -> None:
    dataset = load_dataset("synthetic_braille", {"repeats": 20})
    assert dataset.provenance.startswith("synthetic Braille at threshold 2, synthetic, ")
    assert "real" not in dataset.provenance
    assert [s.labels.size for s in (dataset.train, dataset.test, dataset.valid)] == [14 * 27, 4 * 27, 2 * 27]
    assert (dataset.n_inputs, dataset.n_classes, dataset.binning.late) == (24, 27, 0)
    repetitions = [r for part in parts_of(20).values() for r in part]
    assert sorted(repetitions) == list(range(20))
    with pytest.raises(RecipeError, match="threshold"):
        load_dataset("synthetic_braille", {"threshold": 10})


def test_when_events_come_tells_letters_apart_better_than_how_many() -> None:
    """For a linear classifier, 24 counts against 24 x 13 counts in bins of 100 ms; chance is 0.04."""
    from sklearn.linear_model import RidgeClassifier

    dataset = load_dataset("synthetic_braille", {"repeats": 60, "dt_ms": 1.0, "steps": 1300})
    binned = [
        np.array([s.spikes.dense(i).reshape(24, 13, 100).sum(axis=2) for i in range(s.labels.size)])
        for s in (dataset.train, dataset.test)
    ]
    scores = []
    for features in (binned, [b.sum(axis=2) for b in binned]):
        train, test = (np.sqrt(f.reshape(len(f), -1)) for f in features)
        scores.append(RidgeClassifier().fit(train, dataset.train.labels).score(test, dataset.test.labels))
    timed, counts = scores
    assert timed > counts + 0.15
    assert counts > 3 / 27
