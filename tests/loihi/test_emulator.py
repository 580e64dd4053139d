"""The emulator against arithmetic written in the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import (
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from tests.loihi.lava_step import Neuron, lava_step
from tests.loihi.random_networks import assert_equal_traces, random_network
from tests.loihi.small_networks import READOUT, projection, trains
from toolchain.errors import InputError, NetworkError


def reference(inputs: list[int], population: IntegerPopulation) -> tuple[list[tuple[int, int, bool]], int, int]:
    """u, v and spike of one neuron after each step, and how often u wrapped and v was clipped."""
    u = v = wraps = clips = 0
    states = []
    for arriving in inputs:
        after = lava_step(Neuron(u, v, arriving), population.du, population.dv)
        wraps += after.u != after.current
        clips += after.v != after.voltage
        spike = after.v > 64 * population.vth
        u, v = after.u, 0 if spike else after.v
        states.append((u, v, spike))
    return states, wraps, clips


# Each neuron gets any sum of up to three terms: a crowd that fires as one, and two single synapses.
even = st.integers(-128, 127).map(lambda half: 2 * half)


@settings(max_examples=150, deadline=None)
@given(
    du=st.one_of(st.sampled_from([0, 4095]), st.integers(0, 4095)),
    dv=st.one_of(st.sampled_from([0, 4095, 4096]), st.integers(0, 4096)),
    vth=st.one_of(st.sampled_from([0, READOUT_VTH]), st.integers(0, READOUT_VTH)),
    crowd=st.sampled_from([1, 5, 250, 4096]),
    crowd_weight=st.one_of(st.sampled_from([-256, 254]), even),
    exponent=st.integers(0, 7),
    single=st.tuples(even, even),
    raster=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=30),
)
def test_neuron_equals_reference(
    du: int,
    dv: int,
    vth: int,
    crowd: int,
    crowd_weight: int,
    exponent: int,
    single: tuple[int, int],
    raster: list[tuple[bool, bool, bool]],
) -> None:
    neuron = IntegerPopulation("lif", "lif", 1, du, dv, vth)
    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("crowd", "spike_source", crowd),
            IntegerPopulation("single", "spike_source", 2),
            neuron,
            READOUT,
        ),
        (
            projection("crowd", "lif", [[crowd_weight]] * crowd, exponent=exponent),
            projection("single", "lif", [[single[0]], [single[1]]]),
        ),
    )
    fires = np.array(raster, dtype=np.bool_)
    columns = np.concatenate((np.repeat(fires[:, :1], crowd, axis=1), fires[:, 1:]), axis=1)
    result = emulate(network, trains(columns), traces=True)
    # What is sent at step t arrives at step t + 1.
    sent = [a * crowd * (crowd_weight << exponent) + b * single[0] + c * single[1] for a, b, c in raster]
    expected, wraps, clips = reference([0, *sent[:-1]], neuron)
    found = list(zip(*(trace["lif"][0, :, 0].tolist() for trace in (result.u, result.v, result.spikes)), strict=True))
    assert found == expected
    assert (result.wraps["lif"], result.clips["lif"]) == (wraps, clips)
    assert result.spike_counts["lif"].tolist() == [sum(state[2] for state in expected)]
    assert result.spike_counts["crowd"].tolist() == [crowd * int(fires[:, 0].sum())]


def test_a_spike_of_step_t_on_slot_k_arrives_at_t_plus_1_plus_k() -> None:
    slots = np.arange(63, dtype=np.int64)[np.newaxis]
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 1), replace(READOUT, size=63, du=4095, dv=4096)),
        (IntegerProjection("in", "out", np.full((1, 63), 2, dtype=np.int32), 3, slots),),
    )
    raster = np.zeros((80, 1), dtype=np.bool_)
    raster[5] = True
    voltage = emulate(network, trains(raster)).readout_v[0]
    # With full decay the voltage shows the arriving sum and nothing else.
    expected = np.zeros((80, 63), dtype=np.int32)
    expected[5 + 1 + slots[0], np.arange(63)] = 2 * 2**3 * 64
    np.testing.assert_array_equal(voltage, expected)


def test_a_voltage_at_the_threshold_is_no_spike() -> None:
    """With full decay v is the arriving sum, here vth << 6 for the first neuron and a little more for the second."""
    lif = IntegerPopulation("lif", "lif", 2, 4095, 4096, 100)
    network = IntegerNetwork(
        1.0, (IntegerPopulation("in", "spike_source", 1), lif, READOUT), (projection("in", "lif", [[100, 102]]),)
    )
    result = emulate(network, trains(np.array([[True], [False]])), traces=True)
    assert result.spikes["lif"][0].tolist() == [[False, False], [False, True]]
    assert result.v["lif"][0].tolist() == [[0, 0], [6400, 0]]


def test_a_saturated_readout_spikes_and_is_counted() -> None:
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 4), READOUT),
        (projection("in", "out", [[254]] * 4, exponent=7),),
    )
    result = emulate(network, trains(np.ones((4, 4), dtype=np.bool_)))
    # Step 1 leaves v at 4 * 254 * 2^13 = 8323072, below the clip; the sum of step 2 wraps u to below zero.
    expected, wraps, clips = reference([0, *[4 * 254 * 2**7] * 3], READOUT)
    assert result.readout_v[0, :, 0].tolist() == [v for _, v, _ in expected]
    assert (result.wraps["out"], result.clips["out"]) == (wraps, clips) != (0, 0)
    assert result.readout_spikes == {"out": sum(s for _, _, s in expected)}
    network = replace(network, projections=(projection("in", "out", [[254]] * 4, exponent=6),))
    assert emulate(network, trains(np.ones((4, 4), dtype=np.bool_))).readout_spikes["out"] > 0


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_and_traces_change_nothing(threads: int) -> None:
    network, spikes = random_network(7)
    spikes = spikes.select([0, 1, 1, 0, 1, 0, 0, 1, 1, 0])
    plain = emulate(network, spikes, threads=1)
    other = emulate(network, spikes, threads=threads, traces=True)
    np.testing.assert_array_equal(plain.readout_v, other.readout_v)
    np.testing.assert_array_equal(other.v["out"], other.readout_v)
    assert (plain.wraps, plain.clips) == (other.wraps, other.clips)
    assert not plain.u
    for name, count in plain.spike_counts.items():
        np.testing.assert_array_equal(count, other.spike_counts[name])
        if name in other.spikes:
            np.testing.assert_array_equal(count, other.spikes[name].sum(axis=(1, 2)))


def test_each_sample_starts_from_zero() -> None:
    """A sample gives the same alone as after others, whose last spikes are still under way."""
    network, spikes = random_network(7)
    together = emulate(network, spikes, traces=True, threads=1)
    for sample in range(spikes.n_samples):
        alone = emulate(network, spikes.select([sample]), traces=True)
        for name, u in alone.u.items():
            np.testing.assert_array_equal(u[0], together.u[name][sample])


def test_order_of_populations_and_masked_values_mean_nothing() -> None:
    network, spikes = random_network(13)
    shuffled = replace(
        network,
        populations=network.populations[::-1],
        projections=tuple(
            # What a mask excludes is no synapse, whatever stands in the arrays.
            p if p.mask is None else replace(p, weight=np.where(p.mask, p.weight, 254).astype(np.int32))
            for p in network.projections[::-1]
        ),
    )
    assert any(p.mask is not None for p in network.projections)
    assert_equal_traces(emulate(network, spikes, traces=True), emulate(shuffled, spikes, traces=True))


def test_no_samples() -> None:
    network, spikes = random_network(1)
    result = emulate(network, spikes.select([]))
    assert result.readout_v.shape[0] == 0
    assert result.spike_counts["h0"].shape == (0,)


def change(field: str, value: Any) -> Callable[[IntegerNetwork], IntegerNetwork]:
    """Replace a field of the first projection."""
    return lambda n: replace(
        n, projections=(replace(n.projections[0], **cast(Any, {field: value})), *n.projections[1:])
    )


def retune(name: str, **fields: int) -> Callable[[IntegerNetwork], IntegerNetwork]:
    return lambda n: replace(
        n, populations=tuple(replace(p, **cast(Any, fields)) if p.name == name else p for p in n.populations)
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("weight", np.array([[3]], dtype=np.int32)), "weight 3 is not an even number in -256..254"),
        (change("weight", np.array([[256]], dtype=np.int32)), "weight 256 is not an even"),
        (change("weight", np.array([[-258]], dtype=np.int32)), "weight -258 is not an even"),
        (change("exponent", 8), r"exponent 8 is not an integer in -1\.\.7"),
        (change("exponent", -2), r"exponent -2 is not an integer in -1\.\.7"),
        (change("slots", np.array([[65_535]])), "delay slot 65535 exceeds 65534"),
        (change("slots", np.array([[-1]])), "delay -1 of synapse"),
        (change("slots", np.array([0])), "slots have shape"),
        (retune("out", vth=5), "vth 5 of a leaky_readout must be 131071"),
        (retune("lif", vth=131072), "vth 131072 is not an integer in 0..131071"),
        (retune("lif", du=4096), "du 4096 is not an integer in 0..4095"),
        (retune("lif", dv=-1), "dv -1 is not an integer in 0..4096"),
    ],
)
def test_integers_out_of_range_are_refused(spoil: Callable[[IntegerNetwork], IntegerNetwork], message: str) -> None:
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 1), IntegerPopulation("lif", "lif", 1), READOUT),
        (projection("in", "lif", [[2]]),),
    )
    check_integers(network)
    with pytest.raises(NetworkError, match=message):
        check_integers(spoil(network))


def test_misfits_are_refused() -> None:
    network, spikes = random_network(0)
    with pytest.raises(NetworkError, match="2 leaky_readout populations, must be at most 1"):
        emulate(replace(network, populations=(*network.populations, replace(READOUT, name="o2"))), spikes)
    with pytest.raises(InputError, match="units, but the spike sources"):
        emulate(network, replace(spikes, n_units=spikes.n_units + 1))
    with pytest.raises(InputError, match="threads 0 is below 1"):
        emulate(network, spikes, threads=0)
