"""Training in a chip's numbers: the forward pass runs on what the chip would hold, the fine values learn.

Weights are rounded to the target's grid, decays and thresholds are those of its integers; the gradient at the rounded
weights is applied to the fine ones as if rounding were the identity (the straight-through estimator). Delays are always
trained so: they are integers when used. The target chooses the grid when quantised training begins, from the network
as it is then, and again after an epoch in which a weight outgrew it. What is validated, kept as best and deployed are
the rounded weights, and deployment takes the same grid, so nothing is lost by rounding them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.target import TrainingFormat
from toolchain.errors import CheckpointError
from toolchain.network import Network, NeuronConstants


@dataclass(frozen=True)
class StraightThrough:
    """A training format over the flat weights of a network.

    Attributes
    ----------
    unit : (n_synapses,) spacing of each weight in canonical order
    """

    format: TrainingFormat
    unit: NDArray[np.float64]

    @classmethod
    def over(cls, network: Network, chosen: TrainingFormat) -> StraightThrough:
        """Spread a format over the synapses of a network."""
        parts = [np.full(p.n_synapses, chosen.unit[p.name]) for p in network.projections]
        return cls(chosen, np.concatenate([np.zeros(0), *parts]))

    def round(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """Weights as the target holds them, and how many of them had to be clipped to its range."""
        multiples = np.rint(weights / self.unit)
        inside = np.clip(multiples, self.format.low, self.format.high)
        return (inside * self.unit).astype(np.float32), int(np.count_nonzero(inside != multiples))

    def header(self) -> dict[str, Any]:
        """The format as JSON types, for a checkpoint; the inverse is `restore`."""
        constants = {name: _numbers_of(c) for name, c in self.format.constants.items()}
        return {
            **vars(self.format),
            "unit": dict(self.format.unit),
            "hint": dict(self.format.hint),
            "constants": constants,
        }

    @classmethod
    def restore(cls, network: Network, header: Mapping[str, Any]) -> StraightThrough:
        """Rebuild from a checkpoint; raises CheckpointError if the header is damaged."""
        try:
            constants = {
                str(name): NeuronConstants(
                    _constant(c["alpha"], network[name].size),
                    _constant(c["beta"], network[name].size),
                    _constant(c["gain"], network[name].size),
                    np.inf if c["threshold"] is None else float(c["threshold"]),
                )
                for name, c in header["constants"].items()
            }
            unit = {p.name: float(header["unit"][p.name]) for p in network.projections}
            if not all(0 < u < np.inf for u in unit.values()):
                raise ValueError(f"unit {unit} of its weights is not above 0")
            chosen = TrainingFormat(
                str(header["target"]), unit, int(header["low"]), int(header["high"]), constants, dict(header["hint"])
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"checkpoint: {error!r} in its number format; it is damaged, use another") from error
        return cls.over(network, chosen)


def _numbers_of(constants: NeuronConstants) -> dict[str, Any]:
    """As JSON types: a list where each neuron has its own; None for infinity, as a leaky readout has no threshold."""
    numbers = {key: np.asarray(value, dtype=np.float64).tolist() for key, value in vars(constants).items()}
    return {**numbers, "threshold": constants.threshold if np.isfinite(constants.threshold) else None}


def _constant(value: Any, size: int) -> float | NDArray[np.float64]:
    """One number for a population of this size, or one for each of its neurons."""
    if not isinstance(value, list):
        return float(value)
    of_neurons = np.array(value, dtype=np.float64)
    if of_neurons.shape != (size,):
        raise ValueError(f"{of_neurons.shape} constants for {size} neurons")
    return of_neurons
