"""Schedules and patience: the factors of the docstrings, and what a plateau remembers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.recipe import TrainingRecipe
from toolchain.training.patience import Patience
from toolchain.training.schedule import Plateau, epoch_factor, warm_up_factors


def training(**keys: Any) -> TrainingRecipe:
    return TrainingRecipe.model_validate(keys)


def test_rates_decay_as_before_where_no_schedule_is_given() -> None:
    settings = training(rate_decay=0.5)
    assert [epoch_factor(settings, e, Plateau()) for e in (1, 2, 3)] == [1.0, 0.5, 0.25]
    assert epoch_factor(training(schedule={"decay": "constant"}), 9, Plateau()) == 1.0


def test_cosine_goes_from_one_to_its_end_with_the_middle_in_the_middle() -> None:
    settings = training(epochs=11, schedule={"decay": "cosine", "final": 0.2})
    factors = [epoch_factor(settings, e, Plateau()) for e in range(1, 12)]
    assert factors[0] == 1.0
    assert factors[5] == pytest.approx(0.6)
    assert factors[-1] == pytest.approx(0.2)
    assert factors == sorted(factors, reverse=True)
    assert epoch_factor(training(epochs=1, schedule={"decay": "cosine"}), 1, Plateau()) == 1.0


def test_a_plateau_halves_after_so_many_epochs_without_a_better_loss() -> None:
    settings = training(schedule={"decay": "plateau", "patience": 2, "factor": 0.5})
    state, factors = Plateau(), []
    for loss in (1.0, 0.9, 0.9, 0.95, 0.95, 0.9, 0.8, 0.9):
        state = state.after(loss, settings)
        factors.append(epoch_factor(settings, 1, state))
    # 0.9 is not better than 0.9; after a fall the wait starts again; 0.8 is better.
    assert factors == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert Plateau().after(1.0, training()) == Plateau()


def test_warm_up_is_the_published_one() -> None:
    """1e-5 to 1e-3 by 1.05 a batch takes ln 100 / ln 1.05 = 94.4 batches; over 94 the growth is 100^(1/94)."""
    settings = training(schedule={"warm_up": {"batches": 94, "from": 0.01}})
    weights = [warm_up_factors(settings, b)[0] for b in range(100)]
    assert weights[0] == pytest.approx(0.01)
    growth = [b / a for a, b in itertools.pairwise(weights[:95])]
    assert growth == pytest.approx([100 ** (1 / 94)] * 94)
    assert growth[0] == pytest.approx(1.05, abs=1e-3)
    assert weights[94:] == [1.0] * 6
    assert {warm_up_factors(settings, b)[1] for b in range(100)} == {1.0}, "delays are not warmed up"
    both = training(schedule={"warm_up": {"batches": 94, "from": 0.01, "which": "both"}})
    assert warm_up_factors(both, 3) == (weights[3], weights[3])
    assert warm_up_factors(training(), 0) == (1.0, 1.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.booleans())
def test_patience_counts_the_epochs_since_the_best(values: list[float], larger: bool) -> None:
    state = Patience()
    for value in values:
        state = state.after(value, larger_is_better=larger)
    best = (max if larger else min)(values)
    assert state.best == best
    assert state.waited == len(values) - 1 - values.index(best)


@pytest.mark.parametrize(("best", "waited"), [("1", 0), (True, 0), ([1], 0), (None, -1), (None, 1.5), (None, True)])
def test_patience_from_a_damaged_file_is_refused(best: Any, waited: Any) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Patience(best, waited)


@pytest.mark.parametrize("factor", [-0.1, 1.1, "1", True, None, math.nan])
def test_a_plateau_from_a_damaged_file_is_refused(factor: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a number of 0\.\.1"):
        Plateau(factor)
