"""Read the class of each sample from the outputs, as the trainer and the emulator are read."""

from __future__ import annotations

from typing import Any

import numpy as np


def classify(reading: str, values: Any) -> Any:
    """Class of each sample; ties go to the lower one.

    Parameters
    ----------
    reading : ``exp_weighted_average``, ``average``, ``sum`` or ``maximum`` of v, or ``first_spike``
    values : (n_samples, n_steps, n_outputs) integer v, or spikes for the last

    Returns
    -------
    (n_samples,) int64; -1 where the first spike is read and there is none
    """
    n_steps = values.shape[1]
    if reading == "first_spike":
        first = np.where(values.any(axis=1), values.argmax(axis=1), n_steps)
        return np.where(first.min(axis=1) < n_steps, first.argmin(axis=1), -1)
    if reading == "maximum":
        return values.max(axis=1).argmax(axis=1)
    # Later steps count less in the weighted average: step t by exp(-t / n_steps).
    weights = {
        "exp_weighted_average": np.exp(-np.arange(n_steps) / n_steps) / n_steps,
        "average": np.full(n_steps, 1 / n_steps),
        "sum": np.ones(n_steps),
    }[reading]
    return np.einsum("t,sto->so", weights, values.astype(np.float64)).argmax(axis=1)
