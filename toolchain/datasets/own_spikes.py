"""A user's own events: one spike file, or one for each split, in the layout of `toolchain.datasets.spike_file`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from toolchain.datasets import Dataset, TaskSizes
from toolchain.datasets.archives import unpacked
from toolchain.datasets.from_recordings import BinningOptions, HeldOutSpeakers, Split, assemble, bin_split
from toolchain.datasets.spike_file import SpikeFile
from toolchain.datasets.splits import speaker_mask, stratified
from toolchain.errors import RecipeError
from toolchain.network_builder import generator
from toolchain.recipe import Section
from toolchain.spikes import Binning


class HeldOutFraction(Section):
    """A test set of this share of each class, drawn from a seed of its own: other seeds of a run test on the same."""

    fraction: Annotated[float, Field(gt=0, lt=1)]
    seed: Annotated[int, Field(ge=0)] = 0


class SpikesOptions(BinningOptions):
    """Files, and how events are binned.

    `train` is a spike file. `test` is another one, or the part of the training file that is tested on: speakers, or a
    fraction of each class. `valid` is a file, or left out; then the recipe says what to validate on.
    """

    train: str
    test: str | HeldOutSpeakers | HeldOutFraction
    valid: str | None = None

    @model_validator(mode="after")
    def _different_files(self) -> SpikesOptions:
        named = [name for name in (self.train, self.valid, self.test) if isinstance(name, str)]
        if len(set(named)) != len(named):
            raise ValueError("train, valid and test must be different files; hold out a fraction of one instead")
        return self


def sizes(options: SpikesOptions) -> TaskSizes | None:
    """Only the files know."""
    return None


def load(options: SpikesOptions) -> Dataset:
    """Read the files and split them; raises DatasetError, RecipeError."""
    train = _split(options.train, options)
    binning = train.binning
    note = ""
    if isinstance(options.test, str):
        test = _split(options.test, options)
        binning += test.binning
    else:
        held_out, note = _held_out(train, options.test)
        if held_out.all() or not held_out.any():
            raise RecipeError(
                f"recipe dataset.options.test: {int(held_out.sum())} of {held_out.size} samples would be tested on; "
                "choose another part"
            )
        train, test = train.part(~held_out), train.part(held_out)
    valid = _split(options.valid, options) if options.valid else None
    binning += valid.binning if valid else Binning(0, 0)
    return assemble(train, test, valid, binning, options, note=note)


def _split(name: str, options: BinningOptions) -> Split:
    return bin_split(SpikeFile.open(unpacked(Path(name).expanduser()).path), options)


def _held_out(train: Split, test: HeldOutSpeakers | HeldOutFraction) -> tuple[NDArray[np.bool_], str]:
    if isinstance(test, HeldOutSpeakers):
        where = "dataset.options.test.speaker"
        which = speaker_mask(train.samples, test.speaker, train.speaker_names, "spikes", where)
        return which, f"tested on speakers {', '.join(map(str, test.speaker))}"
    which = stratified(train.samples.labels, test.fraction, generator(test.seed, "test"))
    return which, f"tested on {test.fraction:.3g} of each class, seed {test.seed}"
