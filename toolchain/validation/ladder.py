"""The accuracy ladder: the same test set through every stage between the trained network and the chip.

    float               as trained: delays rounded at use, up to the largest slot of training
    rounded_delays      the target's integer slots (clipped ones included), weights as trained
    quantised_weights   and the weights that the target's integers stand for
    quantised_constants and its decays and thresholds
    emulator            the target's integer arithmetic
    vendor              the vendor's own code, on some of the samples

The first four run on the training backend. Each differs from the one before in one thing, so a fall in
accuracy names its cause.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.target import Quantised, Traces
from toolchain.errors import RecipeError
from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.readouts import READOUTS, ReadoutName, readout_values
from toolchain.recipe import Recipe
from toolchain.report.content import Rung
from toolchain.training.backends import Engine, make_engine


def voltage_readout(recipe: Recipe) -> ReadoutName:
    """How a recipe reads classes from voltages; raises RecipeError if it does not, for nothing else is deployed yet."""
    for name in READOUTS:
        if recipe.training.readout == name:
            return name
    raise RecipeError(
        f"recipe {recipe.name}: training.readout {recipe.training.readout} cannot be deployed; train with "
        f"{', '.join(READOUTS[:-1])} or {READOUTS[-1]}"
    )


def predict(readout: ReadoutName, readout_v: NDArray[np.generic]) -> NDArray[np.int64]:
    """Class of each sample from integer or float readout voltages (n_samples, n_steps, n_readout)."""
    classes: NDArray[np.int64] = np.argmax(readout_values(readout, readout_v), axis=1).astype(np.int64)
    return classes


def accuracy(prediction: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Fraction of samples whose prediction is the label."""
    return float(np.mean(prediction == labels))


def float_engine(recipe: Recipe, network: Network, steps: int, quantised: Quantised | None = None) -> Engine:
    """Engine of the training backend; with `quantised`, on the constants of its integers."""
    return make_engine(
        recipe.training.backend,
        network,
        steps,
        max_slot=max(network.max_slot, recipe.training.max_slot),
        objective=Objective(voltage_readout(recipe)),
        constants=quantised.constants if quantised else None,
    )


def float_rungs(recipe: Recipe, trained: Network, quantised: Quantised, test: Samples) -> list[Rung]:
    """The rungs that run on the training backend."""
    stages = (
        ("float", trained, None),
        ("rounded_delays", quantised.rounded, None),
        ("quantised_weights", quantised.weighted, None),
        ("quantised_constants", quantised.weighted, quantised),
    )
    rungs = []
    for name, network, constants in stages:
        engine = float_engine(recipe, network, test.spikes.n_steps, constants)
        prediction = engine.respond(test.spikes, test.labels).prediction
        rungs.append(Rung(name, accuracy(prediction, test.labels), test.labels.size))
    return rungs


def vendor_rung(recipe: Recipe, traces: Traces, population: str, labels: NDArray[np.int64]) -> Rung:
    """Accuracy of the vendor's code on the samples that it ran, read from the voltage of `population`."""
    prediction = predict(voltage_readout(recipe), traces.v[population])
    return Rung("vendor", accuracy(prediction, labels), labels.size)
