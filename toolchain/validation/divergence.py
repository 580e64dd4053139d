"""The first place where two engines differ: sample, step, population, neuron, quantity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.deployment.target import Traces
from toolchain.report.content import Divergence

QUANTITIES = ("u", "v", "spikes")


def first_divergence(
    ours: Traces, theirs: Traces, populations: Sequence[str], quantities: Sequence[str] = QUANTITIES
) -> Divergence | None:
    """Compare every u, v and spike of two engines and name the earliest difference.

    Earliest means: lowest sample, then lowest step, then first population in `populations`, then u before
    v before spikes, then lowest neuron: the cause, not a consequence.

    Parameters
    ----------
    ours, theirs : arrays (n_samples, n_steps, size) of the same shape, population by population
    populations : names to compare, in the order of the network
    quantities : which of u, v and spikes

    Returns
    -------
    the difference, or None if both are equal everywhere

    Raises
    ------
    ValueError
        If shapes differ or a population is missing: then nothing has been compared.
    """
    earliest: tuple[tuple[int, int, int, int, int], Divergence] | None = None
    for rank, name in enumerate(populations):
        for order, quantity in enumerate(quantities):
            mine, other = (getattr(traces, quantity).get(name) for traces in (ours, theirs))
            if mine is None or other is None:
                raise ValueError(f"{quantity} of {name}: missing in one of the two, cannot be compared")
            if mine.shape != other.shape:
                raise ValueError(f"{quantity} of {name}: shapes {mine.shape} and {other.shape} cannot be compared")
            different = mine != other
            if not different.any():
                continue
            sample, step, neuron = (int(i) for i in np.argwhere(different)[0])
            key = (sample, step, rank, order, neuron)
            if earliest is None or key < earliest[0]:
                at = (sample, step, neuron)
                earliest = (key, Divergence(sample, name, neuron, step, quantity, int(mine[at]), int(other[at])))
    return earliest[1] if earliest else None
