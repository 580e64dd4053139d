from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cochlea.hair_cell import rates, release, resting_pools, resting_state
from toolchain.datasets.cochlea.lanes import LANES

DT = 1 / 24_000


def released(velocity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (n_steps, LANES) for velocities of the same shape."""
    n_steps = velocity.shape[0]
    probability = np.empty(n_steps * LANES, dtype=np.float32)
    release(velocity.astype(np.float32).ravel(), 0, n_steps, resting_state(), rates(DT), probability)
    return probability.reshape(n_steps, LANES).astype(np.float64)


def meddis(velocity: NDArray[np.float64]) -> NDArray[np.float64]:
    """The equations of the module for one cell, in double precision."""
    q, c, w = resting_pools()
    p = np.empty(velocity.size)
    for t, s in enumerate(velocity):
        k = 2000 * max(s + 5, 0) / (max(s + 5, 0) + 300)
        dq = 5.05 * max(1 - q, 0) - k * q + 66.3 * w
        dc = k * q - (2500 + 6580) * c
        dw = 6580 * c - 66.3 * w
        q, c, w = (max(x + DT * dx, 0) for x, dx in ((q, dq), (c, dc), (w, dw)))
        p[t] = 50_000 * DT * c
    return p


def test_without_sound_a_fibre_fires_65_times_a_second_for_ever() -> None:
    probability = released(np.zeros((48_000, LANES)))
    np.testing.assert_allclose(probability / DT, 65, rtol=5e-3)


def test_every_lane_follows_the_equations() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(6_000)[:, None] * DT
    tones = rng.uniform(1, 300, LANES) * np.sin(2 * np.pi * rng.uniform(100, 5_000, LANES) * t)
    found = released(tones * (t > 0.05))
    for lane in range(LANES):
        np.testing.assert_allclose(found[:, lane], meddis((tones * (t > 0.05))[:, lane]), rtol=2e-3, atol=1e-7)


def test_a_lasting_tone_tires_the_cell() -> None:
    t = np.arange(12_000) * DT
    tone = np.repeat(100 * np.sin(2 * np.pi * 1_000 * t)[:, None], LANES, axis=1)
    probability = released(tone)[:, 0]
    onset, later = probability[:240].mean(), probability[-240:].mean()
    assert onset > 2 * later > 2 * 65 * DT


def test_steps_may_be_taken_in_parts() -> None:
    velocity = np.random.default_rng(1).normal(0, 50, (500, LANES)).astype(np.float32).ravel()
    whole, parts = np.empty_like(velocity), np.empty_like(velocity)
    release(velocity, 0, 500, resting_state(), rates(DT), whole)
    pools = resting_state()
    release(velocity, 0, 123, pools, rates(DT), parts[: 123 * LANES])
    release(velocity, 123, 377, pools, rates(DT), parts[123 * LANES :])
    np.testing.assert_array_equal(whole, parts)


def test_no_velocity_gives_a_probability_above_a_half() -> None:
    """The fibres count on that. Worst: a full store, filled in silence, that is emptied as fast as it can be."""
    velocity = np.full((26_000, LANES), -1e30)
    velocity[24_000:] = 1e30
    assert 0.2 < released(velocity).max() < 0.5
