"""Which synapses of one neuron to remove, in which order, and what the others do to make up for them.

With the features F of `membrane` (voltage per unit of weight, on samples whose spikes are known) the voltage that a
neuron loses with other weights w' is, as a mean square over samples and steps,

    E(w') = (w' - w) . H (w' - w),    H = F F^T / rows + TRUST mean(diag F F^T / rows)

The trust keeps weights near the trained ones where the samples say little. Of all w' without synapse i the best is

    w' = w - w_i / [H^-1]_ii  H^-1 e_i      and it costs      w_i^2 / [H^-1]_ii

(optimal brain surgeon: Hassibi and Stork 1993, NIPS 5). Removing the cheapest again and again, each time with the
others made up for it, gives an order of removal (Frantar and Alistarh 2022, NeurIPS 35, exact OBS, row by row).
Which of the orders is cut where is settled over all neurons together (`pruning`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

TRUST = 0.05
"""How much a weight is held to its trained value, against the mean square of what the samples say; measured."""


def error_form(seen: NDArray[np.float32]) -> F64:
    """H of the head of this module, (n, n), from features (n, rows) of the n synapses that exist."""
    form = (seen @ seen.T).astype(np.float64) / max(1, seen.shape[1])
    mean = float(np.trace(form)) / max(1, form.shape[0])
    # A neuron that nothing reached on the samples: every synapse costs the same next to nothing.
    form[np.diag_indices_from(form)] += TRUST * mean if mean else np.finfo(np.float64).tiny ** 0.5
    return form


def removal_order(form: F64, weight: F64, first: Bools) -> tuple[I64, F64]:
    """Order in which the synapses of a neuron are removed, each time the one that costs least.

    Parameters
    ----------
    form : (n, n) H
    weight : (n,) trained
    first : (n,) synapses that are removed before all others, whatever they cost

    Returns
    -------
    order, added : (n,) indices; and what each adds to the mean squared error of the voltage, >= 0
    """
    inverse = np.linalg.inv(form)
    order, added = _remove_one_by_one((inverse + inverse.T) / 2, weight.astype(np.float64), first)
    return order, added


def compensated(form: F64, weight: F64, kept: Bools) -> F64:
    """Weights (n,) of least error among those that are 0 where a synapse is not kept."""
    found = np.zeros(weight.size)
    if kept.all():
        return weight.astype(np.float64)
    if kept.any():
        found[kept] = np.linalg.solve(form[np.ix_(kept, kept)], (form @ weight)[kept])
    return found


@kernel
def _remove_one_by_one(inverse: F64, weight: F64, first: Bools) -> tuple[I64, F64]:
    """See `removal_order`; changes inverse and weight."""
    n = weight.size
    order, added = np.empty(n, np.int64), np.empty(n)
    left = np.ones(n, np.bool_)
    n_first = np.count_nonzero(first)
    for step in range(n):
        best, least = -1, np.inf
        for i in range(n):
            if left[i] and (step >= n_first or first[i]):
                cost = weight[i] * weight[i] / inverse[i, i]
                if cost < least:
                    best, least = i, cost
        order[step], added[step] = best, least
        left[best] = False
        row = inverse[best].copy()
        share = weight[best] / row[best]
        weight[best] = 0.0
        for i in range(n):
            if left[i]:
                weight[i] -= share * row[i]
                # The inverse of H without the row and the column of what was removed.
                by = row[i] / row[best]
                for k in range(n):
                    inverse[i, k] -= by * row[k]
    return order, added
