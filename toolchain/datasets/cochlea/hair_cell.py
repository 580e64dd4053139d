"""Inner hair cell: membrane velocity to the probability that a fibre of the auditory nerve fires.

Transmitter moves between three pools, q free in the cell, c in the cleft, w being reprocessed:

    k  = g max(s + A, 0) / (s + A + B)        permeability, for membrane velocity s
    q' = y (M - q) - k q + x w                the first term not below 0
    c' = k q - (l + r) c
    w' = r c - x w
    p  = h c dt                               probability that a fibre fires in a step

in steps of dt = 1/24000 s with the rates of change of the step before (forward Euler), as the converter of the Spiking
Heidelberg Digits takes them. Pools start at rest (s = 0), where a fibre fires 65 times a second. As q g / (l + r)
bounds c, p is below a half for any sound.

Source: Meddis, J. Acoust. Soc. Am. 79, 702 (1986) and 83, 1056 (1988); constants of Cramer et al., IEEE TNNLS 33,
2744 (2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.datasets.cochlea.lanes import F32, LANES, WIDTH, kernel

REPLENISHMENT = 5.05
"""y, 1/s."""
PERMEABILITY = 2000.0
"""g, 1/s: largest permeability."""
LOSS = 2500.0
"""l, 1/s: what leaves the cleft for good."""
REUPTAKE = 6580.0
"""r, 1/s."""
REPROCESSING = 66.3
"""x, 1/s."""
OFFSET = 5.0
"""A, in units of membrane velocity."""
HALF_POINT = 300.0
"""B, in units of membrane velocity."""
FIRING = 50000.0
"""h, 1/s: firing rate for each unit of transmitter in the cleft."""

_Q, _C, _W = (np.uint64(n * LANES) for n in range(3))
_f, _n = np.float32, np.uint64


def resting_pools() -> tuple[float, float, float]:
    """q, c, w at which nothing changes without sound."""
    k = PERMEABILITY * OFFSET / (OFFSET + HALF_POINT)
    c = REPLENISHMENT * k / (LOSS * k + REPLENISHMENT * (LOSS + REUPTAKE))
    return c * (LOSS + REUPTAKE) / k, c, c * REUPTAKE / REPROCESSING


def resting_state() -> F32:
    """Pools of a block at rest: q, c, w, each (LANES,), one after the other."""
    return np.repeat(np.array(resting_pools(), dtype=np.float32), LANES)


def rates(dt_s: float) -> F32:
    """Constants of `release` for steps of `dt_s` seconds."""
    per_second = (PERMEABILITY, REPLENISHMENT, LOSS + REUPTAKE, REUPTAKE, REPROCESSING, FIRING)
    return np.array([rate * dt_s for rate in per_second], dtype=np.float32)


@kernel
def release(velocity: Any, start: Any, n_steps: Any, pools: Any, constants: Any, probability: Any) -> None:
    """Advance the hair cells of a block by `n_steps`.

    Parameters
    ----------
    velocity : flat (n, LANES), read from step `start` on
    pools : of `resting_state`, changed in place
    constants : of `rates`
    probability : flat (n_steps, LANES), written
    """
    zero, one, offset, half = _f(0), _f(1), _f(OFFSET), _f(HALF_POINT)
    g, y, lr, r, x, h = constants[0], constants[1], constants[2], constants[3], constants[4], constants[5]
    for step in range(_n(n_steps)):
        source, target = (_n(start) + step) * WIDTH, step * WIDTH
        for lane in range(WIDTH):
            s = velocity[source + lane] + offset
            s = s if s > zero else zero
            q, c, w = pools[_Q + lane], pools[_C + lane], pools[_W + lane]
            missing = one - q
            replenished = y * (missing if missing > zero else zero)
            ejected = g * s / (s + half) * q
            reprocessed = x * w
            q += replenished - ejected + reprocessed
            w += r * c - reprocessed
            c += ejected - lr * c
            c = c if c > zero else zero
            pools[_Q + lane] = q if q > zero else zero
            pools[_C + lane] = c
            pools[_W + lane] = w if w > zero else zero
            probability[target + lane] = h * c
