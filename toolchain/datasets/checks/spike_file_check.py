"""Spike files looked at whole: published sets by what is published of them, all others by what the format asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from toolchain.datasets.archives import SUFFIXES, unpacked
from toolchain.datasets.checks.inspection import MAX_ERRORS, Inspection, Item
from toolchain.datasets.hdf5 import MAGIC
from toolchain.datasets.spike_file import FORMAT, SHD_UNITS, SpikeFile
from toolchain.errors import DatasetError

AT_ONCE = 64
LONGEST_S = 2.0
"""No recording of the published sets is longer (facts/data.md section 4)."""
SHD_SIZES = {"train": (8156, 8332), "test": (2264, 2088)}
"""As in the present files and as some pages have it."""
SSC_SIZES = {"train": 75466, "valid": 9981, "test": 20382}
TEST_SPEAKERS = {4, 5}
ENDINGS = tuple(end + suffix for end in (".h5", ".hdf5") for suffix in SUFFIXES)


def takes(item: Item) -> bool:
    """Whether this is HDF5, or an archive that should hold it."""
    if item.pattern or not item.path.is_file():
        return False
    if item.path.name.lower().endswith(ENDINGS):
        return True
    with open(item.path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def inspect(item: Item, progress: Callable[[int], None]) -> Inspection:
    """Look at every event of a spike file; `progress` is told how many samples are done."""
    found = Inspection(str(item.path), "HDF5 file")
    try:
        opened = unpacked(item.path)
        found.md5 = opened.md5
        file = SpikeFile.open(opened.path)
    except DatasetError as error:
        found.error(str(error))
        return found
    found.real, found.channels, found.about = file.origin.real, file.n_units, dict(file.attributes)
    found.kind = _kind(file)
    found.count(file.labels, file.label_names, file.speakers, file.speaker_names)
    _read(file, found, progress)
    if found.kind.startswith("Spiking"):
        _compare_with_published(file, found)
    if found.md5 == "no":
        found.warn("the archive is not the published one: its MD5 differs")
    return found


def _kind(file: SpikeFile) -> str:
    """What a file is, by what it says and, where it says nothing, by its classes."""
    names = file.label_names
    if not file.origin.real:
        return "synthetic spike file"
    if file.attributes.get("format") == FORMAT or "n_units" in file.attributes:
        return "spike file"
    if len(names) == 20 and (names[0].lower(), names[10].lower()) == ("zero", "null"):
        present = set() if file.speakers is None else set(file.speakers.tolist())
        return f"Spiking Heidelberg Digits, {'test' if present & TEST_SPEAKERS else 'train'}"
    if len(names) == 35 and file.n_units == SHD_UNITS:
        part = [part for part, size in SSC_SIZES.items() if size == file.labels.size]
        return f"Spiking Speech Commands, {part[0] if part else 'size of no published part'}"
    return "spike file in the layout of SHD"


def _read(file: SpikeFile, found: Inspection, progress: Callable[[int], None]) -> None:
    n = file.labels.size
    last, counts = np.zeros(n), np.zeros(n, dtype=np.int64)
    read = np.ones(n, dtype=np.bool_)
    errors = 0
    for start in range(0, n, AT_ONCE):
        samples = np.arange(start, min(start + AT_ONCE, n))
        progress(start)
        try:
            events = file.read(samples)
        except DatasetError as error:
            found.error(str(error))
            read[samples] = False
            errors += 1
            if errors == MAX_ERRORS:
                found.error(f"read no further after {MAX_ERRORS} damaged parts, at sample {samples[-1]} of {n}")
                read[start:] = False
                break
            continue
        counts[samples] = np.diff(events.offsets)
        some = samples[counts[samples] > 0]
        last[some] = events.times[events.offsets[1:][counts[samples] > 0] - 1]
    found.measure(last[read], counts[read])
    if file.disordered:
        found.warn(f"the events of {file.disordered} samples are not in the order of time; they are sorted when read")
    late = int(np.count_nonzero(last >= LONGEST_S))
    if late and found.kind.startswith("Spiking"):
        found.warn(f"{late} samples last {LONGEST_S:g} s or longer, up to {last.max():.3f} s; no published one does")


def _compare_with_published(file: SpikeFile, found: Inspection) -> None:
    n, part = file.labels.size, found.kind.rpartition(", ")[2]
    if found.kind.startswith("Spiking Speech Commands"):
        if n not in SSC_SIZES.values():
            found.warn(f"{n} samples; the published files have {', '.join(map(str, SSC_SIZES.values()))}")
        return
    sizes = SHD_SIZES[part]
    if n not in sizes:
        found.warn(f"{n} samples; the published file has {sizes[0]} (some pages say {sizes[1]})")
    if file.speakers is None:
        found.warn("does not say who spoke; the published file does, and validation on a speaker needs it")
        return
    numbers = set(file.speakers.tolist())
    if max(numbers, default=0) > 11:
        found.warn(f"speaker {max(numbers)}; the published set has speakers 0 to 11")
    if part == "test" and not numbers >= TEST_SPEAKERS:
        found.warn("only one of the speakers 4 and 5, who are both in the published test set and in it alone")
    if "train" in Path(found.path).name and part == "test":
        found.warn("is called a training file, but has speakers 4 or 5, who are in the published test set alone")
