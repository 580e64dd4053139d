"""Faults planted in Lava's step, written out in the tests: each is found, located and named, and its value is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from tests.diagnosis.planted import (
    NONE,
    Faults,
    changed_population,
    changed_projection,
    diagnose_integers,
    run_loihi,
    without,
)
from tests.loihi.random_networks import random_network
from toolchain.deployment.target import Traces
from toolchain.diagnosis.findings import Diagnosis, Finding
from toolchain.spikes import SpikeTrains

some = settings(deadline=None, max_examples=7, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 60)


def same(one: Traces, other: Traces) -> bool:
    """Whether two devices report the same."""
    return all((a == getattr(other, q)[k]).all() for q in ("u", "v", "spikes") for k, a in getattr(one, q).items())


def the_one(
    healthy: IntegerNetwork, spikes: SpikeTrains, device: Traces, right: Callable[[Finding], bool], words: str
) -> None:
    """A single finding that is right, or equal traces and none; what samples cannot tell apart is said."""
    found = diagnose_integers(healthy, spikes, device)
    if same(run_loihi(healthy, spikes), device):
        assert found.equal
        assert (found.findings, found.unexplained) == ((), ())
        return
    assert not found.equal
    assert len(found.findings) == 1, found.causes
    assert found.unexplained == (), found.causes
    (finding,) = found.findings
    assert finding.explained == finding.total > 0
    assert right(finding) or any(words in other for other in finding.alternatives), found.causes


def a_synapse(network: IntegerNetwork, pick: int) -> tuple[IntegerProjection, int, int]:
    """Any synapse of the network that has a weight."""
    places = [(p, i, j) for p in network.projections for i, j in np.argwhere(p.exists & (p.weight != 0)).tolist()]
    return places[pick % len(places)]


def a_population(network: IntegerNetwork, pick: int) -> tuple[IntegerPopulation, int]:
    """Any spiking population, and a neuron of it."""
    populations = [p for p in network.simulated if p.kind == "lif"]
    population = populations[pick % len(populations)]
    return population, pick // len(populations) % population.size


@pytest.mark.parametrize("seed", range(6))
def test_a_device_without_a_fault_has_no_finding(seed: int) -> None:
    network, spikes = random_network(seed)
    found = diagnose_integers(network, spikes, run_loihi(network, spikes))
    assert found.equal
    assert (found.findings, found.unexplained, found.deviating) == ((), (), 0)
    sizes = sum(p.size for p in network.simulated)
    assert found.states == 3 * spikes.n_samples * spikes.n_steps * sizes, "every u, v and spike was compared"
    assert "is what it must be" in found.sentence


@given(seeds, st.integers(0, 10**6), st.integers(1, 8))
@some
def test_a_bit_of_a_weight(seed: int, pick: int, bit: int) -> None:
    network, spikes = random_network(seed)
    projection, pre, post = a_synapse(network, pick)
    weight = projection.weight.copy()
    wrong = ((int(weight[pre, post]) ^ (1 << bit)) + 256) % 512 - 256
    weight[pre, post] = wrong
    device = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    words = f"projection {projection.name}: synapse {pre}->{post} "

    def right(f: Finding) -> bool:
        assert (f.low is None) == (f.high is None)
        known = (f.cause, f.projection, f.synapse, f.neurons) == ("weight", projection.name, (pre, post), (post,))
        return known and f.low is not None and f.high is not None and f.low <= wrong <= f.high and words in f.text

    the_one(network, spikes, device, right, words)


@given(seeds, st.integers(0, 10**6), st.integers(0, 40))
@some
def test_a_delay_slot(seed: int, pick: int, slot: int) -> None:
    network, spikes = random_network(seed)
    projection, pre, post = a_synapse(network, pick)
    if projection.slots[pre, post] == slot:
        return  # no fault that a device could have
    slots = projection.slots.copy()
    slots[pre, post] = slot
    device = run_loihi(changed_projection(network, projection.name, slots=slots), spikes)
    words = f"projection {projection.name}: synapse {pre}->{post} "

    def right(f: Finding) -> bool:
        expected = ("delay", projection.name, (pre, post), int(projection.slots[pre, post]))
        known = (f.cause, f.projection, f.synapse, f.expected) == expected
        return known and f.low is not None and f.high is not None and f.low <= slot <= f.high

    the_one(network, spikes, device, right, words)


@given(seeds, st.integers(0, 10**6), st.sampled_from(["du", "dv", "vth"]), st.integers(0, 10))
@some
def test_a_decay_or_threshold_of_a_population(seed: int, pick: int, name: str, bit: int) -> None:
    network, spikes = random_network(seed)
    population, _ = a_population(network, pick)
    wrong = getattr(population, name) ^ (1 << bit)
    if wrong > {"du": 4095, "dv": 4096, "vth": 131071}[name]:
        return  # no fault that a device could have
    device = run_loihi(changed_population(network, population.name, **{name: wrong}), spikes)
    words = f"population {population.name}: "

    def right(f: Finding) -> bool:
        assert f.low is not None
        assert f.high is not None
        known = (f.constant, f.population, f.neurons) == (name, population.name, ())
        return known and f.low <= wrong <= f.high and f.expected == getattr(population, name)

    the_one(network, spikes, device, right, words)


@given(seeds, st.integers(0, 10**6), st.integers(0, 10))
@some
def test_the_threshold_of_one_neuron(seed: int, pick: int, bit: int) -> None:
    network, spikes = random_network(seed)
    population, neuron = a_population(network, pick)
    wrong = population.vth ^ (1 << bit)
    device = run_loihi(network, spikes, Faults(constants={(population.name, neuron): {"vth": wrong}}))

    def right(f: Finding) -> bool:
        # Where every neuron's spikes fit the value, it may be that of all: said so, and the threshold is one for all.
        known = f.constant == "vth" and f.population == population.name and f.neurons in ((neuron,), ())
        return known and f.low is not None and f.high is not None and f.low <= wrong <= f.high

    the_one(network, spikes, device, right, "threshold")


@given(seeds, st.integers(0, 10**6), st.sampled_from(["reset", "dead"]))
@some
def test_a_dropped_reset_and_a_dead_neuron(seed: int, pick: int, kind: str) -> None:
    network, spikes = random_network(seed)
    population, neuron = a_population(network, pick)
    here = frozenset([(population.name, neuron)])
    device = run_loihi(network, spikes, Faults(no_reset=here) if kind == "reset" else Faults(dead=here))
    constant, words = {"reset": ("reset", "stays as it is"), "dead": ("output", "never spikes")}[kind]

    def right(f: Finding) -> bool:
        where = (neuron,) if population.size > 1 else ()
        return (f.constant, f.population, f.neurons) == (constant, population.name, where) and words in f.text

    the_one(network, spikes, device, right, words)


@pytest.mark.parametrize("late", [-1, 1, 2])
@pytest.mark.parametrize("seed", [1, 3, 4, 5])
def test_a_projection_that_is_shifted(seed: int, late: int) -> None:
    network, spikes = random_network(seed)
    projection = next(p for p in network.projections if network[p.source].kind == "lif")
    # Nothing can arrive in the step in which it was sent: slots make room for what is early.
    network = changed_projection(network, projection.name, slots=projection.slots + 1)
    device = run_loihi(network, spikes, Faults(late={projection.name: late}))

    def right(f: Finding) -> bool:
        return (f.cause, f.projection, f.low) == ("off by one step", projection.name, late)

    the_one(network, spikes, device, right, f"projection {projection.name} arrives")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_input_that_is_a_step_late(seed: int) -> None:
    network, spikes = random_network(seed)
    names = [p.name for p in network.projections if p.source == "in"]
    device = run_loihi(network, spikes, Faults(late=dict.fromkeys(names, 1)))
    the_one(network, spikes, device, lambda f: "input in: its spikes arrive 1 step late" in f.text, "input")


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])
def test_a_layer_that_reports_a_step_late(seed: int) -> None:
    network, spikes = random_network(seed)
    population, _ = a_population(network, seed)
    device = run_loihi(network, spikes, Faults(report_late=population.name))
    words = f"population {population.name}: all that it reports is 1 step late"
    the_one(network, spikes, device, lambda f: words in f.text, words)


def test_spikes_that_are_lost_on_their_way() -> None:
    network, spikes = random_network(4)
    sent = run_loihi(network, spikes, NONE).spikes["h0"]
    projection = next(p for p in network.projections if p.target == "h0")
    events = [(int(t), int(u)) for t, u in zip(spikes.times, spikes.units, strict=True) if t < 30][:4]
    lost = frozenset((projection.name, 0, t, u) for t, u in events)
    device = run_loihi(network, spikes, Faults(lost=lost))
    assert (device.spikes["h0"] != sent).any()
    (finding,) = diagnose_integers(network, spikes, device).findings
    assert (finding.cause, finding.projection, finding.low) == ("lost spikes", projection.name, 4)
    assert f"{projection.name}: 4 of {spikes.times.size} spikes do not arrive" in finding.text


def test_faults_of_two_neurons_and_of_two_kinds_are_two_findings() -> None:
    network, spikes = random_network(4)
    projection = next(p for p in network.projections if p.source == "in")
    weight = projection.weight.copy()
    weight[0, 0] ^= 16
    weight[1, 2] ^= 32
    changed = changed_projection(network, projection.name, weight=weight)
    device = run_loihi(changed_population(changed, "out", dv=90), spikes)
    found = diagnose_integers(network, spikes, device)
    assert found.unexplained == ()
    assert {(f.synapse, f.low) for f in found.findings if f.cause == "weight"} == {
        ((0, 0), int(weight[0, 0])),
        ((1, 2), int(weight[1, 2])),
    }
    (decay,) = (f for f in found.findings if f.cause != "weight")
    assert (decay.constant, decay.population, decay.low, decay.high) == ("dv", "out", 90, 90)


def test_two_wrong_synapses_of_one_neuron_are_both_found() -> None:
    network, spikes = random_network(4)
    projection = next(p for p in network.projections if p.source == "in")
    weight, slots = projection.weight.copy(), projection.slots.copy()
    weight[0, 1] ^= 64
    slots[2, 1] += 3
    device = run_loihi(changed_projection(network, projection.name, weight=weight, slots=slots), spikes)
    found = diagnose_integers(network, spikes, device)
    assert found.unexplained == ()
    assert {(f.cause, f.synapse, f.low) for f in found.findings} == {
        ("weight", (0, 1), int(weight[0, 1])),
        ("delay", (2, 1), int(slots[2, 1])),
    }


def test_delays_cut_at_a_slot_and_weights_cut_at_a_value() -> None:
    network, spikes = random_network(4)
    projection = max(network.projections, key=lambda p: int(p.slots.max()))
    limit = int(np.unique(projection.slots)[-3])
    device = run_loihi(changed_projection(network, projection.name, slots=np.minimum(projection.slots, limit)), spikes)
    (finding,) = diagnose_integers(network, spikes, device).findings
    assert (finding.cause, finding.projection, finding.low) == ("delay clipped", projection.name, limit)
    weight = np.minimum(projection.weight, int(np.unique(projection.weight)[-4]))
    device = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    (finding,) = diagnose_integers(network, spikes, device).findings
    assert (finding.cause, finding.projection, finding.low) == ("clipped weight", projection.name, int(weight.max()))


def test_synapses_that_always_arrive_together_are_both_named() -> None:
    """Two sources that spike at the same steps, through the same slot: which one is wrong nobody can tell."""
    network, spikes = random_network(4)
    projection = next(p for p in network.projections if p.source == "in")
    raster = np.stack([spikes.dense(s) for s in range(spikes.n_samples)])
    raster[:, 1] = raster[:, 0]
    times = [np.nonzero(r.T) for r in raster]
    offsets = np.cumsum([0, *(t.size for t, _ in times)])
    spikes = SpikeTrains(
        np.concatenate([t for t, _ in times]).astype(np.int32),
        np.concatenate([u for _, u in times]).astype(np.int32), offsets, spikes.n_units, spikes.n_steps,
    )  # fmt: skip
    slots = projection.slots.copy()
    slots[1] = slots[0]
    network = changed_projection(network, projection.name, slots=slots)
    weight = projection.weight.copy()
    weight[0, 0] ^= 8
    device = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    (finding,) = diagnose_integers(network, spikes, device).findings
    assert not finding.certain
    named = (finding.text, *finding.alternatives)
    assert any("synapse 0->0 " in text for text in named)
    assert any("synapse 1->0 " in text for text in named)


def test_a_synapse_whose_source_never_spikes_cannot_show() -> None:
    network, spikes = random_network(1)
    kept = spikes.units != 0
    offsets = np.searchsorted(np.flatnonzero(kept), spikes.offsets).astype(np.int64)
    spikes = SpikeTrains(spikes.times[kept], spikes.units[kept], offsets, spikes.n_units, spikes.n_steps)
    projection = next(p for p in network.projections if p.source == "in")
    weight = projection.weight.copy()
    weight[0, 0] ^= 8
    device = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    found = diagnose_integers(network, spikes, device)
    assert found.equal
    assert found.idle[projection.name] == (int(projection.exists[0].sum()), projection.n_synapses)


def noise(device: Traces, name: str) -> Diagnosis:
    network, spikes = random_network(1)
    rng = np.random.default_rng(0)
    device.u[name][...] += rng.integers(-5, 6, device.u[name].shape)
    return diagnose_integers(network, spikes, device)


def test_what_nothing_explains_is_not_given_a_cause() -> None:
    network, spikes = random_network(1)
    found = noise(run_loihi(network, spikes), "h0")
    assert found.findings == ()
    assert {u.quantity for u in found.unexplained} >= {"u"}
    assert all("no change that was tried explains all of them" in u.text for u in found.unexplained)
    assert "no single change explains them" in found.sentence


@pytest.mark.parametrize("kept", ["v and spikes", "spikes", "outputs"])
def test_a_device_that_reports_less_still_has_its_weight_found(kept: str) -> None:
    network, spikes = random_network(1)
    projection = next(p for p in network.projections if p.target == "out")
    weight = projection.weight.copy()
    pre, post = 0, 0
    weight[pre, post] ^= 32
    device = run_loihi(changed_projection(network, projection.name, weight=weight), spikes)
    if kept == "outputs":
        device = Traces({}, {"out": device.v["out"]}, {})
    else:
        device = without(device, *(["u"] if kept == "v and spikes" else ["u", "v"]))
    found = diagnose_integers(network, spikes, device)
    if kept == "spikes":
        # The readout has no spikes: nothing that it does was reported.
        assert found.equal
        assert any("out: v was not reported" in text for text in found.not_available)
        return
    (finding,) = found.findings
    assert (finding.cause, finding.projection, finding.synapse) == ("weight", projection.name, (pre, post))
    assert (finding.low, finding.high, finding.quantity) == (int(weight[pre, post]), int(weight[pre, post]), "v")
    said = "its spikes were not reported" if kept == "outputs" else "u was not reported"
    assert any(said in text for text in found.not_available)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100, 10))
def test_many_more_faults(first: int) -> None:
    """The tests above with arguments at random."""
    rng = np.random.default_rng(first)
    for seed in range(first, first + 10):
        pick = int(rng.integers(10**6))
        drawn: list[tuple[Any, ...]] = [
            (test_a_bit_of_a_weight, int(rng.integers(1, 9))),
            (test_a_delay_slot, int(rng.integers(41))),
            (test_a_decay_or_threshold_of_a_population, str(rng.choice(["du", "dv", "vth"])), int(rng.integers(11))),
            (test_the_threshold_of_one_neuron, int(rng.integers(11))),
            (test_a_dropped_reset_and_a_dead_neuron, str(rng.choice(["reset", "dead"]))),
        ]
        for test, *arguments in drawn:
            planted(test)(seed, pick, *arguments)


def planted(test: Any) -> Any:
    """The function behind a test of hypothesis."""
    return test.hypothesis.inner_test
