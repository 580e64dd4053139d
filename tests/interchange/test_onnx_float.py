"""Float networks as ONNX: spikes of the training backend, in onnxruntime and in onnx's own evaluator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interchange.running import by_reference, float_spikes
from tests.networks import SHAPES, random_network, random_spikes
from toolchain.errors import InputError
from toolchain.interchange.onnx.assemble import assemble
from toolchain.interchange.onnx.float_step import float_graph
from toolchain.interchange.onnx.running import OnnxSession
from toolchain.network import Network, NeuronConstants, Population, Projection, make_projection
from toolchain.spikes import bin_events


def single_spikes(network: Network) -> Network:
    """The same with a first hidden population that spikes once a sample."""
    first = network.of_kind("lif")[0]
    populations = tuple(replace(p, single_spike=True) if p is first else p for p in network.populations)
    return replace(network, populations=populations)


def own_time_constants(network: Network, random: np.random.Generator) -> Network:
    """The same with time constants of each neuron."""

    def spread(population: Population) -> Population:
        if population.kind == "spike_source":
            return population
        mem, syn = (tuple(random.uniform(low, 20.0, population.size).tolist()) for low in (10.0, 3.0))
        return replace(population, tau_mem_ms=mem, tau_syn_ms=syn)

    return replace(network, populations=tuple(spread(p) for p in network.populations))


@pytest.mark.parametrize("spiking_output", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_onnxruntime_has_the_spikes_of_the_training_backend(shape: str, spiking_output: bool) -> None:
    random = np.random.default_rng(11)
    network = random_network(shape, random, spiking_output=spiking_output)
    for variant in (network, single_spikes(network), own_time_constants(network, random)):
        spikes = random_spikes(random, 6, 5, 50, 0.15)
        expected = float_spikes(variant, spikes)
        session = OnnxSession(assemble(float_graph(variant)))
        found = session.run(spikes, session.outputs)
        assert sum(int(raster.sum()) for raster in expected.values()) > 10
        for name, raster in expected.items():
            assert np.array_equal(found[f"{name}/spikes"], raster), name


@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_own_evaluator_agrees_with_onnxruntime_to_the_bit(shape: str) -> None:
    random = np.random.default_rng(5)
    model = assemble(float_graph(single_spikes(random_network(shape, random))), states=True)
    spikes = random_spikes(random, 3, 5, 30, 0.2)
    session = OnnxSession(model)
    found = session.run(spikes, session.outputs)
    for name, expected in by_reference(model, spikes).items():
        assert np.array_equal(found[name], expected), name


def test_one_neuron_does_what_the_law_says_in_double() -> None:
    """I and V of law 2 by hand, with two delays that round half to even and one synapse that is not there."""
    population = Population("n", "lif", 1, 20.0, 5.0, 1.0)
    delay = np.array([[2.5], [0.4], [1.0]])
    mask = np.array([[True], [True], [False]])
    # Not through `make_projection`, which would take the weight away.
    weight = np.array([[3.0], [2.0], [99.0]], dtype=np.float32)
    projection = Projection("in", "n", weight, delay.astype(np.float32), mask)
    out = make_projection("n", "out", np.ones((1, 1)))
    readout = Population("out", "leaky_readout", 1)
    network = Network(1.0, (Population("in", "spike_source", 3), population, readout), (projection, out))
    times, units = np.array([0, 0, 0, 4, 9]), np.array([0, 1, 2, 1, 0])  # unit 2 has no synapse
    spikes = bin_events([(times, units)], 3, 30)[0]
    constants = NeuronConstants.of(population, 1.0)
    arriving = np.zeros(40)
    for time, unit in zip(times, units, strict=True):
        if unit < 2:
            arriving[time + 1 + (2, 0)[unit]] += (3.0, 2.0)[unit]
    current = voltage = 0.0
    expected, fired = np.zeros((30, 2)), np.zeros(30, dtype=np.bool_)
    for t in range(30):
        current = float(constants.beta) * current + arriving[t]
        voltage = float(constants.alpha) * voltage + float(constants.gain) * current
        fired[t] = voltage >= 1.0
        voltage = 0.0 if fired[t] else voltage
        expected[t] = current, voltage
    session = OnnxSession(assemble(float_graph(network), states=True))
    found = session.run(spikes, ["n/spikes", "n/I", "n/V"])
    assert np.array_equal(found["n/spikes"][0, :, 0], fired)
    assert fired.any()
    assert np.allclose(found["n/I"][0, :, 0], expected[:, 0], rtol=1e-5, atol=1e-6)
    assert np.allclose(found["n/V"][0, :, 0], expected[:, 1], rtol=1e-5, atol=1e-6)


def test_a_voltage_that_is_the_threshold_makes_a_spike() -> None:
    """One spike over a weight of 1 lifts V from rest to the gain, which is the threshold, or next below it."""
    plain = Population("n", "lif", 1, 20.0, 5.0)
    gain = np.float32(NeuronConstants.of(plain, 1.0).gain)
    spikes = bin_events([(np.array([3]), np.array([0]))], 1, 10)[0]
    for threshold, fires in ((gain, True), (np.nextafter(gain, np.float32(1)), False)):
        populations = (
            Population("in", "spike_source", 1),
            replace(plain, threshold=float(threshold)),
            Population("out", "leaky_readout", 1),
        )
        projections = (make_projection("in", "n", np.ones((1, 1))), make_projection("n", "out", np.ones((1, 1))))
        session = OnnxSession(assemble(float_graph(Network(1.0, populations, projections))))
        assert bool(session.run(spikes, ["n/spikes"])["n/spikes"][0, 4, 0]) == fires


@pytest.mark.parametrize(("n_samples", "n_steps"), [(0, 20), (1, 1), (70, 13)])
def test_batch_and_length_are_free(n_samples: int, n_steps: int) -> None:
    random = np.random.default_rng(3)
    network = random_network("skip", random)
    spikes = random_spikes(random, n_samples, 5, n_steps, 0.3)
    session = OnnxSession(assemble(float_graph(network)))
    found = session.run(spikes, session.outputs)
    assert found["out/V"].shape == (n_samples, n_steps, 3)
    for name, raster in float_spikes(network, spikes).items():
        assert np.array_equal(found[f"{name}/spikes"], raster), name


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20), shape=st.sampled_from(SHAPES), longest=st.sampled_from([0, 1, 40, 300]))
def test_graphs_pass_the_checker_and_have_standard_operators_alone(seed: int, shape: str, longest: int) -> None:
    network = random_network(shape, np.random.default_rng(seed), max_slot=longest)
    model = assemble(float_graph(network))
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (8, [("", 17), ("delayline", 1)])
    own = {function.name for function in model.functions}
    (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
    body = scan.attribute[0].g.node
    for node in (*model.graph.node, *body, *(node for function in model.functions for node in function.node)):
        if node.domain == "delayline":
            assert node.op_type in own, node.op_type
        else:
            assert onnx.defs.get_schema(node.op_type, 17, "").since_version <= 17
    # What a person sees in a viewer: every population and projection by its name.
    names = {node.name for node in body}
    assert {p.name for p in network.populations if p.kind != "spike_source"} <= names
    assert {p.name for p in network.projections} <= names


def test_spikes_of_another_number_of_units_are_refused() -> None:
    random = np.random.default_rng(2)
    session = OnnxSession(assemble(float_graph(random_network("skip", random))))
    with pytest.raises(InputError, match="spikes: 6 units, the model has 5 in in; give the samples"):
        session.run(random_spikes(random, 1, 6, 10, 0.1), session.outputs)


def test_the_same_network_gives_the_same_bytes() -> None:
    one, other = (random_network("skip", np.random.default_rng(2)) for _ in range(2))
    first, second = (assemble(float_graph(n)).SerializeToString(deterministic=True) for n in (one, other))
    assert first == second
