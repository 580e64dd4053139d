"""Auditory nerve: how many of the fibres of a channel fire in a step.

A hair cell drives 40 fibres that differ in nothing, and a bushy cell weighs them the same, so their number is all that
counts. A fibre that fired cannot fire for 1 ms (24 steps, its own included). The number that fires in a step is then
binomial over the fibres that are free,

    n[t] ~ Binomial(40 - (n[t-1] + ... + n[t-23]), p[t])

which is what 40 fibres drawn one by one give, for a fortieth of the work. n is read off one uniform number by
inversion of the distribution's sum. The uniform number is a hash of (seed, channel, step): it does not depend on who
computes it, or in which order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.datasets.cochlea.lanes import F32, LANES, U32, WIDTH, kernel

N_FIBRES = 40
REFRACTORY_STEPS = 24
"""1 ms: steps from a spike of a fibre to the first at which it can fire again."""

_BUSY, _UNIFORM, _ODDS, _TERM, _SUM, _COUNT = (np.uint64(n * LANES) for n in range(6))
_f, _u, _i, _n = np.float32, np.uint32, np.int32, np.uint64


def channel_keys(seed: int, units: Any) -> U32:
    """Two keys of 32 bits for each channel, (2, len(units)): the generator's, well mixed from seed and channel."""
    entropy = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    x = np.asarray(units, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + entropy[0]
    # The finaliser of splitmix64.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= (x >> np.uint64(31)) ^ entropy[1]
    keys: U32 = np.stack([x & np.uint64(0xFFFFFFFF), x >> np.uint64(32)]).astype(np.uint32)
    return keys


def silent_fibres() -> tuple[F32, F32]:
    """State of a block in which no fibre fired lately: work space, and counts of the last 24 steps."""
    return np.zeros(6 * LANES, dtype=np.float32), np.zeros(REFRACTORY_STEPS * LANES, dtype=np.float32)


@kernel
def uniform(step: Any, key: Any, second_key: Any) -> Any:
    """Uniform float32 in [0, 1), a multiple of 2**-24, from step and the keys of a channel.

    A hash of 32 bits by multiplication and shifts (C. Wellons, "lowbias32"). The second key enters halfway: were the
    channels told apart by the first alone, some would draw the same numbers some steps later.
    """
    x = _u(_u(step * _u(0x9E3779B9)) + key)
    x = _u(x ^ _u(x >> _u(16)))
    x = _u(x * _u(0x7FEB352D))
    x = _u(x ^ _u(x >> _u(15)))
    x = _u(x ^ second_key)
    x = _u(x * _u(0x846CA68B))
    x = _u(x ^ _u(x >> _u(16)))
    return _f(_i(_u(x >> _u(8)))) * _f(2.0**-24)


@kernel
def fire(probability: Any, first_step: Any, n_steps: Any, keys: Any, state: Any, recent: Any, counts: Any) -> None:
    """Draw how many fibres fire, for a block and `n_steps` from `first_step` on.

    Parameters
    ----------
    probability : flat (n_steps, LANES), that a free fibre fires, at most 0.8, or (1 - p) ** 40 vanishes
    keys : (2 LANES,) first the first keys of `channel_keys`, then the second
    state, recent : of `silent_fibres`, changed in place
    counts : flat (n_steps, LANES) float32, written
    """
    zero, one = _f(0), _f(1)
    for step in range(_n(n_steps)):
        at = step * WIDTH
        slot = ((_n(first_step) + step) % _n(REFRACTORY_STEPS)) * WIDTH
        clock = _u(_n(first_step) + step)
        more = _u(0)
        for lane in range(WIDTH):
            p = probability[at + lane]
            u = uniform(clock, keys[lane], keys[WIDTH + lane])
            busy = state[_BUSY + lane] - recent[slot + lane]
            free = _i(_i(N_FIBRES) - _i(busy))
            # (1 - p) ** free by squaring; the products are paired to keep the chain from count to count short.
            b1 = one - p
            b2 = b1 * b1
            b4 = b2 * b2
            b8 = b4 * b4
            b16 = b8 * b8
            b32 = b16 * b16
            low = (b1 if _i(free & _i(1)) else one) * (b2 if _i(free & _i(2)) else one)
            mid = (b4 if _i(free & _i(4)) else one) * (b8 if _i(free & _i(8)) else one)
            top = (b16 if _i(free & _i(16)) else one) * (b32 if _i(free & _i(32)) else one)
            none = low * mid * top
            odds = p / b1
            term = none * odds * _f(free)
            state[_BUSY + lane] = busy
            state[_UNIFORM + lane] = u
            state[_ODDS + lane] = odds
            state[_TERM + lane] = term
            state[_SUM + lane] = none + term
            state[_COUNT + lane] = one if u >= none else zero
            more = _u(more | (_u(1) if (u >= none + term) & (free > _i(1)) else _u(0)))
        n = one
        while more:
            # P(n + 1) = P(n) odds (free - n) / (n + 1): one more fires where u is beyond the sum up to n.
            more = _u(0)
            following = n + one
            share = one / following
            for lane in range(WIDTH):
                free = _f(N_FIBRES) - state[_BUSY + lane]
                u, total = state[_UNIFORM + lane], state[_SUM + lane]
                beyond = (u >= total) & (n < free)
                state[_COUNT + lane] += one if beyond else zero
                term = state[_TERM + lane] * (state[_ODDS + lane] * share) * (free - n)
                state[_TERM + lane] = term
                state[_SUM + lane] = total + term
                more = _u(more | (_u(1) if (u >= total + term) & (following < free) else _u(0)))
            n = following
        for lane in range(WIDTH):
            count = state[_COUNT + lane]
            counts[at + lane] = count
            recent[slot + lane] = count
            state[_BUSY + lane] += count
