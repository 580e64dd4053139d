"""What one core of this machine can do at most: streaming, and random access to tables of three sizes.

A synaptic event is at heart one read or one addition at an irregular place, so the rate of those bounds the rate of
events; the table's size says which cache serves it. Indices are drawn beforehand and read in order, as a kernel reads
its synapses. Bandwidth is that of the triad a = b + s c (McCalpin's STREAM, its count of three arrays a pass) and of a
copy, over arrays far above the last cache.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from tests.benchmarks.workload import cpu_seconds

TABLES = {"L1-sized, 32 KiB": 2**15, "L2-sized, 512 KiB": 2**19, "DRAM-sized, 256 MiB": 2**28}
REPEATS = 7
FLOAT = 4


@dataclass(frozen=True)
class Limits:
    """Rates of one core.

    Attributes
    ----------
    copy, triad : bytes a second
    gather, scatter : table -> reads or additions a second
    """

    copy: float
    triad: float
    gather: dict[str, float]
    scatter: dict[str, float]

    def lines(self, name: str, rate: float) -> list[str]:
        """What was measured, and `rate`, synaptic events a second, as a part of each."""
        streamed = self.triad / (2 * FLOAT)
        found = [
            f"streaming, one core: copy {self.copy / 1e9:.1f} GB/s, triad {self.triad / 1e9:.1f} GB/s; "
            f"at a weight and a delay (8 bytes) an event {streamed / 1e6:.0f} M events/s; {name} is at "
            f"{rate / streamed:.0%} of it"
        ]
        for table in self.gather:
            gather, scatter = self.gather[table], self.scatter[table]
            found.append(
                f"random access, {table}: gather {gather / 1e6:.0f} M/s, scatter-add {scatter / 1e6:.0f} M/s; {name} "
                f"is at {rate / gather:.0%} and {rate / scatter:.0%} of them"
            )
        return found


def measure() -> Limits:
    """Measure all of them; takes a few seconds and about 500 MiB."""
    n = max(4 * _last_cache(), 2**26) // FLOAT
    copy, triad = _streaming(n)
    access = {name: _random_access(size) for name, size in TABLES.items()}
    gather, scatter = ({name: rates[i] for name, rates in access.items()} for i in (0, 1))
    return Limits(copy, triad, gather, scatter)


def _streaming(n: int) -> tuple[float, float]:
    """Copy and triad of arrays of n floats, bytes a second."""
    a, b, c = (np.ones(n, dtype=np.float32) for _ in range(3))
    copy = _median(lambda: _copy(a, b))
    triad = _median(lambda: _triad(a, b, c, np.float32(0.5)))
    return 2 * FLOAT * n / copy, 3 * FLOAT * n / triad


def _random_access(size: int) -> tuple[float, float]:
    """Reads and additions a second in a table of so many bytes."""
    table = np.zeros(size // FLOAT, dtype=np.float32)
    # In a large table as many places are visited as no cache holds; else few, so that the indices are cached too.
    count = 2**16 if size < 2**24 else 2**23
    index = np.random.default_rng(0).integers(0, table.size, count, dtype=np.uint32)
    passes = max(1, 2**23 // count)
    gather = _median(lambda: _gather(table, index, passes))
    scatter = _median(lambda: _scatter(table, index, passes))
    return passes * count / gather, passes * count / scatter


def _last_cache() -> int:
    """Size of the largest cache, bytes; 64 MiB where the system does not say."""
    sizes = [2**26]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20}[text[-1]])
    return max(sizes[1:], default=sizes[0])


def _median(call: Callable[[], object]) -> float:
    call()
    return statistics.median(cpu_seconds(call) for _ in range(REPEATS))


def _kernel(function: Any) -> Any:
    # fastmath lets a sum be split into independent ones: without it the latency of an addition is timed.
    return njit(function, cache=True, fastmath=True, error_model="numpy", boundscheck=False)


@_kernel
def _copy(a: Any, b: Any) -> None:
    for i in range(a.size):
        a[i] = b[i]


@_kernel
def _triad(a: Any, b: Any, c: Any, s: Any) -> None:
    for i in range(a.size):
        a[i] = b[i] + s * c[i]


@_kernel
def _gather(table: Any, index: Any, passes: int) -> Any:
    total = np.float32(0)
    for _ in range(passes):
        for i in range(np.uint64(index.size)):
            total += table[np.uint64(index[i])]
    return total


@_kernel
def _scatter(table: Any, index: Any, passes: int) -> None:
    one = np.float32(1)
    for _ in range(passes):
        for i in range(np.uint64(index.size)):
            table[np.uint64(index[i])] += one
