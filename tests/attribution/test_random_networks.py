"""Random networks of every shape on both chips: nothing is unexplained, and all numbers are those of the oracles."""

from __future__ import annotations

import numpy as np
import pytest

from hardware_targets.loihi import loihi2
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.quantised import LoihiQuantised
from hardware_targets.loihi.quantiser import round_at
from hardware_targets.spinnaker.quantised import SpinnakerQuantised
from hardware_targets.spinnaker.rounding import round_network
from tests.attribution.cases import DU, DV, LoihiCase, explain, voltage
from tests.loihi.lava_step import Neuron, lava_step
from tests.networks import SHAPES, random_network, random_spikes
from tests.oracles.reference import simulate
from toolchain.attribution.divergence import Contribution, Margins
from toolchain.attribution.engines import run_both
from toolchain.attribution.explainer import Explainer
from toolchain.attribution.typical import Picked, picked_spikes, typical_contributions
from toolchain.deployment.abilities import ReplayingTarget
from toolchain.deployment.target import Quantised, Target, find_target
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.objective import Objective
from toolchain.training.backends import make_engine

STEPS = 60


def coarse(network: Network, chip: str) -> tuple[Target, Quantised]:
    """In steps so coarse that spikes change."""
    names = [p.name for p in network.populations if p.kind != "spike_source"]
    none = {p.name: 0 for p in network.projections}
    if chip == "loihi2":
        integers = round_at(network, dict.fromkeys(names, 300.0), read_limits("loihi2"))
        return loihi2, LoihiQuantised("loihi2", integers, network, none, none)
    rounded = network.with_arrays({p.name: (p.weight, np.rint(p.delay)) for p in network.projections})
    coarse = round_network(rounded, dict.fromkeys(names, 16.0), dict.fromkeys(names, (15, 15)))
    return find_target("spinnaker1"), SpinnakerQuantised(coarse, network, none, none, none)


@pytest.mark.parametrize("chip", ["loihi2", "spinnaker1"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_divergence_is_explained_by_the_oracles_own_voltage(shape: str, chip: str) -> None:
    rng = np.random.default_rng(SHAPES.index(shape))
    network = random_network(shape, rng, spiking_output=shape == "two_layers")
    spikes = random_spikes(rng, 12, 5, STEPS, 0.08)
    target, quantised = coarse(network, chip)
    found = explain(network, target, quantised, spikes)
    assert found, "in steps so coarse some spike differs"
    traces = target.emulate_traces(quantised, spikes)
    for attribution, both in found:
        population, neuron, step = attribution.population, attribution.neuron, attribution.step
        theta = network[population].threshold
        floating = {name: _raster(events, network[name].size) for name, events in both.floating.items()}
        course = simulate(network, {"in": spikes.dense(both.sample).T}, imposed=floating)
        assert attribution.float_margin == pytest.approx(
            (course.voltage[population][step, neuron] - theta) / theta, abs=1e-9
        )
        chip_rasters = {name: traces.spikes[name][both.sample] for name in floating if name != "in"}
        # The earliest of all, in the order that is promised.
        earliest = min(
            (int(t), rank, int(j), p.name)
            for rank, p in enumerate(network.populations)
            if p.kind == "lif"
            for t, j in np.argwhere(chip_rasters[p.name] != floating[p.name])
        )
        assert (step, neuron, population) == (earliest[0], earliest[2], earliest[3])
        by_chip = bool(chip_rasters[population][step, neuron])
        assert attribution.spiked == ("chip" if by_chip else "float")
        assert attribution.cause not in ("unexplained", "float_rounding")
        assert (attribution.float_margin >= 0, attribution.chip_margin >= 0) == (not by_chip, by_chip)
        total = sum(c.value for c in attribution.contributions)
        assert attribution.chip_margin - attribution.float_margin == pytest.approx(total, abs=1e-11)
        window = attribution.window
        assert window is not None
        shown = course.voltage[population][window.first_step : window.first_step + len(window.float_v), neuron]
        assert np.allclose(np.array(window.float_v, dtype=np.float64) * theta, shown, atol=1e-9)
        own = np.flatnonzero(chip_rasters[population][:, neuron])
        shown_steps = range(window.first_step, window.first_step + len(window.chip_v))
        assert window.chip_spikes == tuple(int(t) for t in own if t in shown_steps)


def _raster(events: tuple[np.ndarray, np.ndarray], size: int) -> np.ndarray:  # type: ignore[type-arg]
    raster = np.zeros((STEPS, size), dtype=np.bool_)
    raster[events] = True
    return raster


@pytest.mark.parametrize("chip", ["loihi2", "spinnaker1"])
def test_margins_at_spikes_of_the_float_network_are_those_of_the_oracle(chip: str) -> None:
    """Both engines on the float network's input, at spikes picked from everywhere."""
    rng = np.random.default_rng(3)
    network = random_network("two_coupled", rng)
    spikes = random_spikes(rng, 6, 5, STEPS, 0.08)
    target, quantised = coarse(network, chip)
    assert isinstance(target, ReplayingTarget)
    engine = make_engine("cpu", network, STEPS, max_slot=network.max_slot, objective=Objective("sum"))
    explainer = Explainer(network, target, quantised, target.largest_slot())
    on_chip = {p.name: target.weights_on_chip(quantised, p.name).weight for p in network.projections}
    quantised_network = quantised.rounded.with_arrays(
        {p.name: (on_chip[p.name].astype(np.float32), p.delay) for p in quantised.rounded.projections}
    )
    for both in run_both(engine, target, quantised, network, spikes):
        floating = {name: _raster(events, network[name].size) for name, events in both.floating.items()}
        course = simulate(network, {"in": spikes.dense(both.sample).T}, imposed=floating)
        rounded = simulate(quantised_network, {"in": spikes.dense(both.sample).T}, imposed=floating)
        for population, neuron, step in picked_spikes(network, both.floating, both.sample, 5):
            assert floating[population][step, neuron]
            margins = explainer.pick(both, population, neuron, step).margins
            theta = network[population].threshold
            expected = (course.voltage[population][step, neuron] - theta) / theta
            assert margins.trained == pytest.approx(expected, abs=1e-9)
            values = {c.name: c.value for c in margins.contributions}
            assert margins.chip - margins.trained == pytest.approx(sum(values.values()), abs=1e-11)
            # Of the weights alone, the constants being trained ones: what the oracle says, float32 aside.
            alone = sum(c.alone for c in margins.contributions if c.name.endswith("_weight"))
            change = (rounded.voltage[population][step, neuron] - course.voltage[population][step, neuron]) / theta
            assert alone == pytest.approx(change, abs=1e-5)


def test_contributions_are_the_difference_of_both_oracles_margins_where_currents_wrap_and_voltages_clip() -> None:
    """Weights of up to 254 * 2^7 of both signs: float margin by law 2, chip margin by Lava's own step, line by line."""
    seen = {"wrapped_current": 0, "clipped_voltage": 0, "none": 0}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(4, 14))
        # Every second one has most of its input at once, and more of it excitatory.
        weights = 2 * rng.integers(60, 128, n) * np.where(rng.random(n) < (0.2 if seed % 2 else 0.5), -1, 1)
        slots, times = rng.integers(0, 4 if seed % 2 else 20, n), rng.integers(0, 4 if seed % 2 else 40, n)
        vth = int(rng.integers(2_000, 131_071 if seed % 2 else 60_000))
        case = LoihiCase(weights.astype(np.int32), slots, vth, exponent=int(rng.integers(4, 8)))
        trained = case.trained(weight={i: float(w) * (1 << case.exponent) * 1.01 for i, w in enumerate(weights)})
        for found, both in case.explain(trained, times):
            constants = NeuronConstants.of(trained["h"], 1.0)
            trio = float(constants.alpha), float(constants.beta), float(constants.gain)
            arriving, own = list(zip(times.tolist(), range(n), strict=True)), both.chip["h"][0]
            before = tuple(int(t) for t in own if t < found.step)
            float_v = voltage(
                trained.projections[0].weight[:, 0].astype(float), slots, arriving, trio, found.step, before
            )
            u = v = chip_v = 0
            for t in range(found.step + 1):
                here = int(
                    sum(w << case.exponent for w, s, k in zip(weights, times, slots, strict=True) if s + 1 + k == t)
                )
                after = lava_step(Neuron(u, v, here), DU, DV)
                u, v, chip_v = after.u, 0 if t in before else after.v, after.v
            scale = 64 * vth
            difference = (chip_v - (scale + 1)) / scale - (float_v / trained["h"].threshold - 1)
            total = sum(c.value for c in found.contributions)
            assert total == pytest.approx(difference, rel=1e-9, abs=1e-9)
            for what in {what for _, what in found.overflows} or {"none"}:
                seen[what] += 1
    assert min(seen.values()) >= 3, seen


def test_picked_spikes_are_spread_over_all_and_never_more_than_there_are() -> None:
    network = random_network("two_layers", np.random.default_rng(0))
    a = np.arange(40) // 2, np.tile([0, 1], 20)
    b = np.array([3, 30]), np.array([2, 2])
    spikes = {"in": (np.arange(5), np.arange(5)), "a": a, "b": b}
    every = {("a", int(u), int(t)) for t, u in zip(*a, strict=True)} | {("b", 2, 3), ("b", 2, 30)}
    assert set(picked_spikes(network, spikes, 0, 100)) == every
    seen = [picked_spikes(network, spikes, sample, 2) for sample in range(100)]
    assert all(len(set(found)) == 2 for found in seen)
    assert {spike for found in seen for spike in found} == every
    nothing = {name: (np.zeros(0, np.int64),) * 2 for name in spikes}
    assert picked_spikes(network, nothing, 3, 2) == []


def test_typical_contributions_are_root_mean_squares() -> None:
    def picked(population: str, **values: float) -> Picked:
        contributions = tuple(Contribution(name, value, value) for name, value in values.items())  # type: ignore[arg-type]
        return Picked(population, Margins(0.1, 0.2, contributions, (), np.zeros(0)))

    found = typical_contributions(
        [
            picked("a", rounded_weight=0.3, clipped_delay=-1.0),
            picked("a", rounded_weight=-0.4),
            picked("b", rounded_gain=0.2),
        ]
    )
    assert [(t.population, t.cause, t.spikes) for t in found] == [
        ("a", "clipped_delay", 2),
        ("a", "rounded_weight", 2),
        ("b", "rounded_gain", 1),
    ]
    assert [t.rms for t in found] == pytest.approx([np.sqrt(1 / 2), np.sqrt((0.09 + 0.16) / 2), 0.2])
    assert [t.largest for t in found] == [1.0, 0.4, 0.2]


def test_delays_that_relays_extend_are_no_cause() -> None:
    """Spikes arrive on time by other neurons, which are none of the network's."""
    rng = np.random.default_rng(8)
    network = random_network("recurrent", rng, max_slot=100)
    spikes = random_spikes(rng, 12, 5, 150, 0.05)
    quantised = loihi2.quantise(network, spikes, clip_delays=False, extend_delays=True)
    assert quantised.extended is not None
    found = explain(network, loihi2, quantised, spikes)
    assert found
    for attribution, _ in found:
        assert attribution.cause not in ("unexplained", "float_rounding")
        assert not {c.name for c in attribution.contributions} & {"clipped_delay", "moved_delay"}


def test_neurons_with_time_constants_of_their_own_that_spike_once_are_explained_too() -> None:
    """SpiNNaker has both: constants of each neuron, and a refractory period without end."""
    rng = np.random.default_rng(4)
    n = 6
    taus = tuple(rng.uniform(8, 30, n)), tuple(rng.uniform(2, 7, n))
    network = Network(
        1.0,
        (
            Population("in", "spike_source", 5),
            Population("a", "lif", n, *taus, threshold=0.8, single_spike=True),
            Population("out", "leaky_readout", 3),
        ),
        (
            make_projection("in", "a", rng.normal(3, 1, (5, n)), rng.uniform(0, 9, (5, n))),
            make_projection("a", "out", rng.normal(0, 1, (n, 3))),
        ),
    )
    target, quantised = coarse(network, "spinnaker1")
    found = explain(network, target, quantised, random_spikes(rng, 20, 5, STEPS, 0.08))
    assert found
    for attribution, both in found:
        assert attribution.cause not in ("unexplained", "float_rounding")
        window = attribution.window
        assert window is not None
        spikes = both.floating["a"][0][both.floating["a"][1] == attribution.neuron]
        assert [v is None for v in window.float_v] == [
            spikes.size > 0 and window.first_step + i > spikes[0] for i in range(len(window.float_v))
        ]
