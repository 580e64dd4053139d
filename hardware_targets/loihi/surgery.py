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
BLOCK = 32
"""Removals that are made together, a multiple of 4: their rows stay in a cache of 256 KB at a thousand synapses."""


def error_form(seen: NDArray[np.float32]) -> F64:
    """H of the head of this module, (n, n), from features (n, rows) of the n synapses that exist."""
    form: F64 = np.divide(seen @ seen.T, max(1, seen.shape[1]), dtype=np.float64)
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
    order, added = _remove_one_by_one(_inverse(form), weight.astype(np.float64), first)
    return order, added


def _inverse(form: F64) -> F64:
    """Lower triangle of the inverse of a positive definite matrix; what is above it means nothing."""
    from scipy.linalg import lapack

    if not form.size:
        return form
    # Half the work of a general inverse. What is the lower triangle here is the upper one to Fortran.
    factor, failed = lapack.dpotrf(form.T, lower=0)
    if not failed:
        inverse, failed = lapack.dpotri(factor, lower=0, overwrite_c=1)
    return np.linalg.inv(form) if failed else np.ascontiguousarray(inverse.T)


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
    """See `removal_order`; changes inverse and weight.

    Without synapse b the inverse of H is that before less r r' / r_b, r its row b, and without the row and column of b.
    So many such changes are kept (`panel`, r / sqrt(r_b)) and made together, for the lower triangle of those that are
    left: the matrix is read and written once for all of them. Its diagonal is always kept up, rows that are asked for
    are worked out.
    """
    n = weight.size
    order, added = np.empty(n, np.int64), np.empty(n)
    n_first = np.count_nonzero(first)
    left = np.arange(n)
    diagonal = np.diag(inverse).copy()
    panel = np.empty((BLOCK, n))
    row = np.empty(n)
    step = 0
    while n > 0:
        alive = np.ones(n, np.bool_)
        n_block = min(BLOCK, n)
        for c in range(n_block):
            best, least = -1, np.inf
            for i in range(n):
                if alive[i] and (step >= n_first or first[left[i]]):
                    cost = weight[i] * weight[i] / diagonal[i]
                    if cost < least:
                        best, least = i, cost
            order[step], added[step] = left[best], least
            step += 1
            alive[best] = False
            row[: best + 1] = inverse[best, : best + 1]
            for i in range(best + 1, n):
                row[i] = inverse[i, best]
            for b in range(c):
                by = panel[b, best]
                for i in range(n):
                    row[i] -= by * panel[b, i]
            root = np.sqrt(diagonal[best])
            share = weight[best] / diagonal[best]
            for i in range(n):
                panel[c, i] = row[i] / root
            for i in range(n):
                if alive[i]:
                    weight[i] -= share * row[i]
                    diagonal[i] -= panel[c, i] * panel[c, i]
        # Those that are left move together, in their order; a row moves up or stays, so none is lost.
        kept = np.flatnonzero(alive)
        for j in range(kept.size):
            i = kept[j]
            left[j], weight[j], diagonal[j] = left[i], weight[i], diagonal[i]
            for b in range(n_block):
                panel[b, j] = panel[b, i]
            for k in range(j + 1):
                inverse[j, k] = inverse[i, kept[k]]
        n = kept.size
        for b in range(n_block, BLOCK):
            panel[b, :n] = 0.0
        for i in range(n):
            for b in range(0, BLOCK, 4):
                one, two, three, four = panel[b, i], panel[b + 1, i], panel[b + 2, i], panel[b + 3, i]
                for k in range(i + 1):
                    inverse[i, k] -= (
                        one * panel[b, k] + two * panel[b + 1, k] + three * panel[b + 2, k] + four * panel[b + 3, k]
                    )
    return order, added
