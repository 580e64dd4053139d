"""How a class is read from the voltage of a leaky readout: one value for each output and sample.

    exp_weighted_average   y = (1/T) sum_t e^(-t/T) V[t]    early evidence counts more (mlGeNN: avg_var_exp_weight)
    average                y = (1/T) sum_t V[t]             (avg_var)
    sum                    y = sum_t V[t]                   the same class, T times the logits (sum_var)
    maximum                y = max_t V[t]                   (max_var)

T is the number of steps. Training, the accuracy ladder and the exported scripts all read by these definitions
(facts: Meszaros, Knight, Nowotny 2025; mlGeNN 2.3.1, event_prop_compiler.py).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

ReadoutName = Literal["exp_weighted_average", "average", "sum", "maximum"]
READOUTS: tuple[ReadoutName, ...] = get_args(ReadoutName)


def time_weights(readout: ReadoutName, steps: int) -> NDArray[np.float64]:
    """Weight of the voltage of steps 0 to `steps`, (steps + 1,); empty for the maximum, which has none.

    The last one belongs to the end of the sample: the adjoint of a step covers the interval that follows it.
    """
    if readout == "exp_weighted_average":
        weights: NDArray[np.float64] = np.exp(-np.arange(steps + 1) / steps) / steps
        return weights
    if readout == "maximum":
        return np.zeros(0)
    return np.full(steps + 1, 1.0 / steps if readout == "average" else 1.0)


def readout_values(readout: ReadoutName, voltage: NDArray[np.generic]) -> NDArray[np.float64]:
    """Values of samples whose voltages, (n_samples, n_steps, n_readout), are floats or a chip's integers.

    Returns
    -------
    (n_samples, n_readout)
    """
    if readout == "maximum":
        largest: NDArray[np.float64] = voltage.max(axis=1).astype(np.float64)
        return largest
    weights = time_weights(readout, voltage.shape[1])[:-1]
    values: NDArray[np.float64] = np.einsum("t,sto->so", weights, voltage.astype(np.float64))
    return values
