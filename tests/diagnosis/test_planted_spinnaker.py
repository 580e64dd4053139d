"""Faults planted in sPyNNaker's tick, written out in the tests: each is found and named, its value is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware_targets.spinnaker.integer_network import IntegerNetwork, IntegerProjection
from tests.diagnosis.planted import Faults, changed_projection, diagnose_integers, run_spinnaker, without
from tests.spinnaker import reference
from tests.spinnaker.random_networks import random_network, random_spikes
from toolchain.deployment.target import Traces
from toolchain.diagnosis.findings import Finding
from toolchain.spikes import SpikeTrains

few = settings(deadline=None, max_examples=4, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 20)
RECORDS = {"both currents": (), "their difference": ("currents",), "v and spikes": ("u", "currents")}


def made(seed: int) -> tuple[IntegerNetwork, SpikeTrains]:
    """A network whose membranes have a resistance of 1, as deployed ones have, and its input."""
    network = random_network(seed, hard=False, longest=20)
    populations = tuple(
        p if p.parameters is None else replace(p, parameters=replace(p.parameters, cm=p.parameters.tau_m))
        for p in network.populations
    )
    network = replace(network, populations=populations)
    return network, random_spikes(seed, network, 2, 50)


def the_one(
    network: IntegerNetwork,
    spikes: SpikeTrains,
    device: Traces,
    right: Callable[[Finding], bool],
    words: str,
    missing: tuple[str, ...] = (),
) -> None:
    """A single finding that is right, or equal traces and none."""
    seen, healthy = without(device, *missing), without(run_spinnaker(network, spikes), *missing)
    found = diagnose_integers(network, spikes, seen)
    quantities = ("u", "v", "spikes", "currents")
    if all((a == getattr(healthy, q)[k]).all() for q in quantities for k, a in getattr(seen, q).items()):
        assert found.equal
        assert (found.findings, found.unexplained) == ((), ())
        return
    assert len(found.findings) == 1, found.causes
    assert found.unexplained == (), found.causes
    (finding,) = found.findings
    assert finding.explained == finding.total > 0
    assert right(finding) or any(words in other for other in finding.alternatives), found.causes


def a_synapse(network: IntegerNetwork, pick: int) -> tuple[IntegerProjection, int, int]:
    places = [(p, i, j) for p in network.projections for i, j in np.argwhere(p.exists).tolist()]
    return places[pick % len(places)]


def a_neuron(network: IntegerNetwork, pick: int) -> tuple[str, int]:
    places = [(p.name, n) for p in network.simulated if p.kind == "lif" for n in range(p.size)]
    return places[pick % len(places)]


@pytest.mark.parametrize("seed", range(2))
def test_a_device_without_a_fault_has_no_finding(seed: int) -> None:
    network, spikes = made(seed)
    for missing in RECORDS.values():
        found = diagnose_integers(network, spikes, without(run_spinnaker(network, spikes), *missing))
        assert (found.equal, found.findings, found.unexplained) == (True, (), ())


@given(seeds, st.integers(0, 10**6), st.integers(0, 15), st.sampled_from(sorted(RECORDS)))
@few
def test_a_bit_of_a_weight(seed: int, pick: int, bit: int, records: str) -> None:
    network, spikes = made(seed)
    projection, pre, post = a_synapse(network, pick)
    weight = projection.weight.copy()
    stored = abs(int(weight[pre, post])) ^ (1 << bit)
    if not stored:
        return  # no fault that a device could have
    weight[pre, post] = wrong = stored * int(np.sign(weight[pre, post]))
    device = run_spinnaker(changed_projection(network, projection.name, weight=weight), spikes)
    words = f"projection {projection.name}: synapse {pre}->{post} "

    def right(f: Finding) -> bool:
        known = (f.cause, f.projection, f.synapse) == ("weight", projection.name, (pre, post))
        if known and f.low == f.high:
            assert f"bit {bit} differs" in f.text
        return known and f.low is not None and f.high is not None and f.low <= wrong <= f.high

    the_one(network, spikes, device, right, words, RECORDS[records])


@given(seeds, st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(sorted(RECORDS)))
@few
def test_a_delay(seed: int, pick: int, ticks: int, records: str) -> None:
    network, spikes = made(seed)
    projection, pre, post = a_synapse(network, pick)
    if projection.delay[pre, post] == ticks:
        return  # no fault that a device could have
    delay = projection.delay.copy()
    delay[pre, post] = ticks
    device = run_spinnaker(changed_projection(network, projection.name, delay=delay), spikes)
    words = f"projection {projection.name}: synapse {pre}->{post} "

    def right(f: Finding) -> bool:
        known = (f.cause, f.projection, f.synapse) == ("delay", projection.name, (pre, post))
        return known and f.low is not None and f.high is not None and f.low <= ticks - 1 <= f.high

    the_one(network, spikes, device, right, words, RECORDS[records])


@given(
    seeds, st.integers(0, 10**6), st.sampled_from(["decay_e", "exp_tc", "v_thresh"]), st.integers(0, 7),
    st.sampled_from(sorted(RECORDS)),
)  # fmt: skip
@few
def test_a_decay_or_threshold_of_a_neuron(seed: int, pick: int, name: str, bit: int, records: str) -> None:
    network, spikes = made(seed)
    unit = a_neuron(network, pick)
    neuron = reference.make_neurons(network)[unit[0]][unit[1]]
    if name == "decay_e":
        wrong = neuron.decay[0] ^ (1 << bit + 24)
        device = run_spinnaker(network, spikes, Faults(constants={unit: {"decay": (wrong, neuron.decay[1])}}))  # type: ignore[dict-item]
    else:
        wrong = getattr(neuron, name) ^ (1 << bit + (7 if name == "exp_tc" else 12))
        device = run_spinnaker(network, spikes, Faults(constants={unit: {name: wrong}}))

    def right(f: Finding) -> bool:
        where = (unit[1],) if network[unit[0]].size > 1 else ()
        known = (f.constant, f.population, f.neurons) == (name, unit[0], where)
        return known and f.low is not None and f.high is not None and f.low <= wrong <= f.high

    the_one(network, spikes, device, right, name, RECORDS[records])


@given(seeds, st.integers(0, 10**6), st.sampled_from(["reset", "dead"]))
@few
def test_a_dropped_reset_and_a_dead_neuron(seed: int, pick: int, kind: str) -> None:
    network, spikes = made(seed)
    unit = a_neuron(network, pick)
    faults = Faults(no_reset=frozenset([unit])) if kind == "reset" else Faults(dead=frozenset([unit]))
    constant, words = {"reset": ("reset", "stays as it is"), "dead": ("output", "never spikes")}[kind]

    def right(f: Finding) -> bool:
        where = (unit[1],) if network[unit[0]].size > 1 else ()
        return (f.constant, f.population, f.neurons) == (constant, unit[0], where) and words in f.text

    the_one(network, spikes, run_spinnaker(network, spikes, faults), right, words)


@pytest.mark.parametrize("records", ["both currents", "v and spikes"])
@pytest.mark.parametrize("seed", [2])
def test_a_projection_and_a_report_that_are_a_step_late(seed: int, records: str) -> None:
    network, spikes = made(seed)
    device = run_spinnaker(network, spikes, Faults(late={"a->b": 1}))

    def right(f: Finding) -> bool:
        return (f.cause, f.projection, f.low) == ("off by one step", "a->b", 1)

    the_one(network, spikes, device, right, "projection a->b arrives 1 step late", RECORDS[records])
    device = run_spinnaker(network, spikes, Faults(report_late="a"))
    words = "population a: all that it reports is 1 step late"
    the_one(network, spikes, device, lambda f: words in f.text, words, RECORDS[records])


def test_v_as_spynnaker_records_it_is_a_step_late() -> None:
    """SPyNNaker records before it updates: left as it is, the v of every tick is that of the tick before."""
    network, spikes = made(2)
    device = run_spinnaker(network, spikes)
    v = {name: array.copy() for name, array in device.v.items()}
    v["a"][:, 1:] = device.v["a"][:, :-1]
    parameters = network["a"].parameters
    assert parameters is not None
    v["a"][:, 0] = parameters.v_rest
    (finding,) = diagnose_integers(network, spikes, replace(device, v=v)).findings
    assert finding.text.startswith("population a: its v is recorded 1 step late")


def test_a_time_constant_that_sets_two_constants_is_one_finding() -> None:
    """On the chip tau_syn gives the decay and the gain of what arrives."""
    network, spikes = made(2)
    good = network["b"].parameters
    assert good is not None
    tau = good.tau_syn_e.copy()
    tau[0] *= 2
    populations = tuple(
        replace(p, parameters=replace(good, tau_syn_e=tau)) if p.name == "b" else p for p in network.populations
    )
    device = run_spinnaker(replace(network, populations=populations), spikes)
    (finding,) = diagnose_integers(network, spikes, device).findings
    wrong = reference.make_neurons(replace(network, populations=populations))["b"][0].decay[0]
    assert (finding.constant, finding.neurons) == ("decay_e", (0,))
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low <= wrong <= finding.high
    assert "tau_syn_e" in finding.text


def test_a_board_that_records_spikes_alone_has_its_dead_neuron_named() -> None:
    network, spikes = made(5)
    busy = int(np.argmax(run_spinnaker(network, spikes).spikes["a"].sum((0, 1))))
    device = run_spinnaker(network, spikes, Faults(dead=frozenset([("a", busy)])))
    found = diagnose_integers(network, spikes, Traces({}, {"out": device.v["out"]}, device.spikes))
    (finding,) = found.findings
    assert (finding.constant, finding.neurons, finding.quantity) == ("output", (busy,), "spikes")
    assert any("population a: v was not reported" in text for text in found.not_available)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_many_more_faults(seed: int) -> None:
    """The tests above with arguments at random."""
    rng = np.random.default_rng(seed)
    for records in RECORDS:
        pick = int(rng.integers(10**6))
        drawn: list[tuple[Any, ...]] = [
            (test_a_bit_of_a_weight, int(rng.integers(16)), records),
            (test_a_delay, int(rng.integers(1, 41)), records),
            (
                test_a_decay_or_threshold_of_a_neuron,
                str(rng.choice(["decay_e", "exp_tc", "v_thresh"])),
                int(rng.integers(8)),
                records,
            ),
            (test_a_dropped_reset_and_a_dead_neuron, str(rng.choice(["reset", "dead"]))),
        ]
        for test, *arguments in drawn:
            planted(test)(seed, pick, *arguments)


def planted(test: Any) -> Any:
    """The function behind a test of hypothesis."""
    return test.hypothesis.inner_test
