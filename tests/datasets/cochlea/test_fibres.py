from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from toolchain.datasets.cochlea.fibres import N_FIBRES, channel_keys, fire, silent_fibres, uniform
from toolchain.datasets.cochlea.lanes import LANES


def fired(probability: NDArray[np.float64], seed: int, first_channel: int = 0) -> NDArray[np.int64]:
    """Counts (n_steps, LANES) for probabilities of the same shape."""
    n_steps = probability.shape[0]
    counts = np.empty(n_steps * LANES, dtype=np.float32)
    keys = channel_keys(seed, first_channel + np.arange(LANES)).ravel()
    fire(probability.astype(np.float32).ravel(), 0, n_steps, keys, *silent_fibres(), counts)
    assert np.array_equal(counts, np.rint(counts))
    return counts.reshape(n_steps, LANES).astype(np.int64)


def fired_one_by_one(p: NDArray[np.float64], n_channels: int, seed: int) -> NDArray[np.int64]:
    """Forty fibres a channel, each drawn for itself and silent for 24 steps from a spike on; (n_steps, n_channels)."""
    rng = np.random.default_rng(seed)
    free_at = np.zeros((n_channels, N_FIBRES), dtype=np.int64)
    counts = np.empty((p.size, n_channels), dtype=np.int64)
    for t, probability in enumerate(p):
        spikes = (rng.random(free_at.shape) < probability) & (free_at <= t)
        free_at[spikes] = t + 24
        counts[t] = spikes.sum(axis=1)
    return counts


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.floats(1e-4, 0.6), st.integers(0, 2**31))
def test_the_first_draw_is_binomial(p: float, seed: int) -> None:
    """Mean and variance within five standard errors, and the whole distribution by a chi-square test."""
    drawn = np.concatenate([fired(np.full((1, LANES), p), seed, LANES * n).ravel() for n in range(400)])
    n, exact = drawn.size, stats.binom(N_FIBRES, np.float32(p).astype(np.float64))
    assert abs(drawn.mean() - exact.mean()) < 5 * exact.std() / np.sqrt(n)
    fourth = float(exact.stats(moments="k")) + 3
    assert abs(drawn.var() - exact.var()) < 5 * exact.var() * np.sqrt((fourth - 1) / n) + 1e-3
    expected = n * exact.pmf(np.arange(N_FIBRES + 1))
    seen = np.bincount(drawn, minlength=N_FIBRES + 1)
    common = expected > 5
    if common.sum() > 1:
        rest = [expected[~common].sum() + 1e-9], [seen[~common].sum()]
        chi2 = ((np.r_[seen[common], rest[1]] - np.r_[expected[common], rest[0]]) ** 2)[: common.sum()]
        assert stats.chi2.sf((chi2 / expected[common]).sum(), common.sum() - 1) > 1e-5


@pytest.mark.parametrize("shape", ["rest", "tone", "burst"])
def test_counts_are_those_of_forty_fibres_drawn_one_by_one(shape: str) -> None:
    """Mean and variance at every phase, and of what fires in a millisecond: the refractory time is in them."""
    t = np.arange(960)
    p = {
        "rest": np.full(t.size, 0.0027),
        "tone": np.clip(0.08 * np.sin(2 * np.pi * t / 48), 0.001, None),
        "burst": np.where(t % 240 < 60, 0.4, 0.003),
    }[shape]
    repeats = 40
    ours = np.concatenate([fired(np.repeat(p[:, None], LANES, axis=1), 5, LANES * n) for n in range(repeats)], axis=1)
    theirs = fired_one_by_one(p, ours.shape[1], 7)
    for window in (1, 24):
        a, b = (x.reshape(-1, window, x.shape[1]).sum(axis=1) for x in (ours, theirs))
        n = a.shape[1]
        error = np.sqrt((a.var(axis=1) + b.var(axis=1)) / n) + 1e-9
        z = (a.mean(axis=1) - b.mean(axis=1)) / error
        assert np.abs(z).max() < 5
        assert abs(z.mean()) < 5 / np.sqrt(z.size) + 0.15
        assert a.var() == pytest.approx(b.var(), rel=0.03)


def test_a_fibre_that_fired_is_silent_for_a_millisecond() -> None:
    counts = fired(np.full((500, LANES), 0.8), 1)
    sums = np.cumsum(np.vstack([np.zeros((1, LANES), dtype=np.int64), counts]), axis=0)
    assert (sums[24:] - sums[:-24]).max() == N_FIBRES
    # Nearly all fire in the first steps, and again as soon as they may.
    assert counts[:3].sum() >= 0.98 * LANES * N_FIBRES
    assert counts[8:24].sum() <= 1
    assert counts[24:27].sum() >= 0.96 * LANES * N_FIBRES


def test_the_mean_rate_at_rest_is_that_of_a_renewal_process_with_dead_time() -> None:
    p = 0.0027
    counts = np.concatenate([fired(np.full((24_000, LANES), p), seed) for seed in range(3)])
    assert counts.mean() == pytest.approx(N_FIBRES * p / (1 + 23 * p), rel=5e-3)


def test_numbers_are_uniform_and_channels_independent_of_each_other_at_any_lag() -> None:
    keys = channel_keys(0, np.arange(64))
    numbers = np.array([[uniform(np.uint32(t), *key) for t in range(2_000)] for key in keys.T])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-4
    centred = numbers - numbers.mean(axis=1, keepdims=True)
    spectra = np.fft.rfft(centred, 4_000, axis=1)
    scale = 2_000 / 12
    for other in range(1, 64):
        lags = np.fft.irfft(spectra[0] * spectra[other].conj(), 4_000) / scale
        assert np.abs(lags).max() < 6 / np.sqrt(2_000)
    own = np.fft.irfft(np.abs(spectra[0]) ** 2, 4_000) / scale
    assert np.abs(own[1:2_000]).max() < 6 / np.sqrt(2_000)


def test_keys_differ_between_channels_and_seeds() -> None:
    keys = [tuple(k) for seed in range(20) for k in channel_keys(seed, np.arange(700)).T]
    assert len(set(keys)) == 14_000
    assert len({k[0] for k in keys}) > 13_990


def test_no_fibre_fires_at_probability_zero() -> None:
    assert fired(np.zeros((100, LANES)), 0).sum() == 0
