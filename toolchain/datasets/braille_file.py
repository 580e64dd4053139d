"""The Braille letters of Mueller-Cleve and others 2022 (Zenodo 10.5281/zenodo.7050094), as published.

A fingertip of 12 capacitive taxels slid over embossed letters; the readings were turned into events by a threshold of
1, 2, 5 or 10 sensor counts. One pickle a threshold, ``data_braille_letters_th_1.pkl`` and so on, by themselves or in
``reading_braille_data.zip``; each trial has a ``letter`` and ``events[taxel][0 on, 1 off]``, times in seconds. They are
taken apart without being loaded (`pickled_data`), so a file from anywhere can be read.

Source: facts/data.md section 1.2.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.datasets.pickled_data import MAX_BYTES, read_pickled_data
from toolchain.datasets.pickled_tables import PickledTable
from toolchain.datasets.recordings import Events, HeldRecordings, Origin
from toolchain.errors import DatasetError

LETTERS = ("Space", *(chr(ord("A") + i) for i in range(26)))
TAXELS, POLARITIES = 12, 2
N_UNITS = TAXELS * POLARITIES
"""Channel of an event: taxel + 12 * polarity."""
THRESHOLDS = (1, 2, 5, 10)
LAST_S = 1.275
"""51 frames at 40 Hz."""
LONGEST_S = 60.0
REPEATS = 200
PICKLE_NAME = re.compile(r"data_braille_letters_th_?(10|1|2|5)(\.pkl)?$")


@dataclass(frozen=True)
class BrailleFile:
    """The letters at one threshold.

    Attributes
    ----------
    recordings : all trials in the order of the file
    threshold : counts between events; None where the name of the file does not say
    sha256 : of the pickle
    remarks : what is not as published, yet no reason to refuse the file
    """

    recordings: HeldRecordings
    threshold: int | None
    sha256: str
    remarks: tuple[str, ...]


def read_braille(path: Path, threshold: int | None = None) -> BrailleFile:
    """Read the trials of one threshold.

    Parameters
    ----------
    path : a pickle, the zip archive, or the folder of either
    threshold : which of the pickles; may be left out where there is one

    Raises
    ------
    DatasetError
        If there is no such file, or it holds anything but such trials; the message names the trial.
    """
    name, content, found = _content(path, threshold)
    table = PickledTable(read_pickled_data(content, name), name)
    columns = table.columns(("letter", "events"))
    labels = np.array([_label(name, i, text) for i, text in enumerate(columns["letter"])], dtype=np.int64)
    if labels.size == 0:
        raise DatasetError(f"{name}: it holds no trials; fetch it again")
    events = _events(table, columns["events"])
    remarks = tuple(_remarks(labels, events))
    what = f"Braille letters at threshold {found}" if found else "Braille letters"
    detail = "; ".join([f"{name} of {len(content)} bytes, {labels.size} trials", *remarks])
    origin = Origin(what, real=True, path=path, detail=detail)
    recordings = HeldRecordings(events, labels, None, LETTERS, N_UNITS, origin)
    return BrailleFile(recordings, found, hashlib.sha256(content).hexdigest(), remarks)


def pickles(path: Path) -> dict[int, tuple[Path, str | None]]:
    """Pickles by threshold: (file, member of the archive or None); of a folder, an archive or a file.

    Raises
    ------
    DatasetError
        If the path does not exist or an archive is damaged.
    """
    if path.is_dir():
        found: dict[int, tuple[Path, str | None]] = {}
        archives = sorted(path.glob("*.zip"))
        for inner in (*archives, *sorted(f for f in path.iterdir() if f.is_file() and f not in archives)):
            found.update(pickles(inner) if inner in archives or PICKLE_NAME.search(inner.name) else {})
        return found
    if not path.is_file():
        raise DatasetError(
            f"file {path}: no such file or folder of Braille letters; fetch reading_braille_data.zip from "
            f"doi.org/10.5281/zenodo.7050094 and give its path"
        )
    if zipfile.is_zipfile(path):
        with _archive(path) as archive:
            matches = [(PICKLE_NAME.search(member), member) for member in archive.namelist()]
        return {int(m[1]): (path, member) for m, member in matches if m}
    match = PICKLE_NAME.search(path.name)
    return {int(match[1]): (path, None)} if match else {}


def _content(path: Path, threshold: int | None) -> tuple[str, bytes, int | None]:
    """Name, bytes and threshold of the pickle that is asked for."""
    found = pickles(path)
    if not found and path.is_file() and not zipfile.is_zipfile(path):
        # A file of another name is taken at the user's word.
        return path.name, _read(path), threshold
    known = ", ".join(map(str, sorted(found))) or "none"
    if threshold is None and len(found) == 1:
        (threshold,) = found
    if threshold is None or threshold not in found:
        asked = "no threshold chosen" if threshold is None else f"no data_braille_letters_th_{threshold}.pkl"
        raise DatasetError(f"file {path}: {asked}; thresholds that are there: {known}")
    file, member = found[threshold]
    if member is None:
        return file.name, _read(file), threshold
    try:
        with _archive(file) as archive, archive.open(member) as inside:
            # What the archive says of its size is not trusted.
            content = inside.read(MAX_BYTES + 1)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(f"archive {file}: {member} cannot be unpacked ({error}); fetch it again") from error
    return Path(member).name, content, threshold


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise DatasetError(f"archive {path}: cannot be opened ({error}); fetch it again") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"file {path}: cannot be read ({error.strerror or error}); check its path") from error


def _label(name: str, trial: int, text: object) -> int:
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    if text not in LETTERS:
        raise DatasetError(f"{name}: trial {trial} is of letter {str(text)[:20]!r}; known: Space and A to Z")
    return LETTERS.index(str(text))


def _events(table: PickledTable, trials: list[object]) -> Events:
    """Events of all trials, those of a trial by time, then channel."""
    times: list[float] = []
    units: list[int] = []
    offsets = [0]
    for index, trial in enumerate(trials):
        taxels = table.values(trial)
        if len(taxels) != TAXELS:
            raise DatasetError(f"{table.file}: trial {index} has {len(taxels)} taxels; the letters have {TAXELS}")
        events: list[tuple[float, int]] = []
        for taxel, polarities in enumerate(map(table.values, taxels)):
            if len(polarities) != POLARITIES:
                raise DatasetError(
                    f"{table.file}: trial {index}, taxel {taxel} has {len(polarities)} polarities; it needs on and off"
                )
            for polarity, instants in enumerate(polarities):
                for instant in table.values(instants):
                    time = table.number(instant)
                    if time is None or not 0 <= time <= LONGEST_S:
                        raise DatasetError(
                            f"{table.file}: trial {index}, taxel {taxel}: event at {str(instant)[:40]} s; times lie in "
                            f"0..{LAST_S} s"
                        )
                    events.append((time, taxel + TAXELS * polarity))
        events.sort()
        times += [time for time, _ in events]
        units += [unit for _, unit in events]
        offsets.append(len(times))
    return Events(np.array(times, dtype=np.float64), np.array(units, dtype=np.int32), np.array(offsets, dtype=np.int64))


def _remarks(labels: np.ndarray[tuple[int], np.dtype[np.int64]], events: Events) -> list[str]:
    remarks = []
    if labels.size != len(LETTERS) * REPEATS:
        remarks.append(f"{labels.size} trials, published are {len(LETTERS) * REPEATS}")
    counts = np.bincount(labels, minlength=len(LETTERS))
    odd = [f"{LETTERS[i]} {counts[i]}" for i in np.flatnonzero(counts != REPEATS)]
    if odd:
        remarks.append(f"trials a letter other than {REPEATS}: {', '.join(odd[:5])}{' ...' if len(odd) > 5 else ''}")
    late = int(np.count_nonzero(events.times > LAST_S))
    if late:
        remarks.append(f"{late} events after {LAST_S} s, the last at {events.times.max():.3f} s")
    silent = int(np.count_nonzero(np.diff(events.offsets) == 0))
    if silent:
        remarks.append(f"{silent} trials without an event")
    return remarks
