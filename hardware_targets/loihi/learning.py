"""Loihi's numbers while a network learns: the format that it is trained in, and what the emulator does meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardware_targets.loihi.emulator import Emulator
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.quantiser import quantise_network, round_at, round_delays
from hardware_targets.loihi.rounding import SHIFT, dequantised_constants, weight_unit
from hardware_targets.observation import observe as observe_emulator
from toolchain.deployment.target import TrainingFormat
from toolchain.errors import CheckpointError
from toolchain.network import Network
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains


def choose_format(network: Network, calibration: SpikeTrains, limits: ChipLimits) -> TrainingFormat:
    """Quantise the network as it is and keep its scales and exponents."""
    delays = round_delays(network, limits, clip=False, extend=True)
    chosen = quantise_network(delays.network, calibration, limits)
    # Weights grow while they are trained: none is clipped to begin with.
    scales = {p.name: p.scale for p in chosen.simulated}
    return format_of(round_at(delays.network, scales, limits, clip=False), network, limits)


def format_of(integers: IntegerNetwork, network: Network, limits: ChipLimits) -> TrainingFormat:
    """Scales and exponents of a network that was quantised."""
    return TrainingFormat(
        limits.chip,
        {p.name: weight_unit(p, integers, network) for p in integers.projections},
        limits["weight_min"] // 2,
        limits["weight_max"] // 2,
        dequantised_constants(integers, network),
        {"scales": {p.name: p.scale for p in integers.simulated}},
    )


def known_scales(hint: Mapping[str, Any]) -> dict[str, float]:
    """Scales from a checkpoint, which may hold anything; raises CheckpointError if they are none."""
    scales = hint.get("scales")
    if not isinstance(scales, Mapping) or not all(
        isinstance(s, (int, float)) and 0 < s < float("inf") for s in scales.values()
    ):
        raise CheckpointError(f"checkpoint: scales {scales!r} of its number format are no finite numbers above 0")
    return {str(name): float(scale) for name, scale in scales.items()}


def round_in(network: Network, hint: Mapping[str, Any], limits: ChipLimits) -> IntegerNetwork:
    """Round a network at the scales of its format."""
    return round_at(network, known_scales(hint), limits)


def observe(integers: IntegerNetwork, spikes: SpikeTrains) -> Observed:
    """What the emulator does with these integers, in the terms of training."""
    emulator = Emulator(integers)
    # u and v take 4 bytes each, a spike 1.
    return observe_emulator(
        lambda some: emulator.run(some, traces=True), integers.simulated, spikes, one=SHIFT, bytes_per_neuron=9
    )
