"""Graphs of others, written by nir itself: what they mean here, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interchange.nir_graphs import chain, cuba, lif, linear, port, written
from tests.oracles.nir_interpreter import Interpreter
from tests.oracles.reference import simulate
from toolchain.errors import InterchangeError
from toolchain.interchange.nir import NirAssumptions, folding, read_nir
from toolchain.interchange.nir.latency import latencies

DT_MS = NirAssumptions(dt_ms=1.0)
quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def graphs(draw: st.DrawFn) -> nir.NIRGraph:
    """Stages of every kind of neuron behind chains of every node that passes signals on, with loops and skips."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = st.integers(0, 3)

    def passing(pre: int, post: int) -> list[Any]:
        found: list[Any] = []
        if draw(st.booleans()):
            found.append(nir.Delay(np.full(pre, 0.001 * draw(whole))))
        if draw(st.booleans()):
            found.append(nir.Scale(random.uniform(0.5, 2, pre)))
        weight = random.normal(1.2, 1.0, (post, pre)) * (random.random((post, pre)) < 0.8)
        if draw(st.booleans()):
            found += [
                nir.Affine(random.normal(1, 0.5, (3, pre)), np.zeros(3)),
                nir.Linear(random.normal(0.5, 0.5, (post, 3))),
            ]
        else:
            found.append(nir.Linear(weight.astype(draw(st.sampled_from((np.float32, np.float64))))))
        if draw(st.booleans()):
            found.append(nir.Delay(0.001 * random.integers(0, 4, post)))
        if draw(st.booleans()):
            found.append(nir.Flatten(input_type=np.array([post]), start_dim=0))
        return found

    def neurons(n: int, last: bool) -> Any:
        values = {"r": random.uniform(0.5, 3, n), "v_leak": np.zeros(n)}
        both = {"tau_mem": random.uniform(0.004, 0.03, n), "tau_syn": random.uniform(0.002, 0.01, n)}
        cuba_values = values | both | {"w_in": random.uniform(0.5, 3, n)}
        threshold = random.uniform(0.5, 1.5, n) if draw(st.booleans()) else np.full(n, 0.8)
        spiking = {"v_threshold": threshold, "v_reset": np.zeros(n)}
        kind = draw(st.sampled_from(("LIF", "CubaLIF") + (("LI", "CubaLI") if last else ())))
        known = cuba_values if kind.startswith("Cuba") else values | {"tau": both["tau_mem"]}
        return getattr(nir, kind)(**known, **(spiking if kind.endswith("F") else {}))

    sizes = [draw(st.integers(1, 4)) for _ in range(draw(st.integers(2, 4)))]
    stages = ["s0", *(f"s{i}" for i in range(1, len(sizes)))]
    nodes: dict[str, Any] = {"s0": nir.Input(input_type=np.array([sizes[0]]))}
    for i, n in enumerate(sizes[1:], 1):
        nodes[stages[i]] = neurons(n, i == len(sizes) - 1)
    pairs = [(i, i + 1) for i in range(len(sizes) - 1)]
    last_spikes = isinstance(nodes[stages[-1]], (nir.LIF, nir.CubaLIF))
    for i in range(len(sizes)):
        for j in range(1, len(sizes)):
            allowed = j > i + 1 or (i == j and (last_spikes or j < len(sizes) - 1))
            if allowed and draw(st.booleans()):
                pairs.append((i, j))
    edges: list[tuple[str, str]] = []
    for i, j in pairs:
        before = stages[i]
        for k, node in enumerate(passing(sizes[i], sizes[j])):
            name = f"p{i}{j}{k}"
            nodes[name] = node
            edges.append((before, name))
            before = name
        edges.append((before, stages[j]))
    nodes["output"] = nir.Output(output_type=np.array([sizes[-1]]))
    return nir.NIRGraph(nodes, [*edges, (stages[-1], "output")])


@quick
@given(
    graph=graphs(),
    discretisation=st.sampled_from(("exponential", "euler")),
    hop=st.sampled_from(("step", "within-step")),
    synapse=st.sampled_from(("pulse", "jump")),
    seed=st.integers(0, 99),
)
def test_any_graph_gives_the_spikes_of_its_equations(
    graph: nir.NIRGraph, discretisation: Any, hop: Any, synapse: Any, seed: int, tmp_path: Path
) -> None:
    """Under every assumption, spike for spike, later by the latency; a readout's voltage to float32 weights."""
    path = tmp_path / "g.nir"
    nir.write(path, graph)
    if not any(isinstance(node, (nir.CubaLIF, nir.CubaLI)) for node in graph.nodes.values()):
        synapse = "pulse"
    network = read_nir(path, NirAssumptions(1.0, discretisation, hop, synapse)).network
    steps = 40
    size = network.of_kind("spike_source")[0].size
    inputs = np.random.default_rng(seed).random((steps, size)) < 0.3
    theirs, volts = Interpreter(graph, 0.001, discretisation, hop, synapse).run({"s0": inputs})
    late = latencies([p.name for p in network.populations], [(p.source, p.target) for p in network.projections])
    if hop == "step":
        late = dict.fromkeys(late, 0)
    most = max(late.values())
    ours = simulate(network, {"s0": np.concatenate([inputs, np.zeros((most, size), dtype=np.bool_)])})
    for population in network.populations:
        if population.kind == "spike_source":
            continue
        name, shift = population.name, late[population.name]
        near = np.abs(volts[name] / getattr(graph.nodes[name], "v_threshold", np.inf) - 1).min() < 1e-5
        if near:  # 32 bits of a weight may then decide, and every step behind is another's
            return
        if population.kind == "lif":
            assert np.array_equal(ours.spikes[name][shift : shift + steps], theirs[name] > 0), name
        else:
            found = ours.voltage[name][shift : shift + steps]
            assert np.abs(found - volts[name]).max() <= 1e-5 * max(1.0, np.abs(volts[name]).max())


def test_thresholds_of_each_neuron_are_folded_and_said(tmp_path: Path) -> None:
    path = chain(tmp_path / "g.nir", linear(), lif(v_threshold=[0.5, 2.0]))
    found = read_nir(path, DT_MS)
    weight = linear().weight.T / [0.5, 2.0] * 32
    assert found.network["n1"].threshold == 1.0
    assert np.allclose(found.network.projections[0].weight, weight, rtol=1e-7)
    assert any("n1: thresholds differ" in s for s in found.assumed)
    same = read_nir(chain(tmp_path / "h.nir", linear(), lif(v_threshold=0.7)), DT_MS)
    assert same.network["n1"].threshold == 0.7


def test_a_scalar_parameter_stands_for_all_that_arrive(tmp_path: Path) -> None:
    """As Norse and snnTorch have them before they are given one for each neuron."""
    scalar = nir.LIF(
        **{k: np.array([v[0]]) for k, v in vars(lif()).items() if k in ("tau", "r", "v_leak", "v_threshold", "v_reset")}
    )
    found = read_nir(chain(tmp_path / "g.nir", linear(5, 2), scalar, n=2), DT_MS)
    assert found.network["n1"].size == 5
    assert any("n1: one value" in s for s in found.assumed)


def test_inner_graphs_are_inlined(tmp_path: Path) -> None:
    """As snnTorch's recurrent layers are in newer files: a graph in a graph, with a loop in it."""
    first, last = port()
    inner = nir.NIRGraph(
        {"input": port()[0], "lif": lif(), "w_rec": linear(seed=2, mean=0.1), "output": port()[1]},
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    outer = {"in": first, "w": linear(seed=1), "rnn": inner, "out": last}
    path = written(tmp_path / "nested.nir", outer, [("in", "w"), ("w", "rnn"), ("rnn", "out")])
    flat = {"in": first, "w": linear(seed=1), "rnn.lif": lif(), "r": linear(seed=2, mean=0.1), "out": last}
    edges = [("in", "w"), ("w", "rnn.lif"), ("rnn.lif", "r"), ("r", "rnn.lif"), ("rnn.lif", "out")]
    nested = read_nir(path, DT_MS).network
    expected = read_nir(written(tmp_path / "flat.nir", flat, edges), DT_MS).network
    assert nested.describe() == expected.describe()
    assert all(
        np.array_equal(a.weight, b.weight) for a, b in zip(nested.projections, expected.projections, strict=True)
    )


def test_an_edge_between_populations_is_one_to_one(tmp_path: Path) -> None:
    (projection,) = read_nir(chain(tmp_path / "g.nir", cuba(w_in=4.0)), DT_MS).network.projections
    assert projection.mask is not None
    assert np.array_equal(projection.mask, np.eye(2, dtype=np.bool_))
    assert np.array_equal(projection.weight, np.eye(2))  # w_in = tau_syn/dt


def test_delays_between_steps_are_kept_and_counted(tmp_path: Path) -> None:
    found = read_nir(chain(tmp_path / "g.nir", nir.Delay(np.array([0.0025, 0.003])), linear(), cuba()), DT_MS)
    assert found.network.projections[0].delay.tolist() == [[2.5, 2.5], [3, 3]]
    assert any(s.startswith("2 delays") for s in found.assumed)
    near = read_nir(chain(tmp_path / "h.nir", nir.Delay(np.array([0.0021, 0.00299])), linear(), cuba()), DT_MS)
    assert near.network.projections[0].delay[:, 0] == pytest.approx([2.1, 2.99])


def test_ways_of_different_units_keep_their_own_delays(tmp_path: Path) -> None:
    """Unit 0 by one Delay and unit 1 by another, into one Linear."""
    first, last = port()
    nodes = {"input": first, "s0": nir.Scale(np.array([2.0, 0])), "s1": nir.Scale(np.array([0, 3.0]))}
    nodes |= {"d0": nir.Delay(np.full(2, 0.001)), "d1": nir.Delay(np.full(2, 0.004))}
    nodes |= {"w": nir.Linear(np.ones((2, 2))), "n": cuba(w_in=4.0), "output": last}
    edges = [("input", "s0"), ("input", "s1"), ("s0", "d0"), ("s1", "d1"), ("d0", "w"), ("d1", "w"), ("w", "n")]
    (found,) = read_nir(written(tmp_path / "g.nir", nodes, [*edges, ("n", "output")]), DT_MS).network.projections
    assert found.delay.tolist() == [[1, 1], [4, 4]]
    assert found.weight.tolist() == [[2, 2], [3, 3]]


def test_a_scale_of_zero_cuts_a_connection(tmp_path: Path) -> None:
    """Behind weights too: what is cut has no synapse, and its delay is no second one for the pair."""
    first, last = port()
    cut, late = nir.Scale(np.array([0.0, 1.0])), nir.Delay(np.full(2, 0.003))
    nodes = {"input": first, "w": linear(), "cut": cut, "late": late, "v": nir.Linear(np.eye(2)), "n": cuba()}
    edges = [("input", "w"), ("w", "cut"), ("cut", "late"), ("late", "n"), ("input", "v"), ("v", "n"), ("n", "output")]
    nodes["w"], nodes["v"] = nir.Linear(np.ones((2, 2))), nir.Linear(np.array([[1.0, 1.0], [0.0, 0.0]]))
    (found,) = read_nir(written(tmp_path / "g.nir", nodes | {"output": last}, edges), DT_MS).network.projections
    assert found.delay.tolist() == [[0, 3], [0, 3]]


@pytest.mark.parametrize(
    ("limit", "value", "middle", "message"),
    [
        ("MAX_ENTRIES", 8, (linear(3, 3), cuba(3)), "'n1' .CubaLIF.: receives 3 x 3 pairs of units; at most 8"),
        ("MAX_ENTRIES", 8, (linear(1, 3), linear(3, 1), cuba(3)), "'n1' .Linear.: .*3 to 3 units: too much to fold"),
        ("MAX_WORK", 35, (nir.Delay(np.arange(3) * 1e-3), linear(1, 3), linear(4, 1), linear(1, 4), cuba(1)),
         "'n2' .Linear.: follows weights with 3 delays, 3 to 4 units: too much"),
    ],
)  # fmt: skip
def test_what_would_take_too_much_is_refused_before(
    limit: str, value: int, middle: tuple[Any, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = chain(tmp_path / "g.nir", *middle, n=3)
    read_nir(path, DT_MS)
    monkeypatch.setattr(folding, limit, value)
    with pytest.raises(InterchangeError, match=message):
        read_nir(path, DT_MS)


def test_delays_in_float32_seconds_are_whole_steps(tmp_path: Path) -> None:
    slots = np.arange(1001)
    delay = nir.Delay((slots * 1e-3).astype(np.float32))
    path = chain(tmp_path / "g.nir", delay, nir.Linear(np.ones((1001, 1001), dtype=np.float32)), cuba(1001), n=1001)
    assert np.array_equal(read_nir(path, DT_MS).network.projections[0].delay[:, 0], slots)


def test_names_no_population_can_have_are_changed_and_said(tmp_path: Path) -> None:
    first, last = port()
    nodes = {"my input": first, "w": linear(), "a>b": cuba(), "a_b": cuba(), "v": linear(), "out": last}
    edges = [("my input", "w"), ("w", "a>b"), ("a>b", "v"), ("v", "a_b"), ("a_b", "out")]
    found = read_nir(written(tmp_path / "g.nir", nodes, edges), DT_MS)
    assert [p.name for p in found.network.populations] == ["my_input", "a_b_2", "a_b"]
    assert any("my input is my_input" in s for s in found.assumed)


def test_the_step_is_asked_for_with_a_hint(tmp_path: Path) -> None:
    """snnTorch folds its step into r = tau/dt; that is a hint, and not taken."""
    path = chain(tmp_path / "g.nir", linear(), lif(tau=0.001, r=10.0))
    with pytest.raises(InterchangeError, match=r"step of 0\.1 ms\); give it with --dt-ms"):
        read_nir(path, NirAssumptions())


def test_weights_that_lose_digits_or_vanish_are_counted(tmp_path: Path) -> None:
    """1/3 is none of 32 bits, 1e-50 is 0 there, 0 is no synapse, 2.5 is exact."""
    path = chain(tmp_path / "g.nir", nir.Linear(np.array([[1 / 3, 1e-50], [0.0, 2.5]])), lif())
    said = read_nir(path, DT_MS).assumed
    assert "2 weights were rounded to 32 bits." in said
    assert "1 weights are too small for 32 bits and became 0." in said
    assert "1 pairs of neurons with a weight of 0 have no synapse." in said


def test_what_nir_may_leave_out_has_its_default_and_the_rest_is_refused(tmp_path: Path) -> None:
    """w_in is 1 and v_reset 0 in nir; v_leak has none."""
    path = chain(tmp_path / "g.nir", linear(), cuba(w_in=1.0))
    whole = read_nir(path, DT_MS).network
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n1/w_in"], file["node/nodes/n1/v_reset"]
    found = read_nir(path, DT_MS).network
    assert np.array_equal(found.projections[0].weight, whole.projections[0].weight)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n1/v_leak"]
    with pytest.raises(InterchangeError, match=r"'n1' .CubaLIF.: has no 'v_leak'"):
        read_nir(path, DT_MS)


def test_a_step_that_is_not_that_of_the_parameters_is_said(tmp_path: Path) -> None:
    """As with a file of snnTorch, for steps of 0.1 ms, that is read with the step of its user."""
    path = chain(tmp_path / "g.nir", linear(), lif(tau=0.0005, r=5.0))
    assert not any("look like" in s for s in read_nir(path, NirAssumptions(0.1)).assumed)
    assert any("look like steps of 0.1 ms" in s for s in read_nir(path, DT_MS).assumed)
    with pytest.raises(InterchangeError, match=r"no decay; w_in or r look like a step of 0\.1 ms: give"):
        read_nir(path, NirAssumptions(1.0, "euler"))


def test_time_constants_that_may_be_milliseconds_are_said(tmp_path: Path) -> None:
    """tau = 10 for 10 ms is 10 s, that is 10000 steps of 1 ms."""
    said = read_nir(chain(tmp_path / "ms.nir", linear(), lif(tau=10.0)), DT_MS).assumed
    assert any(s.startswith("n1: time constants are read as seconds, up to 10 s or 10000 steps") for s in said)
    assert not any("as seconds" in s for s in read_nir(chain(tmp_path / "s.nir", linear(), lif()), DT_MS).assumed)


def test_a_jump_without_a_current_is_refused(tmp_path: Path) -> None:
    path = chain(tmp_path / "g.nir", linear(), lif())
    with pytest.raises(InterchangeError, match="has no CubaLIF or CubaLI, so no current that could jump"):
        read_nir(path, NirAssumptions(1.0, synapse="jump"))


def test_a_convolution_is_refused_with_one_remedy(tmp_path: Path) -> None:
    conv = nir.Conv1d(2, np.ones((1, 1, 1)), 1, 0, 1, 1, np.zeros(1))
    path = written(tmp_path / "g.nir", {"input": port()[0], "c": conv, "n": lif(), "output": port()[1]},
                   [("input", "c"), ("c", "n"), ("n", "output")])  # fmt: skip
    with pytest.raises(InterchangeError, match=r"is a convolution; write it out as a Linear$"):
        read_nir(path, DT_MS)
