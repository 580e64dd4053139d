"""Files of somebody's recordings become one spike file: read, told apart by class, taken into seconds, written.

What comes out is what `toolchain.datasets.spike_file` describes; times are kept in float64, in which a step that is a
multiple of dt on paper falls into its own step again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.hdf5 import MAGIC
from toolchain.datasets.spike_file import SpikeFileWriter
from toolchain.errors import InterchangeError
from toolchain.interchange.recordings.found import MAX_EVENTS, MAX_UNITS, UNITS, Found
from toolchain.interchange.recordings.isolated import read_isolated
from toolchain.interchange.recordings.labels import Source, find_labels
from toolchain.interchange.recordings.npz_file import read_npz
from toolchain.interchange.recordings.pixels import LARGEST_SIDE, POLARITIES, Pixels

SUFFIXES = (".npz", ".h5", ".hdf5", ".nir")
MAX_FILES = 1_000_000
SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6}
LONGEST_S = 1e6
COARSE_S = 1e-4
"""Times that are further apart in their file are worth a word: a tenth of the usual step."""


@dataclass(frozen=True)
class Request:
    """What files do not say, and what is wanted of them.

    Attributes
    ----------
    unit : of times: s, ms, us or steps; None where the files say it
    dt_ms : length of a step, where times are steps or rasters
    labels : see `find_labels`
    node : of NIR data files
    n_units : channels; the largest that is said, or used, if left out
    pixels : of event cameras
    from_first : count the times of each sample from its first event
    real : whether somebody recorded them
    what : a few words about them; names of the files if left out
    """

    unit: str | None = None
    dt_ms: float | None = None
    labels: str = "auto"
    node: str | None = None
    n_units: int | None = None
    pixels: Pixels = field(default_factory=Pixels)
    from_first: bool = False
    real: bool = True
    what: str | None = None


@dataclass(frozen=True)
class Gathered:
    """What was written; `counts` says what was dropped, merged or changed, and `notes` what else is to be known."""

    path: Path
    n_files: int
    n_samples: int
    n_events: int
    n_units: int
    label_names: tuple[str, ...]
    labels_by: str
    time_units: dict[str, int]
    longest_s: float
    counts: dict[str, int]
    notes: tuple[str, ...]


def gather(
    paths: Sequence[Path], out: Path, request: Request, progress: Callable[[int, int], None] = lambda done, total: None
) -> Gathered:
    """Read files and folders and write one spike file, whole or not at all.

    Parameters
    ----------
    paths : files, and folders whose files are taken with all below them, in the order of their names
    out : the spike file; what is there is replaced
    request : what is not in the files
    progress : told how many files of how many are read

    Raises
    ------
    InterchangeError
        If a file is damaged or says too little; names the file, and what to say.
    InputError
        If the spike file cannot be written.
    """
    _check_request(request)
    counts: Counter[str] = Counter()
    sources = _sources(paths, out, counts)
    found: list[Found] = []
    n_events = 0
    # Files of HDF5 wait for processes of their own.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for source, one in zip(sources, pool.map(lambda s: _read(s.path, request), sources), strict=True):
            found.append(one)
            counts.update(one.counts)
            n_events += one.times.size
            if n_events > MAX_EVENTS:
                raise InterchangeError(
                    f"file {source.path}: with it there are more than {MAX_EVENTS} events; gather fewer files"
                )
            progress(len(found), len(sources))
    labels = find_labels(sources, found, request.labels)
    n_units, notes = _n_units(sources, found, request, list(labels.notes))
    coarse: list[tuple[Path, float]] = []
    units_of_time: Counter[str] = Counter()
    longest = 0.0
    what = request.what or "gathered from " + ", ".join(p.name or str(p) for p in paths[:3])
    what = "".join(c if c.isprintable() else "?" for c in what)[:200]
    with SpikeFileWriter(
        out, n_units=n_units, label_names=labels.names, what=what, real=request.real, times_dtype="float64"
    ) as file:
        for source, one, classes in zip(sources, found, labels.classes, strict=True):
            unit, dt_ms = _time_unit(source.path, one, request)
            units_of_time[unit] += one.n_samples
            finest_s = one.finest * (dt_ms / 1e3 if unit == "steps" else 1 / SECONDS[unit])
            if finest_s > COARSE_S:
                coarse.append((source.path, finest_s))
            for sample in range(one.n_samples):
                events = slice(one.offsets[sample], one.offsets[sample + 1])
                where = f"file {source.path}: sample {sample}"
                seconds = _seconds(one.times[events], unit, dt_ms, request.from_first, where)
                longest = max(longest, float(seconds.max(initial=0)))
                file.add(seconds, one.units[events], classes[sample])
    if coarse:
        path, finest_s = coarse[0]
        notes.append(
            f"file {path}{f' and {len(coarse) - 1} more' if len(coarse) > 1 else ''}: times are numbers of so few bits "
            f"that the largest are {finest_s:.3g} s apart, and what lay between is lost; save float64 or whole numbers"
        )
    if request.from_first:
        counts["samples whose times were counted from their first event"] = sum(f.n_samples for f in found)
    return Gathered(
        out, len(sources), sum(f.n_samples for f in found), n_events, n_units, labels.names,
        labels.scheme, dict(units_of_time), longest, dict(counts), tuple(notes),
    )  # fmt: skip


def _check_request(request: Request) -> None:
    if request.unit is not None and request.unit not in UNITS:
        raise InterchangeError(f"--unit {request.unit}: is none of {', '.join(UNITS)}")
    if request.dt_ms is not None and not 0 < request.dt_ms < 1e6:
        raise InterchangeError(f"--dt-ms {request.dt_ms:g}: must be above 0 and below a million")
    if request.pixels.polarity not in POLARITIES:
        raise InterchangeError(f"--polarity {request.pixels.polarity}: is none of {', '.join(POLARITIES)}")
    if request.n_units is not None and not 1 <= request.n_units <= MAX_UNITS:
        raise InterchangeError(f"--units {request.n_units}: must be in 1..{MAX_UNITS}")
    if request.pixels.sensor is not None and not all(1 <= side <= LARGEST_SIDE for side in request.pixels.sensor):
        raise InterchangeError(f"--sensor: sides of {request.pixels.sensor} must be in 1..{LARGEST_SIDE}")


def _sources(paths: Sequence[Path], out: Path, counts: Counter[str]) -> list[Source]:
    """Files in order; those of other kinds in folders are counted."""
    sources: list[Source] = []
    for path in paths:
        if not path.is_dir():
            sources.append(Source(path, path))
            continue
        for file in sorted(path.rglob("*")):
            if file.is_dir() or file.resolve() == out.resolve():
                continue
            parts = file.relative_to(path).parts
            if file.suffix.lower() not in SUFFIXES or any(p.startswith(".") for p in parts):
                counts["files of other kinds left out"] += file.name != "labels.csv"
                continue
            sources.append(Source(file, path))
            if len(sources) > MAX_FILES:
                raise InterchangeError(f"folder {path}: holds more than {MAX_FILES} files; gather fewer")
    if not sources:
        names = ", ".join(str(p) for p in paths)
        raise InterchangeError(f"folder {names}: holds none of {', '.join(SUFFIXES)}; give files or their folder")
    return sources


def _read(path: Path, request: Request) -> Found:
    """By its first bytes, whatever it is called."""
    try:
        with path.open("rb") as file:
            first = file.read(8)
    except OSError as error:
        raise InterchangeError(
            f"file {path}: cannot be read, {error.strerror or error}; give files or folders"
        ) from error
    if first == MAGIC:
        return read_isolated(path, request.pixels, request.node)
    if first[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return read_npz(path)
    raise InterchangeError(
        f"file {path}: is neither .npz nor HDF5, it begins with {first[:8]!r}; save spikes as docs/interchange.md says"
    )


def _n_units(
    sources: Sequence[Source], found: Sequence[Found], request: Request, notes: list[str]
) -> tuple[int, list[str]]:
    said = {f.n_units for f in found if f.n_units is not None}
    used = max((int(f.units.max(initial=-1)) for f in found), default=-1) + 1
    if request.n_units is not None:
        for source, one in zip(sources, found, strict=True):
            if int(one.units.max(initial=-1)) >= request.n_units:
                raise InterchangeError(
                    f"file {source.path}: has an event on unit {one.units.max()}, beyond --units {request.n_units}"
                )
        return request.n_units, notes
    if len(said) > 1:
        notes.append(f"files say {min(said)} to {max(said)} units; the most are taken")
    if not said:
        notes.append(f"no file says how many units there are: {max(used, 1)} are used; --units gives more")
    return max([used, 1, *said]), notes


def _time_unit(path: Path, found: Found, request: Request) -> tuple[str, float]:
    """Unit of the times of a file, and the length of a step where it is that; refused where nobody has said it."""
    for option, said, asked in (("unit", found.time_unit, request.unit), ("dt-ms", found.dt_ms, request.dt_ms)):
        if said is not None and asked is not None and said != asked:
            raise InterchangeError(f"file {path}: says {said} itself, --{option} says {asked}; leave one of them out")
    unit, dt_ms = request.unit or found.time_unit, request.dt_ms or found.dt_ms
    if unit is None:
        raise InterchangeError(
            f"file {path}: does not say what its times are in, and they may be anything; give --unit s, ms, us or steps"
        )
    if unit == "steps" and dt_ms is None:
        raise InterchangeError(f"file {path}: has steps and does not say how long they are; give --dt-ms")
    return unit, dt_ms or 0.0


def _seconds(times: NDArray[Any], unit: str, dt_ms: float, from_first: bool, where: str) -> NDArray[np.float64]:
    """Times of one sample in seconds; a step becomes its beginning."""
    if from_first and times.size:
        times = times - times.min()
    if times.size and times.min() < 0:
        raise InterchangeError(
            f"{where}: has an event at {times.min()} {unit}, before its beginning; give --from-first"
        )
    if unit == "steps":
        if times.dtype.kind == "f" and (times % 1).any():
            raise InterchangeError(f"{where}: has an event at step {times[times % 1 != 0][0]}; steps are whole numbers")
        seconds = times * (dt_ms / 1e3)
    else:
        seconds = times / SECONDS[unit]
    if seconds.size and seconds.max() > LONGEST_S:
        raise InterchangeError(
            f"{where}: lasts {seconds.max():g} s, if in {unit}, over {LONGEST_S:g}; give another --unit or --from-first"
        )
    return np.asarray(seconds, dtype=np.float64)
