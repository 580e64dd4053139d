"""The first divergence is the cause: earliest sample, step, population and quantity, wherever it is planted."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.deployment.target import Traces
from toolchain.report.content import Divergence
from toolchain.validation.divergence import QUANTITIES, first_divergence

SIZES = {"z": 3, "a": 1, "m": 2}
SAMPLES, STEPS = 3, 4
places = st.tuples(
    st.integers(0, SAMPLES - 1),
    st.integers(0, STEPS - 1),
    st.integers(0, len(SIZES) - 1),
    st.integers(0, len(QUANTITIES) - 1),
    st.integers(0, 2),
).map(lambda p: (*p[:4], p[4] % list(SIZES.values())[p[2]]))
Place = tuple[int, int, int, int, int]
quick = settings(deadline=None, max_examples=80)


def random_traces(seed: int) -> Traces:
    """State of three populations; two calls with one seed are equal and share no memory."""
    random = np.random.default_rng(seed)

    def state(size: int) -> Any:
        return random.integers(-(2**23), 2**23, (SAMPLES, STEPS, size))

    u, v = ({name: state(size) for name, size in SIZES.items()} for _ in range(2))
    spikes = {name: random.random((SAMPLES, STEPS, size)) < 0.3 for name, size in SIZES.items()}
    return Traces(u, v, spikes)


def plant(traces: Traces, place: Place) -> tuple[int, int]:
    """Change one value; returns it before and after."""
    sample, step, rank, quantity, neuron = place
    array: Any = getattr(traces, QUANTITIES[quantity])[list(SIZES)[rank]]
    before = array[sample, step, neuron]
    array[sample, step, neuron] = not before if array.dtype == np.bool_ else before + 1
    return int(before), int(array[sample, step, neuron])


@given(st.integers(0, 2**32 - 1))
@quick
def test_equal_traces_have_no_divergence(seed: int) -> None:
    assert first_divergence(random_traces(seed), random_traces(seed), list(SIZES)) is None


@given(st.integers(0, 2**32 - 1), places, st.booleans())
@quick
def test_a_single_difference_is_found_where_it_is(seed: int, place: Place, in_ours: bool) -> None:
    changed, original = random_traces(seed), random_traces(seed)
    before, after = plant(changed, place)
    pair = (changed, original) if in_ours else (original, changed)
    values = (after, before) if in_ours else (before, after)
    sample, step, rank, quantity, neuron = place
    found = first_divergence(*pair, list(SIZES))
    assert found == Divergence(sample, list(SIZES)[rank], neuron, step, QUANTITIES[quantity], *values)
    assert all(type(field) in (int, str) for field in astuple(found)), "ready for JSON"


@given(st.integers(0, 2**32 - 1), st.sets(places, min_size=2, max_size=12))
@quick
def test_of_many_differences_the_earliest_is_named(seed: int, planted: set[Place]) -> None:
    """By sample, then step, then population, then u, v, spikes, then neuron: the order of the tuple."""
    ours, theirs = random_traces(seed), random_traces(seed)
    values = {place: plant(theirs, place) for place in planted}
    sample, step, rank, quantity, neuron = first = min(planted)
    expected = Divergence(sample, list(SIZES)[rank], neuron, step, QUANTITIES[quantity], *values[first])
    assert first_divergence(ours, theirs, list(SIZES)) == expected


def test_current_comes_before_voltage_and_voltage_before_spikes() -> None:
    assert QUANTITIES == ("u", "v", "spikes")


def test_the_order_of_populations_is_that_of_the_network_not_of_the_alphabet() -> None:
    ours, theirs = random_traces(1), random_traces(1)
    for rank in range(3):
        plant(theirs, (0, 0, rank, 0, 0))
    for order in (["z", "a", "m"], ["m", "a", "z"], ["a", "z", "m"]):
        found = first_divergence(ours, theirs, order)
        assert found is not None
        assert found.layer == order[0]


def test_populations_that_are_not_asked_for_are_not_compared() -> None:
    ours, theirs = random_traces(2), random_traces(2)
    plant(theirs, (0, 0, 1, 0, 0))
    assert first_divergence(ours, theirs, ["z", "m"]) is None


@given(st.sampled_from(QUANTITIES), st.sampled_from(list(SIZES)), st.integers(0, 2))
@quick
def test_traces_of_different_shapes_are_not_compared(quantity: str, name: str, axis: int) -> None:
    """NumPy would stretch a length of 1 to fit and find nothing."""
    ours, theirs = random_traces(3), random_traces(3)
    array = getattr(theirs, quantity)[name]
    getattr(theirs, quantity)[name] = np.take(array, [0] if array.shape[axis] > 1 else [0, 0], axis=axis)
    for pair in ((ours, theirs), (theirs, ours)):
        with pytest.raises(ValueError, match=f"{quantity} of {name}: shapes .* cannot be compared"):
            first_divergence(*pair, list(SIZES))


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_missing_population_is_a_value_error(quantity: str) -> None:
    ours, theirs = random_traces(4), random_traces(4)
    del getattr(theirs, quantity)["a"]
    with pytest.raises(ValueError, match="a"):
        first_divergence(ours, theirs, list(SIZES))
