"""A network in Loihi's integers together with the trained one, and how both are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import checked
from hardware_targets.loihi import relays
from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.integer_network import (
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from hardware_targets.loihi.limits import ChipLimits, read_limits
from toolchain.deployment.target import ConstantError, ProjectionError
from toolchain.errors import BundleError, DelaylineError
from toolchain.network import Network, NeuronConstants, network_from_description


@dataclass(frozen=True)
class LoihiQuantised:
    """A network in Loihi's integers together with the trained one; see `toolchain.deployment.target.Quantised`.

    Attributes
    ----------
    integers : population by population and synapse by synapse those of the trained network
    extended : the same with relays for long delays, where they were asked for
    """

    chip: str
    integers: IntegerNetwork
    trained: Network
    delays_moved: Mapping[str, int]
    delays_clipped: Mapping[str, int]
    extended: relays.Extended | None = None

    @property
    def on_chip(self) -> IntegerNetwork:
        """What is placed, exported and emulated."""
        return self.extended.network if self.extended else self.integers

    @property
    def rounded(self) -> Network:
        """Trained weights, integer slots."""
        arrays = {
            p.name: (self.trained_projection_weight(p.name), p.slots.astype(np.float32))
            for p in self.integers.projections
        }
        return self.trained.with_arrays(arrays)

    def trained_projection_weight(self, name: str) -> NDArray[np.float32]:
        """Weights of one projection before quantisation."""
        return next(p.weight for p in self.trained.projections if p.name == name)

    @property
    def weighted(self) -> Network:
        """Weights that the integers stand for, integer slots."""
        from hardware_targets.loihi.rounding import dequantised_weights

        return dequantised_weights(self.integers, self.trained)

    @property
    def weight_steps(self) -> Mapping[str, tuple[float, float]]:
        """Spacing of weights; that of negative ones is the same."""
        from hardware_targets.loihi.rounding import weight_unit

        return {p.name: (weight_unit(p, self.integers, self.trained),) * 2 for p in self.integers.projections}

    @property
    def constants(self) -> Mapping[str, NeuronConstants]:
        """Decays and thresholds that the integers stand for."""
        from hardware_targets.loihi.rounding import dequantised_constants

        return dequantised_constants(self.integers, self.trained)

    @property
    def projection_errors(self) -> Sequence[ProjectionError]:
        """Loss of each projection, from the arrays themselves."""
        from hardware_targets.loihi.rounding import rms_ratio, round_weights

        limits, found = read_limits(self.chip), []
        weighted = {p.name: p.weight.astype(np.float64) for p in self.weighted.projections}
        for projection in self.integers.projections:
            trained = self.trained_projection_weight(projection.name).astype(np.float64)
            target = self.trained[projection.target]
            factor = shared_constants(target, self.trained.dt_ms).gain * self.integers[projection.target].scale
            found.append(
                ProjectionError(
                    projection.name,
                    projection.n_synapses,
                    projection.exponent,
                    int(np.count_nonzero((trained != 0) & (projection.weight == 0))),
                    round_weights(trained, factor, limits)[2],
                    rms_ratio(weighted[projection.name] - trained, trained),
                    self.delays_moved[projection.name],
                    self.delays_clipped[projection.name],
                    self.extended.moved[projection.name] if self.extended else 0,
                )
            )
        return found

    @property
    def constant_errors(self) -> Sequence[ConstantError]:
        """Decays and thresholds before and after."""
        found = []
        for population in self.integers.simulated:
            trained = shared_constants(self.trained[population.name], self.trained.dt_ms)
            chip = self.constants[population.name]
            beta, alpha = float(chip.beta), float(chip.alpha)
            found.append(ConstantError(population.name, "current decay", trained.beta, beta, population.du))
            found.append(ConstantError(population.name, "voltage decay", trained.alpha, alpha, population.dv))
            if population.kind == "lif":
                found.append(
                    ConstantError(population.name, "threshold", trained.threshold, chip.threshold, population.vth)
                )
        return found

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Integers and trained arrays, and everything else as a JSON header."""
        from toolchain.training.checkpoints import network_arrays

        arrays: dict[str, NDArray[Any]] = {f"trained.{k}": v for k, v in network_arrays(self.trained).items()}
        for projection in self.integers.projections:
            arrays[f"integer.{projection.name}.weight"] = projection.weight
            arrays[f"integer.{projection.name}.slots"] = projection.slots.astype(np.int64)
        header = {
            "trained": self.trained.describe(),
            "populations": [dict(vars(p)) for p in self.integers.populations],
            "exponents": {p.name: p.exponent for p in self.integers.projections},
            "delays_moved": dict(self.delays_moved),
            "delays_clipped": dict(self.delays_clipped),
            # Relays follow from the integers and the chip, so they are not stored.
            "extended": self.extended is not None,
        }
        return arrays, header


def restore(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any], chip: ChipLimits) -> LoihiQuantised:
    """Rebuild a quantised network from a bundle, checking every index and range in it; BundleError if it is damaged."""
    try:
        trained = network_from_description(
            header["trained"], {k[len("trained.") :]: v for k, v in arrays.items() if k.startswith("trained.")}
        )
        known = {f.name for f in fields(IntegerPopulation)}
        populations = tuple(
            IntegerPopulation(**{k: v for k, v in p.items() if k in known}) for p in header["populations"]
        )
        projections = tuple(
            IntegerProjection(
                p.source,
                p.target,
                checked(arrays[f"integer.{p.name}.weight"], np.int32, p.weight.shape),
                int(header["exponents"][p.name]),
                checked(arrays[f"integer.{p.name}.slots"], np.int64, p.weight.shape),
                p.mask,
            )
            for p in trained.projections
        )
        integers = IntegerNetwork(trained.dt_ms, populations, projections)
        if [(p.name, p.kind, p.size) for p in populations] != [(p.name, p.kind, p.size) for p in trained.populations]:
            raise BundleError("quantised network: its populations are not those of the trained one; deploy again")
        # Bundles of before relays do not say that they have none.
        extended = None
        if header.get("extended", False) is True:
            check_integers(integers)
            extended = relays.extend_delays(integers, chip)
        check_integers(extended.network if extended else integers, chip["slot_max"])
        moved, clipped = dict(header["delays_moved"]), dict(header["delays_clipped"])
        return LoihiQuantised(chip.chip, integers, trained, moved, clipped, extended)
    except (KeyError, TypeError, ValueError, DelaylineError) as error:
        raise BundleError(f"quantised network in the bundle is damaged: {error}; deploy again") from error
