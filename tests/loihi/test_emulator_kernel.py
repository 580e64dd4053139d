"""Both steps of the emulator's kernel against Lava's own lines, from any state that a neuron can be in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import Emulator
from hardware_targets.loihi.emulator_kernel import advance_exactly, advance_within, fit
from hardware_targets.loihi.emulator_tables import (
    CLIPS,
    CURRENT_WRAPPED,
    NOTHING,
    PEAK_U,
    PEAK_V,
    READOUT_SPIKED,
    SUM_WRAPPED,
    VOLTAGE_CLIPPED,
    WRAPS,
    build_tables,
)
from hardware_targets.loihi.integer_network import (
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
)
from tests.loihi.lava_step import LIMIT, U_MAX, Neuron, Stepped, int32, lava_step
from toolchain.spikes import bin_events


def near(*values: int) -> st.SearchStrategy[int]:
    """Within three of one of these."""
    return st.tuples(st.sampled_from(values), st.integers(-3, 3)).map(sum)


@st.composite
def neurons(draw: st.DrawFn, du: int, dv: int) -> Neuron:
    """Ordinary states, extreme ones, and those from which u or v comes out at the edge of its range."""
    kind = draw(st.sampled_from(["ordinary", "ordinary", "extreme", "current at edge", "voltage at edge"]))
    if kind == "ordinary":
        small = st.integers(-(2**20), 2**20)
        return Neuron(draw(small), draw(small), draw(st.integers(-(2**12), 2**12)))
    u = draw(
        st.one_of(
            near(0, LIMIT, -LIMIT, 4096, -4096),
            st.integers(-LIMIT, LIMIT),
            st.integers(-U_MAX, U_MAX),
            st.sampled_from([U_MAX, -U_MAX]),
        )
    )
    v = draw(st.one_of(st.sampled_from([LIMIT - 1, 1 - LIMIT, 0]), st.integers(1 - LIMIT, LIMIT - 1)))
    if kind == "extreme":
        edges = near(0, 2**17, -(2**17), 2**18, -(2**18), 2**25, -(2**25)).filter(lambda a: abs(a) < 2**31)
        return Neuron(u, v, draw(st.one_of(edges, st.integers(1 - 2**31, 2**31 - 1))))
    # Arriving sums count 64: the last six bits of u have to come from its decay.
    edge = draw(near(LIMIT, -LIMIT, 2**31, -(2**31)) if kind == "current at edge" else near(0, LIMIT, -LIMIT))
    arriving = (edge - lava_step(Neuron(u, 0, 0), du, dv).current) // 64
    current = lava_step(Neuron(u, 0, arriving), du, dv).u
    if kind == "voltage at edge" and dv == 0:
        v = draw(near(LIMIT - 1, 1 - LIMIT)) - current
        v = min(max(v, 1 - LIMIT), LIMIT - 1)
    return Neuron(u, v, min(max(arriving, 1 - 2**31), 2**31 - 1))


@st.composite
def populations(draw: st.DrawFn) -> tuple[IntegerPopulation, list[Neuron]]:
    """A population of one to forty neurons, more than a vector holds, and their states."""
    du = draw(st.one_of(st.sampled_from([0, 1, 4094, 4095]), st.integers(0, 4095)))
    dv = draw(st.one_of(st.sampled_from([0, 0, 1, 4095, 4096]), st.integers(0, 4096)))
    ordinary = st.builds(Neuron, *(st.integers(-(2**m), 2**m) for m in (20, 20, 12)))
    few, many = st.lists(neurons(du, dv), min_size=1, max_size=3), st.lists(ordinary, max_size=37)
    states = draw(few) + draw(many)
    states = [states[i] for i in draw(st.permutations(range(len(states))))]
    if draw(st.booleans()):
        return IntegerPopulation("p", "leaky_readout", len(states), du, dv, READOUT_VTH), states
    vth = draw(st.one_of(st.sampled_from([0, READOUT_VTH]), st.integers(0, READOUT_VTH)))
    return IntegerPopulation("p", "lif", len(states), du, dv, vth), states


def first_event(stepped: list[Stepped], readout: bool) -> list[int]:
    """Neuron, event and value of the first in order of neurons; current before voltage before spike."""
    for neuron, after in enumerate(stepped):
        if after.current != int32(after.current):
            return [neuron, SUM_WRAPPED, after.current]
        if after.current != after.u:
            return [neuron, CURRENT_WRAPPED, after.current]
        if after.voltage != after.v:
            return [neuron, VOLTAGE_CLIPPED, after.voltage]
        if readout and after.v > READOUT_VTH * 64:
            return [neuron, READOUT_SPIKED, after.v]
    return [0, NOTHING, 0]


def at_edge(u: int, arriving: int, v: int = 0) -> tuple[IntegerPopulation, list[Neuron]]:
    """Nothing decays but the least of u."""
    return IntegerPopulation("p", "lif", 1, 0, 0, READOUT_VTH), [Neuron(u, v, arriving)]


@settings(max_examples=400, deadline=None)
@given(populations())
@example(at_edge(0, 2**17))  # +2^23 is no wrap ...
@example(at_edge(0, -(2**17)))  # ... but -2^23 is one
@example(at_edge(0, 2**17, -1))
@example(at_edge(0, 0, LIMIT - 1))
@example(at_edge(U_MAX, 2**18))
@example(at_edge(-U_MAX, -(2**18)))
@example(at_edge(-U_MAX, 2**18 + 1))
@example(at_edge(0, 2**26))  # its shift leaves nothing in 32 bits
@example(at_edge(4096, 1 - 2**31))
def test_both_steps_equal_lava(case: tuple[IntegerPopulation, list[Neuron]]) -> None:
    population, states = case
    tables = build_tables(IntegerNetwork(1.0, (population,), ()))
    u, v, window = (np.array([getattr(s, k) for s in states], dtype=np.int32) for k in ("u", "v", "arriving"))
    stepped = [lava_step(s, population.du, population.dv) for s in states]
    expected_u, expected_v = ([getattr(s, k) for s in stepped] for k in ("u", "v"))
    top = max(0, *expected_v)
    peak_u, peak_v = max(abs(s.current) for s in stepped), max(abs(s.voltage) for s in stepped)
    peak = max(peak_u, peak_v)

    new_u, new_v = np.full_like(u, 77), np.full_like(v, 77)
    counts, overflow, zero = np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64), np.uint64(0)
    found_top = advance_exactly(window, zero, u, v, new_u, new_v, zero, tables, 13, counts, overflow)
    assert (new_u.tolist(), new_v.tolist(), found_top) == (expected_u, expected_v, top)
    assert counts[WRAPS] == sum(s.current != s.u for s in stepped)
    assert counts[CLIPS] == sum(s.voltage != s.v for s in stepped)
    assert (counts[PEAK_U], counts[PEAK_V]) == (peak_u, peak_v)
    neuron, event, value = first_event(stepped, population.kind == "leaky_readout")
    assert overflow.tolist() == [13 * (event != NOTHING), 0, neuron, event, value]

    new_u, new_v = np.full_like(u, 77), np.full_like(v, 77)
    first, end = tables.first
    met = advance_within(window, zero, u, v, new_u, new_v, first, end, tables.keep_u[0], tables.keep_v[0])
    if fit(met[0], max(met[1], met[2]), tables.largest[0]):
        assert (new_u.tolist(), new_v.tolist(), met[1:]) == (expected_u, expected_v, (peak_u, peak_v, top))
        assert event == NOTHING
    else:
        # Too careful by one, as 2^23 is a value of u but not of v, and where u was beyond 24 bits before.
        assert peak >= min(LIMIT, tables.largest[0] + 1) or max(abs(s.u) for s in states) > LIMIT


def test_the_quick_step_is_the_usual_one() -> None:
    """Nothing above would fail if `fit` always said no."""
    assert fit(np.int32(2**18), np.int32(LIMIT - 1), np.int32(LIMIT - 1))


@pytest.mark.parametrize("max_slot", [0, 1, 5, 62])
@pytest.mark.parametrize("n_steps", [1, 2, 64, 65, 127, 128, 129, 400])
def test_every_spike_arrives_once_and_in_time(n_steps: int, max_slot: int) -> None:
    """However often the window of coming steps has moved on; with full decay v shows the arriving sum alone."""
    rng = np.random.default_rng(n_steps + max_slot)
    n_in, n_out = 7, 5
    weight = (2 * rng.integers(-128, 128, (n_in, n_out))).astype(np.int32)
    slots = rng.integers(0, max_slot + 1, (n_in, n_out))
    slots[0, 0] = max_slot
    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("in", "spike_source", n_in),
            IntegerPopulation("out", "leaky_readout", n_out, 4095, 4096, READOUT_VTH),
        ),
        (IntegerProjection("in", "out", weight, 0, slots),),
    )
    rasters = rng.random((3, n_steps, n_in)) < 0.4
    expected = np.zeros((3, n_steps + 64, n_out), dtype=np.int64)
    for sample, step, pre in np.argwhere(rasters):
        for post in range(n_out):
            expected[sample, step + 1 + slots[pre, post], post] += 64 * weight[pre, post]
    samples = [(times, units) for times, units in map(np.nonzero, rasters)]
    spikes = bin_events(samples, n_in, n_steps)[0]
    emulator = Emulator(network)
    for _ in range(2):
        np.testing.assert_array_equal(emulator.run(spikes).readout_v, expected[:, :n_steps])


def test_an_emulator_is_not_changed_by_what_is_done_to_the_network_afterwards() -> None:
    weight, slots = np.full((1, 1), 10, dtype=np.int32), np.zeros((1, 1), dtype=np.int64)
    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("in", "spike_source", 1),
            IntegerPopulation("out", "leaky_readout", 1, 4095, 4096, READOUT_VTH),
        ),
        (IntegerProjection("in", "out", weight, 0, slots),),
    )
    spikes = bin_events([(np.array([0]), np.array([0]))], 1, 3)[0]
    emulator = Emulator(network)
    weight[0, 0], slots[0, 0] = 20, 1
    found: NDArray[np.int32] = emulator.run(spikes).readout_v[0, :, 0]
    assert found.tolist() == [0, 640, 0]
    assert Emulator(network).run(spikes).readout_v[0, :, 0].tolist() == [0, 0, 1280]
