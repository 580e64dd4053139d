"""What lava-dl makes of a weight matrix in a NetX file: the bits, the shift and the cuts on its way to the synapse.

A NetX file has no exponent and no sign mode. The reader (lava-dl 0.6.0, `netx/utils.py`, `optimize_weight_bits`)
shifts a matrix up as far as 8 bits allow and takes the shift back by an exponent; the synapse (lava-nc 0.10.0,
`utils/weightutils.py`) decides from the shifted numbers themselves what signs there are, clips and cuts low bits off.
The two do not agree on what is inhibitory, nor on the least weight it may have, so that some matrices arrive altered.
This module computes what arrives; `tests/interchange/test_netx_lava_dl.py` compares it with both programs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LARGEST, SMALLEST = 254, -256
"""To which the reader clips a matrix of both signs."""


def delivered_weights(*matrices: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...] | None:
    """What every synapse adds to its target when a dense layer of these weights has been read.

        shift  = floor(log2(room)) + mixed        room: how often the largest weight fits into 8 bits
        stored = cut(clip(weight << shift))
        added  = stored / 2^shift

    Parameters
    ----------
    matrices : whole numbers as in the file: the weights of a layer, and its recurrent ones, which share the shift. Of
        any shapes, at least one weight

    Returns
    -------
    of the same shapes, or None where the reader fails: all is zero, or would have to be shifted down. The synapse
    shifts the sum of what arrives and floors it: a fraction here means that what is added depends on what else arrives.
    """
    weight = np.concatenate([np.asarray(m, dtype=np.int64).ravel() for m in matrices])
    if not weight.any():
        return None
    low, high = int(weight.min()), int(weight.max())
    mixed = low < 0 <= high
    if mixed and high:
        weight = np.clip(weight, SMALLEST, LARGEST)
        low, high = int(weight.min()), int(weight.max())
        room = min(127 / high, -128 / low)
    elif mixed:
        room = -128 / low
    else:
        room = 255 / high if low >= 0 else -256 / low
    shift = math.floor(math.log2(room)) + mixed
    if shift < 0:
        return None
    bits = 8 - shift - (_common_factor(weight) - mixed)
    found, first = [], 0
    for matrix in matrices:
        part = weight[first : first + matrix.size].reshape(matrix.shape) << shift
        first += matrix.size
        stored = _in_synapse(part, bits) if part.size else part
        if stored is None:
            return None
        found.append(stored / float(2**shift))
    return tuple(found)


def _common_factor(weight: NDArray[np.int64]) -> int:
    """Largest n up to 8 for which all weights are multiples of 2^n."""
    return next(n for n in range(8, -1, -1) if not (weight % 2**n).any())


def _in_synapse(weight: NDArray[np.int64], bits: int) -> NDArray[np.int64] | None:
    """What lava-nc keeps of a matrix of so many bits; None where it would cut less than no bits off."""
    low, high = int(weight.min()), int(weight.max())
    inhibitory = low < 0 and high <= 0
    mixed = low < 0 < high
    cut = 8 - bits + mixed  # the reader's bits may be 9, for 8 and a sign that this matrix does not have
    if cut < 0:
        return None
    magnitude = np.clip(-weight if inhibitory else weight, -256 if mixed else 0, 255)
    magnitude = (magnitude >> cut) << cut
    return -magnitude if inhibitory else magnitude
