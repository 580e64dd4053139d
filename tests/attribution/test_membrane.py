"""The voltage of one neuron and what changes do to it, held against law 2 step by step and against every order."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attribution.cases import voltage
from toolchain.attribution.membrane import DELAY_PARTS, WEIGHT_PARTS, Constants, Neuron, course, decompose, kernel

STEP = 30
decays = st.floats(0.0, 0.999)


@settings(deadline=None)
@given(decays, decays, st.integers(0, STEP), st.integers(-1, STEP - 1))
def test_the_kernel_is_the_voltage_after_one_arrival(alpha: float, beta: float, at: int, reset: int) -> None:
    one = voltage(np.ones(1), np.zeros(1, np.int64), [(at - 1, 0)], (alpha, beta, 1.0), STEP, (reset,))
    assert kernel(alpha, beta, STEP, reset)[at] == pytest.approx(one, rel=1e-12, abs=1e-300)


def random_neuron(rng: np.random.Generator, *, folded: bool) -> tuple[Neuron, dict[str, tuple[np.ndarray, np.ndarray]]]:  # type: ignore[type-arg]
    """Five synapses from one population and three from the neuron's own, of which everything changes."""
    n, size = 8, 3
    weight = rng.normal(1, 1, n)
    parts = {name: np.where(rng.random(n) < 0.7, rng.normal(0, 0.2, n), 0.0) for name in WEIGHT_PARTS}
    slot = rng.integers(0, 9, n)
    chip_slot = np.maximum(0, slot - rng.integers(0, 4, n))
    trained = Constants(0.95, 0.82, 0.04, 1.0)
    chip = Constants(0.948, 0.815, 0.04 if folded else 0.0417, 1.0)
    clipped = rng.random(n) < 0.5
    neuron = Neuron(
        "h", 1, (("in", 0, 5), ("h", 5, size)), weight, parts, slot, chip_slot, clipped, trained, chip, False
    )
    spikes = {
        name: (np.sort(rng.integers(0, STEP, 12)), rng.integers(0, units, 12)) for name, units in (("in", 5), ("h", 3))
    }
    return neuron, spikes


def simulated(neuron: Neuron, spikes: dict[str, tuple[np.ndarray, np.ndarray]], changes: frozenset[str]) -> float:  # type: ignore[type-arg]
    """V with some of the changes, step by step."""
    weight = neuron.weight + sum(neuron.parts[name] for name in WEIGHT_PARTS if name in changes)
    moved = neuron.slot != neuron.chip_slot
    takes = np.where(neuron.clipped, DELAY_PARTS[0] in changes, DELAY_PARTS[1] in changes) & moved
    slot = np.where(takes, neuron.chip_slot, neuron.slot)
    old, new = neuron.trained, neuron.chip
    alpha = new.alpha if "rounded_voltage_decay" in changes else old.alpha
    beta = new.beta if "rounded_current_decay" in changes else old.beta
    if old.gain == new.gain:
        gain = old.gain
    else:
        source = new if "rounded_gain" in changes else old
        gain = source.gain * (1 - alpha) / (1 - source.alpha) * (1 - beta) / (1 - source.beta)
    first = {"in": 0, "h": 5}
    events = [(int(t), first[name] + int(u)) for name, (ts, us) in spikes.items() for t, u in zip(ts, us, strict=True)]
    resets = tuple(int(t) for t, u in zip(*spikes["h"], strict=True) if u == 1)
    return voltage(weight, slot, events, (alpha, beta, gain), STEP, resets)


@pytest.mark.parametrize("folded", [True, False])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_both_ends_and_each_change_alone_are_what_the_law_says(folded: bool, seed: int) -> None:
    neuron, spikes = random_neuron(np.random.default_rng(seed), folded=folded)
    found = decompose(neuron, spikes, STEP)
    assert found.trained == pytest.approx(simulated(neuron, spikes, frozenset()), abs=1e-12)
    assert found.quantised == pytest.approx(simulated(neuron, spikes, frozenset(found.shapley)), abs=1e-12)
    assert sum(found.shapley.values()) == pytest.approx(found.quantised - found.trained, abs=1e-12)
    for name, value in found.alone.items():
        assert value == pytest.approx(simulated(neuron, spikes, frozenset([name])) - found.trained, abs=1e-12)


def test_a_contribution_is_the_mean_over_all_orders() -> None:
    """Four changes, so twenty-four orders, each applied one after the other."""
    rng = np.random.default_rng(5)
    neuron, spikes = random_neuron(rng, folded=True)
    kept = {name: neuron.parts[name] if name == "rounded_weight" else np.zeros(8) for name in WEIGHT_PARTS}
    neuron = replace(neuron, parts=kept, clipped=np.ones(8, dtype=np.bool_))
    found = decompose(neuron, spikes, STEP)
    assert set(found.shapley) == {"rounded_weight", "clipped_delay", "rounded_voltage_decay", "rounded_current_decay"}
    total = dict.fromkeys(found.shapley, 0.0)
    for order in itertools.permutations(found.shapley):
        for i, name in enumerate(order):
            before = simulated(neuron, spikes, frozenset(order[:i]))
            total[name] += (simulated(neuron, spikes, frozenset(order[: i + 1])) - before) / 24
    assert dict(found.shapley) == pytest.approx(total, abs=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_effects_of_single_synapses_are_those_of_their_own_change(seed: int) -> None:
    neuron, spikes = random_neuron(np.random.default_rng(seed), folded=True)
    effect = decompose(neuron, spikes, STEP).by_synapse
    everything = frozenset([*WEIGHT_PARTS, *DELAY_PARTS])
    whole = simulated(neuron, spikes, everything) - simulated(neuron, spikes, frozenset())
    assert effect.sum() == pytest.approx(whole, abs=1e-12)
    one = {name: np.where(np.arange(8) == 3, part, 0.0) for name, part in neuron.parts.items()}
    slot = np.where(np.arange(8) == 3, neuron.chip_slot, neuron.slot)
    alone = replace(neuron, parts=one, chip_slot=slot)
    change = simulated(alone, spikes, everything) - simulated(alone, spikes, frozenset())
    assert effect[3] == pytest.approx(change, abs=1e-12)


def test_the_course_of_the_voltage_is_the_law_and_ends_where_a_neuron_spikes_once() -> None:
    neuron, spikes = random_neuron(np.random.default_rng(1), folded=True)
    own = neuron.own(spikes)
    voltages, _ = course(neuron, spikes, STEP)
    for step in (int(own[0]), STEP - 1):
        events = [(int(t), f + int(u)) for f, name in ((0, "in"), (5, "h")) for t, u in zip(*spikes[name], strict=True)]
        constants = neuron.trained.alpha, neuron.trained.beta, neuron.trained.gain
        expected = voltage(neuron.weight, neuron.slot, events, constants, step, tuple(own.tolist()))
        assert voltages[step] == pytest.approx(expected, abs=1e-12)
    once, _ = course(replace(neuron, single_spike=True), spikes, STEP)
    assert np.isfinite(once[: own[0] + 1]).all()
    assert np.isnan(once[own[0] + 1 :]).all()
