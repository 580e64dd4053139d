"""Spikes in NIR's files of data: those of one node to events, and reference spikes of a network from `SpikeTrains`.

The file is an HDF5 group of type NIRGraphData with ``nodes/<name>/observables/<name>``. EventData holds rows of units
and times, padded with unit -1 and an infinite time; TimeGriddedData a raster (sample, step, unit) with its step.

Source: nir 1.0.8, ``serialization.py`` and ``data_ir/graph.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError
from toolchain.interchange.nir.graph_file import F64, MAX_TOTAL, NirFile, open_nir, plain, shown
from toolchain.spikes import SpikeTrains
from toolchain.storage import write_atomically

I64 = NDArray[np.int64]
SPIKES = "spikes"
"""Name of the observable that holds spikes."""
MAX_LISTED = 1000
"""Nodes of a file that are looked at."""
MAX_SAMPLES = 10_000_000


@dataclass(frozen=True)
class NirSpikes:
    """Spikes of one node.

    Attributes
    ----------
    times_s : of each sample (n,) float64, s, as in the file, in its order
    units : of each sample (n,) int64
    n_units : neurons of the node
    duration_s : of a sample, s; None where the file has none that is finite
    dt_s : length of a step, s, where the file is a raster; a spike's time is the beginning of its step
    """

    times_s: list[F64]
    units: list[I64]
    n_units: int
    duration_s: float | None
    dt_s: float | None = None


def read_nir_data(path: Path, node: str | None = None) -> NirSpikes:
    """Read the spikes of one node of a file that `nir.write_data` or `write_nir_data` wrote.

    Parameters
    ----------
    path : of the file
    node : name of the node, of one in another with a slash between; None where the file has one only

    Raises
    ------
    InterchangeError
        If the file is damaged or no NIR data, has no or several such nodes, or what the node holds are no spikes.
    """
    with open_nir(path) as file:
        if _type(file, file.file) != "NIRGraphData":
            raise file.refuse("is no NIR data file (NIRGraphData); write it with nir.write_data")
        name, group = _find(file, node)
        where = f"node {shown(name)}"
        observable, found = _spikes(file, group, where)
        where = f"{where}, {shown(observable)}"
        kind = _type(file, found)
        if kind == "TimeGriddedData":
            return _raster(file, found, where)
        if kind in ("EventData", "ValuedEventData"):
            return _events(file, found, where, valued=kind == "ValuedEventData")
        raise file.refuse(f"{where}: is of type {shown(kind)}; must be EventData or TimeGriddedData")


def _type(file: NirFile, group: Any) -> str:
    found = file.attribute(group, "__type__", "the file")
    return found if isinstance(found, str) and len(found) < 100 else ""


def _find(file: NirFile, node: str | None) -> tuple[str, Any]:
    """A node's name and group."""
    if node is None:
        nodes = file.group(file.file, "nodes", "the file")
        if len(nodes) != 1:
            names = ", ".join(plain(n) for n in list(nodes)[:20]) if len(nodes) < MAX_LISTED else "too many to list"
            raise file.refuse(f"has the data of {len(nodes)} nodes ({names}); name one")
        node = next(iter(nodes))
        group = file.group(nodes, node, "the file")
    else:
        group = file.file
        for part in node.split("/"):
            nodes = file.group(group, "nodes", f"the data of node {shown(node)}")
            if file.child(nodes, part, "the file") is None:
                names = ", ".join(plain(n) for n in list(nodes)[:20]) if len(nodes) < MAX_LISTED else "too many to list"
                raise file.refuse(f"has no data of a node {shown(node)}; has {names}")
            group = file.group(nodes, part, "the file")
    if _type(file, group) != "NIRNodeData":
        raise file.refuse(
            f"node {shown(node)}: is a {shown(_type(file, group))}; must be NIRNodeData: name one in it, as outer/inner"
        )
    return node, group


def _spikes(file: NirFile, group: Any, where: str) -> tuple[str, Any]:
    """The observable with the spikes: that of this name, or the only one."""
    observables = file.group(group, "observables", where)
    if file.child(observables, SPIKES, where) is not None:
        return SPIKES, file.group(observables, SPIKES, where)
    if len(observables) != 1:
        names = (
            ", ".join(plain(n) for n in list(observables)[:20]) if len(observables) < MAX_LISTED else "too many to list"
        )
        raise file.refuse(
            f"{where}: has {len(observables)} observables ({names}), none of which is {SPIKES!r}; rename the spikes"
        )
    name = next(iter(observables))
    return name, file.group(observables, name, where)


def _number(file: NirFile, group: Any, name: str, where: str) -> float:
    found = file.attribute(group, name, where)
    if not isinstance(found, (int, float, np.integer, np.floating)):
        raise file.refuse(f"{where}: {name} is {'missing' if found is None else 'a text'}; must be one number")
    return float(found)


def _events(file: NirFile, group: Any, where: str, *, valued: bool) -> NirSpikes:
    n_units = _units(file, _number(file, group, "n_neurons", where), where)
    t_max = _number(file, group, "t_max", where)
    idx, time = file.dataset(group, "idx", where), file.dataset(group, "time", where)
    if idx is None or time is None or idx.shape != time.shape or idx.shape is None or len(idx.shape) != 2:
        shapes = [None if found is None else found.shape for found in (idx, time)]
        raise file.refuse(
            f"{where}: idx and time have shapes {shapes[0]} and {shapes[1]}; must be alike, (samples, events)"
        )
    value = file.dataset(group, "value", where) if valued else None
    if valued and (value is None or value.shape != idx.shape):
        raise file.refuse(f"{where}: value must have the shape of idx, {idx.shape}")
    file.check_size(idx, "idx", where, "iu")
    file.check_size(time, "time", where, "fiu")
    if value is not None:
        file.check_size(value, "value", where, "fiub")
    units, times = np.asarray(idx[()]).astype(np.int64, copy=False), np.asarray(time[()]).astype(np.float64, copy=False)
    values = None if value is None else np.asarray(value[()])
    kept_times, kept_units = [], []
    for sample in range(units.shape[0]):
        kept = units[sample] != -1
        t, u = times[sample][kept], units[sample][kept]
        if u.size and (u.min() < 0 or u.max() >= n_units):
            wrong = u[(u < 0) | (u >= n_units)][0]
            raise file.refuse(f"{where}: sample {sample} has a spike of unit {wrong}; must be in 0..{n_units - 1}")
        if not np.all((t >= 0) & (t < math.inf)):
            wrong = t[~((t >= 0) & (t < math.inf))][0]
            raise file.refuse(f"{where}: sample {sample} has a spike at {wrong} s; must be finite and not below 0")
        if values is not None and np.any(values[sample][kept] != 1):
            other = values[sample][kept][values[sample][kept] != 1][0]
            raise file.refuse(f"{where}: sample {sample} has an event of value {other}; a spike has none but 1")
        kept_times.append(t)
        kept_units.append(u)
    return NirSpikes(kept_times, kept_units, n_units, t_max if 0 < t_max < math.inf else None)


def _raster(file: NirFile, group: Any, where: str) -> NirSpikes:
    dt_s = _number(file, group, "dt", where)
    found = file.dataset(group, "data", where)
    if found is None or found.shape is None or len(found.shape) != 3:
        shape = None if found is None else found.shape
        raise file.refuse(f"{where}: data has shape {shape}; must be (samples, steps, units)")
    if not 0 < dt_s < math.inf:
        raise file.refuse(f"{where}: dt is {dt_s}; must be finite and above 0, in seconds")
    n_samples, n_steps, width = (int(length) for length in found.shape)
    n_units = _units(file, width, where)
    file.check_size(found, "data", where, "fiub")
    if n_samples > MAX_SAMPLES:
        raise file.refuse(f"{where}: has {n_samples} samples; at most {MAX_SAMPLES}")
    times, units = [], []
    for sample in range(n_samples):
        raster = np.asarray(found[sample])
        if raster.dtype.kind != "b" and not np.all((raster == 0) | (raster == 1)):
            raise file.refuse(
                f"{where}: sample {sample} has a value of {raster[(raster != 0) & (raster != 1)][0]}; spikes are 0 or 1"
            )
        step, unit = np.nonzero(raster)
        times.append(step * dt_s)
        units.append(unit.astype(np.int64))
    return NirSpikes(times, units, n_units, n_steps * dt_s, dt_s)


def _units(file: NirFile, value: float, where: str) -> int:
    if not (1 <= value <= 2**31 - 1) or value != int(value):
        raise file.refuse(f"{where}: has {value:g} neurons; must be a whole number above 0")
    return int(value)


def write_nir_data(path: Path, spikes: Mapping[str, SpikeTrains], dt_ms: float) -> None:
    """Write spikes as EventData that `nir.read_data` reads, to the byte the same every time.

    A spike's time is the beginning of its step, so that dividing by the step and cutting the fraction off gives the
    step again, exactly, for every step: where rounding would give the one before, the time is the next number.

    Parameters
    ----------
    path : of the file, written whole or not at all
    spikes : of each node, by its name in the network's file
    dt_ms : length of a step, ms

    Raises
    ------
    InterchangeError
        If there are no spikes to write, a name cannot be one, or padding every sample to the longest is too large.
    InputError
        If the disk refuses.
    """
    import h5py

    if not spikes or not (math.isfinite(dt_ms) and dt_ms > 0):
        raise InterchangeError(
            f"file {path}: spikes of {len(spikes)} nodes in steps of {dt_ms} ms; give some, and a step above 0"
        )
    dt_s = dt_ms / 1000.0
    with h5py.File("data", "w", driver="core", backing_store=False) as file:
        file.attrs["__type__"] = "NIRGraphData"
        nodes = file.create_group("nodes")
        for name, trains in spikes.items():
            if not name or "/" in name or name == ".":
                raise InterchangeError(f"file {path}: {name!r} cannot be the name of a node; leave out '/'")
            longest = int(np.diff(trains.offsets).max(initial=0))
            if trains.n_samples * max(1, longest) > MAX_TOTAL // 16:
                raise InterchangeError(
                    f"file {path}: node {name}: {trains.n_samples} samples of up to {longest} spikes are too many for "
                    "one file; write fewer samples"
                )
            idx = np.full((trains.n_samples, max(1, longest)), -1, dtype=np.int64)
            time = np.full(idx.shape, np.inf)
            for sample in range(trains.n_samples):
                events = slice(int(trains.offsets[sample]), int(trains.offsets[sample + 1]))
                n = events.stop - events.start
                idx[sample, :n] = trains.units[events]
                time[sample, :n] = _beginnings(trains.times[events].astype(np.int64), dt_s)
            node = nodes.create_group(name)
            node.attrs["__type__"] = "NIRNodeData"
            held = node.create_group("observables").create_group(SPIKES)
            held.attrs["__type__"] = "EventData"
            for field, array in (("idx", idx), ("time", time)):
                held.create_dataset(field, data=array, compression="gzip", shuffle=True, track_times=False)
            held.attrs["n_neurons"] = trains.n_units
            held.attrs["t_max"] = float(_beginnings(np.array([trains.n_steps]), dt_s)[0])
        file.flush()
        image = file.id.get_file_image()
    write_atomically(path, image)


def _beginnings(steps: I64, dt_s: float) -> F64:
    """Seconds at which steps begin, each the least number at or after it whose quotient by the step is not below it."""
    times: F64 = steps * dt_s
    while np.any(early := np.floor(times / dt_s) < steps):
        times[early] = np.nextafter(times[early], np.inf)
    return times
