"""SpiNNaker's numbers while a network learns: the format that it is trained in, and its way through a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardware_targets.spinnaker.integer_network import LARGEST_SAFE_SHIFT, LARGEST_WEIGHT, IntegerNetwork
from hardware_targets.spinnaker.quantiser import shared_shifts
from hardware_targets.spinnaker.rounding import dequantised_constants, weight_step
from toolchain.deployment.target import TrainingFormat
from toolchain.errors import CheckpointError
from toolchain.network import Network


def format_of(integers: IntegerNetwork, network: Network, name: str) -> TrainingFormat:
    """Scales of a network, and of each population the larger of its shifts: a weight may change its sign.

    Parameters
    ----------
    network : that the integers are of
    name : of the target
    """
    chosen = shared_shifts(integers)
    unit = {}
    for projection in network.projections:
        scale, (shift, _) = chosen[projection.target]
        unit[projection.name] = weight_step(shift) / scale
    hint = {
        "scales": {population: scale for population, (scale, _) in chosen.items()},
        "shifts": {population: list(shifts) for population, (_, shifts) in chosen.items()},
    }
    return TrainingFormat(name, unit, -LARGEST_WEIGHT, LARGEST_WEIGHT, dequantised_constants(integers), hint)


def known_format(hint: Mapping[str, Any]) -> dict[str, tuple[float, tuple[int, int]]]:
    """Scales and shifts from a checkpoint, which may hold anything."""
    scales, shifts = hint.get("scales"), hint.get("shifts")
    if not isinstance(scales, Mapping) or not isinstance(shifts, Mapping) or set(scales) != set(shifts):
        raise CheckpointError(f"checkpoint: its number format {dict(hint)!r} has no scales and shifts; train again")
    known = {}
    for name, scale in scales.items():
        pair = shifts[name]
        if (
            not (isinstance(scale, (int, float)) and 0 < scale < float("inf"))
            or not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or not all(isinstance(s, int) and 0 <= s <= LARGEST_SAFE_SHIFT for s in pair)
        ):
            raise CheckpointError(
                f"checkpoint: scale {scale!r} or shifts {pair!r} of population {name} are out of range; train again"
            )
        known[str(name)] = (float(scale), (pair[0], pair[1]))
    return known
