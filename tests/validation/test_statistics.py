"""Intervals and tests of the accuracy ladder, against their formulae."""

from __future__ import annotations

from fractions import Fraction
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.validation.statistics import climb, interval, probability_of_chance, tally

Z = 1.959963984540054
"""97.5 % of a normal distribution."""


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_is_wilsons(counted: tuple[int, int]) -> None:
    k, n = counted
    p = k / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    assert interval(k, n) == pytest.approx((max(0.0, middle - half), min(1.0, middle + half)), abs=1e-9)


def test_without_a_sample_any_accuracy_is_possible() -> None:
    assert interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_chance_is_that_of_a_fair_coin(lost: int, gained: int) -> None:
    """Twice the smaller tail of a fair coin, and never above 1."""
    n, few = lost + gained, min(lost, gained)
    tail = Fraction(sum(comb(n, i) for i in range(few + 1)), 2**n)
    assert probability_of_chance(lost, gained) == pytest.approx(float(min(Fraction(1), 2 * tail)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 40), st.integers(2, 5))
def test_every_sample_is_counted_once(seed: int, n: int, n_before: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, max(n, n_before))
    before, now = random.integers(-1, classes, n_before), random.integers(-1, classes, n)
    found = tally(now, labels[:n], classes, ("before", before))
    confusion = np.array(found.confusion)
    for label in range(classes):
        for read in range(classes):
            assert confusion[label, read] == sum(a == label and b == read for a, b in zip(labels[:n], now, strict=True))
        assert confusion[label].sum() == np.count_nonzero(labels[:n] == label)
    assert found.against is not None
    shared = found.against.shared
    assert shared == min(n, n_before)
    for sample in range(shared):
        was, is_ = before[sample] == labels[sample], now[sample] == labels[sample]
        assert (sample in found.against.lost) == (was and not is_)
        assert (sample in found.against.gained) == (is_ and not was)
        assert (sample in found.against.moved) == (not was and not is_ and before[sample] != now[sample])


def test_rungs_are_compared_with_the_one_before_in_the_order_given() -> None:
    labels = np.array([0, 1, 0, 1])
    ladder = climb(
        [("a", np.array([0, 1, 0, 1])), ("b", np.array([0, 1, 1, -1])), ("c", np.array([1, 1]))], labels, n_classes=2
    )
    assert [(r.rung, r.accuracy, r.samples) for r in ladder] == [("a", 1.0, 4), ("b", 0.5, 4), ("c", 0.5, 2)]
    against = [r.tally.against for r in ladder if r.tally is not None]
    assert against[0] is None
    assert [(a.rung, a.shared, a.lost) for a in against if a is not None] == [("a", 4, (2, 3)), ("b", 2, (0,))]


@pytest.mark.parametrize(
    ("prediction", "labels", "named"),
    [
        (np.array([0, 1]), np.array([0]), "differ"),
        (np.array([0, 2]), np.array([0, 1]), r"predictions 0 to 2 are outside -1\.\.1"),
        (np.array([0, 1]), np.array([-1, 1]), r"labels -1 to 1 are outside 0\.\.1"),
    ],
)
def test_what_is_no_class_is_refused(prediction: NDArray[np.int64], labels: NDArray[np.int64], named: str) -> None:
    with pytest.raises(InputError, match=named):
        tally(prediction, labels, 2)
