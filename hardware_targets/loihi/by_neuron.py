"""Work that is done for every neuron by itself, spread over threads, with the same result for any number of them.

A neuron's work is done on one thread from beginning to end, that of the libraries for linear algebra included, and
results come in the order of the neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hardware_targets.over_samples import available_cores

Found = TypeVar("Found")


def by_neuron(work: Callable[[int], Found], n_neurons: int, threads: int | None = None) -> Iterator[Found]:
    """Do the work of neurons 0 to n_neurons - 1; yields what it returns in this order.

    Parameters
    ----------
    work : may run on several threads at once, and gains from it as far as it leaves the interpreter's lock
    threads : None for one a core that this process may use
    """
    from threadpoolctl import threadpool_limits

    threads = min(threads or available_cores(), max(1, n_neurons))
    # How a product of matrices is shared out over threads may show in its last bits, and whether an integer is rounded
    # up may hang on those. And as many threads for each of ours would only be in each other's way.
    with threadpool_limits(1, "blas"):
        if threads == 1:
            yield from map(work, range(n_neurons))
            return
        pool = ThreadPoolExecutor(threads)
        try:
            yield from pool.map(work, range(n_neurons))
        finally:
            pool.shutdown(cancel_futures=True)
