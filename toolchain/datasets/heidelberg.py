"""Spiking Heidelberg Digits and Spiking Speech Commands (Cramer, Stradmann, Schemmel, Zenke 2022), as published.

SHD: 20 classes, the digits in English and German, 700 channels, no validation set; the test set has two speakers that
training has not. SSC: 35 words, three splits, several GB: its rows are read a few at a time and its binned spikes are
mapped into memory. Files may be the ``.h5`` or the ``.h5.zip`` or ``.h5.gz`` that they were in (facts/data.md
section 1.1). Files of the same layout that a program made are read too, and every result says that they are synthetic.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from toolchain.datasets import Dataset, TaskSizes
from toolchain.datasets.archives import data_folder, find_archive, unpacked
from toolchain.datasets.from_recordings import BinningOptions, HeldOutSpeakers, Split, assemble, bin_split, channels
from toolchain.datasets.recordings import Origin
from toolchain.datasets.spike_file import SHD_UNITS, SpikeFile
from toolchain.datasets.splits import speaker_mask
from toolchain.errors import RecipeError

SHD, SSC = "Spiking Heidelberg Digits", "Spiking Speech Commands"


class DigitOptions(BinningOptions):
    """Folder with shd_train.h5 and shd_test.h5, how events are binned, and what is tested on.

    `test` : "official", or speakers of the training set; the official test set is then not used.
    """

    path: str | None = None
    test: Literal["official"] | HeldOutSpeakers = "official"


class CommandOptions(BinningOptions):
    """Folder with ssc_train.h5, ssc_valid.h5 and ssc_test.h5, and how events are binned."""

    path: str | None = None


def shd_sizes(options: DigitOptions) -> TaskSizes:
    """As published: 700 units, ten digits in two languages."""
    return TaskSizes(channels(SHD_UNITS, options), 20, fixed=False)


def ssc_sizes(options: CommandOptions) -> TaskSizes:
    """As published: 700 units, 35 words."""
    return TaskSizes(channels(SHD_UNITS, options), 35, fixed=False)


def load_shd(options: DigitOptions) -> Dataset:
    """Read SHD, or a set in its layout under the names of its files; raises DatasetError, RecipeError."""
    folder = data_folder(options.path, "shd", "shd_train.h5 and shd_test.h5")
    train = _split(folder, "shd_train.h5", SHD, options)
    if isinstance(options.test, HeldOutSpeakers):
        where = "dataset.options.test.speaker"
        held_out = speaker_mask(train.samples, options.test.speaker, train.speaker_names, "shd", where)
        if held_out.all():
            raise RecipeError(f"recipe {where}: these are all speakers of the training set; leave some to train on")
        names = ", ".join(map(str, options.test.speaker))
        note = f"tested on speakers {names} of the training file, not on the official test set"
        return assemble(train.part(~held_out), train.part(held_out), None, train.binning, options, note=note)
    test = _split(folder, "shd_test.h5", SHD, options)
    return assemble(train, test, None, train.binning + test.binning, options)


def load_ssc(options: CommandOptions) -> Dataset:
    """Read SSC, or a set in its layout under the names of its files; raises DatasetError."""
    folder = data_folder(options.path, "ssc", "ssc_train.h5, ssc_valid.h5 and ssc_test.h5")
    train, valid, test = (_split(folder, f"ssc_{s}.h5", SSC, options) for s in ("train", "valid", "test"))
    return assemble(train, test, valid, train.binning + valid.binning + test.binning, options)


def _split(folder: Path, name: str, what: str, options: BinningOptions) -> Split:
    found = find_archive(folder, name, below=(name[:3].upper(), name[:3], "hdspikes"))
    opened = unpacked(found)
    file = SpikeFile.open(opened.path)
    return bin_split(replace(file, origin=_origin(file, what, found, opened.md5)), options)


def _origin(file: SpikeFile, what: str, found: Path, md5: str) -> Origin:
    """A file that does not call itself anything is what its name says."""
    state = f"{found.name} of {found.stat().st_size} bytes, md5 {md5 if md5 == 'unknown' else f'as published: {md5}'}"
    detail = ", ".join(part for part in (file.origin.detail, state) if part)
    called = file.origin.what if "what" in file.attributes or not file.origin.real else what
    return Origin(called, file.origin.real, found, detail)
