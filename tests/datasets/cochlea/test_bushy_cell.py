from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cochlea.bushy_cell import LANE_BITS, decays, integrate, resting_state
from toolchain.datasets.cochlea.lanes import LANES

DT = 1 / 24_000


def spikes(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Spikes (n_steps, LANES) for counts of the same shape."""
    bits = np.zeros(counts.shape[0], dtype=np.uint32)
    integrate(counts.astype(np.float32).ravel(), counts.shape[0], resting_state(), decays(DT), LANE_BITS, bits, 0)
    return np.asarray((bits[:, None] & LANE_BITS) != 0)


def test_cells_follow_the_equations() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(rng.uniform(0.05, 1.5, LANES), (4_000, LANES))
    expected = np.zeros(counts.shape, dtype=bool)
    for lane in range(LANES):
        v = i = 0.0
        silent_until = 0
        for t in range(counts.shape[0]):
            i = i * np.exp(-DT / 5e-4) + counts[t, lane]
            v = v * np.exp(-DT / 1e-3) + 13e3 / 40 * DT * i
            if t < silent_until:
                v = 0.0
            if v >= 1.0:
                expected[t, lane], v, silent_until = True, 0.0, t + 25
    assert 500 < expected.sum() < 20_000
    np.testing.assert_array_equal(spikes(counts), expected)


def test_a_cell_that_fired_is_silent_for_a_millisecond() -> None:
    """24 steps after the spike V is held; the current has gone on, so the next spike comes with the 25th."""
    fired = np.flatnonzero(spikes(np.full((1_000, LANES), 40))[:, 0])
    assert (np.diff(fired) == 25).all()


def test_a_cell_without_input_is_silent_and_one_fibre_is_not_enough() -> None:
    counts = np.zeros((500, LANES), dtype=np.int64)
    counts[10] = 1
    assert not spikes(counts).any()
    # Four together reach 4 x 0.0135 x sum: the peak of the double exponential is a quarter of threshold x n / 12.
    counts[200, ::2] = 13
    assert spikes(counts).sum(axis=0).tolist() == [1, 0] * (LANES // 2)
