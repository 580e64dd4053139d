"""Quantisation: every integer is where the arithmetic of the test puts it, and the sum of roundings is small."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hardware_targets.loihi import loihi2
from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.quantiser import quantise_network, round_delays
from hardware_targets.loihi.rounding import round_weights
from tests.networks import SHAPES, random_network, random_spikes
from toolchain.errors import TargetLimitError
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.training.backends import make_engine

LIMITS = read_limits("loihi2")
STEPS = 60
GOLDEN_SHD = Path(__file__).parents[3] / "shared" / "golden" / "mlgenn_shd256"


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)),
    st.floats(1e-3, 1e4),
)
def test_weights_round_to_the_nearest_even_integer_of_the_smallest_exponent(weights: np.ndarray, factor: float) -> None:  # type: ignore[type-arg]
    integer, exponent, clipped = round_weights(weights, factor, LIMITS, clip=False)
    assert np.all(integer % 2 == 0)
    assert integer.min() >= -256
    assert integer.max() <= 254
    assert -1 <= exponent <= 7
    if not clipped:
        # Steps are two weight units wide, shifted by the exponent: half a step is the most that is lost.
        assert np.abs(integer * 2.0**exponent - weights * factor).max() <= 2.0**exponent * (1 + 1e-9)
        if exponent > -1:
            halves = np.rint(weights * factor / 2.0**exponent)
            assert halves.max() > 127 or halves.min() < -128, "a smaller exponent would have done"
    else:
        assert exponent == 7
        halves = np.rint(weights * factor / 256)
        assert clipped == np.count_nonzero((halves > 127) | (halves < -128))


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)),
    st.floats(1e-3, 1e4),
)
def test_weights_are_clipped_only_where_that_loses_less(weights: np.ndarray, factor: float) -> None:  # type: ignore[type-arg]
    """No exponent does better by the squared error, of all there are up to the first that holds them all."""

    def error(exponent: int) -> float:
        q = np.clip(np.rint(weights * factor / 2.0 ** (exponent + 1)), -128, 127)
        return float(((q * 2.0 ** (exponent + 1) - weights * factor) ** 2).sum())

    integer, exponent, _ = round_weights(weights, factor, LIMITS)
    _, holding, _ = round_weights(weights, factor, LIMITS, clip=False)
    assert -1 <= exponent <= holding
    assert ((integer * 2.0**exponent - weights * factor) ** 2).sum() == pytest.approx(error(exponent))
    if exponent < holding:
        assert error(exponent) <= error(exponent + 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_quantised_network_computes_what_its_float_meaning_computes(shape: str, seed: int) -> None:
    """The emulator against the float engine on the weights and constants that the integers stand for.

    What is left between the two is the rounding of u and v toward zero. Each of them loses less than one unit a
    step; through both decays a voltage is off by less than tau_mem (1 + tau_syn) units of 1/64 weight unit.
    """
    random = np.random.default_rng([SHAPES.index(shape), seed])
    network = random_network(shape, random)
    spikes = random_spikes(random, 6, 5, STEPS, 0.06)
    quantised = loihi2.quantise(network, spikes, clip_delays=False)
    result = emulate(quantised.integers, spikes, traces=True)
    engine = make_engine("cpu", quantised.weighted, STEPS, max_slot=9, constants=quantised.constants)
    scale = quantised.integers["out"].scale
    bound = 20.0 * (1 + 5.0) / (64 * scale)
    compared = 0
    for sample in range(6):
        trace = engine.trace(spikes, sample)
        same = True
        for population in network.of_kind("lif"):
            times, units = trace.spikes[population.name]
            ours = np.zeros((STEPS, population.size), dtype=np.bool_)
            ours[times, units] = True
            same &= bool(np.array_equal(ours, result.spikes[population.name][sample]))
        if same:
            compared += 1
            error = np.abs(result.readout_v[sample] / (64 * scale) - trace.readout_v.T)
            assert error.max() <= bound + 1e-5
    # A rounding may move a spike now and then; in most samples it moves none.
    assert compared >= 4


@pytest.mark.parametrize("shape", SHAPES)
def test_calibration_data_neither_wraps_nor_clips_and_has_headroom(shape: str) -> None:
    random = np.random.default_rng(SHAPES.index(shape))
    network = random_network(shape, random)
    spikes = random_spikes(random, 6, 5, STEPS, 0.1)
    integers = quantise_network(round_delays(network, LIMITS, clip=False).network, spikes, LIMITS)
    result = emulate(integers, spikes, traces=True)
    assert not any(result.wraps.values())
    assert not any(result.clips.values())
    for name, u in result.u.items():
        # A voltage that spiked is 0 in the trace, but not in the peak.
        assert np.abs(u).max() <= result.current_peaks[name] <= 2**22
        room = 0.7 if name == "out" else 1.0
        assert np.abs(result.v[name]).max() <= result.voltage_peaks[name] <= room * 2**23


@given(st.floats(1, 200), st.floats(1, 200), st.floats(0.1, 10), st.floats(0.1, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_constants_are_the_nearest_that_the_chip_has(
    tau_mem: float, tau_syn: float, threshold: float, dt: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    network = Network(
        dt,
        (
            Population("in", "spike_source", 2),
            Population("a", "lif", 3, tau_mem, tau_syn, threshold),
            Population("out", "leaky_readout", 2, tau_mem, tau_syn),
        ),
        (
            make_projection("in", "a", random.normal(0, 2, (2, 3))),
            make_projection("a", "out", random.normal(0, 2, (3, 2))),
        ),
    )
    integers = quantise_network(network, random_spikes(random, 2, 2, 20, 0.2), LIMITS)
    a = integers["a"]
    assert abs(4096 * math.exp(-dt / tau_mem) - (4096 - a.dv)) <= 0.5 + 1e-9 or a.dv == 4095
    assert abs(4096 * math.exp(-dt / tau_syn) - (4096 - (a.du + 1))) <= 0.5 + 1e-9 or a.du in (0, 4095)
    # Only scales at which the threshold is an integer are used.
    assert a.vth == pytest.approx(a.scale * threshold, rel=1e-12)
    assert 1 <= a.vth <= 131071
    assert integers["out"].vth == 131071


def test_weights_that_vanish_are_counted() -> None:
    weight = np.array([[1.0, 1e-6], [-0.5, 0.0]])
    network = Network(
        1.0,
        (Population("in", "spike_source", 2), Population("out", "leaky_readout", 2)),
        (make_projection("in", "out", weight),),
    )
    quantised = loihi2.quantise(network, random_spikes(np.random.default_rng(0), 2, 2, 20, 0.2), clip_delays=False)
    (error,) = quantised.projection_errors
    assert (error.zeroed, error.clipped, error.synapses) == (1, 0, 4)
    expected = quantised.weighted.projections[0].weight - weight
    assert error.rms_error == pytest.approx(math.sqrt((expected**2).sum() / (weight**2).sum()), rel=1e-5)


def test_fractional_delays_round_half_to_even_and_are_counted() -> None:
    delay = np.array([[0.5, 1.5], [2.4, 62.0]])
    network = Network(
        1.0,
        (Population("in", "spike_source", 2), Population("out", "leaky_readout", 2)),
        (make_projection("in", "out", np.ones((2, 2)), delay),),
    )
    rounded = round_delays(network, LIMITS, clip=False)
    assert rounded.network.projections[0].slots().tolist() == [[0, 2], [2, 62]]
    assert rounded.moved == {"in->out": 3}
    assert rounded.clipped == {"in->out": 0}


def test_network_whose_currents_no_scale_can_hold_is_refused() -> None:
    """Currents a million times the threshold: where they fit into 24 bits the threshold is below one."""
    network = Network(
        1.0,
        (
            Population("in", "spike_source", 1),
            Population("a", "lif", 1, 20.0, 5.0, 1e-4),
            Population("out", "leaky_readout", 1),
        ),
        (make_projection("in", "a", np.array([[1e6]])), make_projection("a", "out", np.array([[1.0]]))),
    )
    spikes = random_spikes(np.random.default_rng(0), 1, 1, 20, 0.5)
    with pytest.raises(TargetLimitError, match="population a: even at a threshold of 1"):
        loihi2.quantise(network, spikes, clip_delays=False)


def test_real_trained_network_is_quantised_and_placed() -> None:
    """700-256 recurrent-20, trained on SHD by mlGeNN (arXiv 2503.04341)."""
    if not GOLDEN_SHD.is_dir():
        pytest.skip("shared golden data are not beside this checkout")
    weight = {name: np.load(GOLDEN_SHD / f"Conn_{name}-g.npy", allow_pickle=False) for name in (
        "Input_Hidden", "Hidden_Hidden", "Hidden_Output")}  # fmt: skip
    network = Network(
        1.0,
        (
            Population("in", "spike_source", 700),
            Population("hidden", "lif", 256),
            Population("out", "leaky_readout", 20),
        ),
        (
            make_projection("in", "hidden", weight["Input_Hidden"].reshape(700, 256)),
            make_projection("hidden", "hidden", weight["Hidden_Hidden"].reshape(256, 256)),
            make_projection("hidden", "out", weight["Hidden_Output"].reshape(256, 20)),
        ),
    )
    spikes = random_spikes(np.random.default_rng(0), 4, 700, 200, 0.01)
    quantised = loihi2.quantise(network, spikes, clip_delays=False)
    errors = {e.projection: e.rms_error for e in quantised.projection_errors}
    # One outlier sets the exponent of a projection; 8 bits then leave this much of weights around 0.03.
    assert max(errors.values()) < 0.1
    assert len(loihi2.place(quantised).cores) >= 2


def test_scale_is_chosen_so_that_a_marginal_neuron_still_spikes() -> None:
    """A neuron that peaks a ten-thousandth above threshold in every sample, as training may leave one.

    The rounding of its weight is a hundred times larger, either way: only some scales keep the spike.
    """
    weight = np.array([[6.25, 3.137]])
    spikes = random_spikes(np.random.default_rng(0), 1, 1, 30, 0.0)
    spikes = replace(spikes, times=np.array([0], np.int32), units=np.array([0], np.int32), offsets=np.array([0, 1]))

    def network(scale: float) -> Network:
        return Network(
            1.0,
            (
                Population("in", "spike_source", 1),
                Population("a", "lif", 2),
                Population("out", "leaky_readout", 2),
            ),
            (make_projection("in", "a", weight * scale), make_projection("a", "out", np.eye(2))),
        )

    quiet = make_engine("cpu", network(0.1), 30, max_slot=0)
    constants = NeuronConstants.of(network(1.0)["a"], 1.0)
    current, voltage, peak = 0.1 * 6.25, 0.0, 0.0
    for _ in range(30):
        voltage = float(constants.alpha * voltage + constants.gain * current)
        current *= float(constants.beta)
        peak = max(peak, voltage)
    assert len(quiet.trace(spikes, 0).spikes["a"][0]) == 0
    for margin in (1.0001, 0.9999):
        trained = network(0.1 / peak * margin)
        integers = quantise_network(trained, spikes, LIMITS)
        fired = emulate(integers, spikes).neuron_counts["a"][0].tolist()
        assert fired == [int(margin > 1), 0]


@pytest.mark.parametrize("field", ["tau_mem_ms", "tau_syn_ms"])
@pytest.mark.parametrize("name", ["a", "out"])
def test_time_constants_of_each_neuron_are_refused(field: str, name: str) -> None:
    random = np.random.default_rng(0)
    network = random_network("feedforward", random, max_slot=5)
    changed = tuple(
        replace(p, **{field: tuple(10.0 + i for i in range(p.size))}) if p.name == name else p  # type: ignore[arg-type]
        for p in network.populations
    )
    with pytest.raises(TargetLimitError, match=rf"population {name}: its \d neurons .* train with one number"):
        quantise_network(replace(network, populations=changed), random_spikes(random, 2, 5, 20, 0.1), LIMITS)
