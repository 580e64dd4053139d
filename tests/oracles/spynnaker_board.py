"""What sPyNNaker itself writes for a network, on its virtual board: regions, keys, placements, routing tables.

sPyNNaker runs in a process of its own with a home folder of its own, so no file of the user is read or written, and it
has a time limit. Several networks go to one process, as its start takes longer than a small network. This file is
the script of that process too; there it uses sPyNNaker and nothing of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.pynn_view import population_parameters, synapse_lists

ROOT = Path(__file__).parents[2]
LIMIT_S = 300.0
CONFIGURATION = """[Machine]
virtual_board = True
version = 5
[Reports]
keep_dataspec_database = True
write_text_specs = False
"""
SYSTEM = ("DataSpeedUpPacketGatherMachineVertex", "ExtraMonitorSupportMachineVertex")
U32 = NDArray[np.uint32]


@dataclass(frozen=True)
class BoardJob:
    """A network, and how many neurons each population has on a core; `shuffled` if its lists are in no order."""

    network: IntegerNetwork
    neurons: Mapping[str, int]
    shuffled: bool = False


@dataclass(frozen=True)
class BoardCore:
    """A core of the virtual board: what sits on it, and label -> words of its regions."""

    kind: str
    label: str
    first: int
    last: int
    place: tuple[int, int, int]
    regions: Mapping[str, U32] = field(default_factory=dict)


@dataclass(frozen=True)
class BoardResult:
    """What sPyNNaker made of one network, or why it refused.

    Attributes
    ----------
    cores : in sPyNNaker's order, without its own system cores
    keys : vertex -> (key, mask) of the whole vertex; a delay extension is called as its source with ``_delayed``
    machine_keys : vertex -> (key, mask) of each core
    shifts : population -> ring-buffer shifts
    routes : chip -> [key, mask, processors, links] of each entry
    error : None, or the message of the exception
    """

    cores: tuple[BoardCore, ...]
    keys: Mapping[str, tuple[int, int]]
    machine_keys: Mapping[str, list[tuple[int, int]]]
    shifts: Mapping[str, list[int]]
    routes: Mapping[tuple[int, int], list[Any]]
    error: str | None = None

    def of_kind(self, kind: str) -> list[BoardCore]:
        """Cores with a vertex of one class."""
        return [core for core in self.cores if core.kind == kind]


def installed() -> bool:
    """Whether sPyNNaker is in this environment."""
    return importlib.util.find_spec("spynnaker") is not None


def run_on_board(jobs: Sequence[BoardJob], *, timeout_s: float = LIMIT_S) -> list[BoardResult]:
    """Map every network; an exception of sPyNNaker is a result too, one of this file is raised with all output."""
    with tempfile.TemporaryDirectory(prefix="delayline-board-") as scratch:
        folder = Path(scratch)
        _write_jobs(jobs, folder)
        (folder / ".spynnaker.cfg").write_text(CONFIGURATION, encoding="utf-8")
        environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
        command = [sys.executable, "-m", "tests.oracles.spynnaker_board", str(folder)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the virtual board failed with code {done.returncode}:\n{done.stdout[-6000:]}")
        return [_read_result(folder / f"result{i}") for i in range(len(jobs))]


def _write_jobs(jobs: Sequence[BoardJob], folder: Path) -> None:
    described = []
    for number, job in enumerate(jobs):
        network = job.network
        lists = synapse_lists(network)
        rows = {str(i): s.rows(network[s.target].shifts[s.type], network.dt_ms) for i, s in enumerate(lists)}
        if job.shuffled:
            rows = {name: np.random.default_rng(1).permutation(of) for name, of in rows.items()}
        np.savez(folder / f"lists{number}.npz", **rows)
        populations = [
            {
                "name": p.name,
                "size": p.size,
                "source": p.kind == "spike_source",
                "parameters": population_parameters(p, job.neurons[p.name]),
            }
            for p in network.populations
        ]
        ends = [{"source": s.source, "target": s.target, "receptor": s.receptor} for s in lists]
        described.append({"dt_ms": network.dt_ms, "populations": populations, "lists": ends})
    (folder / "jobs.json").write_text(json.dumps(described), encoding="utf-8")


def _read_result(stem: Path) -> BoardResult:
    found = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    if found["error"]:
        return BoardResult((), {}, {}, {}, {}, found["error"])
    words: dict[tuple[int, int, int], dict[str, U32]] = {}
    with np.load(stem.with_suffix(".npz")) as arrays:
        for (place, label), name in zip(found["regions"], arrays.files, strict=True):
            words.setdefault(tuple(place), {})[label] = arrays[name]
    cores = tuple(
        BoardCore(kind, label, first, last, (x, y, p), words.get((x, y, p), {}))
        for kind, label, first, last, x, y, p in found["placements"]
    )
    pairs = {name: [(key, mask) for key, mask in of] for name, of in found["machine_keys"].items()}
    routes = {(x, y): entries for x, y, entries in found["routes"]}
    return BoardResult(cores, {n: (k, m) for n, (k, m) in found["keys"].items()}, pairs, found["shifts"], routes, None)


def _child(folder: Path) -> None:
    """Run all jobs of a folder; what follows is run in the process of sPyNNaker."""
    sim: Any = importlib.import_module("pyNN.spiNNaker")
    view: Any = importlib.import_module("spynnaker.pyNN.data").SpynnakerDataView
    for number, job in enumerate(json.loads((folder / "jobs.json").read_text(encoding="utf-8"))):
        known = set(folder.glob("reports/*/run_1/ds*.sqlite3"))
        found: dict[str, Any] = {"error": None}
        sim.setup(job["dt_ms"])
        try:
            with np.load(folder / f"lists{number}.npz") as arrays:
                _build(sim, job, arrays)
            sim.run(10 * job["dt_ms"])
            found.update(_observe(view))
        except Exception as error:
            found["error"] = f"{type(error).__name__}: {error}"
        sim.end()
        if not found["error"]:
            (database,) = set(folder.glob("reports/*/run_1/ds*.sqlite3")) - known
            found["regions"] = _regions(database, found["placements"], folder / f"result{number}.npz")
        (folder / f"result{number}.json").write_text(json.dumps(found), encoding="utf-8")


def _build(sim: Any, job: dict[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> None:
    made = {}
    for p in job["populations"]:
        spikes = [[1.0] for _ in range(p["size"])]
        cell = sim.SpikeSourceArray(spike_times=spikes) if p["source"] else sim.IF_curr_exp()
        made[p["name"]] = sim.Population(p["size"], cell, label=p["name"], additional_parameters=p["parameters"])
    for i, ends in enumerate(job["lists"]):
        sim.Projection(
            made[ends["source"]],
            made[ends["target"]],
            sim.FromListConnector(arrays[str(i)], column_names=["weight", "delay"]),
            sim.StaticSynapse(),
            receptor_type=ends["receptor"],
        )


def _observe(view: Any) -> dict[str, Any]:
    keys, machine_keys, infos = {}, {}, view.get_routing_infos()
    for partition in view.iterate_partitions():
        vertex = partition.pre_vertex
        info = infos.get_info_from(vertex, partition.identifier)
        keys[vertex.label] = (int(info.key), int(info.mask))
        cores = vertex.splitter.get_out_going_vertices(partition.identifier)
        each = [infos.get_info_from(core, partition.identifier) for core in cores]
        machine_keys[vertex.label] = [(int(i.key), int(i.mask)) for i in each]
    placements = [
        [
            type(p.vertex).__name__,
            p.vertex.app_vertex.label,
            *(p.vertex.vertex_slice.lo_atom, p.vertex.vertex_slice.hi_atom),
            *(int(p.x), int(p.y), int(p.p)),
        ]
        for p in view.iterate_placemements()
        if type(p.vertex).__name__ not in SYSTEM
    ]
    shifts = {
        v.label: [int(s) for s in v.get_ring_buffer_shifts()]
        for v in view.iterate_vertices()
        if hasattr(v, "get_ring_buffer_shifts")
    }
    routes = [
        [t.x, t.y, [[e.key, e.mask, sorted(e.processor_ids), sorted(e.link_ids)] for e in t.multicast_routing_entries]]
        for t in view.get_uncompressed()
    ]
    return {"keys": keys, "machine_keys": machine_keys, "placements": placements, "shifts": shifts, "routes": routes}


def _regions(database: Path, placements: list[list[Any]], output: Path) -> list[Any]:
    places = {tuple(p[4:7]) for p in placements}
    names, words = [], []
    with sqlite3.connect(database) as connection:
        query = (
            "SELECT x, y, p, region_label, content FROM region WHERE content IS NOT NULL ORDER BY x, y, p, region_num"
        )
        for x, y, p, label, content in connection.execute(query):
            if (x, y, p) in places:
                names.append([(x, y, p), label])
                words.append(np.frombuffer(content, dtype="<u4"))
    np.savez(output, *words)
    return names


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
