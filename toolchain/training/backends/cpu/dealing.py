"""Dealing the samples of the lanes to threads.

Each lane takes its samples in order, one thread at a time, so its sums are the same whichever threads did them. A
thread takes a few samples of a lane, then whichever free lane has most left: nobody waits at the end for a whole lane
of somebody else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

SHORTEST_S = 0.5e-3
"""Work that is worth a call: one costs the interpreter some 20 microseconds, during which other threads wait for it."""


class Share(NamedTuple):
    """Samples `begin` to `end` of a lane, taken at `started`."""

    lane: int
    begin: int
    end: int
    started: float


class Pace:
    """How long a sample takes, s, as far as is known from earlier batches; decides how many are taken at once."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def samples(self) -> int:
        """How many samples are worth a call; all of a lane before the first was timed."""
        return max(1, int(SHORTEST_S / self._seconds)) if self._seconds else 2**31

    def timed(self, share: Share) -> None:
        """Note the time from when a share was taken until now."""
        self._seconds = (time.monotonic() - share.started) / (share.end - share.begin)


class Dealer:
    """Deals one batch.

    Parameters
    ----------
    sizes : samples of each lane
    at_once : how many of a lane are taken at once
    """

    def __init__(self, sizes: Sequence[int], at_once: int) -> None:
        self._left, self._done, self._at_once = list(sizes), [0] * len(sizes), at_once
        self._free = set(range(len(sizes)))
        self._lock = Lock()

    def take(self) -> Share | None:
        """Samples to run next; None where every lane that has some left is at work.

        Those lanes are then no more than the threads at work, each of which goes on with its own.
        """
        with self._lock:
            lane = max(self._free, key=lambda lane: (self._left[lane], -lane), default=None)
            if lane is None or self._left[lane] == 0:
                return None
            self._free.discard(lane)
            begin = self._done[lane]
            return Share(lane, begin, begin + min(self._at_once, self._left[lane]), time.monotonic())

    def give_back(self, share: Share) -> None:
        """The samples of a share are done."""
        with self._lock:
            self._left[share.lane] -= share.end - share.begin
            self._done[share.lane] = share.end
            self._free.add(share.lane)
