"""Where one thing differs from training, that thing is named, and all contributions are the whole difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import emulate
from tests.attribution.cases import LoihiCase, explain, tau_of, voltage
from toolchain.attribution.divergence import Attribution, Cause, Divergent, attribute
from toolchain.attribution.membrane import Constants, Neuron
from toolchain.deployment.abilities import Replay
from toolchain.deployment.target import find_target
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.spikes import bin_events

# Forty-four inputs, of which 2 to 43 have light weights. On the chip all arrive in step 81.
HEAVY, LIGHT = 2, 42
WEIGHTS = np.array([200] * HEAVY + [6] * LIGHT)
SLOTS = np.array([62] * HEAVY + [0] * LIGHT)
TIMES = np.array([18] * HEAVY + [80] * LIGHT)


def base(vth: int) -> LoihiCase:
    return LoihiCase(WEIGHTS, SLOTS, vth)


def peak_in_units(case: LoihiCase) -> float:
    """Largest V of the chip in units of integer weights, if it never spiked."""
    silent = replace(case.integers, populations=tuple(
        replace(p, vth=131071) if p.kind == "lif" else p for p in case.integers.populations
    ))  # fmt: skip
    spikes = bin_events([(TIMES, np.arange(TIMES.size))], TIMES.size, 150)[0]
    return float(emulate(silent, spikes, traces=True).v["h"].max()) / 64


@pytest.fixture(scope="module")
def peak() -> float:
    return peak_in_units(base(1000))


def first(case: LoihiCase, trained: Network, times: NDArray[np.int64]) -> Attribution:
    ((found, _),) = case.explain(trained, times)
    return found


def others(found: Attribution, name: str) -> float:
    return max((abs(c.value) for c in found.contributions if c.name != name), default=0.0)


def check_sum(found: Attribution) -> None:
    total = sum(c.value for c in found.contributions)
    assert found.chip_margin - found.float_margin == pytest.approx(total, abs=1e-12)


def weights_of(network: Network) -> NDArray[np.float64]:
    return network.projections[0].weight[:, 0].astype(np.float64)


def oracle_margin(network: Network, step: int) -> float:
    """(V - threshold) / threshold of the trained neuron, whose first spike is not before `step`."""
    constants = NeuronConstants.of(network["h"], 1.0)
    spikes = [(int(t), i) for i, t in enumerate(TIMES)]
    three = float(constants.alpha), float(constants.beta), float(constants.gain)
    v = voltage(weights_of(network), network.projections[0].slots()[:, 0], spikes, three, step)
    return (v - constants.threshold) / constants.threshold


def test_equal_networks_do_not_diverge(peak: float) -> None:
    for factor in (0.9, 1.1):
        case = base(int(peak * factor))
        assert case.explain(case.trained(), TIMES) == []


def test_a_delay_that_is_clipped_is_the_cause(peak: float) -> None:
    """The chip has slot 62 where training has 70: in training the arrivals come together, on the chip they do not."""
    case = base(int(peak * 0.99))
    # Eight steps earlier than in the other tests.
    early = np.array([10] * HEAVY + [80] * LIGHT)
    found = first(case, case.trained(slot={0: 70.0, 1: 70.2}), early)
    assert (found.cause, found.decisive) == ("clipped_delay", ("clipped_delay",))
    assert others(found, "clipped_delay") < 2e-4
    check_sum(found)
    assert [(s.source_neuron, s.slot, s.chip_slot, s.arrivals, s.chip_arrivals) for s in found.synapses[:2]] == [
        (0, 70, 62, (81,), (73,)),
        (1, 70, 62, (81,), (73,)),
    ]


def test_delays_that_differ_below_the_largest_slot_are_moved_and_not_clipped(peak: float) -> None:
    case = LoihiCase(WEIGHTS, np.array([40] * HEAVY + [0] * LIGHT), int(peak * 0.99))
    found = first(case, case.trained(slot={0: 62.0, 1: 62.0}), TIMES)
    assert found.cause == "moved_delay"
    assert others(found, "moved_delay") < 5e-4
    check_sum(found)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"weight": {0: 300.0, 1: 300.0}}, "clipped_weight"),
        ({"weight": dict.fromkeys(range(HEAVY, 44), 6.9)}, "rounded_weight"),
        ({"tau_mem_ms": tau_of((4096 - 215) / 4096)}, "rounded_voltage_decay"),
        ({"tau_syn_ms": tau_of((4095 - 780) / 4096)}, "rounded_current_decay"),
        ({"threshold": 0.95}, "rounded_threshold"),
    ],
)
def test_the_one_change_is_the_cause(peak: float, changed: dict[str, Any], cause: Cause) -> None:
    """With it the trained neuron is on the other side of the threshold from the chip, whose integers stay."""
    weights = WEIGHTS.copy()
    if cause == "clipped_weight":
        weights[:HEAVY] = 254
    height = peak_in_units(LoihiCase(weights, SLOTS, 1000))
    found = None
    for factor in (1.004, 0.996):
        case = LoihiCase(weights, SLOTS, round(height * factor))
        trained = case.trained(**changed)
        if diverging := case.explain(trained, TIMES):
            found = diverging[0][0]
            break
    assert found is not None
    assert (found.cause, found.decisive[0]) == (cause, cause)
    assert others(found, cause) < 2e-4 < abs({c.name: c.value for c in found.contributions}[cause])
    assert found.float_margin == pytest.approx(oracle_margin(trained, found.step), abs=1e-9)
    assert (found.float_margin >= 0) == (found.spiked == "float")
    assert (found.chip_margin >= 0) == (found.spiked == "chip")
    check_sum(found)


def test_weights_that_became_zero_are_the_cause(peak: float) -> None:
    weights = np.array([254] * HEAVY + [0] * LIGHT)
    height = peak_in_units(LoihiCase(weights, SLOTS, 1000))
    case = LoihiCase(weights, SLOTS, int(height * 1.02))
    trained = case.trained(weight=dict.fromkeys(range(HEAVY, 44), 0.9))
    found = first(case, trained, TIMES)
    assert (found.cause, found.spiked) == ("zeroed_weight", "float")
    assert others(found, "zeroed_weight") < 2e-4
    check_sum(found)


def test_a_pruned_synapse_is_the_cause_and_its_lost_delay_is_none(peak: float) -> None:
    """Training has another heavy synapse with a delay of 62; pruning leaves neither weight nor delay of it."""
    weights, slots = np.append(WEIGHTS, 0), np.append(SLOTS, 0)
    case = LoihiCase(weights, slots, int(peak * 1.02))
    times = np.append(TIMES, 18)
    trained = case.trained(weight={44: 150.0}, slot={44: 62.0})
    ((found, _),) = case.explain(trained, times, deployed=case.trained())
    assert (found.cause, found.spiked) == ("pruned_synapses", "float")
    assert others(found, "pruned_synapses") < 5e-4
    assert not {c.name for c in found.contributions} & {"clipped_delay", "moved_delay", "zeroed_weight"}
    check_sum(found)


def test_a_current_that_wraps_is_the_cause() -> None:
    """Six weights of 254 * 2^7 are 195072, beyond the 131072 that 24 bits hold shifted by 6."""
    case = LoihiCase(np.full(6, 254), np.zeros(6, np.int64), 100_000, exponent=7)
    found = first(case, case.trained(), np.full(6, 30))
    assert (found.cause, found.spiked, found.step) == ("wrapped_current", "float", 31)
    assert found.overflows[0] == (31, "wrapped_current")
    # Once around 24 bits is 2^24 units of v.
    wrap = {c.name: c.value for c in found.contributions}["wrapped_current"]
    assert wrap == pytest.approx(-(2**24) / (64 * 100_000), rel=1e-9)
    check_sum(found)


def test_a_voltage_that_is_clipped_is_the_cause() -> None:
    """Inhibition takes V below what 24 bits hold; clipped there, the chip comes back sooner than training."""
    weights = np.array([-256] * 3 + [254] * 4)
    case = LoihiCase(weights, np.zeros(7, np.int64), 100_000, exponent=7)
    found = first(case, case.trained(), np.array([5, 5, 5, 30, 30, 30, 30]))
    assert (found.cause, found.spiked) == ("clipped_voltage", "chip")
    check_sum(found)


def test_a_tie_is_a_spike_in_float_and_none_on_the_chip() -> None:
    """Without decay of any kind V is the weight: 500 against a threshold of 500."""
    instant = {"tau_mem_ms": 0.02, "tau_syn_ms": 0.02}
    case = LoihiCase(np.array([250, 250]), np.zeros(2, np.int64), 500, du=4095, dv=4096, **instant)  # type: ignore[arg-type]
    # A few parts in ten millions more, so that float32 does not miss the threshold.
    found = first(case, case.trained(weight={0: 250.00005, 1: 250.00005}), np.array([20, 20]))
    assert (found.cause, found.spiked, found.step) == ("threshold_tie", "float", 21)
    assert found.chip_margin == pytest.approx(-1 / (64 * 500), rel=1e-9)
    assert abs(found.float_margin) < 1e-6
    check_sum(found)


def test_rounding_at_every_step_is_the_cause_where_nothing_else_differs() -> None:
    """Weights of one unit: the decay toward zero eats most of what is left of them on the chip."""
    n, found = 60, None
    times = np.arange(n) + 5
    for vth in range(6, 14):
        case = LoihiCase(np.full(n, 2), np.zeros(n, np.int64), vth, exponent=-1)
        if diverging := case.explain(case.trained(), times):
            found = diverging[0][0]
            break
    assert found is not None
    assert found.cause == "truncated_decay"
    values = {c.name: c.value for c in found.contributions}
    # Strict comparison is a unit of the last place, and weights come as float32.
    assert values.pop("rounded_threshold") == pytest.approx(-found.unit, rel=1e-9)
    assert max(abs(v) for name, v in values.items() if name != "truncated_decay") < 1e-6
    check_sum(found)


def test_a_spike_one_step_late_is_said_to_be_one(peak: float) -> None:
    """Both spike on the way up: the chip, a little lower, one step later."""
    case = base(int(peak * 0.8))
    ((found, both),) = case.explain(case.trained(weight=dict.fromkeys(range(HEAVY, 44), 7.5)), TIMES)
    first = {name: int(spikes["h"][0].min()) for name, spikes in (("float", both.floating), ("chip", both.chip))}
    assert first["chip"] == first["float"] + 1 == found.step + 1
    assert (found.off_by_one, found.spiked, found.cause) == ("chip_later", "float", "rounded_weight")
    assert "one step later" in found.sentence


def test_a_ring_buffer_that_saturates_is_the_cause() -> None:
    """SpiNNaker is calibrated on inputs that come one by one; then sixteen come at once, and its 16 bits are full."""
    n, target = 16, find_target("spinnaker1")
    network = Network(
        1.0,
        (
            Population("in", "spike_source", n),
            Population("h", "lif", 1, threshold=2.0),
            Population("out", "leaky_readout", 1),
        ),
        (make_projection("in", "h", np.full((n, 1), 1.5)), make_projection("h", "out", np.ones((1, 1)))),
    )
    calm = bin_events([(np.arange(n) * 8, np.arange(n))], n, 150)[0]
    quantised = target.quantise(network, calm, clip_delays=False)
    ((found, _),) = explain(network, target, quantised, bin_events([(np.full(n, 20), np.arange(n))], n, 150)[0])
    assert found.cause == "saturated_ring_buffer"
    assert found.overflows[0] == (21, "saturated_ring_buffer")
    check_sum(found)


def neuron_of(weight: float, chip: Constants, trained: Constants) -> Neuron:
    one, none = np.array([weight]), np.zeros(1)
    names = ("pruned_synapses", "rounded_weight", "clipped_weight", "zeroed_weight")
    slot = np.zeros(1, dtype=np.int64)
    return Neuron(
        "h", 0, (("in", 0, 1),), one, dict.fromkeys(names, none), slot, slot, np.zeros(1, bool), trained, chip, False
    )


def test_where_float_itself_rounds_across_the_threshold_nothing_of_the_chip_is_blamed() -> None:
    """In float64 the trained neuron stays below, as on the chip: that float32 spikes is its own rounding."""
    constants = Constants(0.9, 0.8, 0.1, 1.0)
    neuron = neuron_of(10 * (1 - 1e-9), constants, constants)
    spikes = {"in": (np.array([3]), np.array([0])), "h": (np.zeros(0, np.int64),) * 2}
    floating = {**spikes, "h": (np.array([4]), np.array([0]))}
    v = np.array([0.0, 0.0, 0.0, 0.0, 1 - 1e-9])
    replay = Replay(v, v, 1.0, 1e-12, ())
    found = attribute(neuron, Divergent("h", 0, 4, "float"), replay, floating, spikes, sample=0)
    assert found.cause == "float_rounding"
    assert found.float_margin == pytest.approx(-1e-9, rel=1e-3)


def test_what_the_replay_does_not_reproduce_is_unexplained() -> None:
    constants = Constants(0.9, 0.8, 0.1, 1.0)
    neuron = neuron_of(12.0, constants, constants)
    spikes = {"in": (np.array([3]), np.array([0])), "h": (np.zeros(0, np.int64),) * 2}
    floating = {**spikes, "h": (np.array([4]), np.array([0]))}
    v = np.array([0.0, 0.0, 0.0, 0.0, 0.9])
    replay = Replay(v, v, 1.0, 1e-12, ())
    divergent = Divergent("h", 0, 4, "float")
    assert attribute(neuron, divergent, replay, floating, spikes, sample=0).cause == "truncated_decay"
    assert attribute(neuron, divergent, replay, floating, spikes, sample=0, faithful=False).cause == "unexplained"
    above = Replay(v * 2.0, v * 2.0, 1.0, 1e-12, ())
    assert attribute(neuron, divergent, above, floating, spikes, sample=0).cause == "unexplained"
