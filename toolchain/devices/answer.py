"""Whether what a device returned can be an answer: of these samples, of these neurons, in numbers that mean something.

Devices are written by others. What they return is looked at where it comes in, before it is kept or learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.target import Traces
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.errors import UnansweredError

REMEDY = "correct what its run() returns"


def checked(
    run: Any, deployed: Deployed, samples: Samples, name: str, *, first: int = 0, integers: bool = True
) -> DeviceRun:
    """The same run with classes in int64, spikes in bool, u and v in numbers that mean something.

    Parameters
    ----------
    run : what a device called `name` returned for `samples`
    first : number of the first of these samples, for messages
    integers : whether u and v must be whole numbers, to be compared to the bit; else they must be finite

    Raises
    ------
    UnansweredError
        If it is no answer: of another shape, not in numbers of the chip, a class that does not exist.
    """
    n = samples.labels.size
    if not isinstance(run, DeviceRun):
        raise UnansweredError(f"{name}: returned {type(run).__name__}, must be a DeviceRun; {REMEDY}")
    prediction = np.asarray(run.prediction)
    if prediction.shape != (n,):
        raise UnansweredError(
            f"{name}: prediction is {prediction.shape} for {n} samples, must be ({n},), a class each; {REMEDY}"
        )
    classes = _whole(prediction)
    last = deployed.quantised.trained.readout.size - 1
    wrong = np.ones(n, dtype=np.bool_) if classes is None else (classes < -1) | (classes > last)
    if classes is None or wrong.any():
        sample = int(np.argmax(wrong if classes is not None else ~_is_whole(prediction)))
        raise UnansweredError(
            f"{name}: prediction of sample {first + sample} is {prediction[sample]}, must be a class 0..{last}, or -1 "
            f"for none; {REMEDY}"
        )
    traces = None if run.traces is None else _traces(run.traces, deployed, samples, name, first, integers)
    return DeviceRun(classes, traces, run.overflows)


def _traces(traces: Traces, deployed: Deployed, samples: Samples, name: str, first: int, integers: bool) -> Traces:
    sizes = {p.name: p.size for p in deployed.quantised.trained.populations if p.kind != "spike_source"}
    n, steps = samples.labels.size, samples.spikes.n_steps

    def of(quantity: str) -> dict[str, NDArray[Any]]:
        reported: Mapping[str, NDArray[Any]] = getattr(traces, quantity)
        found = {}
        for population, values in reported.items():
            what = f"{name}: {quantity} of {population}"
            array = np.asarray(values)
            # Relays of extended delays are no populations of the trained network; their number is the target's affair.
            wanted = (n, steps, sizes.get(population, array.shape[-1] if array.ndim == 3 else "neurons"))
            if array.shape != wanted:
                raise UnansweredError(f"{what} are {array.shape}, must be (samples, steps, neurons) {wanted}; {REMEDY}")
            found[population] = _state(array, what, first, quantity == "spikes", integers)
        return found

    return Traces(of("u"), of("v"), of("spikes"), traces.currents)


def _state(values: NDArray[Any], what: str, first: int, spikes: bool, integers: bool) -> NDArray[Any]:
    """Spikes as bool, u and v as they are if they are integers or need not be, else as int64."""
    if values.dtype == np.bool_ if spikes else values.dtype.kind in "iu":
        return values
    if spikes or integers:
        sound = _is_whole(values)
    else:
        sound = np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=np.bool_)
    if spikes:
        sound &= (values == 0) | (values == 1)
    if not sound.all():
        sample, step, neuron = (int(i) for i in np.argwhere(~sound)[0])
        allowed = "0 or 1" if spikes else "a whole number, as the chip has it" if integers else "a number"
        raise UnansweredError(
            f"{what}: sample {first + sample}, step {step}, neuron {neuron} is {values[sample, step, neuron]}, must be "
            f"{allowed}; {REMEDY}"
        )
    if spikes:
        return values.astype(np.bool_)
    return values.astype(np.int64) if integers else values


def _whole(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """As int64; None if one of them is no whole number."""
    return values.astype(np.int64) if _is_whole(values).all() else None


def _is_whole(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the values are whole numbers that int64 can hold."""
    if values.dtype.kind in "iu" or values.dtype == np.bool_:
        return np.ones(values.shape, dtype=np.bool_)
    if values.dtype.kind != "f":
        return np.zeros(values.shape, dtype=np.bool_)
    whole: NDArray[np.bool_] = np.isfinite(values) & (np.abs(values) < 2.0**53)
    whole &= np.where(whole, values, 0.5) == np.rint(np.where(whole, values, 0.5))
    return whole
