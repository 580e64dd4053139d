"""The chips' integers as ONNX: every u, v and spike of the emulators, in onnxruntime and in onnx's own evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from hardware_targets.loihi import emulator as loihi
from hardware_targets.loihi import onnx_step as loihi_step
from hardware_targets.loihi.integer_network import READOUT_VTH
from hardware_targets.loihi.integer_network import IntegerNetwork as LoihiNetwork
from hardware_targets.loihi.integer_network import IntegerPopulation as LoihiPopulation
from hardware_targets.loihi.integer_network import IntegerProjection as LoihiProjection
from hardware_targets.spinnaker import emulator as spinnaker
from hardware_targets.spinnaker import onnx_step as spinnaker_step
from hardware_targets.step_tensors import by_quantity
from tests.interchange.running import by_reference
from tests.loihi import random_networks as loihi_networks
from tests.networks import random_network, random_spikes
from tests.spinnaker import random_networks as spinnaker_networks
from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.target import find_target
from toolchain.errors import InterchangeError
from toolchain.interchange.onnx.assemble import assemble
from toolchain.interchange.onnx.running import OnnxSession
from toolchain.spikes import SpikeTrains, bin_events

FEW, MANY = range(8), range(8, 120)


def assert_equal(expected: Mapping[str, Mapping[str, NDArray[Any]]], outputs: Mapping[str, NDArray[Any]]) -> None:
    """Fail at the first quantity of a population that differs, naming where."""
    found = by_quantity(outputs)
    for quantity, populations in expected.items():
        assert set(found[quantity]) == set(populations)
        for name, array in populations.items():
            where = np.argwhere(array != found[quantity][name])
            assert not where.size, f"{quantity} of {name} first differs at sample, step, neuron {where[0]}"


def quantities(emulated: Any, *names: str) -> dict[str, Mapping[str, NDArray[Any]]]:
    return {name: getattr(emulated, name) for name in names}


def check_loihi(seed: int) -> tuple[onnx.ModelProto, SpikeTrains, dict[str, NDArray[Any]], int]:
    network, spikes = loihi_networks.random_network(seed)
    model = assemble(loihi_step.integer_graph(network, "loihi2", {}), states=True)
    session = OnnxSession(model)
    found = session.run(spikes, session.outputs)
    emulated = loihi.emulate(network, spikes, traces=True)
    assert_equal(quantities(emulated, "u", "v", "spikes"), found)
    return model, spikes, found, sum(emulated.wraps.values()) + sum(emulated.clips.values())


def check_spinnaker(seed: int) -> tuple[onnx.ModelProto, SpikeTrains, dict[str, NDArray[Any]], int]:
    network = spinnaker_networks.random_network(seed, hard=bool(seed % 2))
    spikes = spinnaker_networks.random_spikes(seed, network, 2, 50)
    model = assemble(spinnaker_step.integer_graph(network, "spinnaker1", {}), states=True)
    session = OnnxSession(model)
    found = session.run(spikes, session.outputs)
    emulated = spinnaker.emulate(network, spikes, traces=True)
    assert_equal(quantities(emulated, "exc", "inh", "v", "spikes"), found)
    return model, spikes, found, sum(emulated.ring_saturations.values()) + sum(emulated.state_wraps.values())


CHECKS = {"loihi": check_loihi, "spinnaker": check_spinnaker}


@pytest.mark.parametrize("chip", CHECKS)
def test_onnxruntime_equals_the_emulator_on_random_networks_that_overflow(chip: str) -> None:
    overflows = [CHECKS[chip](seed)[3] for seed in FEW]
    assert any(overflows)
    assert not all(overflows)


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHECKS)
def test_onnxruntime_equals_the_emulator_on_many_random_networks(chip: str) -> None:
    assert sum(CHECKS[chip](seed)[3] > 0 for seed in MANY) > len(MANY) / 4


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("chip", CHECKS)
def test_onnx_own_evaluator_agrees_with_onnxruntime(chip: str, seed: int) -> None:
    model, spikes, found, _ = CHECKS[chip](seed)
    onnx.checker.check_model(model, full_check=True)
    for name, expected in by_reference(model, spikes).items():
        assert np.array_equal(found[name], expected), name


@pytest.mark.parametrize("target_name", ["loihi2", "spinnaker1"])
@pytest.mark.parametrize("shape", ["recurrent_masked", "skip", "two_coupled"])
def test_long_delays_that_a_chip_extends_are_in_their_synapses(target_name: str, shape: str) -> None:
    """Loihi's relays are gone, and what the trained populations do is the same."""
    target, random = find_target(target_name), np.random.default_rng(7)
    assert isinstance(target, StepGraphTarget)
    network, spikes = random_network(shape, random, max_slot=300), random_spikes(random, 4, 5, 400, 0.02)
    quantised = target.quantise(network, spikes, clip_delays=False, extend_delays=True)
    session = OnnxSession(assemble(target.step_graph(quantised), states=True))
    found = target.step_traces(session.run(spikes, session.outputs))
    expected = target.emulate_traces(quantised, spikes)
    names = [p.name for p in network.populations if p.kind != "spike_source"]
    assert {name.partition("/")[0] for name in session.outputs} == set(names)
    for name in names:
        assert np.array_equal(found.u[name], expected.u[name])
        assert np.array_equal(found.v[name], expected.v[name])
        assert np.array_equal(found.spikes[name], expected.spikes[name])


def test_loihi_wraps_and_clips_at_the_last_bit() -> None:
    """Sums that reach 2^23 exactly, pass it, and pass 32 bits; what stands where there is no synapse adds nothing."""
    n, limit = 1040, 2**23
    weight = np.zeros((n, 5), dtype=np.int32)
    weight[:8] = [128, -128, 128, 0, 0]
    weight[8, 2] = 2
    weight[:, 3:] = 254, -256
    mask = weight != 0
    projection = LoihiProjection("in", "out", np.where(mask, weight, 100), 7, np.zeros((n, 5), dtype=np.int64), mask)
    populations = (
        LoihiPopulation("in", "spike_source", n),
        LoihiPopulation("out", "leaky_readout", 5, 4095, 0, READOUT_VTH),
    )
    network = LoihiNetwork(1.0, populations, (projection,))
    spikes = bin_events([(np.zeros(n, dtype=np.int64), np.arange(n))], n, 3)[0]
    sums = [int(w) << 7 + 6 for w in weight.sum(axis=0)]
    assert sums[:3] == [limit, -limit, limit + 2**14]
    assert sums[3] >= 2**31
    assert sums[4] < -(2**31)
    u = []
    for x in sums:
        x32 = (x + 2**31) % 2**32 - 2**31
        u.append(x32 - 2**24 if x32 > limit else x32 + 2**24 if x32 <= -limit else x32)
    session = OnnxSession(assemble(loihi_step.integer_graph(network, "loihi2", {}), states=True))
    found = session.run(spikes, session.outputs)
    assert found["out/u"][0, 1].tolist() == u
    # Even a readout spikes at the top, where its threshold, the largest there is, lies 63 below the largest voltage.
    assert found["out/v"][0, 1].tolist() == [0 if x > READOUT_VTH << 6 else max(-limit + 1, x) for x in u]
    emulated = loihi.emulate(network, spikes, traces=True)
    assert_equal(quantities(emulated, "u", "v", "spikes"), found)


def test_a_neuron_on_spinnaker_spikes_at_its_threshold() -> None:
    network = spinnaker_networks.random_network(3, hard=False)
    spikes = spinnaker_networks.random_spikes(3, network, 1, 30)
    before = spinnaker.emulate(network, spikes, traces=True)
    step, neuron = np.unravel_index(int(before.v["b"][0].argmax()), before.v["b"][0].shape)
    highest = int(before.v["b"][0, step, neuron])
    parameters = network["b"].parameters
    assert parameters is not None
    for threshold, expected in ((highest, True), (highest + 1, False)):
        thresholds = np.full_like(parameters.v_thresh, threshold)
        at = replace(network["b"], parameters=replace(parameters, v_thresh=thresholds))
        changed = replace(network, populations=tuple(at if p.name == "b" else p for p in network.populations))
        session = OnnxSession(assemble(spinnaker_step.integer_graph(changed, "spinnaker1", {})))
        assert session.run(spikes, ["b/spikes"])["b/spikes"][0, step, neuron] == expected


@pytest.mark.parametrize("target_name", ["loihi2", "spinnaker1"])
def test_without_states_there_are_spikes_and_the_voltage_of_the_readout(target_name: str) -> None:
    random = np.random.default_rng(7)
    network, spikes = random_network("skip", random), random_spikes(random, 2, 5, 40, 0.2)
    target = find_target(target_name)
    assert isinstance(target, StepGraphTarget)
    quantised = target.quantise(network, spikes, clip_delays=False)
    outputs = OnnxSession(assemble(target.step_graph(quantised))).outputs
    names = [p.name for p in network.populations if p.kind != "spike_source"]
    assert set(outputs) == {*(f"{name}/spikes" for name in names), f"{network.readout.name}/v"}


def test_a_chip_that_is_not_as_it_should_be_is_no_network() -> None:
    random = np.random.default_rng(7)
    network, spikes = random_network("skip", random), random_spikes(random, 2, 5, 40, 0.2)
    target: Any = find_target("loihi2")
    quantised = target.quantise(network, spikes, clip_delays=False)
    thresholds = {"a": np.full(network["a"].size, 5000, dtype=np.int32)}
    with pytest.raises(InterchangeError, match="the neurons of a have thresholds of their own"):
        target.step_graph(replace(quantised, integers=replace(quantised.integers, thresholds=thresholds)))
