"""Spikes in a plain .npz: events or rasters under documented names, nothing unpickled, sizes checked before memory.

    events   times, units (n_events,), and offsets (n_samples + 1,) or samples (n_events,) or neither: one sample
    rasters  rasters (n_samples, n_steps, n_units): 0 and 1, or how often a unit spikes in a step
    both     labels (n_samples,) numbers or texts, label_names, time_unit (text), dt_ms, n_units, n_samples

Anything else in the file is left out and counted.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError
from toolchain.interchange.npy import MAX_ENTRIES as MAX_NUMBERS
from toolchain.interchange.npy import read_array
from toolchain.interchange.recordings.found import (
    MAX_EVENTS,
    MAX_SAMPLES,
    MAX_UNITS,
    Found,
    checked,
    offsets_of,
    spelled,
)

KINDS = {
    "times": "iuf", "units": "iu", "offsets": "iu", "samples": "iu", "rasters": "biuf", "labels": "iuSU",
    "label_names": "SU", "time_unit": "SU", "dt_ms": "iuf", "n_units": "iu", "n_samples": "iu",
}  # fmt: skip
"""Names of arrays -> kinds of numbers that they may be of."""
UNREADABLE = (OSError, KeyError, ValueError, EOFError, RuntimeError, NotImplementedError, struct.error, zlib.error)
MAX_BYTES = 4 * 2**30
"""Of all arrays together, unpacked."""
MOST = {
    "times": MAX_EVENTS,
    "units": MAX_EVENTS,
    "samples": MAX_EVENTS,
    "offsets": MAX_SAMPLES + 1,
    "labels": MAX_SAMPLES,
}
"""Names of arrays -> how many numbers are taken into memory."""
MAX_ENTRIES = 10_000
SHOWN = 10


def read_npz(path: Path) -> Found:
    """Read a file.

    Raises
    ------
    InterchangeError
        If it is damaged, too large, or its arrays are not as above; the message lists what is there.
    """
    where = f"file {path}"
    arrays, others = _arrays(path, where)
    if "rasters" in arrays:
        found = _from_rasters(arrays, where)
    elif "times" in arrays and "units" in arrays:
        found = _from_events(arrays, where)
    else:
        listing = ", ".join([*arrays, *others][:SHOWN]) or "nothing"
        raise InterchangeError(
            f"{where}: holds neither times and units nor rasters; there are {listing}: save arrays of these names, "
            "docs/interchange.md has the layout"
        )
    found.n_units = _number(arrays, "n_units", where) if "n_units" in arrays else found.n_units
    if "time_unit" in arrays:
        said = spelled(_text(arrays["time_unit"], f"{where}, time_unit"), where)
        if "rasters" in arrays and said != "steps":
            raise InterchangeError(f"{where}: says that its unit of time is {said}, but rasters have steps; drop it")
        found.time_unit = said
    if "dt_ms" in arrays:
        found.dt_ms = _real(arrays["dt_ms"], f"{where}, dt_ms")
    if "labels" in arrays:
        found.labels = _labels(arrays["labels"], f"{where}, labels")
    if "label_names" in arrays:
        found.label_names = tuple(map(str, _labels(arrays["label_names"], f"{where}, label_names")))
    if others:
        found.counts[f"arrays of other names left out ({', '.join(others[:3])})"] = len(others)
    return checked(found, where)


def _arrays(path: Path, where: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Arrays whose names are known, and names of the others."""
    arrays: dict[str, NDArray[Any]] = {}
    others: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise InterchangeError(f"{where}: holds {len(entries)} entries; at most {MAX_ENTRIES} are looked at")
            room = MAX_BYTES
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                if name not in KINDS:
                    others.append(name if name.isprintable() else ascii(name))
                    continue
                room -= entry.file_size
                if name in arrays or room < 0:
                    why = (
                        "is there twice" if name in arrays else f"goes beyond {MAX_BYTES} bytes unpacked, all together"
                    )
                    raise InterchangeError(f"{where}: array {name} {why}; save the file again")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InterchangeError(
                        f"{where}: array {name} is packed in another way than NumPy does; save it again"
                    )
                with archive.open(entry) as file:
                    what, most = f"{where}, array {name}", MOST.get(name, MAX_NUMBERS)
                    array = read_array(file, entry.file_size, what, KINDS[name], most)
                    if file.read(1):
                        raise InterchangeError(f"{where}: array {name} is longer than it says; it is damaged")
                arrays[name] = array
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        text = " ".join(str(error).split())[:150] or type(error).__name__
        raise InterchangeError(f"{where}: cannot be read as .npz, {text}; save it again with numpy.savez") from error
    return arrays, others


def _from_rasters(arrays: dict[str, NDArray[Any]], where: str) -> Found:
    rasters = arrays["rasters"]
    if rasters.ndim != 3 or not all(rasters.shape):
        raise InterchangeError(
            f"{where}: rasters are of shape {rasters.shape}, must be (n_samples, n_steps, n_units), none of them 0"
        )
    n_samples, _, n_units = rasters.shape
    if n_samples > MAX_SAMPLES or n_units > MAX_UNITS or np.count_nonzero(rasters) > MAX_EVENTS:
        raise InterchangeError(
            f"{where}: rasters of shape {rasters.shape} with {np.count_nonzero(rasters)} spikes; at most {MAX_SAMPLES} "
            f"samples, {MAX_UNITS} units and {MAX_EVENTS} spikes are read"
        )
    sample, step, unit = np.nonzero(rasters)
    spiked = rasters[sample, step, unit]
    fractions = spiked.dtype.kind == "f" and (not np.isfinite(spiked).all() or bool((spiked % 1).any()))
    if fractions or (spiked.dtype.kind in "if" and (spiked < 0).any()):
        raise InterchangeError(
            f"{where}: rasters hold values that are no number of spikes, such as {spiked.min()}; save 0 and 1"
        )
    counts = {}
    merged = 0 if spiked.dtype.kind == "b" else int((spiked.astype(np.float64) - 1).sum())
    if merged:
        counts["spikes merged with another of the same unit and step"] = merged
    offsets, _ = offsets_of(sample, n_samples, where)
    return Found(step, unit.astype(np.int64), offsets, "steps", n_units=n_units, counts=counts)


def _from_events(arrays: dict[str, NDArray[Any]], where: str) -> Found:
    times, units = arrays["times"], _whole(arrays["units"], f"{where}, units")
    if times.ndim != 1 or units.shape != times.shape:
        raise InterchangeError(
            f"{where}: times are of shape {times.shape} and units of {units.shape}; save both flat, equally long"
        )
    if "offsets" in arrays and "samples" in arrays:
        raise InterchangeError(f"{where}: has offsets and samples; save one of them")
    counts: dict[str, int] = {}
    if "offsets" in arrays:
        offsets = _whole(arrays["offsets"], f"{where}, offsets")
    elif "samples" in arrays:
        samples = _whole(arrays["samples"], f"{where}, samples")
        if samples.shape != times.shape:
            raise InterchangeError(f"{where}: {samples.size} samples for {times.size} times; save one for each time")
        n_samples = _number(arrays, "n_samples", where) if "n_samples" in arrays else None
        if n_samples is None and "labels" in arrays:
            n_samples = int(arrays["labels"].size)
        offsets, order = offsets_of(samples, n_samples, where)
        times, units = times[order], units[order]
    else:
        offsets = np.array([0, times.size], dtype=np.int64)
    return Found(times, units, offsets, counts=counts)


def _whole(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    if array.dtype.kind == "u" and array.size and int(array.max()) > 2**62:
        raise InterchangeError(f"{where}: holds {array.max()}, which is no index")
    return array.astype(np.int64)


def _number(arrays: dict[str, NDArray[Any]], name: str, where: str) -> int:
    if arrays[name].size != 1:
        raise InterchangeError(f"{where}: {name} is of shape {arrays[name].shape}, must be one number")
    return int(arrays[name].ravel()[0])


def _real(array: NDArray[Any], where: str) -> float:
    if array.size != 1 or not 0 < float(array.ravel()[0]) < 1e9:
        raise InterchangeError(f"{where}: must be one number above 0")
    return float(array.ravel()[0])


def _labels(array: NDArray[Any], where: str) -> list[Any]:
    if array.ndim > 1 or array.size > MAX_SAMPLES:
        raise InterchangeError(f"{where}: is of shape {array.shape}, must be a row of at most {MAX_SAMPLES}")
    if array.dtype.kind in "iu":
        return [int(v) for v in array.ravel()]
    return [_text(value, where) for value in array.ravel()]


def _text(value: Any, where: str) -> str:
    """Text of an array of one, or of one entry."""
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise InterchangeError(f"{where}: is of shape {value.shape}, must be one text")
        value = value.ravel()[0]
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        text.encode("utf-8")
    except (UnicodeError, ValueError) as error:
        raise InterchangeError(f"{where}: holds {value!r:.40}, which is no text in UTF-8") from error
    return text
