"""The closed form of neurons to which little happens, against the kernels that take every step."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_network, random_spikes
from toolchain.objective import Objective
from toolchain.training.backends.cpu.engine import CpuEngine
from toolchain.training.backends.cpu.quiet import first_crossing

STEPS = 300


def engines(seed: int, shape: str, single_spike: bool = False) -> tuple[CpuEngine, CpuEngine]:
    """The same network, once always stepping and once in closed form wherever there is one."""
    made = []
    for steps_per_arrival in (10**6, 0):
        network = random_network(shape, np.random.default_rng(seed))
        once = (dataclasses.replace(p, single_spike=single_spike and p.kind == "lif") for p in network.populations)
        network = dataclasses.replace(network, populations=tuple(once))
        engine = CpuEngine(network, STEPS, max_slot=9, objective=Objective(), min_slope=1e-9, threads=1)
        groups = engine._layout.groups._replace(steps_per_arrival=steps_per_arrival)
        engine._layout = dataclasses.replace(engine._layout, groups=groups)
        made.append(engine)
    return made[0], made[1]


@pytest.mark.parametrize("shape", ["feedforward", "two_layers", "skip", "recurrent_masked", "two_coupled"])
@pytest.mark.parametrize(("seed", "single_spike"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
def test_closed_form_equals_stepping(shape: str, seed: int, single_spike: bool) -> None:
    """Every spike, the voltages and the gradients, whatever of a network is in closed form."""
    stepping, closed = engines(seed, shape, single_spike)
    spikes = random_spikes(np.random.default_rng(seed), 6, 5, STEPS, 0.02)
    labels = np.random.default_rng(seed).integers(0, 3, 6)
    n_spikes = 0
    for sample in range(6):
        ours, theirs = closed.trace(spikes, sample), stepping.trace(spikes, sample)
        for name, (times, units) in theirs.spikes.items():
            assert np.array_equal(ours.spikes[name][0], times), name
            assert np.array_equal(ours.spikes[name][1], units), name
            n_spikes += times.size
        assert np.abs(ours.readout_v - theirs.readout_v).max() < 2e-5
    assert n_spikes > 200  # those of the inputs included
    a, b = closed.gradients(spikes, labels, np.arange(6)), stepping.gradients(spikes, labels, np.arange(6))
    for mine, other in ((a.weight, b.weight), (a.delay, b.delay)):
        assert np.abs(mine - other).max() <= 2e-3 * np.abs(other).max()
        assert single_spike or np.abs(other).max() > 0


@settings(max_examples=400, deadline=None)
@given(
    current=st.floats(-20, 20),
    voltage=st.floats(-3, 0.999),
    tau_mem=st.floats(1.5, 300),
    tau_syn=st.floats(0.5, 300),
    steps=st.integers(0, 400),
)
def test_first_crossing_is_the_first_step_at_threshold(
    current: float, voltage: float, tau_mem: float, tau_syn: float, steps: int
) -> None:
    """Against the step itself, taken one at a time in float64."""
    if abs(tau_mem - tau_syn) < 1e-2 * tau_mem:
        return
    alpha, beta = math.exp(-1 / tau_mem), math.exp(-1 / tau_syn)
    gain = (1 - alpha) * tau_syn * (1 - beta)
    found = first_crossing(current, voltage, alpha, beta, gain, 1.0, steps)
    i, v, closest = current, voltage, math.inf
    expected = 0
    for m in range(1, steps + 1):
        i = beta * i
        v = alpha * v + gain * i
        closest = min(closest, abs(v - 1.0))
        if v >= 1.0:
            expected = m
            break
    # Within rounding of the threshold either answer is right.
    assert found == expected or closest < 1e-9
