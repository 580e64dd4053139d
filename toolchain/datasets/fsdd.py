"""Free Spoken Digit Dataset: real digits, ten classes, a handful of speakers, 50 recordings of each digit by each.

github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0: neither the recordings nor spikes made from them come
with this project. What is read is a folder of the recordings, ``<digit>_<speaker>_<number>.wav``, which go through the
cochlea first (0.3 s each, once, kept in the cache), or of spikes, one ``<speaker>.npz`` for each speaker:

    times (n_events,) uint16, in units of time_unit_s; units (n_events,) uint16, 0..699
    offsets (n_samples + 1,) int64; labels (n_samples,) the digit; recording (n_samples,) 0..49

The official test set is recordings 0 to 4 of every speaker and digit; holding out whole speakers is harder and says
more about voices never heard.
"""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Dataset, TaskSizes
from toolchain.datasets.archives import data_folder
from toolchain.datasets.binned_cache import entry_folder
from toolchain.datasets.from_recordings import BinningOptions, HeldOutSpeakers, Split, assemble, bin_split, channels
from toolchain.datasets.making import report
from toolchain.datasets.recordings import Events, HeldRecordings, Origin, Recordings
from toolchain.datasets.spike_file import SpikeFile
from toolchain.datasets.splits import speaker_mask
from toolchain.errors import DatasetError, InputError, RecipeError

NAME = "Free Spoken Digit Dataset"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
UNITS = 700
OFFICIAL_TEST = 5
"""Recordings 0 to 4."""
WAV_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<recording>\d+)\.wav")
MAX_BYTES = 2**30
"""What one speaker's arrays may take unpacked; 500 recordings take 12 MB."""
ARRAYS = {"times": "u", "units": "u", "offsets": "i", "labels": "iu", "recording": "iu", "time_unit_s": "f"}


class FsddOptions(BinningOptions):
    """Folder, how events are binned, and what is tested on: "official", or speakers by name."""

    path: str | None = None
    test: Literal["official"] | HeldOutSpeakers = "official"


@dataclass(frozen=True)
class SpokenDigits:
    """Spikes of all speakers of a folder, and the number of each recording."""

    recordings: Recordings
    numbers: NDArray[np.int64]


def sizes(options: FsddOptions) -> TaskSizes:
    """700 units of the cochlea, ten digits."""
    return TaskSizes(channels(UNITS, options), len(DIGITS))


def load(options: FsddOptions) -> Dataset:
    """Read the folder and split it; raises DatasetError, RecipeError."""
    folder = data_folder(options.path, "fsdd", "the recordings or one <speaker>.npz for each speaker")
    if (folder / "recordings").is_dir():
        folder = folder / "recordings"  # a clone of the repository
    digits = convert_recordings(folder) if _has_sound(folder) else read_folder(folder)
    everything = bin_split(digits.recordings, options)
    if options.test == "official":
        held_out, note = (
            digits.numbers < OFFICIAL_TEST,
            f"tested on recordings 0 to {OFFICIAL_TEST - 1} of every speaker",
        )
    else:
        held_out, note = _of_speakers(everything, options.test)
    if held_out.all() or not held_out.any():
        raise RecipeError(
            f"recipe dataset.options.test: {int(held_out.sum())} of {held_out.size} recordings would be tested on; "
            "choose other speakers"
        )
    train, test = everything.part(~held_out), everything.part(held_out)
    return assemble(train, test, None, everything.binning, options, note=note)


def _of_speakers(everything: Split, test: HeldOutSpeakers) -> tuple[NDArray[np.bool_], str]:
    where = "dataset.options.test.speaker"
    which = speaker_mask(everything.samples, test.speaker, everything.speaker_names, "fsdd", where)
    return which, f"tested on all recordings of {', '.join(map(str, test.speaker))}"


def _has_sound(folder: Path) -> bool:
    """Spikes that are there already are preferred."""
    return folder.is_dir() and not any(folder.glob("*.npz")) and any(folder.glob("*.wav"))


def convert_recordings(folder: Path) -> SpokenDigits:
    """Spikes of a folder of recordings, through the cochlea and kept in the cache.

    Raises
    ------
    DatasetError
        If a recording is damaged or not called as the dataset calls it.
    """
    from toolchain.datasets.cochlea.conversion import convert_folder

    numbers = []
    for file in sorted(folder.glob("*.wav")):
        name = WAV_NAME.fullmatch(file.name)
        if name is None:
            raise DatasetError(f"file {file}: is not called <digit>_<speaker>_<number>.wav; take it out of the folder")
        numbers.append(int(name["recording"]))
    out = entry_folder("fsdd", folder, {}) / "spikes.h5"
    try:
        listing = convert_folder(
            folder,
            out,
            labels="fsdd",
            jobs=os.cpu_count() or 1,
            progress=lambda done, total: report(f"spikes of {folder.name}", done, total),
        ).listing
    except DatasetError:
        raise
    except InputError as error:
        raise DatasetError(f"{error}") from error
    file_names = [path.name for path in listing.paths]
    if file_names != sorted(file.name for file in folder.glob("*.wav")) or len(listing.label_names) != len(DIGITS):
        raise DatasetError(
            f"folder {folder}: holds other sounds besides, or not all digits; give one with this set alone"
        )
    origin = Origin(f"{NAME} through the cochlea", True, folder, f"speakers {', '.join(listing.speaker_names)}")
    recordings = replace(SpikeFile.open(out), origin=origin, label_names=DIGITS)
    return SpokenDigits(recordings, np.array(numbers, dtype=np.int64))


def read_folder(folder: Path) -> SpokenDigits:
    """Spikes of every speaker of a folder; speakers are numbered by name.

    Raises
    ------
    DatasetError
        If there are none, or a file is damaged or not as above.
    """
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not files:
        raise DatasetError(
            f"folder {folder}: holds no <speaker>.npz and no <digit>_<speaker>_<number>.wav; give the folder of "
            "the Free Spoken Digit Dataset"
        )
    speakers = [read_speaker(file) for file in files]
    counts = np.array([s["labels"].size for s in speakers])
    lengths = np.concatenate([np.diff(s["offsets"]) for s in speakers])
    events = Events(
        np.concatenate([s["times"] * float(s["time_unit_s"]) for s in speakers]),
        np.concatenate([s["units"] for s in speakers]).astype(np.int32),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
    )
    names = tuple(file.stem for file in files)
    origin = Origin(f"{NAME} through a cochlea", True, folder, f"speakers {', '.join(names)}")
    recordings = HeldRecordings(
        events,
        np.concatenate([s["labels"] for s in speakers]).astype(np.int64),
        np.repeat(np.arange(counts.size), counts),
        DIGITS,
        UNITS,
        origin,
        names,
    )
    return SpokenDigits(recordings, np.concatenate([s["recording"] for s in speakers]).astype(np.int64))


def read_speaker(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of one speaker, each checked; raises DatasetError."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_BYTES:
            raise DatasetError(
                f"file {path}: unpacks to {size} bytes, more than {MAX_BYTES}; it is none of this format"
            )
        with np.load(path, allow_pickle=False) as content:
            missing = sorted(set(ARRAYS) - set(content.files))
            if missing:
                raise DatasetError(f"file {path}: lacks the arrays {', '.join(missing)}; make it anew")
            arrays: dict[str, NDArray[Any]] = {name: content[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        what = " ".join(str(error).split())
        raise DatasetError(f"file {path}: cannot be read as npz, {what}; it is truncated or of another kind") from error
    _check(path, arrays)
    return arrays


def _check(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    for name, kinds in ARRAYS.items():
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != (0 if name == "time_unit_s" else 1):
            raise DatasetError(
                f"file {path}: {name} is {array.dtype}{array.shape}, must be of kind {'/'.join(kinds)}; make it anew"
            )
    offsets, n = arrays["offsets"], arrays["times"].size
    if not (
        arrays["units"].size == n
        and arrays["labels"].size == arrays["recording"].size == offsets.size - 1
        and offsets[0] == 0
        and offsets[-1] == n
        and (np.diff(offsets) >= 0).all()
    ):
        raise DatasetError(
            f"file {path}: {n} times, {arrays['units'].size} units, {arrays['labels'].size} labels and "
            f"{arrays['recording'].size} numbers of recordings do not belong to {offsets.size} offsets; make it anew"
        )
    for name, limit in (("units", UNITS), ("labels", len(DIGITS))):
        array = arrays[name]
        if array.size and (array.min() < 0 or array.max() >= limit):
            raise DatasetError(
                f"file {path}: {name} {array.min()}..{array.max()} are not in 0..{limit - 1}; make it anew"
            )
    if not 0 < float(arrays["time_unit_s"]) < 1:
        raise DatasetError(f"file {path}: time_unit_s is {arrays['time_unit_s']}, must be between 0 and 1 s")
