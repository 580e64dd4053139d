"""Validation on a part of the training set: who goes where, and what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_spikes
from toolchain.datasets import Dataset, Samples
from toolchain.datasets.splits import split_validation
from toolchain.errors import RecipeError
from toolchain.recipe.training_section import ValidationSection
from toolchain.spikes import Binning


def dataset(labels: list[int], speakers: list[int] | None = None) -> Dataset:
    """Samples that can be told apart: sample s spikes on unit s alone."""
    n = len(labels)
    spikes = random_spikes(np.random.default_rng(0), n, n, 5, 1.0)
    own = replace(
        spikes,
        times=np.zeros(n, dtype=np.int32),
        units=np.arange(n, dtype=np.int32),
        offsets=np.arange(n + 1, dtype=np.int64),
    )
    train = Samples(own, np.array(labels), None if speakers is None else np.array(speakers))
    other = Samples(own.select([0]), train.labels[:1])
    return Dataset(train, other, other, 3, "made for a test", Binning(0, 0))


def members(samples: Samples) -> list[int]:
    """Which of the original samples these are; each still with its own spikes."""
    assert np.diff(samples.spikes.offsets).tolist() == [1] * samples.labels.size
    return [int(u) for u in samples.spikes.units]


@given(st.lists(st.integers(0, 2), min_size=8, max_size=60), st.floats(0.2, 0.8), st.integers(0, 2**40))
@settings(deadline=None, max_examples=60)
def test_a_fraction_keeps_the_shares_of_the_classes_and_every_sample(
    labels: list[int], fraction: float, seed: int
) -> None:
    before = dataset(labels)
    after = split_validation(before, ValidationSection(fraction=fraction), "t", seed)
    train, valid = members(after.train), members(after.valid)
    assert sorted(train + valid) == list(range(len(labels)))
    for part, which in ((after.train, train), (after.valid, valid)):
        assert part.labels.tolist() == [labels[i] for i in which]
    for label, n in Counter(labels).items():
        assert int(np.count_nonzero(after.valid.labels == label)) == round(fraction * n)
    assert after.test is before.test
    assert members(split_validation(before, ValidationSection(fraction=fraction), "t", seed).valid) == valid


def test_another_seed_takes_other_samples() -> None:
    half = ValidationSection(fraction=0.5)
    one, other = (members(split_validation(dataset([0, 1] * 20), half, "t", seed).valid) for seed in (1, 2))
    assert one != other


def test_speakers_leave_the_training_set_whole() -> None:
    speakers = [7, 8, 9, 7, 8, 9, 9]
    before = dataset([0, 1, 2, 0, 1, 2, 0], speakers)
    after = split_validation(before, ValidationSection(speaker=[9, 7]), "t", 1)
    assert members(after.valid) == [0, 2, 3, 5, 6]
    assert members(after.train) == [1, 4]
    assert after.train.speakers is not None
    assert after.train.speakers.tolist() == [8, 8]
    assert "speakers 9, 7 (5 samples) instead of its own" in after.provenance
    assert "\n" not in after.provenance


@pytest.mark.parametrize(
    ("settings", "speakers", "message"),
    [
        ({"speaker": [3]}, None, "task t does not know who spoke; give a fraction instead"),
        ({"speaker": [3]}, [1, 2, 1, 2], "3 is not in the training set of task t; known: 1, 2"),
        ({"speaker": [1, 2]}, [1, 2, 1, 2], "speakers 1, 2 is 4 of 4 training samples, which leaves nothing to train"),
        ({"fraction": 0.1}, None, "0.1 of the training set is 0 of 4 training samples, .* nothing to validate on"),
        ({"fraction": 0.9}, None, "0.9 of the training set is 4 of 4 training samples"),
    ],
)
def test_a_split_that_cannot_be_is_refused(
    settings: dict[str, object], speakers: list[int] | None, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        split_validation(dataset([0, 0, 1, 1], speakers), ValidationSection.model_validate(settings), "t", 1)
