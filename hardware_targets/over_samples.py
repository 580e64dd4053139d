"""Samples of an emulation shared out over threads; results do not depend on how many there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from toolchain.errors import InputError


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def over_samples(run: Callable[[int, int], None], n_samples: int, threads: int | None) -> None:
    """Call ``run(begin, end)`` for parts of ``0..n_samples``, several at a time.

    Parameters
    ----------
    run : gains from several threads as far as it leaves the interpreter's lock
    threads : None for one a core that this process may use

    Raises
    ------
    InputError
        If `threads` is below 1.
    """
    threads = available_cores() if threads is None else threads
    if threads < 1:
        raise InputError(f"emulate: threads {threads} is below 1; leave it out to use every core")
    threads = min(threads, n_samples)
    if threads <= 1:
        run(0, n_samples)
        return
    # Samples differ in their number of spikes: several parts a thread even that out.
    part = max(1, n_samples // (4 * threads))
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(run, begin, min(begin + part, n_samples)) for begin in range(0, n_samples, part)]
        for job in jobs:
            job.result()
