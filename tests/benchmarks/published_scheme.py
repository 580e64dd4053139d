"""The published conversion of such networks to Loihi, written down for comparison; nothing of delayline uses it.

For each layer, feedforward and recurrent weights together, with the gain of the float step folded in:

    M = the larger of the 99th percentiles of positive weights and of the sizes of negative ones
    s = 2 ** (floor(log2 M) - 6)                         the weight that an integer stands for
    integer = clip(s round(w / s), -2^(h+1), 2^(h+1) - s) / s       -128 to 127
    threshold = round(threshold / s),  decays round((1 - exp(-dt / tau)) 4096)

Source: `ml_genn_netx` (Knight and others, arXiv 2503.04341), facts/training.md section 4.1. Its delays, clipped to 62,
are left as they are. An integer here is even and stands for twice as much, so s is a weight of two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from toolchain.network import Network, Population


def convert(network: Network) -> IntegerNetwork:
    """Integers of a network whose delays are slots of the chip."""
    populations, projections = [], {}
    for population in network.populations:
        if population.kind == "spike_source":
            populations.append(IntegerPopulation(population.name, population.kind, population.size))
            continue
        unit = _unit(network, population)
        constants = shared_constants(population, network.dt_ms)
        # An even integer of 2 is one unit: the membrane is held at two weight units for one unit s.
        scale = 2 / unit
        vth = READOUT_VTH
        if population.kind == "lif":
            vth = max(1, round(2 * population.threshold / unit))
        populations.append(
            IntegerPopulation(
                population.name,
                population.kind,
                population.size,
                max(0, round(4096 * (1 - constants.beta)) - 1),
                round(4096 * (1 - constants.alpha)),
                vth,
                scale,
            )
        )
        for projection in network.incoming(population.name):
            integer = np.clip(np.rint(projection.weight * constants.gain / unit), -128, 127)
            projections[projection.name] = IntegerProjection(
                projection.source,
                projection.target,
                (2 * integer).astype(np.int32),
                0,
                projection.slots(),
                projection.mask,
            )
    return IntegerNetwork(network.dt_ms, tuple(populations), tuple(projections[p.name] for p in network.projections))


def _unit(network: Network, population: Population) -> float:
    gain = shared_constants(population, network.dt_ms).gain
    weights = np.concatenate([p.weight[p.weight != 0] for p in network.incoming(population.name)]) * gain
    sides = [np.percentile(side, 99) for side in (weights[weights > 0], -weights[weights < 0]) if side.size]
    return float(2.0 ** (np.floor(np.log2(max(sides))) - 6))


def with_slots(network: Network) -> Network:
    """The network with its delays rounded, as both conversions are given it."""
    return replace(
        network,
        projections=tuple(replace(p, delay=p.slots().astype(np.float32)) for p in network.projections),
    )
