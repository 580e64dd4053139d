"""The accuracy ladder: the same test set through every stage between the trained network and the chip.

    float               as trained: delays rounded at use, up to the largest slot of training
    pruned              without the synapses that pruning removed, where it was asked for
    rounded_delays      the target's integer slots (clipped ones included), weights as trained
    quantised_weights   and the weights that the target's integers stand for
    quantised_constants and its decays and thresholds
    emulator            the target's integer arithmetic
    vendor              the vendor's own code, on some of the samples

All before the emulator run on the training backend. Each differs from the one before in one thing, so a fall in
accuracy names its cause.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.target import Pruned, Quantised, Traces
from toolchain.network import Network
from toolchain.objective import Reading
from toolchain.readouts import readout_values
from toolchain.recipe import Recipe
from toolchain.training.backends import Engine, make_engine


def predict(reading: Reading, readout_v: NDArray[np.generic], first_spikes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class of each sample, from integer or float voltages or from spikes.

    Parameters
    ----------
    reading : all but ``trace``, which has no class on a chip
    readout_v : (n_samples, n_steps, n_outputs), used unless the reading is ``first_spike``
    first_spikes : (n_samples, n_outputs) step of the first spike of each output, n_steps where there is none;
        used if the reading is ``first_spike``

    Returns
    -------
    (n_samples,); -1 where the network is read by its first spike and has none
    """
    if reading == "first_spike":
        fired = first_spikes.min(axis=1) < readout_v.shape[1]
        return np.where(fired, np.argmin(first_spikes, axis=1), -1).astype(np.int64)
    assert reading != "trace", "deploy refuses it"
    classes: NDArray[np.int64] = np.argmax(readout_values(reading, readout_v), axis=1).astype(np.int64)
    return classes


def first_spikes_of(raster: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Step of the first spike of each neuron, n_steps without one, from a raster (n_samples, n_steps, size)."""
    return np.where(raster.any(axis=1), raster.argmax(axis=1), raster.shape[1]).astype(np.int64)


def accuracy(prediction: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Fraction of samples whose prediction is the label."""
    return float(np.mean(prediction == labels))


def float_engine(recipe: Recipe, network: Network, steps: int, quantised: Quantised | None = None) -> Engine:
    """Engine of the float network; with `quantised`, on the constants of its integers.

    Whatever it was trained on: the backend ``cpu`` is everywhere, and all have the same spikes.
    """
    return make_engine(
        "cpu",
        network,
        steps,
        max_slot=network.max_slot,
        objective=recipe.training.objective(),
        constants=quantised.constants if quantised else None,
    )


def float_stages(
    trained: Network, quantised: Quantised, *, pruned: Pruned | None = None
) -> dict[str, tuple[Network, Quantised | None]]:
    """Rung -> the network that the training backend runs for it, and whose constants; those trained if None."""
    return {
        "float": (trained, None),
        **({"pruned": (pruned.network, None)} if pruned else {}),
        "rounded_delays": (quantised.rounded, None),
        "quantised_weights": (quantised.weighted, None),
        "quantised_constants": (quantised.weighted, quantised),
    }


def float_predictions(
    recipe: Recipe, trained: Network, quantised: Quantised, test: Samples, *, pruned: Pruned | None = None
) -> list[tuple[str, NDArray[np.int64]]]:
    """What each rung that runs on the training backend reads of the samples, (n_samples,) each."""
    found = []
    for name, (network, constants) in float_stages(trained, quantised, pruned=pruned).items():
        engine = float_engine(recipe, network, test.spikes.n_steps, constants)
        found.append((name, engine.respond(test.spikes, test.labels).prediction))
    return found


def predict_traces(reading: Reading, traces: Traces, population: str) -> NDArray[np.int64]:
    """Class of each sample from the traces of the population that the network is read from."""
    return predict(reading, traces.v[population], first_spikes_of(traces.spikes[population]))
