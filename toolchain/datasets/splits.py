"""Validation on a part of the training set, instead of the dataset's own validation set.

A fraction keeps the shares of the classes and is drawn from the seed of the run. Speakers leave the training set
whole: what is learned is then validated on voices that were never heard, as published for the Spiking Heidelberg Digits
(facts/training.md section 2.5).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Dataset, Samples
from toolchain.errors import RecipeError
from toolchain.network_builder import generator
from toolchain.recipe.training_section import ValidationSection


def split_validation(dataset: Dataset, settings: ValidationSection, task: str, seed: int) -> Dataset:
    """Move samples from training to validation; the dataset's own validation samples are then not used.

    Parameters
    ----------
    dataset : with the split of its own
    settings : a fraction, or speakers
    task : name of the dataset's task, for messages
    seed : of the run; a fraction depends on it, speakers do not

    Raises
    ------
    RecipeError
        If the task knows no speakers, a speaker is not in the training set, or one of the two parts would be empty.
    """
    if settings.speaker is not None:
        moved, words = _of_speakers(dataset.train, settings.speaker, task)
    else:
        assert settings.fraction is not None
        moved = _stratified(dataset.train.labels, settings.fraction, generator(seed, "validation"))
        words = f"{settings.fraction:.3g} of the training set"
    count = int(np.count_nonzero(moved))
    if count in (0, moved.size):
        raise RecipeError(
            f"recipe training.validation: {words} is {count} of {moved.size} training samples, which leaves nothing to "
            f"{'validate' if count == 0 else 'train'} on; choose another part"
        )
    provenance = f"{dataset.provenance}; validated on {words} ({count} samples) instead of its own"
    train, valid = (_part(dataset.train, np.flatnonzero(which)) for which in (~moved, moved))
    return replace(dataset, train=train, valid=valid, provenance=provenance)


def _stratified(labels: NDArray[np.int64], fraction: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which samples to move: of each class the fraction of its own, rounded half to even."""
    moved = np.zeros(labels.size, dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        moved[random.permutation(members)[: round(fraction * members.size)]] = True
    return moved


def _of_speakers(train: Samples, speakers: list[int], task: str) -> tuple[NDArray[np.bool_], str]:
    if train.speakers is None:
        raise RecipeError(
            f"recipe training.validation.speaker: task {task} does not know who spoke; give a fraction instead"
        )
    known = np.unique(train.speakers).tolist()
    for speaker in speakers:
        if speaker not in known:
            raise RecipeError(
                f"recipe training.validation.speaker: {speaker} is not in the training set of task {task}; known: "
                f"{', '.join(map(str, known))}"
            )
    names = ", ".join(map(str, speakers))
    return np.isin(train.speakers, speakers), f"speaker{'s' if len(speakers) > 1 else ''} {names}"


def _part(samples: Samples, which: NDArray[np.int64]) -> Samples:
    speakers = None if samples.speakers is None else samples.speakers[which]
    return Samples(samples.spikes.select(which), samples.labels[which], speakers)
