"""Binned spikes on disk: a large set is taken into steps once, and from then on mapped into memory.

One folder a file and way of binning, under ``$DELAYLINE_CACHE/binned`` (default ``~/.cache/delayline``):

    entry.json     what it was made from, sizes, checksums, what binning removed; written last
    times.i32      little-endian int32, the times of `SpikeTrains`
    units.i32      the same of the units
    offsets.i64    little-endian int64

An entry whose file has changed since, or that is not what `entry.json` says to the last bit, is made again. The folder
may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cache import VARIABLE, cache_folder
from toolchain.errors import InputError
from toolchain.spikes import Binning, SpikeTrains

FORMAT = 1
ARRAYS = {"times.i32": "<i4", "units.i32": "<i4", "offsets.i64": "<i8"}
SUMMED_AT_ONCE = 2**24
STALE_S = 86_400.0
"""Age from which on an unfinished entry is nobody's any more."""


def identity(path: Path) -> dict[str, Any]:
    """What tells a file from one that took its place: path, size and time of the last change."""
    state = path.stat()
    return {"path": str(path.resolve()), "bytes": state.st_size, "changed_ns": state.st_mtime_ns}


def entry_folder(kind: str, path: Path, options: Mapping[str, Any]) -> Path:
    """Folder of what is made from a file with these options; a changed file has the same one."""
    key = json.dumps([str(path.resolve()), dict(options)], sort_keys=True)
    return cache_folder(kind) / f"{path.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def binned_once(
    path: Path, options: Mapping[str, Any], parts: Callable[[], Iterable[tuple[SpikeTrains, Binning]]]
) -> tuple[SpikeTrains, Binning]:
    """Spikes of a file in memory maps, made from `parts` if they are not in the cache.

    Parameters
    ----------
    path : the file that they are from
    options : all that the result depends on besides the file; JSON values
    parts : gives the spikes of the file part by part; at least one

    Raises
    ------
    InputError
        If the cache cannot be written.
    """
    folder = entry_folder("binned", path, options)
    made_from = {"format": FORMAT, **identity(path), "options": dict(options)}
    found = _load(folder, made_from)
    if found is None:
        try:
            _write(folder, made_from, parts())
        except OSError as error:
            raise InputError(
                f"cache {folder}: cannot be written, {error.strerror or error}; set {VARIABLE} to a folder with room"
            ) from error
        found = _load(folder, made_from)
    if found is None:
        raise InputError(f"cache {folder}: cannot be read back; set {VARIABLE} to a folder on another disk")
    return found


def replace_folder(made: Path, place: Path) -> None:
    """Put a finished folder at its place, whatever is there; a reader finds the old one, the new one or none."""
    if place.exists() or place.is_symlink():
        away = Path(tempfile.mkdtemp(prefix=".old-", dir=place.parent))
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.rename(place, away / "entry")
        shutil.rmtree(away, ignore_errors=True)
    try:
        os.rename(made, place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(made, ignore_errors=True)  # another process made the same


def _write(folder: Path, made_from: Mapping[str, Any], parts: Iterable[tuple[SpikeTrains, Binning]]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        binning, n_events, size = Binning(0, 0), 0, (0, 0)
        offsets = [np.zeros(1, dtype=np.int64)]
        sums = dict.fromkeys(ARRAYS, 0)
        with open(temporary / "times.i32", "wb") as times, open(temporary / "units.i32", "wb") as units:
            for trains, removed in parts:
                for file, name, array in ((times, "times.i32", trains.times), (units, "units.i32", trains.units)):
                    content = array.astype(ARRAYS[name]).tobytes()
                    file.write(content)
                    sums[name] = zlib.crc32(content, sums[name])
                offsets.append(trains.offsets[1:] + n_events)
                n_events += trains.times.size
                binning += removed
                size = (trains.n_units, trains.n_steps)
            for file in (times, units):
                file.flush()
                os.fsync(file.fileno())
        content = np.concatenate(offsets).astype("<i8").tobytes()
        sums["offsets.i64"] = zlib.crc32(content)
        _write_synced(temporary / "offsets.i64", content)
        entry = {
            "made_from": made_from, "n_units": size[0], "n_steps": size[1], "n_events": n_events,
            "n_samples": len(content) // 8 - 1, "merged": binning.merged, "late": binning.late, "crc32": sums,
        }  # fmt: skip
        _write_synced(temporary / "entry.json", json.dumps(entry, indent=1).encode())
        replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _remove_stale(place: Path) -> None:
    """Take away what a process that was killed left unfinished."""
    for pattern in (".new-*", ".old-*"):
        for left in place.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE_S:
                    shutil.rmtree(left, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _load(folder: Path, made_from: Mapping[str, Any]) -> tuple[SpikeTrains, Binning] | None:
    """An entry, or None where there is none, it is of another file, or it is damaged."""
    try:
        entry = json.loads((folder / "entry.json").read_bytes())
        if entry["made_from"] != made_from:
            return None
        sizes = {"times.i32": entry["n_events"], "units.i32": entry["n_events"], "offsets.i64": entry["n_samples"] + 1}
        times, units, offsets = (_mapped(folder / name, sizes[name], entry["crc32"][name]) for name in ARRAYS)
        trains = SpikeTrains(times, units, offsets, entry["n_units"], entry["n_steps"])
        return trains, Binning(entry["merged"], entry["late"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError, InputError):
        return None


def _mapped(path: Path, size: int, crc32: int) -> NDArray[Any]:
    """One array of an entry; raises ValueError if the file has another size or content."""
    dtype = np.dtype(ARRAYS[path.name])
    if path.stat().st_size != size * dtype.itemsize:
        raise ValueError(path.name)
    if size == 0:
        return np.zeros(0, dtype=dtype)
    try:
        # Copy on write, and nobody writes: the kernels of training are compiled for arrays that may be written to.
        array = np.asarray(np.memmap(path, dtype=dtype, mode="c"))
    except OSError:  # a system that wants to see room for all the copies that could be made
        array = np.asarray(np.memmap(path, dtype=dtype, mode="r"))
    found = 0
    for start in range(0, size, SUMMED_AT_ONCE):
        found = zlib.crc32(array[start : start + SUMMED_AT_ONCE].data, found)
    if found != crc32:
        raise ValueError(path.name)
    return array
