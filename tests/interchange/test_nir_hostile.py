"""Damaged and hostile files: an error of one line that names what is wrong, in bounded time and memory."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interchange.nir_tools import NETWORKS, golden
from tests.networks import random_network
from toolchain.errors import InterchangeError
from toolchain.interchange.nir import NirAssumptions, read_nir, read_nir_data, write_nir, write_nir_data
from toolchain.interchange.nir import graph_file as limits
from toolchain.spikes import bin_events

DT = NirAssumptions(dt_ms=1.0)
fuzz = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "n.nir"
    write_nir(random_network("recurrent_masked", np.random.default_rng(0), max_slot=2), found)
    return found


def refused(path: Path, message: str) -> None:
    with pytest.raises(InterchangeError, match=message) as caught:
        read_nir(path, DT)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def either_way(path: Path) -> None:
    """A network or an error of ours, and nothing else."""
    message = ""
    try:
        read_nir(path, DT)
    except InterchangeError as error:
        message = str(error)
    assert message.isprintable()


@fuzz
@given(data=st.data())
def test_a_flipped_byte_gives_a_network_or_an_error_of_ours(data: st.DataObject, path: Path, tmp_path: Path) -> None:
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.nir"
    damaged.write_bytes(whole)
    either_way(damaged)


@fuzz
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_refused(share: float, path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    cut = tmp_path / "cut.nir"
    cut.write_bytes(whole[: int(share * len(whole))])
    refused(cut, "cannot be read as HDF5")


@fuzz
@given(data=st.data(), name=st.sampled_from(sorted(NETWORKS)))
def test_files_of_other_tools_with_flipped_bytes_too(data: st.DataObject, name: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.nir"
    golden(name, damaged)
    whole = bytearray(damaged.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    damaged.write_bytes(whole)
    either_way(damaged)


def test_a_text_of_damaged_length_is_refused_and_not_waited_for(path: Path) -> None:
    """One byte, and an object of a heap ends in the middle of others: the HDF5 library may never come back."""
    whole = bytearray(path.read_bytes())
    heap = whole.index(b"GCOL")
    whole[heap + 16 + 8] = 0xB8
    path.write_bytes(whole)
    refused(path, f"has a damaged heap at byte {heap}: an object in it is")


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=5),
    st.lists(st.floats(width=32), max_size=5),
    st.lists(st.lists(st.floats(), min_size=2, max_size=2), max_size=3),
    st.booleans(),
    st.just(np.zeros((0, 3))),
    st.just(np.zeros((2, 2), dtype=np.complex128)),
    st.just(b"\xff\x00"),
)


@fuzz
@given(data=st.data())
def test_any_dataset_with_anything_else_in_its_place(data: st.DataObject, path: Path, tmp_path: Path) -> None:
    """Structure first: every dataset of a real file replaced, left out, or turned into a group."""
    changed = tmp_path / "changed.nir"
    changed.write_bytes(path.read_bytes())
    with h5py.File(changed, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, found: names.append(name))
        for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
            if name in file:
                del file[name]
                how = data.draw(st.sampled_from(("value", "value", "group", "nothing")))
                try:
                    if how == "value":
                        file[name] = data.draw(VALUES)
                    elif how == "group":
                        file.create_group(name)
                except (ValueError, TypeError):
                    pass
    either_way(changed)


def change(name: str, value: Any = None, **how: Any) -> Callable[[Any], None]:
    def apply(file: Any) -> None:
        del file[name]
        if value is not None or how:
            file.create_dataset(name, data=value, **how)

    return apply


def link(name: str, to: Any) -> Callable[[Any], None]:
    def apply(file: Any) -> None:
        del file[name]
        file[name] = to

    return apply


def virtual(file: Any) -> None:
    del file["node/nodes/a/r"]
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(3,))
    file.create_virtual_dataset("node/nodes/a/r", layout)


def in_itself(file: Any) -> None:
    """A graph in itself, by hard links, without end."""
    inner = file.create_group("node/nodes/loop")
    inner["type"] = "NIRGraph"
    inner["edges"] = file["node/edges"]
    inner["nodes"] = file["node/nodes"]


def deep(file: Any) -> None:
    group = file["node"]
    for _ in range(40):
        group = group.require_group("nodes").create_group("g")
        group["type"] = "NIRGraph"
        group.create_dataset("edges", shape=(0, 2), dtype=h5py.string_dtype())


def shared_long_names(file: Any) -> None:
    """A text of 8 MB that a million edges share: 16 TB if they were read at once."""
    del file["node/edges"]
    edges = file.create_dataset("node/edges", shape=(100_000, 2), dtype=h5py.string_dtype(), chunks=(1000, 2))
    edges[0, 0] = "x" * 8_000_000


def rows_for_text(file: Any) -> None:
    """Rows of any length where a text should be: on damaged ones the HDF5 library crashes."""
    del file["node/nodes/a/type"]
    file.create_dataset("node/nodes/a/type", shape=(), dtype=h5py.vlen_dtype(np.uint8))


SLOT = "node/nodes/a.in.d000/weight"
HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "soft link": (
        link("node/nodes/a/r", h5py.SoftLink("/node/nodes/a/tau_mem")),
        "node 'a' .CubaLIF.: 'r' is a SoftLink",
    ),
    "external link": (link("node/nodes/a", h5py.ExternalLink("/etc/passwd", "/")), "'a' is a ExternalLink to '/'"),
    "external data": (
        change("node/nodes/a/r", shape=(3,), dtype="f8", external=[("/etc/passwd", 0, 24)]),
        "node 'a' .CubaLIF.: the data of 'r' lie in other files",
    ),
    "virtual data": (virtual, "node 'a' .CubaLIF.: the data of 'r' lie in other files"),
    "in itself": (in_itself, "lies in more than 16 others|ways into"),
    "deep": (deep, "lies in more than 16 others"),
    "gigantic": (
        change(SLOT, shape=(2**40, 2**20), dtype="f4", chunks=(2**10, 2**10)),
        "'a.in.d000' .Linear.: 'weight' declares 1152921504606846976 entries",
    ),
    "hollow": (
        change(SLOT, shape=(5000, 5000), dtype="f4", chunks=(1000, 1000)),
        "declares 25000000 entries, but the file holds 0",
    ),
    "broad chunk": (
        change(SLOT, shape=(3, 5), dtype="f4", maxshape=(None, 5), chunks=(2**24, 5)),
        "in chunks of 83886080",
    ),
    "complex": (change("node/nodes/a/r", np.ones(3, dtype=np.complex64)), "node 'a' .CubaLIF.: 'r' is complex64"),
    "text for numbers": (change("node/nodes/a/r", "many"), "node 'a' .CubaLIF.: 'r' is object"),
    "not a number": (
        change("node/nodes/a/tau_mem", np.array([1, np.nan, 1])),
        "node 'a' .CubaLIF.: 'tau_mem' is nan at .1,",
    ),
    "too few": (change("node/nodes/a/r", np.ones(2)), "node 'a' .CubaLIF.: has 2 values of r"),
    "left out": (change("node/nodes/a/tau_syn"), "node 'a' .CubaLIF.: has no 'tau_syn'"),
    "unknown type": (
        change("node/nodes/a/type", "Oscillator"),
        "node 'a' .Oscillator.: is of a type that is not known",
    ),
    "steering type": (change("node/nodes/a/type", "\x1b[2J\n"), "node 'a' .*is of a type that is not known"),
    "rows for a text": (rows_for_text, "node 'a': 'type' is object of shape .., must be one text"),
    "no type": (change("node/nodes/a/type"), "node 'a': has no type"),
    "long type": (change("node/nodes/a/type", "x" * 10_000), "node 'a': 'type' is a str of 10000 characters"),
    "no edges": (change("node/edges"), "the graph: has no edges"),
    "edges as numbers": (change("node/edges", np.zeros((2, 2))), "edges are float64"),
    "edge to nowhere": (change("node/edges", [["in", "nowhere"]], dtype=h5py.string_dtype()), "no node 'nowhere'"),
    "edge twice": (change("node/edges", [["in", "a"]] * 2, dtype=h5py.string_dtype()), "'in' -> 'a' is there twice"),
    "shared names": (shared_long_names, "edges is a str of 8000000 characters"),
    "not a graph": (change("node/type", "LIF"), "holds a single 'LIF'"),
    "no node": (change("node"), "has no group 'node'"),
    "shape 0": (change("node/nodes/in/shape", np.array([0])), "node 'in' .Input.: 'shape' is .0,."),
    "shape of millions": (change("node/nodes/in/shape", np.array([2**40, 2**40])), "node 'in' .Input.: 'shape' is"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_by_name(case: str, path: Path) -> None:
    apply, message = HOSTILE[case]
    with h5py.File(path, "r+") as file:
        apply(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, message)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "KiB taken for a file of a few"


def test_too_many_nodes_and_edges_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NODES", 5)
    refused(path, "nodes; at most 5")
    monkeypatch.setattr(limits, "MAX_NODES", 500)
    monkeypatch.setattr(limits, "MAX_EDGES", 5)
    refused(path, "edges; at most 5")
    monkeypatch.setattr(limits, "MAX_EDGES", 500)
    monkeypatch.setattr(limits, "MAX_TOTAL", 50)
    refused(path, "declares more than 50 entries")


METADATA: dict[str, Callable[[Any], None]] = {
    "no JSON": change("node/metadata/delayline", "{"),
    "deep JSON": change("node/metadata/delayline", "[" * 100_000),
    "other format": change("node/metadata/delayline", '{"format": 99}'),
    "no populations": change("node/metadata/delayline", '{"format": 1, "dt_ms": 1.0}'),
    "impossible step": change(
        "node/metadata/delayline", '{"format": 1, "dt_ms": -1.0, "populations": [], "projections": []}'
    ),
    "nothing described": change(
        "node/metadata/delayline", '{"format": 1, "dt_ms": 1.0, "populations": [], "projections": []}'
    ),
    "a number": change("node/metadata", 3),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_make_no_sense_are_as_if_there_were_none(case: str, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        METADATA[case](file)
    changed = read_nir(path, DT)
    with h5py.File(path, "r+") as file:
        del file["node/metadata"]
    alone = read_nir(path, DT)
    assert changed.network.describe() == alone.network.describe()
    assert changed.assumed


def test_metadata_that_contradict_the_graph_are_not_believed(path: Path) -> None:
    """Weights moved to another slot, a synapse masked that is there, other time constants: the graph counts."""
    whole = read_nir(path, DT).network
    with h5py.File(path, "r+") as file:
        file["node/nodes/a/tau_mem"][...] = 0.033
        held = file["node/metadata/arrays"]
        held["in->a.delay"][...] += 1
        held["a->a.mask"][...] = 0
    found = read_nir(path, DT)
    assert found.network["a"].tau_mem_ms == 33.0
    assert found.network["a"].tau_syn_ms == whole["a"].tau_syn_ms
    for name in ("in->a", "a->a"):
        ours, theirs = (next(p for p in n.projections if p.name == name) for n in (whole, found.network))
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.slots()[ours.weight != 0], theirs.slots()[ours.weight != 0])
        assert any(f"synapses {name} contradict" in s for s in found.assumed)


def test_a_slot_in_metadata_that_is_not_the_graphs_is_not_believed(path: Path) -> None:
    """One synapse a step later, and nothing else."""
    whole = read_nir(path, DT).network
    projection = next(p for p in whole.projections if p.name == "in->a")
    pre, post = np.argwhere(projection.weight != 0)[0]
    with h5py.File(path, "r+") as file:
        file["node/metadata/arrays/in->a.delay"][pre, post] += 1
    found = read_nir(path, DT)
    assert any("synapses in->a contradict" in s for s in found.assumed)
    read = next(p for p in found.network.projections if p.name == "in->a")
    assert read.slots()[pre, post] == projection.slots()[pre, post]


def test_a_time_constant_that_was_changed_a_little_is_the_graphs(path: Path) -> None:
    """By 1e-12: more than seconds and back may cost, less than anybody sees."""
    whole = read_nir(path, DT).network["a"].tau_mem_ms
    with h5py.File(path, "r+") as file:
        file["node/nodes/a/tau_mem"][...] *= 1 + 1e-12
    found = read_nir(path, DT).network["a"].tau_mem_ms
    assert np.ravel(found)[0] / np.ravel(whole)[0] - 1 == pytest.approx(1e-12, abs=1e-14)


def test_another_step_than_that_of_the_metadata_is_said(path: Path) -> None:
    assert read_nir(path, DT).assumed == ()
    found = read_nir(path, NirAssumptions(dt_ms=0.5))
    assert found.network.dt_ms == 0.5
    assert any("0.5 ms long as asked for, though the file was written for 1 ms" in s for s in found.assumed)


def test_delays_below_zero_in_metadata_are_not_believed(path: Path) -> None:
    """-0.3 is slot 0 as the graph has it, and no delay."""
    whole = read_nir(path, DT).network
    with h5py.File(path, "r+") as file:
        held = file["node/metadata/arrays/in->a.delay"]
        read = held[...]
        read[np.rint(read) == 0] = -0.3
        held[...] = read
    assert np.any(read < 0)
    found = read_nir(path, DT)
    assert any("synapses in->a contradict" in s for s in found.assumed)
    ours, theirs = (next(p for p in n.projections if p.name == "in->a") for n in (whole, found.network))
    assert np.array_equal(ours.slots()[ours.weight != 0], theirs.slots()[ours.weight != 0])


@fuzz
@given(data=st.data())
def test_data_files_with_flipped_bytes_too(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "d.nir"
    write_nir_data(path, {"a": bin_events([(np.arange(9), np.arange(9) % 4)] * 3, 4, 20)[0]}, 1.0)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from((len(whole), len(whole), len(whole) // 2)))])
    message = ""
    try:
        read_nir_data(path, "a")
    except InterchangeError as error:
        message = str(error)
    assert message.isprintable()


def test_what_is_not_there_or_no_hdf5_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.nir", "does not exist")
    (tmp_path / "text.nir").write_text("hello")
    refused(tmp_path / "text.nir", "cannot be read as HDF5")
    refused(tmp_path, "does not exist")
