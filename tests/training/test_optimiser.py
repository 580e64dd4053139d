"""Adam against the algorithm as printed in its paper, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.training.optimiser import Adam


def rounded(low: float, high: float) -> st.SearchStrategy[float]:
    """Floats that float32 holds exactly."""
    return st.floats(low, high).map(lambda value: float(np.float32(value)))


gradients = st.just(0.0) | rounded(1e-6, 1e6) | rounded(-1e6, -1e-6)
quick = settings(deadline=None, max_examples=100)


def textbook(
    rate: float, course: list[float], factors: list[float], beta_1: float = 0.9, beta_2: float = 0.999
) -> float:
    """Algorithm 1 of Kingma and Ba 2015 for one parameter that starts at 0, line by line."""
    theta = m = v = 0.0
    for t, (g, factor) in enumerate(zip(course, factors, strict=True), start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat = m / (1 - beta_1**t)
        v_hat = v / (1 - beta_2**t)
        theta -= factor * rate * m_hat / (math.sqrt(v_hat) + 1e-8)
    return theta


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def run(
    rates: list[float], courses: list[list[float]], factors: list[float], betas: tuple[float, float] = (0.9, 0.999)
) -> NDArray[np.float32]:
    """Parameters that start at 0 after all steps; ``courses[i]`` are the gradients of parameter i."""
    parameters = np.zeros(len(rates), dtype=np.float32)
    adam = Adam(vector(*rates), *betas)
    for step, factor in enumerate(factors):
        adam.step(parameters, vector(*(course[step] for course in courses)), factor)
    assert adam.steps == len(factors)
    return parameters


@given(
    st.lists(st.tuples(gradients, st.floats(0.01, 1)), min_size=1, max_size=40),
    rounded(1e-4, 1),
)
@quick
def test_adam_is_the_printed_algorithm(course: list[tuple[float, float]], rate: float) -> None:
    """To float32: a ten thousandth of the longest way that the parameter could have gone."""
    slopes, factors = [g for g, _ in course], [f for _, f in course]
    found = run([rate], [slopes], factors)[0]
    assert found == pytest.approx(textbook(rate, slopes, factors), abs=1e-4 * rate * sum(factors))


slopes_near_one = rounded(0.1, 10) | rounded(-10, -0.1)


@given(st.lists(slopes_near_one, min_size=1, max_size=40), st.floats(0, 0.95), st.floats(0.9, 0.9999))
@quick
def test_other_betas_are_those_of_the_algorithm(course: list[float], beta_1: float, beta_2: float) -> None:
    factors = [1.0] * len(course)
    found = run([0.1], [course], factors, (beta_1, beta_2))[0]
    assert found == pytest.approx(textbook(0.1, course, factors, beta_1, beta_2), abs=1e-4 * len(course))


@given(rounded(1e-3, 1e6), st.booleans(), rounded(1e-4, 10))
@quick
def test_the_first_step_is_one_rate_against_the_sign_of_the_gradient(size: float, up: bool, rate: float) -> None:
    gradient = size if up else -size
    assert run([rate], [[gradient]], [1.0])[0] == pytest.approx(-math.copysign(rate, gradient), rel=1e-4)


def test_the_factor_scales_the_step() -> None:
    whole, tenth = (run([0.5], [[3.0]], [factor])[0] for factor in (1.0, 0.1))
    assert tenth == pytest.approx(whole / 10, rel=1e-6)


@given(st.lists(gradients, min_size=1, max_size=10))
@quick
def test_a_rate_of_zero_freezes_a_parameter_to_the_bit(course: list[float]) -> None:
    parameters = vector(1.2345, 1.2345)
    adam = Adam(vector(0, 0.1))
    for gradient in course:
        adam.step(parameters, vector(gradient, gradient), 1.0)
    assert parameters[0] == np.float32(1.2345)
    assert (parameters[1] != np.float32(1.2345)) == any(course)


@given(st.lists(st.lists(gradients, min_size=6, max_size=6), min_size=1, max_size=4))
@quick
def test_parameters_do_not_influence_one_another(courses: list[list[float]]) -> None:
    rates = [0.1 * (i + 1) for i in range(len(courses))]
    together = run(rates, courses, [1.0] * 6)
    apart = [run([rate], [course], [1.0] * 6)[0] for rate, course in zip(rates, courses, strict=True)]
    assert together.tolist() == [float(p) for p in apart]


def test_parameters_are_moved_in_place_and_the_gradient_is_left_alone() -> None:
    parameters, gradient = vector(1, 2), vector(3, 4)
    Adam(vector(0.1, 0.1)).step(parameters, gradient, 1.0)
    assert parameters.dtype == np.float32
    assert (parameters < vector(1, 2)).all()
    assert gradient.tolist() == [3, 4]
