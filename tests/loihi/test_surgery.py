"""Removing synapses of one neuron: what is left is the least-squares optimum, and the cheapest goes first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.loihi.surgery import BLOCK, TRUST, compensated, error_form, removal_order

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@st.composite
def neurons(draw: st.DrawFn, most: int = 8) -> tuple[F32, F64]:
    """Features that overlap, some of a synapse that never carried a spike, and weights."""
    n = draw(st.integers(1, most))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seen = random.random((n, 50)) * (random.random((n, 50)) < 0.5) + 0.3 * random.random(50)
    seen[random.random(n) < 0.15] = 0
    return seen.astype(np.float32), random.normal(0, 2, n)


def error(seen: F32, weight: F64, other: F64) -> float:
    """E of the head of the module, from its definition."""
    features = seen.astype(np.float64)
    trust = TRUST * float((features**2).sum()) / seen.size
    return float((((other - weight) @ features) ** 2).mean() + trust * ((other - weight) ** 2).sum())


def least_squares(seen: F32, weight: F64, kept: NDArray[np.bool_]) -> F64:
    """The best weights with the columns of what is not kept taken out, by numpy's solver on the features themselves."""
    features = seen.astype(np.float64)
    trust = np.sqrt(TRUST * (features**2).sum() / seen.size * seen.shape[1])
    rows = np.concatenate([features.T, trust * np.eye(weight.size)])
    found = np.zeros(weight.size)
    found[kept] = np.linalg.lstsq(rows[:, kept], rows @ weight, rcond=None)[0]
    return found


@given(neurons(), st.data())
@settings(deadline=None, max_examples=100)
def test_what_is_kept_is_the_least_squares_optimum(neuron: tuple[F32, F64], data: st.DataObject) -> None:
    seen, weight = neuron
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=weight.size, max_size=weight.size)))
    found = compensated(error_form(seen), weight, kept)
    assert not found[~kept].any()
    if seen.any():
        assert np.abs(found - least_squares(seen, weight, kept)).max() < 1e-4
    if kept.all():
        assert np.array_equal(found, weight)


@given(neurons())
@settings(deadline=None, max_examples=100)
def test_costs_are_those_of_the_optimum_and_each_is_the_least_at_its_turn(neuron: tuple[F32, F64]) -> None:
    seen, weight = neuron
    order, added = removal_order(error_form(seen), weight, np.zeros(weight.size, bool))
    assert sorted(order) == list(range(weight.size))
    kept, total = np.ones(weight.size, bool), 0.0
    for removed, cost in zip(order, added, strict=True):
        if seen.any():
            after = {}
            for i in np.flatnonzero(kept):
                one_less = kept & (np.arange(weight.size) != i)
                after[i] = error(seen, weight, least_squares(seen, weight, one_less))
            assert after[removed] <= min(after.values()) * (1 + 1e-4) + 1e-6
            assert abs(total + cost - after[removed]) < 1e-4 * (1 + after[removed])
        kept[removed] = False
        total += cost


@given(st.integers(1, 3 * BLOCK + 5), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=40)
def test_removals_made_together_are_those_made_one_by_one(n: int, seed: int, some_first: bool) -> None:
    """The formulas of the head of the module as they stand there, the whole inverse changed after each removal."""
    random = np.random.default_rng(seed)
    form = error_form((random.random((n, 2 * n)) + random.random(2 * n)).astype(np.float32))
    weight = random.normal(0, 2, n)
    first = random.random(n) < 0.3 if some_first else np.zeros(n, bool)
    order, added = removal_order(form, weight, first)
    inverse, left = np.linalg.inv(form), np.ones(n, bool)
    for removed, cost in zip(order, added, strict=True):
        costs = np.where(left & (first if (first & left).any() else True), weight**2 / np.diag(inverse), np.inf)
        assert costs[removed] <= costs.min() * (1 + 1e-6), "the cheapest at its turn"
        assert abs(cost - costs[removed]) <= 1e-6 * costs[removed]
        left[removed] = False
        row = inverse[removed] / inverse[removed, removed]
        weight = np.where(left, weight - weight[removed] * row, 0.0)
        inverse = inverse - np.outer(inverse[:, removed], row)
        # What is removed has no row any more; 1 stands where it was, for the sake of the division.
        inverse[~left], inverse[:, ~left] = 0.0, 0.0
        inverse[~left, ~left] = 1.0


def test_a_neuron_without_synapses_has_none_to_remove() -> None:
    form = error_form(np.zeros((0, 12), dtype=np.float32))
    order, added = removal_order(form, np.zeros(0), np.zeros(0, bool))
    assert (order.size, added.size) == (0, 0)
    assert compensated(form, np.zeros(0), np.zeros(0, bool)).size == 0


def test_what_is_given_is_left_alone() -> None:
    random = np.random.default_rng(0)
    form, weight = error_form(random.random((50, 90)).astype(np.float32)), random.normal(0, 1, 50)
    before = form.copy(), weight.copy()
    removal_order(form, weight, np.zeros(50, bool))
    assert np.array_equal(form, before[0])
    assert np.array_equal(weight, before[1])


@given(neurons(), st.data())
@settings(deadline=None, max_examples=60)
def test_synapses_without_a_weight_cost_nothing_and_go_first(neuron: tuple[F32, F64], data: st.DataObject) -> None:
    seen, weight = neuron
    zero = np.array(data.draw(st.lists(st.booleans(), min_size=weight.size, max_size=weight.size)))
    weight = np.where(zero, 0.0, weight)
    order, added = removal_order(error_form(seen), weight, np.zeros(weight.size, bool))
    n_zero = int(zero.sum())
    assert set(order[:n_zero]) == set(np.flatnonzero(zero))
    assert not added[:n_zero].any()
    kept = ~zero
    assert np.allclose(compensated(error_form(seen), weight, kept), weight, atol=1e-9)


@given(neurons(), st.data())
@settings(deadline=None, max_examples=60)
def test_what_has_to_go_first_goes_first(neuron: tuple[F32, F64], data: st.DataObject) -> None:
    seen, weight = neuron
    first = np.array(data.draw(st.lists(st.booleans(), min_size=weight.size, max_size=weight.size)))
    order, added = removal_order(error_form(seen), weight, first)
    n_first = int(first.sum())
    assert set(order[:n_first]) == set(np.flatnonzero(first))
    if seen.any():
        expected = error(seen, weight, least_squares(seen, weight, ~first))
        assert abs(added[:n_first].sum() - expected) < 1e-4 * (1 + expected)


def test_one_of_two_equal_inputs_is_free_and_the_other_takes_its_weight() -> None:
    random = np.random.default_rng(0)
    seen = random.random((3, 400)).astype(np.float32)
    seen = np.concatenate([seen, seen])
    weight = np.array([1.0, -2.0, 3.0, 0.5, -1.0, 2.0])
    form = error_form(seen)
    order, added = removal_order(form, weight, np.zeros(6, bool))
    assert sorted(int(i) % 3 for i in order[:3]) == [0, 1, 2]
    # What trust asks for holding weights near what they were is all that it costs.
    assert added[:3].sum() < 0.1 * added.sum()
    kept = np.ones(6, bool)
    kept[order[:3]] = False
    found = compensated(form, weight, kept)
    assert np.allclose(found[kept], (weight[:3] + weight[3:])[np.flatnonzero(kept) % 3], rtol=0.15)
