"""The journal of a device: every sample that it has finished, kept until something that it depends on changes.

A folder ``validation/<set>/<device>/`` beside the bundle's files:

    about.json                  what the results belong to: bundle, device, data; with another one they are discarded
    <first>-<end>.safetensors   results of samples first..end-1, written under another name and renamed
    lock                        held by whoever works on it; the system lets go of it when that process ends

A file is whole or not there, and no sample is in two files: what is killed at any moment has lost nothing that it had
finished, and what is started again goes on with the samples that are missing.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.devices.fingerprint import U64
from toolchain.errors import CheckpointError, InputError
from toolchain.storage import load_arrays, save_arrays, write_json

ABOUT, LOCK = "about.json", "lock"
PATIENCE_S = 10.0
"""How long a lock may be held that nobody needs any more; a worker looks every half second."""
_RESULT = re.compile(r"(\d{6,})-(\d{6,})\.safetensors")
_PREDICTION, _PRINT = "prediction", "print/"


@dataclass(frozen=True)
class Results:
    """What a device did with the samples first..end-1 of a set.

    Attributes
    ----------
    prediction : (n,) class read
    fingerprints : ``<quantity>/<population>`` -> (n,)
    overflows : population -> event -> count
    seconds : wall time of the runs, without their start
    covered : samples that overflows and seconds are of; more than n where only a part of a run is asked for
    peak_bytes : most memory that the process had taken by then
    """

    prediction: NDArray[np.int64]
    fingerprints: Mapping[str, U64]
    overflows: Mapping[str, Mapping[str, int]]
    seconds: float
    covered: int
    peak_bytes: int = 0


class Journal:
    """The results of one device on one set of samples; made by `open_journal`.

    Attributes
    ----------
    lock : descriptor of the lock, for processes that work on it too: it is held until all of them have ended
    """

    def __init__(self, folder: Path, lock: int = -1) -> None:
        self.folder, self.lock = folder, lock

    def keep(self, first: int, results: Results) -> None:
        """Keep the results of a run of samples from `first` on."""
        end = first + results.prediction.size
        header = {"first": first, "end": end, "seconds": results.seconds, "overflows": results.overflows}
        header["peak_bytes"] = results.peak_bytes
        prints = {f"{_PRINT}{name}": values for name, values in results.fingerprints.items()}
        save_arrays(self._file(first, end), {_PREDICTION: results.prediction, **prints}, header)

    def ranges(self) -> list[tuple[int, int]]:
        """First and end of every file, in order; a file that overlaps an earlier one is not counted."""
        names = (_RESULT.fullmatch(path.name) for path in self.folder.iterdir())
        found: list[tuple[int, int]] = []
        for first, end in sorted((int(m[1]), int(m[2])) for m in names if m):
            if first < end and (not found or first >= found[-1][1]):
                found.append((first, end))
        return found

    def missing(self, n: int, at_once: int) -> list[tuple[int, int]]:
        """Runs of samples below `n` that are not there yet, none longer than `at_once`."""
        found, begin = [], 0
        for first, end in [*self.ranges(), (n, n)]:
            stop = min(first, n)
            found += [(start, min(start + at_once, stop)) for start in range(begin, stop, at_once)]
            begin = max(begin, end)
        return found

    def finished(self, n: int) -> int:
        """How many of the first `n` samples are there."""
        return sum(min(end, n) - first for first, end in self.ranges() if first < n)

    def read(self, n: int) -> Results:
        """Results of the first samples up to `n`, as many as there are without a gap.

        A file that cannot be read was damaged after it was written: it is removed, and its samples are missing again.
        """
        parts: list[Results] = []
        begin = 0
        for first, end in self.ranges():
            if first != begin or first >= n:
                break
            part = self._read_file(first, end)
            if part is None:
                break
            parts.append(_cut(part, min(end, n) - first))
            begin = end
        return _joined(parts)

    def _read_file(self, first: int, end: int) -> Results | None:
        path = self._file(first, end)
        try:
            arrays, header = load_arrays(path, what="results")
            prediction = arrays[_PREDICTION]
            prints = {name.removeprefix(_PRINT): a for name, a in arrays.items() if name.startswith(_PRINT)}
            if prediction.dtype != np.int64 or any(a.dtype != np.uint64 for a in prints.values()):
                raise ValueError("types")
            if any(a.shape != (end - first,) for a in (prediction, *prints.values())):
                raise ValueError("sizes")
            if (header["first"], header["end"]) != (first, end):
                raise ValueError("samples")
            seconds, peak_bytes = float(header["seconds"]), int(header["peak_bytes"])
            return Results(prediction, prints, dict(header["overflows"]), seconds, end - first, peak_bytes)
        except (CheckpointError, ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            return None

    def _file(self, first: int, end: int) -> Path:
        return self.folder / f"{first:06d}-{end:06d}.safetensors"


@contextmanager
def open_journal(folder: Path, about: Mapping[str, Any], *, anew: bool = False) -> Iterator[tuple[Journal, str]]:
    """The journal in a folder, which nobody else can open at the same time.

    Parameters
    ----------
    about : what results belong to, JSON types; those that belong to something else are removed
    anew : remove all results

    Yields
    ------
    the journal, and which of the entries of `about` differed, in words; empty where none did

    Raises
    ------
    InputError
        If another process has it open, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock: IO[bytes] = (folder / LOCK).open("ab")
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; copy the bundle to a writable place") from error
    with lock:
        _lock(lock, folder)
        changed = _changed(folder / ABOUT, about)
        if changed or anew:
            for path in folder.iterdir():
                if path.name != LOCK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_json(folder / ABOUT, dict(about))
        yield Journal(folder, lock.fileno()), ", ".join(changed)


def _lock(lock: IO[bytes], folder: Path) -> None:
    """Take the lock; a worker whose validation was killed lets go of it when it has seen that."""
    import fcntl

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(
                    f"{folder} is being worked on by another validation; wait for it, or end it first"
                ) from error
            time.sleep(0.1)
        else:
            return


def _changed(path: Path, about: Mapping[str, Any]) -> list[str]:
    """Entries that differ from those of a file; none where there is no file yet."""
    if not path.is_file():
        return []
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return [ABOUT]
    if not isinstance(before, dict):
        return [ABOUT]
    return [key for key in about if before.get(key) != about[key]]


def _cut(results: Results, n: int) -> Results:
    """The first `n` samples; overflows and seconds cannot be told apart, and stay those of the whole run."""
    if n == results.prediction.size:
        return results
    prints = {name: values[:n] for name, values in results.fingerprints.items()}
    return replace(results, prediction=results.prediction[:n], fingerprints=prints)


def _joined(parts: list[Results]) -> Results:
    if not parts:
        return Results(np.zeros(0, dtype=np.int64), {}, {}, 0.0, 0)
    names = [name for name in parts[0].fingerprints if all(name in part.fingerprints for part in parts)]
    overflows: dict[str, dict[str, int]] = {}
    for part in parts:
        for population, events in part.overflows.items():
            of = overflows.setdefault(population, {})
            for event, count in events.items():
                of[event] = of.get(event, 0) + count
    return Results(
        np.concatenate([part.prediction for part in parts]),
        {name: np.concatenate([part.fingerprints[name] for part in parts]) for name in names},
        overflows,
        sum(part.seconds for part in parts),
        sum(part.covered for part in parts),
        max(part.peak_bytes for part in parts),
    )
