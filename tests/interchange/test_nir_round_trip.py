"""What we write is what nir reads, means what our law computes, and comes back without loss."""

from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.interchange.nir_networks import assert_equal, networks
from tests.networks import SHAPES, random_network
from tests.oracles.nir_interpreter import Interpreter
from tests.oracles.reference import simulate
from toolchain.errors import InterchangeError
from toolchain.interchange.nir import NirAssumptions, graph_file, read_nir, write_nir, writing
from toolchain.network import Network, Population, make_projection

quick = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
every_shape = pytest.mark.parametrize("shape", SHAPES)


def random_inputs(network: Network, steps: int, seed: int, rate: float = 0.25) -> dict[str, NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    return {p.name: random.random((steps, p.size)) < rate for p in network.of_kind("spike_source")}


def without_metadata(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["node/metadata"]


@quick
@given(network=networks())
def test_a_network_comes_back_to_the_bit(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "n.nir"
    written = write_nir(network, path)
    found = read_nir(path, NirAssumptions())
    assert_equal(found.network, network)
    assert found.assumed == ()
    assert written.delays_rounded == sum(int((p.delay % 1 != 0).sum()) for p in network.projections)
    there = [np.ones_like(p.weight, dtype=np.bool_) if p.mask is None else p.mask for p in network.projections]
    zero = sum(int(((p.weight == 0) & t).sum()) for p, t in zip(network.projections, there, strict=True))
    assert written.weights_zero == zero


@quick
@given(network=networks())
def test_nir_reads_one_group_for_each_slot_in_seconds(network: Network, tmp_path: Path) -> None:
    """Type-checked by nir; every weight in the Linear of its slot, behind a Delay of slot times dt."""
    path = tmp_path / "n.nir"
    written = write_nir(network, path)
    graph = nir.read(path, type_check=True)
    assert (len(graph.nodes), len(graph.edges)) == (written.nodes, written.edges)
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    for projection in network.projections:
        slots, summed = np.rint(projection.delay), np.zeros_like(projection.weight)
        for name in before[projection.target]:
            linear, (source,) = graph.nodes[name], before[name]
            slot = 0
            if isinstance(graph.nodes[source], nir.Delay):
                delay, (source,) = source, before[source]
                seconds = graph.nodes[delay].delay
                slot = round(seconds[0] * 1000 / network.dt_ms)
                assert np.array_equal(seconds, np.full(network[source].size, slot * network.dt_ms / 1000))
                assert slot > 0
                assert delay == f"{name}.delay"
            if source != projection.source:
                continue
            assert name == f"{projection.target}.{source}.d{slot:03d}"
            assert linear.weight.dtype == np.float32
            assert np.array_equal(linear.weight.T, np.where(slots == slot, projection.weight, 0))
            summed += linear.weight.T
        assert np.array_equal(summed, projection.weight)
    for population in network.populations:
        node = graph.nodes[population.name]
        if population.kind == "spike_source":
            assert node.input_type["input"].tolist() == [population.size]
            continue
        assert type(node) is (nir.CubaLIF if population.kind == "lif" else nir.CubaLI)
        mem, syn = (np.broadcast_to(t, population.size) for t in (population.tau_mem_ms, population.tau_syn_ms))
        assert np.array_equal(node.tau_mem, mem / 1000)
        assert np.array_equal(node.tau_syn, syn / 1000)
        assert np.array_equal(node.w_in, syn / network.dt_ms)
        assert np.all(node.r == 1)
        assert not np.any(node.v_leak)
        if population.kind == "lif":
            assert np.all(node.v_threshold == population.threshold)
            assert not np.any(node.v_reset)
    (output,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
    assert before[output] == [network.readout.name]


@quick
@given(network=networks(max_slot=7, fractions=False), seed=st.integers(0, 99))
def test_our_law_is_nirs_equations_with_held_input(network: Network, seed: int, tmp_path: Path) -> None:
    """The file, solved by the matrix exponential with a step for each connection, gives V and spikes in each step."""
    path = tmp_path / "n.nir"
    write_nir(network, path)
    inputs = random_inputs(network, 40, seed)
    ours = simulate(network, inputs)
    theirs = Interpreter(nir.read(path), network.dt_ms / 1000, "exponential", "step", "pulse").run(inputs)
    for population in network.populations:
        if population.kind == "spike_source":
            continue
        volts = ours.voltage[population.name]
        assert np.abs(theirs[1][population.name] - volts).max() <= 1e-9 * max(1.0, np.abs(volts).max())
        if population.kind == "lif":
            assert np.array_equal(theirs[0][population.name] > 0, ours.spikes[population.name])


@every_shape
def test_the_step_is_the_solution_of_the_equations(shape: str, tmp_path: Path) -> None:
    """As the property above, on networks whose neurons spike for certain."""
    network = random_network(shape, np.random.default_rng(SHAPES.index(shape)), spiking_output=shape == "recurrent")
    path = tmp_path / "n.nir"
    write_nir(network, path)
    inputs = random_inputs(network, 100, 1, 0.1)
    ours = simulate(network, inputs)
    theirs = Interpreter(nir.read(path), 0.001, "exponential", "step", "pulse").run(inputs)
    for population in network.of_kind("lif"):
        assert np.array_equal(theirs[0][population.name] > 0, ours.spikes[population.name])
    assert sum(int(ours.spikes[p.name].sum()) for p in network.of_kind("lif")) > 20
    readout = network.readout.name
    assert np.abs(theirs[1][readout] - ours.voltage[readout]).max() < 1e-10


@quick
@given(network=networks(max_slot=62, fractions=False), seed=st.integers(0, 99))
def test_the_graph_alone_gives_the_same_spikes(network: Network, seed: int, tmp_path: Path) -> None:
    """Without metadata: other order, no synapses of weight 0, and every spike and voltage as before."""
    path = tmp_path / "n.nir"
    write_nir(network, path)
    without_metadata(path)
    with pytest.raises(InterchangeError, match=r"--dt-ms"):
        read_nir(path, NirAssumptions())
    found = read_nir(path, NirAssumptions(dt_ms=network.dt_ms)).network
    assert {p.name for p in found.populations} == {p.name for p in network.populations}
    inputs = random_inputs(network, 80, seed)
    ours, theirs = simulate(network, inputs), simulate(found, inputs)
    for population in network.populations:
        if population.kind != "spike_source":
            assert np.array_equal(theirs.spikes[population.name], ours.spikes[population.name])
            assert np.allclose(theirs.voltage[population.name], ours.voltage[population.name], rtol=1e-12, atol=1e-12)


def test_an_output_population_of_the_name_of_a_node_keeps_its_name(tmp_path: Path) -> None:
    """Names that a slot or the Output would have, taken by populations."""
    names = ("in", "out.in.d001", "out.in.d001.delay", "out.output", "out")
    hidden = [Population(n, "lif", 2) for n in names[1:-1]]
    populations = (Population("in", "spike_source", 2), *hidden, Population("out", "leaky_readout", 2))
    edges = [("in", p.name) for p in populations[1:]] + [(p.name, "out") for p in hidden]
    network = Network(1.0, populations, tuple(make_projection(s, t, np.ones((2, 2)), 1) for s, t in edges))
    path = tmp_path / "n.nir"
    write_nir(network, path)
    nir.read(path)
    assert_equal(read_nir(path, NirAssumptions()).network, network)
    without_metadata(path)
    assert {p.name for p in read_nir(path, NirAssumptions(dt_ms=1.0)).network.populations} == set(names)


def test_what_a_source_has_and_does_not_use_comes_back(tmp_path: Path) -> None:
    """An Input has a shape alone; metadata hold the rest."""
    populations = (Population("in", "spike_source", 1, 3.0, 4.0, 2.0), Population("out", "leaky_readout", 1))
    network = Network(1.0, populations, (make_projection("in", "out", np.ones((1, 1))),))
    write_nir(network, tmp_path / "n.nir")
    assert_equal(read_nir(tmp_path / "n.nir", NirAssumptions()).network, network)


@every_shape
def test_the_same_network_is_the_same_file_to_the_byte(shape: str, tmp_path: Path) -> None:
    network = random_network(shape, np.random.default_rng(3))
    files = [tmp_path / name for name in ("a.nir", "b.nir")]
    for file in files:
        write_nir(network, file)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("shape", "named"), [("skip", ["in->b", "in->out", "a->out"]), ("two_coupled", ["a->b", "b->a"])]
)
def test_paths_of_different_length_are_warned_of(shape: str, named: list[str], tmp_path: Path) -> None:
    written = write_nir(random_network(shape, np.random.default_rng(0)), tmp_path / "n.nir")
    (warning,) = written.warnings
    assert all(name in warning for name in named)


@pytest.mark.parametrize("shape", ["feedforward", "two_layers", "recurrent"])
def test_layers_and_loops_of_one_population_need_no_warning(shape: str, tmp_path: Path) -> None:
    assert write_nir(random_network(shape, np.random.default_rng(0)), tmp_path / "n.nir").warnings == ()


def test_what_nir_cannot_say_is_refused_by_name(tmp_path: Path) -> None:
    source, out = Population("in", "spike_source", 1), Population("out", "leaky_readout", 1)
    once = Population("once", "lif", 1, single_spike=True)
    one = np.ones((1, 1))
    edges = (make_projection("in", "once", one), make_projection("once", "out", one))
    path = tmp_path / "n.nir"
    with pytest.raises(InterchangeError, match=r"population once: single_spike"):
        write_nir(Network(1.0, (source, once, out), edges), path)
    with pytest.raises(InterchangeError, match="2 output populations"):
        write_nir(Network(1.0, (source, out, Population("b", "lif", 1)), ()), path)
    with pytest.raises(InterchangeError, match="no spike_source"):
        write_nir(Network(1.0, (out,), ()), path)
    with pytest.raises(InterchangeError, match=r"in->out: .*delays up to 2e"):
        write_nir(Network(1.0, (source, out), (make_projection("in", "out", one, 2e7),)), path)
    tiny = Population("out", "leaky_readout", 1, tau_syn_ms=1e-322)
    with pytest.raises(InterchangeError, match="out: tau_syn of neuron 0 would be 0"):
        write_nir(Network(1.0, (source, tiny), edges[:0]), path)
    long = Population("x" * 101, "lif", 1)
    edges = (make_projection("in", long.name, one), make_projection(long.name, "out", one))
    with pytest.raises(InterchangeError, match="has a name of 101 characters, at most 100"):
        write_nir(Network(1.0, (source, long, out), edges), path)
    assert not path.exists()


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slot in use is a dense matrix: 3 x 4 weights in 12 slots are 144 numbers, and the rest some more."""
    weight = np.ones((3, 4))
    populations = (Population("in", "spike_source", 3), Population("out", "leaky_readout", 4))
    network = Network(1.0, populations, (make_projection("in", "out", weight, np.arange(12.0).reshape(3, 4)),))
    path = tmp_path / "n.nir"
    monkeypatch.setattr(writing, "MAX_TOTAL", 300)
    monkeypatch.setattr(graph_file, "MAX_TOTAL", 300)
    write_nir(network, path)
    assert_equal(read_nir(path, NirAssumptions()).network, network)
    path.unlink()
    monkeypatch.setattr(writing, "MAX_TOTAL", 144)
    with pytest.raises(InterchangeError, match=r"a dense matrix for each slot .* at most 144 can be read again"):
        write_nir(network, path)
    assert not path.exists()
