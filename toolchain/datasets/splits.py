"""Validation on a part of the training set, instead of the dataset's own validation set.

A fraction keeps the shares of the classes and is drawn from the seed of the run. Speakers leave the training set
whole: what is learned is then validated on voices that were never heard, as published for the Spiking Heidelberg Digits
(facts/training.md section 2.5).
"""

from __future__ import annotations

from collections.abc import Sequence
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
    seed : of the run; a fraction without a seed of its own depends on it, speakers do not

    Raises
    ------
    RecipeError
        If the task knows no speakers, a speaker is not in the training set, or one of the two parts would be empty.
    """
    if settings.speaker is not None:
        where = "training.validation.speaker"
        moved = speaker_mask(dataset.train, settings.speaker, dataset.speaker_names, task, where)
        words = f"speaker{'s' if len(settings.speaker) > 1 else ''} {', '.join(map(str, settings.speaker))}"
    else:
        assert settings.fraction is not None
        drawn_from = seed if settings.seed is None else settings.seed
        moved = stratified(dataset.train.labels, settings.fraction, generator(drawn_from, "validation"))
        words = f"{settings.fraction:.3g} of the training set"
    count = int(np.count_nonzero(moved))
    if count in (0, moved.size):
        raise RecipeError(
            f"recipe training.validation: {words} is {count} of {moved.size} training samples, which leaves nothing to "
            f"{'validate' if count == 0 else 'train'} on; choose another part"
        )
    own = " instead of its own" if dataset.valid.labels.size else ""
    provenance = f"{dataset.provenance}; validated on {words} ({count} samples){own}"
    train, valid = (_part(dataset.train, np.flatnonzero(which)) for which in (~moved, moved))
    return replace(dataset, train=train, valid=valid, provenance=provenance)


def stratified(labels: NDArray[np.int64], fraction: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which samples to move: of each class the fraction of its own, rounded half to even."""
    moved = np.zeros(labels.size, dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        moved[random.permutation(members)[: round(fraction * members.size)]] = True
    return moved


def speaker_mask(
    samples: Samples, wanted: Sequence[int | str], names: Sequence[str], task: str, where: str
) -> NDArray[np.bool_]:
    """Which samples are from the speakers with these numbers or names.

    Parameters
    ----------
    samples : of which the speakers are known, or an error is raised
    wanted : each must have a sample
    names : what speaker 0, 1, ... is called; empty where nobody knows
    task, where : name of the task and key of the recipe, for messages

    Raises
    ------
    RecipeError
        If the samples know no speakers, or one that is wanted is not among them; the message names those that are.
    """
    if samples.speakers is None:
        raise RecipeError(f"recipe {where}: task {task} does not know who spoke; give a fraction instead")
    present = np.unique(samples.speakers).tolist()
    called = {number: names[number] if number < len(names) else "" for number in present}
    known = ", ".join(f"{number} ({name})" if name else str(number) for number, name in called.items())
    numbers = []
    for speaker in wanted:
        found = [n for n in present if speaker in (n, called[n]) and speaker != ""]
        if len(found) != 1:
            raise RecipeError(
                f"recipe {where}: {speaker} is {'two speakers' if found else 'not in the training set'} of task "
                f"{task}; known: {known}"
            )
        numbers += found
    return np.isin(samples.speakers, numbers)


def _part(samples: Samples, which: NDArray[np.int64]) -> Samples:
    speakers = None if samples.speakers is None else samples.speakers[which]
    return Samples(samples.spikes.select(which), samples.labels[which], speakers)
