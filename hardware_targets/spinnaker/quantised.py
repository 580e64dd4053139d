"""A network in SpiNNaker's integers together with the trained one, and how both are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import checked
from hardware_targets.spinnaker.integer_network import (
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
    check_integers,
)
from toolchain.deployment.target import ConstantError, ProjectionError
from toolchain.errors import BundleError, DelaylineError
from toolchain.network import Network, NeuronConstants, network_from_description


@dataclass(frozen=True)
class SpinnakerQuantised:
    """See `toolchain.deployment.target.Quantised`.

    Attributes
    ----------
    delays_extended : projection -> synapses with a longer delay than the largest slot, which were asked to be kept
    """

    integers: IntegerNetwork
    trained: Network
    delays_moved: Mapping[str, int]
    delays_clipped: Mapping[str, int]
    delays_extended: Mapping[str, int]

    @property
    def rounded(self) -> Network:
        """Trained weights, integer slots."""
        arrays = {
            trained.name: (trained.weight, np.where(ours.exists, ours.delay - 1, trained.slots()).astype(np.float32))
            for ours, trained in zip(self.integers.projections, self.trained.projections, strict=True)
        }
        return self.trained.with_arrays(arrays)

    @property
    def weighted(self) -> Network:
        """Weights that the integers stand for, integer slots."""
        from hardware_targets.spinnaker.rounding import dequantised_weights

        return dequantised_weights(self.integers, self.trained)

    @property
    def weight_steps(self) -> Mapping[str, tuple[float, float]]:
        """Spacing of weights: inhibitory and excitatory ones have ring buffers, and shifts, of their own."""
        from hardware_targets.spinnaker.rounding import weight_step

        steps = {}
        for projection in self.integers.projections:
            target = self.integers[projection.target]
            excitatory, inhibitory = (weight_step(shift) / target.scale for shift in target.shifts)
            steps[projection.name] = (inhibitory, excitatory)
        return steps

    @property
    def constants(self) -> Mapping[str, NeuronConstants]:
        """What the chip computes with, as it sets it up from the parameters."""
        from hardware_targets.spinnaker.rounding import dequantised_constants

        return dequantised_constants(self.integers)

    @property
    def projection_errors(self) -> Sequence[ProjectionError]:
        """Loss of each projection, from the arrays themselves; the exponent is the larger ring-buffer shift."""
        from hardware_targets.spinnaker.integer_network import LARGEST_WEIGHT
        from hardware_targets.spinnaker.rounding import stored_weights

        found = []
        for ours, trained, weighted in zip(
            self.integers.projections, self.trained.projections, self.weighted.projections, strict=True
        ):
            target = self.integers[ours.target]
            weight = trained.weight.astype(np.float64)
            error, power = float(np.sum((weighted.weight - weight) ** 2)), float(np.sum(weight**2))
            beyond = np.abs(stored_weights(weight, target.scale, target.shifts)) > LARGEST_WEIGHT
            found.append(
                ProjectionError(
                    ours.name,
                    int(trained.weight.size if trained.mask is None else np.count_nonzero(trained.mask)),
                    max(target.shifts),
                    int(np.count_nonzero((weight != 0) & ~ours.exists)),
                    int(np.count_nonzero(beyond)),
                    float(np.sqrt(error / power)) if power else 0.0,
                    self.delays_moved[ours.name],
                    self.delays_clipped[ours.name],
                    self.delays_extended[ours.name],
                )
            )
        return found

    @property
    def constant_errors(self) -> Sequence[ConstantError]:
        """Decays, gain and threshold before and after, of the first neuron of each population."""
        from hardware_targets.spinnaker.fixed_point import initialise

        found = []
        for population in self.integers.simulated:
            assert population.parameters is not None, "a simulated population has parameters"
            trained = NeuronConstants.of(self.trained[population.name], self.trained.dt_ms)
            chip, integers = self.constants[population.name], initialise(population.parameters, self.trained.dt_ms)
            rows = [
                ("current decay", trained.beta, chip.beta, integers.decay[0, 0]),
                ("voltage decay", trained.alpha, chip.alpha, integers.exp_tc[0]),
                ("gain", trained.gain, chip.gain, integers.init[0, 0]),
            ]
            if population.kind == "lif":
                rows.append(("threshold", trained.threshold, chip.threshold, integers.v_thresh[0]))
            for name, before, after, integer in rows:
                found.append(ConstantError(population.name, name, _first(before), _first(after), int(integer)))
        return found

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Integers and trained arrays, and everything else as a JSON header."""
        from toolchain.training.checkpoints import network_arrays

        arrays: dict[str, NDArray[Any]] = {f"trained.{k}": v for k, v in network_arrays(self.trained).items()}
        for projection in self.integers.projections:
            arrays[f"integer.{projection.name}.weight"] = projection.weight
            arrays[f"integer.{projection.name}.delay"] = projection.delay
            arrays[f"integer.{projection.name}.exists"] = projection.exists.astype(np.uint8)
        for population in self.integers.simulated:
            assert population.parameters is not None, "a simulated population has parameters"
            for field in fields(NeuronParameters):
                arrays[f"parameters.{population.name}.{field.name}"] = getattr(population.parameters, field.name)
        header = {
            "trained": self.trained.describe(),
            "scales": {p.name: p.scale for p in self.integers.simulated},
            "shifts": {p.name: list(p.shifts) for p in self.integers.simulated},
            "delays_moved": dict(self.delays_moved),
            "delays_clipped": dict(self.delays_clipped),
            "delays_extended": dict(self.delays_extended),
        }
        return arrays, header


def restore(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> SpinnakerQuantised:
    """Rebuild what `SpinnakerQuantised.arrays` returned, checking every shape and range; BundleError if damaged."""
    try:
        trained = network_from_description(
            header["trained"], {k[len("trained.") :]: v for k, v in arrays.items() if k.startswith("trained.")}
        )
        populations = tuple(
            IntegerPopulation(p.name, p.kind, p.size)
            if p.kind == "spike_source"
            else IntegerPopulation(
                p.name, p.kind, p.size, _parameters(arrays, p.name), _shifts(header, p.name), _scale(header, p.name)
            )
            for p in trained.populations
        )
        projections = tuple(
            IntegerProjection(
                p.source,
                p.target,
                checked(arrays[f"integer.{p.name}.weight"], np.int32, p.weight.shape),
                checked(arrays[f"integer.{p.name}.delay"], np.int32, p.weight.shape),
                checked(arrays[f"integer.{p.name}.exists"], np.uint8, p.weight.shape) > 0,
            )
            for p in trained.projections
        )
        integers = IntegerNetwork(trained.dt_ms, populations, projections)
        check_integers(integers)
        counts = [{p.name: int(header[k][p.name]) for p in projections} for k in _COUNTS]
        return SpinnakerQuantised(integers, trained, *counts)
    except (KeyError, TypeError, ValueError, DelaylineError) as error:
        raise BundleError(f"quantised network in the bundle is damaged: {error}; deploy again") from error


def _first(value: float | NDArray[np.float64]) -> float:
    """Of the first neuron."""
    return float(np.asarray(value).reshape(-1)[0])


_COUNTS = ("delays_moved", "delays_clipped", "delays_extended")


def _parameters(arrays: Mapping[str, NDArray[Any]], name: str) -> NeuronParameters:
    return NeuronParameters(**{f.name: arrays[f"parameters.{name}.{f.name}"] for f in fields(NeuronParameters)})


def _shifts(header: Mapping[str, Any], name: str) -> tuple[int, int]:
    excitatory, inhibitory = header["shifts"][name]
    return excitatory, inhibitory


def _scale(header: Mapping[str, Any], name: str) -> float:
    scale = header["scales"][name]
    if not isinstance(scale, (int, float)) or not 0 < scale < float("inf"):
        raise ValueError(f"scale {scale!r} of population {name} is no finite number above 0")
    return float(scale)
