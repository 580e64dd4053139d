"""Fingerprints of what a device did: enough to compare two runs exactly, small enough to keep for every sample.

Traces of a speech network are some megabytes a sample. Of each sample, population and quantity 8 bytes of a hash are
kept instead. Equal traces have equal fingerprints; different ones have equal fingerprints once in 2^64. Where they
differ, that sample is run again and looked into.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.target import Traces

U64 = NDArray[np.uint64]
QUANTITIES = ("u", "v", "spikes")


def fingerprints(traces: Traces) -> dict[str, U64]:
    """``<quantity>/<population>`` -> (n_samples,), of everything that the traces hold.

    Numbers are hashed as int64 and spikes as bits, so that it does not matter how a device stores them.
    """
    found: dict[str, U64] = {}
    with ThreadPoolExecutor() as pool:
        for quantity in QUANTITIES:
            of: Mapping[str, NDArray[Any]] = getattr(traces, quantity)
            for name, values in of.items():
                found[f"{quantity}/{name}"] = np.fromiter(pool.map(_digest, values), dtype=np.uint64, count=len(values))
    return found


def _digest(values: NDArray[Any]) -> int:
    """Fingerprint of one sample, (n_steps, n); the shape is part of it."""
    if values.dtype == np.bool_:
        content = np.packbits(values)
    else:
        content = np.ascontiguousarray(values, dtype=np.int64).view(np.uint8).ravel()
    digest = hashlib.blake2b(repr(values.shape).encode(), digest_size=8)
    digest.update(content.data)
    return int.from_bytes(digest.digest(), "little")


def differing(ours: Mapping[str, U64], theirs: Mapping[str, U64]) -> tuple[NDArray[np.int64], list[str]]:
    """Samples of which two runs differ, among the first that both have, and what was compared.

    Returns
    -------
    (n,) sample numbers in rising order, and the names of what both reported
    """
    shared = [name for name in ours if name in theirs]
    if not shared:
        return np.zeros(0, dtype=np.int64), []
    n = min(min(ours[name].size, theirs[name].size) for name in shared)
    unequal = np.zeros(n, dtype=np.bool_)
    for name in shared:
        unequal |= ours[name][:n] != theirs[name][:n]
    return np.flatnonzero(unequal).astype(np.int64), shared
