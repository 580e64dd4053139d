"""Faults that look like others: what is named is what was planted, or it is said that something else does the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from tests.diagnosis.planted import (
    NONE,
    Faults,
    changed_population,
    changed_projection,
    diagnose_integers,
    run_loihi,
    run_spinnaker,
    without,
)
from tests.diagnosis.test_planted_spinnaker import made as made_for_spinnaker
from tests.loihi.small_networks import READOUT, projection, trains
from toolchain.deployment.target import Traces
from toolchain.diagnosis.findings import Diagnosis, Finding
from toolchain.spikes import SpikeTrains, bin_events

VIEWS = {"all": (), "no u": ("u",), "spikes": ("u", "v")}


def made(hidden: int = 12) -> tuple[IntegerNetwork, SpikeTrains]:
    """Two hidden layers without recurrence, weights of both signs, slots 0 to 30, two samples."""
    rng = np.random.default_rng(0)
    sizes = {"in": 10, "h0": hidden, "h1": 8, "out": 3}
    populations = [IntegerPopulation("in", "spike_source", 10)]
    populations += [IntegerPopulation(name, "lif", sizes[name], 400, 200, 250) for name in ("h0", "h1")]
    populations.append(IntegerPopulation("out", "leaky_readout", 3, 400, 200, READOUT_VTH))
    projections = []
    for source, target in (("in", "h0"), ("h0", "h1"), ("h1", "out")):
        shape = sizes[source], sizes[target]
        weight = (2 * rng.integers(-30, 60, shape)).astype(np.int32)
        projections.append(IntegerProjection(source, target, weight, 0, rng.integers(0, 31, shape).astype(np.int64)))
    events = [np.nonzero(rng.random((90, 10)) < 0.1) for _ in range(2)]
    spikes, _ = bin_events([(times, units) for times, units in events], 10, 90)
    return IntegerNetwork(1.0, tuple(populations), tuple(projections)), spikes


def first(network: Any, name: str = "in->h0") -> Any:
    return next(p for p in network.projections if p.name == name)


def late(array: np.ndarray[Any, Any]) -> None:
    """The record of every step is that of the step before."""
    array[:, 1:] = array[:, :-1].copy()
    array[:, 0] = 0


def named(finding: Finding) -> str:
    return " | ".join((finding.text, *finding.alternatives))


def seen(network: IntegerNetwork, spikes: SpikeTrains, device: Traces, view: str) -> Diagnosis:
    return diagnose_integers(network, spikes, without(device, *VIEWS[view]))


@pytest.mark.parametrize("view", ["all", "no u"])
@pytest.mark.parametrize("population", ["h0", "h1"])
def test_spikes_that_are_recorded_late_are_no_early_arrivals(population: str, view: str) -> None:
    network, spikes = made()
    device = run_loihi(network, spikes)
    late(device.spikes[population])
    (finding,) = (found := seen(network, spikes, device, view)).findings
    assert found.unexplained == ()
    assert finding.text.startswith(f"population {population}: its spikes are recorded 1 step late")
    assert (finding.cause, finding.projection) == ("off by one step", None)


@pytest.mark.parametrize("what", ["spikes", "all"])
def test_a_late_record_is_seen_past_a_fault_of_one_neuron(what: str) -> None:
    network, spikes = made()
    weight = first(network).weight.copy()
    weight[3, 4] ^= 64
    device = run_loihi(changed_projection(network, "in->h0", weight=weight), spikes)
    for arrays in (device.spikes,) if what == "spikes" else (device.u, device.v, device.spikes):
        late(arrays["h0"])
    found = seen(network, spikes, device, "all")
    assert found.unexplained == ()
    record, synapse = found.findings
    assert "1 step late" in record.text
    assert record.projection is None
    assert (synapse.cause, synapse.synapse, synapse.low) == ("weight", (3, 4), int(weight[3, 4]))


def test_a_device_that_reports_everything_late_looks_like_one_that_is_late() -> None:
    network, spikes = made()
    device = run_loihi(network, spikes)
    for arrays in (device.u, device.v, device.spikes):
        for array in arrays.values():
            late(array)
    (finding,) = seen(network, spikes, device, "all").findings
    assert "input in: its spikes arrive 1 step late" in finding.text
    assert finding.alternatives == ("all that the device reports is 1 step late",)


def test_spikes_alone_do_not_tell_the_last_layer_late_from_its_reports_late() -> None:
    network, spikes = made()
    device = run_loihi(network, spikes)
    late(device.spikes["h1"])
    (finding,) = seen(network, spikes, device, "spikes").findings
    assert "projection h0->h1 arrives 1 step late" in finding.text
    assert "population h1: all that it reports is 1 step late" in finding.alternatives


def test_half_a_threshold_and_twice_the_weights_are_both_named() -> None:
    network, spikes = made()
    device = run_loihi(changed_projection(network, "h0->h1", exponent=1), spikes)
    (finding,) = seen(network, spikes, device, "spikes").findings
    assert "projection h0->h1 has exponent 1, must be 0" in named(finding)
    assert "population h1: threshold (vth) is one of 12" in named(finding)
    (certain,) = seen(network, spikes, device, "all").findings
    assert (certain.cause, certain.projection, certain.certain) == ("weight exponent", "h0->h1", True)


def test_the_longest_delay_of_one_neuron_is_no_limit_of_the_projection() -> None:
    """Beside a fault of another neuron the one synapse whose slot is cut was called a projection whose slots are."""
    network, spikes = made()
    slots = np.minimum(first(network).slots, 25)
    slots[2, 6] = 30
    network = changed_projection(network, "in->h0", slots=slots)
    wrong = slots.copy()
    wrong[2, 6], wrong[7, 8] = 27, slots[7, 8] + 4
    device = run_loihi(changed_projection(network, "in->h0", slots=wrong), spikes)
    findings = seen(network, spikes, device, "all").findings
    assert {(f.cause, f.synapse, f.low) for f in findings} == {
        ("delay", (2, 6), 27),
        ("delay", (7, 8), int(wrong[7, 8])),
    }


def test_neurons_whose_reports_are_exchanged_leave_no_certain_fault_of_their_targets() -> None:
    network, spikes = made()
    device = run_loihi(network, spikes)
    for arrays in (device.u, device.v, device.spikes):
        arrays["h0"][..., [3, 7]] = arrays["h0"][..., [7, 3]]
    for view in ("all", "no u"):
        found = seen(network, spikes, device, view)
        assert {n for u in found.unexplained if u.population == "h0" for n in u.neurons} == {3, 7}
        assert any(f.population == "h1" for f in found.findings) or any(u.population == "h1" for u in found.unexplained)
        assert all("sends other spikes than it reports" in named(f) for f in found.findings)


@pytest.mark.parametrize(("pre", "bit"), [(0, 64), (1, 64), (2, 32)])
def test_a_layer_of_one_neuron_has_its_synapse_named_too(pre: int, bit: int) -> None:
    """Its few spikes fit another decay or a clipped projection as well; of one neuron neither is the simpler."""
    network, spikes = made(hidden=1)
    network, spikes = changed_population(network, "h0", vth=60), spikes.select([1])
    weight = first(network).weight.copy()
    weight[pre, 0] ^= bit
    device = run_loihi(changed_projection(network, "in->h0", weight=weight), spikes)
    (finding,) = (f for f in seen(network, spikes, device, "spikes").findings if f.population == "h0")
    assert f"synapse {pre}->0 has " in named(finding)


@pytest.mark.parametrize(("times", "certain"), [(1, False), (4, True)])
def test_two_synapses_that_each_act_once_may_be_two_disturbances(times: int, certain: bool) -> None:
    """Without u each wrong arrival makes all later voltages wrong: these are no more evidence than it is."""
    lif = IntegerPopulation("lif", "lif", 1, 400, 200, 5000)
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 3), lif, READOUT),
        (projection("in", "lif", [[20], [30], [40]]), projection("lif", "out", [[20]])),
    )
    raster = np.zeros((80, 3), dtype=np.bool_)
    for n in range(times):
        raster[5 + 13 * n, 0] = raster[9 + 17 * n, 1] = raster[2 + 19 * n, 2] = True
    spikes = trains(raster)
    device = run_loihi(
        changed_projection(network, "in->lif", weight=np.array([[26], [50], [40]], dtype=np.int32)), spikes
    )
    found = seen(network, spikes, device, "no u")
    assert {(f.synapse, f.low) for f in found.findings} == {((0, 0), 26), ((1, 0), 50)}
    assert [f.certain for f in found.findings] == [certain, certain]
    if not certain:
        assert all(f.alternatives == ("2 disturbances of another kind",) for f in found.findings)


@pytest.mark.parametrize("what", ["late", "early", "absent"])
def test_long_delays_that_are_carried_wrongly_are_one_finding(what: str) -> None:
    """As by the first stage of a delay extension."""
    network, spikes = made()
    slots = first(network).slots
    least = int(slots[slots >= 16].min())
    changed: dict[str, Any] = {"mask": slots < 16}
    if what != "absent":
        changed = {"slots": np.where(slots >= 16, slots + (1 if what == "late" else -1), slots)}
    device = run_loihi(changed_projection(network, "in->h0", **changed), spikes)
    words = "does not arrive" if what == "absent" else f"arrives 1 step {what}"
    for view in ("all", "no u"):
        (finding,) = seen(network, spikes, device, view).findings
        assert finding.text.startswith(f"projection in->h0 {words} where its delay slots are {least} or more")
        assert finding.cause == ("lost spikes" if what == "absent" else "delay")


def test_two_delays_of_one_neuron_are_found_where_taking_one_away_helps_more_at_first() -> None:
    network, spikes = made_for_spinnaker(7)
    delay = first(network, "in-2->a").delay.copy()
    delay[[0, 2], 2] += 1
    device = run_spinnaker(changed_projection(network, "in-2->a", delay=delay), spikes)
    found = diagnose_integers(network, spikes, device)
    assert found.unexplained == ()
    assert {(f.cause, f.synapse, f.low) for f in found.findings} == {
        ("delay", (0, 2), int(delay[0, 2]) - 1),
        ("delay", (2, 2), int(delay[2, 2]) - 1),
    }


def test_a_hidden_spike_that_was_not_reported_is_compared_with_the_emulators() -> None:
    network, spikes = made()
    sent = run_loihi(network, spikes, NONE).spikes["h1"]
    (sample, step, neuron) = np.argwhere(sent)[0].tolist()
    device = run_loihi(network, spikes, Faults(lost=frozenset([("h1->out", sample, step, neuron)])))
    (finding,) = diagnose_integers(network, spikes, Traces({}, {"out": device.v["out"]}, {})).findings
    assert finding.text.startswith(f"projection h1->out: 1 of {sent.sum()} spikes of the emulator do not arrive")


def test_neurons_that_were_not_tried_are_not_said_to_have_been() -> None:
    network, spikes = made()
    device = run_loihi(network, spikes)
    rng = np.random.default_rng(0)
    device = replace(device, u={**device.u, "h0": device.u["h0"] + rng.integers(-5, 6, device.u["h0"].shape)})
    found = seen(network, spikes, device, "all")
    (unexplained,) = (u for u in found.unexplained if u.quantity == "u")
    assert len(unexplained.neurons) == 12
    # After six in a row that nothing explains no more are tried.
    assert unexplained.text.endswith("; of these neurons 6 were not tried alone")
