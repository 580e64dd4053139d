"""Estimates of small networks, worked out by hand: energy, latency, load, and the warning of a core too busy."""

from __future__ import annotations

import numpy as np
import pytest

from hardware_targets.loihi import cost as loihi
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.spinnaker import cost as spinnaker
from hardware_targets.spinnaker.integer_network import IntegerNetwork as SpinnakerNetwork
from hardware_targets.spinnaker.limits import read_limits
from tests.loihi.mapped_networks import LOIHI1, LOIHI2, make_network
from tests.spinnaker.mapped import population, projection
from toolchain.cost.constants import Constant
from toolchain.cost.content import Cost
from toolchain.cost.counting import count
from toolchain.cost.estimates import busiest
from toolchain.cost.interval import Interval
from toolchain.cost.workload import CountKind, Site, Workload
from toolchain.deployment.target import CoreUse, EmulatedResponses, Placement, Resource, Traces
from toolchain.spikes import bin_events

PJ, NS, NJ = 1e-12, 1e-9, 1e-9
STEPS = 3


def responses(raster: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], silent: str) -> tuple[EmulatedResponses, Traces]:
    """What an emulator would say of one sample in which population ``a`` spikes like this and another not at all."""
    rasters = {"a": raster[np.newaxis], silent: np.zeros((1, STEPS, 1), np.bool_)}
    counts = {name: r.sum(axis=1, dtype=np.int64) for name, r in rasters.items()}
    emulated = EmulatedResponses(np.zeros((1, STEPS, 1), np.int32), np.zeros((1, 1), np.int64), {}, {}, counts)
    return emulated, Traces({}, {}, rasters)


def on_loihi(chip: str) -> Cost:
    """Two inputs onto 4 neurons on one core and 4 on the next, onto one output: everything connected."""
    sizes = {"in": 2, "a": 8, "out": 1}

    def full(source: str, target: str) -> IntegerProjection:
        shape = (sizes[source], sizes[target])
        return IntegerProjection(source, target, np.full(shape, 4, np.int32), 0, np.zeros(shape, np.int64))

    network: IntegerNetwork = make_network(sizes, [full("in", "a"), full("a", "out")])
    cores = (CoreUse(0, "a", 0, 3, {}), CoreUse(1, "a", 4, 7, {}), CoreUse(2, "out", 0, 0, {}))
    spikes = bin_events([(np.array([0]), np.array([1]))], 2, STEPS)[0]
    raster = np.zeros((STEPS, 8), np.bool_)
    raster[1, :5] = True  # four on the first core, one on the second
    emulated, traces = responses(raster, "out")
    limits = {"loihi1": LOIHI1, "loihi2": LOIHI2}[chip]
    placement = Placement(cores, ())
    return loihi.network_cost(
        network, placement, limits, spikes=spikes, emulated=emulated, traced=spikes, traces=traces
    )


def test_energy_and_latency_on_loihi_1_are_sums_that_can_be_done_by_hand() -> None:
    cost = on_loihi("loihi1")
    # 8 events of the input, 5 of the hidden neurons; 27 updates; 5 spikes; 2 messages in, 5 between cores of one tile.
    counts = {row.name: row.mean for row in cost.counts}
    assert (counts["synaptic_events"], counts["neuron_updates"], counts["spikes_out"]) == (13, 27, 5)
    assert (counts["messages"], counts["input_messages"], counts["hops"]) == (7, 2, 0)
    dynamic = 13 * 35.5 * PJ + 27 * 72.8 * PJ + 5 * 69.3 * PJ + 5 * 111 * PJ + 2 * 111 * PJ
    found = cost.estimate("energy_dynamic").interval
    assert found is not None
    assert found.value == pytest.approx(dynamic)
    assert found.low == pytest.approx(13 * 23.6 * PJ + 27 * 52 * PJ + 5 * 69.3 * PJ + 5 * 1.7 * PJ)
    assert found.high == pytest.approx(13 * 35.5 * PJ + 27 * 81 * PJ + 5 * 69.3 * PJ + 5 * 111 * PJ + 2 * 111 * PJ)
    # Step 0: each hidden core takes a message and 4 events. Step 1: the first core sends 4 spikes, the output takes 5.
    updates = 4 * 9.7
    first = updates + 16 + 4 * 3.8
    sending = updates + 4 * 30 + 4 * 5.1
    taking = 9.7 + 5 * 16 + 5 * 3.8
    steps = [first, max(sending, taking), updates]
    latency = sum(steps) * NS + STEPS * 600 * NS
    ends = cost.estimate("latency").interval
    assert ends is not None
    assert ends.value == pytest.approx(latency)
    static = cost.estimate("energy_static").interval
    assert static is not None
    assert static.value == pytest.approx(0.029 * latency)
    whole = cost.estimate("energy_total").interval
    assert whole is not None
    assert whole.value == pytest.approx(dynamic + 0.029 * latency)
    factor = cost.estimate("real_time_factor").interval
    assert factor is not None
    assert factor.value == pytest.approx(STEPS * 1e-3 / latency)
    busiest = cost.loads[0]
    assert (busiest.core, busiest.population, busiest.last) == (0, "a", 3)
    assert busiest.busy is not None
    mean = (3 * updates + 16 + 4 * 3.8 + 4 * 30 + 4 * 5.1) * NS / STEPS
    assert busiest.busy.value == pytest.approx(mean / (latency / STEPS))


def test_loihi_2_has_no_total_because_its_static_power_is_not_public() -> None:
    cost = on_loihi("loihi2")
    dynamic = cost.estimate("energy_dynamic").interval
    assert dynamic is not None
    # One core a tile: five messages from tiles 0 and 1 to tile 2 of a row of 8.
    counts = {row.name: row.mean for row in cost.counts}
    assert (counts["hops_east_west"], counts["hops_north_south"]) == (4 * 2 + 1, 0)
    assert cost.estimate("energy_static").interval is None
    assert cost.estimate("energy_total").interval is None
    data = cost.to_json()
    assert data["estimates"]["energy_total"]["value"] is None
    assert {e["label"] for e in data["estimates"].values()} == {"estimate"}
    assert {load["busy"]["label"] for load in data["loads"]} == {"estimate"}


@pytest.mark.parametrize(("chip", "borrowed"), [("loihi1", False), ("loihi2", True)])
def test_an_estimate_with_figures_of_another_chip_says_so(chip: str, borrowed: bool) -> None:
    cost = on_loihi(chip)
    for name in ("energy_dynamic", "latency"):
        assert ("with figures of Loihi 1" in cost.estimate(name).note) == borrowed


def test_the_central_load_of_a_core_is_that_of_central_figures_wherever_the_ends_lie() -> None:
    def constant(name: str, low: float, value: float, high: float) -> Constant:
        return Constant(name, value, low, high, "ns", "assumed", "here", "")

    site = Site(0, 0, "a", 0, 0)
    workload = Workload(
        (CountKind("neuron_updates", "updates", ""),), (site,), (), {"neuron_updates": np.ones(1, np.int64)}
    )
    counts = count(workload, {"a": np.zeros((1, 1), np.int64)}, 4)
    # An update of 2, 3 or 4 ns in a step of 10, 10 or 40 ns, then of 4, 20 or 40 ns.
    constants = {"time": constant("time", 2, 3, 4)}
    (load,) = busiest(workload, counts, {"neuron_updates": "time"}, constants, Interval(10e-9, 10e-9, 40e-9))
    assert load.busy is not None
    assert (load.busy.low, load.busy.value, load.busy.high) == pytest.approx((0.1, 0.3, 0.3))
    (load,) = busiest(workload, counts, {"neuron_updates": "time"}, constants, Interval(4e-9, 20e-9, 40e-9))
    assert load.busy is not None
    assert (load.busy.low, load.busy.value, load.busy.high) == pytest.approx((0.1, 0.15, 0.5))


@pytest.mark.parametrize(("tiles", "microseconds"), [(1, 0.6), (2, 1.0), (3, 1.0), (4, 1.4), (28, 1.4), (32, 1.8)])
def test_the_barrier_is_that_of_the_next_smaller_number_of_tiles(tiles: int, microseconds: float) -> None:
    assert loihi.barrier_time(tiles, loihi.read_constants("loihi1")).value == pytest.approx(microseconds * 1e-6)


def on_spinnaker(n: int, dt_ms: float) -> Cost:
    """A source onto n neurons on one core of its chip, onto one output on the next chip to the right."""
    ones = np.ones((1, n), np.int64)
    network = SpinnakerNetwork(
        dt_ms,
        (population("in", 1, kind="spike_source"), population("a", n), population("out", 1, kind="leaky_readout")),
        (projection("in", "a", 5 * ones, ones), projection("a", "out", 5 * ones.T, ones.T)),
    )
    at = {"in": (0, 0), "a": (0, 0), "out": (1, 0)}
    sizes = {"in": 1, "a": n, "out": 1}
    cores = tuple(
        CoreUse(3 + i, name, 0, sizes[name] - 1, {}, i // 2, position=at[name]) for i, name in enumerate(sizes)
    )
    placement = Placement(cores, (Resource("boards", 1, 1), Resource("chips", 2, 48)))
    spikes = bin_events([(np.array([0]), np.array([0]))], 1, STEPS)[0]
    raster = np.zeros((STEPS, n), np.bool_)
    raster[1] = True
    emulated, traces = responses(raster, "out")
    limits = read_limits()
    return spinnaker.network_cost(
        network, placement, limits, spikes=spikes, emulated=emulated, traced=spikes, traces=traces
    )


def test_energy_and_load_on_spinnaker_are_sums_that_can_be_done_by_hand() -> None:
    cost = on_spinnaker(100, 1.0)
    counts = {row.name: row.mean for row in cost.counts}
    assert counts["synaptic_events"] == 100 + 100
    assert (counts["packets"], counts["hops"], counts["router_passes"]) == (101, 100, 201)
    time = STEPS * 1e-3
    static, dynamic = cost.estimate("energy_static").interval, cost.estimate("energy_dynamic").interval
    assert static is not None
    assert dynamic is not None
    assert static.value == pytest.approx(2 * 0.35 * time)
    assert dynamic.value == pytest.approx(3 * 0.034 * time + 201 * NJ)
    # Core a: 100 updates a tick, 100 events of one row in tick 0, 100 spikes in tick 1; one instruction 7.5 ns.
    update, event, row, spike = 113, 25, 44, 49
    tick = 7.5e-9 / 1e-3
    peak = cost.estimate("peak_load").interval
    assert peak is not None
    assert peak.value == pytest.approx((100 * update + max(100 * event + row, 100 * spike)) * tick)
    load = next(load for load in cost.loads if load.population == "a")
    assert load.busy is not None
    assert load.busy.value == pytest.approx((300 * update + 100 * event + row + 100 * spike) * tick / STEPS)
    assert next(load for load in cost.loads if load.population == "in").busy is None
    other = cost.estimate("energy_dynamic_by_keras_spiking").interval
    assert other is not None
    assert other.value == pytest.approx(200 * 13.3 * NJ + 3 * 101 * 26 * NJ)
    assert cost.warnings == ()
    latency = cost.estimate("latency").interval
    assert latency is not None
    assert latency.value == pytest.approx(time)


def test_a_core_that_cannot_finish_its_tick_is_named_and_the_run_is_as_much_slower() -> None:
    cost = on_spinnaker(100, 0.05)
    (warning,) = cost.warnings
    assert "core 4 (a 0..99) is estimated to need 2.43 ticks for tick 1 of traced sample 0" in warning
    assert "100.0% of ticks are too busy for some core; set time_scale_factor to 3" in warning
    factor, latency = cost.estimate("real_time_factor").interval, cost.estimate("latency").interval
    assert factor is not None
    assert latency is not None
    load = (100 * 113 + 100 * 49) * 7.5e-9 / 0.05e-3
    assert factor.value == pytest.approx(1 / load)
    assert latency.value == pytest.approx(STEPS * 0.05e-3 * load)
    # At the low end a core takes power while it works, however long the run is drawn out: one cycle an instruction.
    hidden, output = STEPS * 100 * 113 + 100 * 25 + 44 + 100 * 49, STEPS * 113 + 100 * (25 + 44)
    dynamic = cost.estimate("energy_dynamic").interval
    assert dynamic is not None
    assert dynamic.low == pytest.approx(0.034 * (hidden + output) * 5e-9 + 201 * NJ)
