"""All values of a number for which a replay equals what was reported: by bisection, several neurons at a time.

In one step of a chip every state rises with each of its constants and weights, or falls with it; what it does later
does not change that as long as nothing wraps. So the values for which all states are as reported are an interval, and
before it each deviating state lies on the side on which it lay at the start. Nothing is concluded from that: whether a
value is right is decided by all states being equal with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.diagnosis.model import I64, Flags

Difference = Callable[[I64], I64]
"""Values of n columns -> replayed less reported, (..., n)."""


@dataclass(frozen=True, eq=False)
class Range:
    """Of each column the values that explain all of its states; `found` says where there are any."""

    low: I64
    high: I64
    found: Flags


def exact_range(difference: Difference, start: I64, low: int, high: int) -> Range:
    """Search upwards and downwards from `start`, (n,), within low..high; all around it where it explains all itself."""
    at_start = difference(start)
    up = _one_way(difference, at_start, start, high, 1)
    down = _one_way(difference, at_start, start, low, -1)
    right = ~(at_start != 0).any(axis=tuple(range(at_start.ndim - 1)))
    return Range(
        np.where(up.found & ~right, up.low, down.low), np.where(up.found, up.high, down.high), up.found | down.found
    )


def _one_way(difference: Difference, at_start: I64, start: I64, limit: int, way: int) -> Range:
    """Values in one direction; `way` is 1 or -1."""
    side = np.sign(at_start)
    axes = tuple(range(at_start.ndim - 1))
    room = (np.int64(limit) - start) * way

    def reached(distance: I64) -> Flags:
        """No state is on the side on which it was any more."""
        now = difference(start + way * distance)
        found: Flags = ~((np.sign(now) == side) & (side != 0)).any(axis=axes)
        return found

    def equal(distance: I64) -> Flags:
        found: Flags = ~(difference(start + way * distance) != 0).any(axis=axes)
        return found

    right = ~(at_start != 0).any(axis=axes)
    nearest, there = _first(reached, np.zeros_like(start), np.where(right, 0, room))
    nearest = np.where(right, 0, nearest)
    there = (there & equal(nearest)) | right
    if not there.any():
        return Range(start, start, there)
    beyond, ends = _first(lambda d: ~there | ~equal(d), nearest, room)
    farthest = np.where(ends, beyond - 1, room)
    near, far = start + way * nearest, start + way * farthest
    return Range(np.where(there, np.minimum(near, far), start), np.where(there, np.maximum(near, far), start), there)


def _first(holds: Callable[[I64], Flags], after: I64, room: I64) -> tuple[I64, Flags]:
    """Smallest distance in after + 1..room at which something holds that goes on holding, and whether there is one."""
    fails = after.copy()
    step = np.ones_like(after)
    answer, known = np.zeros_like(after), room <= after
    while not known.all():
        # Steps double until it holds.
        ahead = np.minimum(fails + step, room)
        now = holds(np.where(known, np.where(answer > 0, answer, fails), ahead))
        fresh = ~known
        answer = np.where(fresh & now, ahead, answer)
        fails = np.where(fresh & ~now, ahead, fails)
        known |= fresh & (now | (ahead >= room))
        step *= 2
    there = answer > 0
    while (there & (answer - fails > 1)).any():
        middle = np.where(there, (answer + fails) // 2, fails)
        now = holds(middle)
        narrow = there & (answer - fails > 1)
        answer, fails = np.where(narrow & now, middle, answer), np.where(narrow & ~now, middle, fails)
    return answer, there
