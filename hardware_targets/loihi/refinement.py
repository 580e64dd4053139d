"""Rounding weights together: each neuron's integers so that its membrane, not each weight, comes nearest to training.

Rounding every weight to the nearest integer leaves errors that add up wherever inputs are active at the same time, and
knows nothing of the error that rounded decays make. With the features of `membrane` the squared error of the voltage,
over samples and steps, is a quadratic form of the integers q of a neuron,

    E(q) = | F' (u q) - F w |^2 + r | u q - w |^2

w trained weights, F their features with the trained decays, F' with the chip's, u the weight that an integer stands
for. Coordinate descent from the nearest integers lowers it step by step until no single change of an integer does; it
cannot become worse than where it began. The second term (r: `TRUST` times the mean square of the features) keeps
integers near the weights where the samples say little. The best real-valued correction is not needed and a whole search
over all integers is not tried: integer least squares is hard (Babai 1986, Combinatorica 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.by_neuron import by_neuron
from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.membrane import Decays, Inputs, features, resets
from hardware_targets.loihi.rounding import weight_unit
from toolchain.kernels import kernel
from toolchain.network import Network, Population
from toolchain.spikes import SpikeTrains

F64 = NDArray[np.float64]

TRUST = 0.5
"""How much a weight is held to its trained value, against the mean square of what the samples say; measured."""
ROWS_PER_SYNAPSE = 4
"""Voltages that are looked at for each synapse of a neuron; more cost time and change little."""
SWEEPS = 12


def refine(
    network: Network,
    integers: IntegerNetwork,
    population: Population,
    spikes: Mapping[str, SpikeTrains],
    limits: ChipLimits,
    *,
    threads: int | None = None,
) -> IntegerNetwork:
    """Round the weights onto one population anew.

    Parameters
    ----------
    network : trained, with the slots of the integers
    integers : where rounding begins; scales, exponents and decays stay as they are
    population : of kind lif or leaky_readout
    spikes : population -> its spikes in the trained network, of every population but a leaky readout
    limits : of the chip
    threads : neurons at the same time, None for one a core; the result does not depend on it
    """
    inputs = Inputs.onto(population, network, spikes)
    if inputs.n_rows == 0:
        return integers
    trained, chip = _decays(network, population, integers[population.name])
    n_samples, every = _rows(inputs)
    inputs = Inputs.onto(population, network, {k: v.select(range(n_samples)) for k, v in spikes.items()})
    own = spikes[population.name].select(range(n_samples)) if population.name in spikes else None
    by_name = {p.name: p for p in integers.projections}
    mine = [by_name[p.name] for p in inputs.projections]
    weights = [p.weight.astype(np.float64) for p in inputs.projections]
    start = [p.weight / 2 for p in mine]
    slots = [p.slots for p in mine]
    exists = [p.exists for p in mine]
    unit = np.concatenate([np.full(p.weight.shape[0], weight_unit(p, integers, network)) for p in mine])
    found = [s.copy() for s in start]
    bounds = np.cumsum([0, *(p.weight.shape[0] for p in mine)])
    low, high = limits["weight_min"] // 2, limits["weight_max"] // 2

    def refined(neuron: int) -> F64:
        reset = resets(own, neuron, inputs.n_samples, inputs.n_steps)
        here = inputs.column(exists, neuron) > 0
        slot = inputs.column(slots, neuron).astype(np.int64)
        seen = features(inputs, slot, here, reset, chip, every)
        wanted = features(inputs, slot, here, reset, trained, every) if trained != chip else seen
        weight, q = inputs.column(weights, neuron), inputs.column(start, neuron)
        q[here] = nearest_membrane(seen, wanted, weight[here], q[here], unit[here], low, high)
        return q

    for neuron, q in enumerate(by_neuron(refined, population.size, threads)):
        for part, begin, end in zip(found, bounds[:-1], bounds[1:], strict=True):
            part[:, neuron] = q[begin:end]
    changed = {p.name: replace(p, weight=(2 * q).astype(np.int32)) for p, q in zip(mine, found, strict=True)}
    return replace(integers, projections=tuple(changed.get(p.name, p) for p in integers.projections))


def nearest_membrane(
    seen: NDArray[np.float32],
    wanted: NDArray[np.float32],
    weight: F64,
    start: F64,
    unit: F64,
    low: int,
    high: int,
) -> F64:
    """Integers of the synapses of one neuron; see the head of this module.

    Parameters
    ----------
    seen, wanted : (n, n_rows) features with the chip's decays and with the trained ones
    weight : (n,) trained
    start : (n,) integers to begin with
    unit : (n,) weight that an integer of 1 stands for
    low, high : range of an integer
    """
    form = seen @ seen.T
    target = seen @ (wanted.T @ weight.astype(np.float32))
    mean = float(np.trace(form, dtype=np.float64)) / max(1, weight.size)
    if mean == 0:
        return start
    pull = target.astype(np.float64) + TRUST * mean * weight
    q = start.copy()
    _descend(form, TRUST * mean, pull, unit, q, float(low), float(high), SWEEPS)
    return q


@kernel
def _descend(
    form: NDArray[np.float32], trust: float, pull: F64, unit: F64, q: F64, low: float, high: float, sweeps: int
) -> None:  # fmt: skip
    """Minimise w . (form + trust) w - 2 pull . w, w = unit q, over integers low..high one by one until none changes."""
    n = q.size
    # (form + trust) w - pull
    slope = trust * unit * q - pull
    for i in range(n):
        if q[i] != 0.0:
            weight = unit[i] * q[i]
            for k in range(n):
                slope[k] += weight * form[i, k]
    for _ in range(sweeps):
        changes = 0
        for i in range(n):
            own = np.float64(form[i, i]) + trust
            to = min(max(q[i] + np.rint(-slope[i] / (own * unit[i])), low), high)
            if to != q[i]:
                by = unit[i] * (to - q[i])
                q[i] = to
                changes += 1
                slope[i] += trust * by
                for k in range(n):
                    slope[k] += by * form[i, k]
        if changes == 0:
            break


def _decays(network: Network, population: Population, chip: IntegerPopulation) -> tuple[Decays, Decays]:
    """Of the trained population, and of the chip's integers."""
    trained = shared_constants(population, network.dt_ms)
    return (
        Decays(trained.beta, trained.alpha, trained.gain),
        Decays((4096 - (chip.du + 1)) / 4096, (4096 - chip.dv) / 4096, trained.gain),
    )


def _rows(inputs: Inputs) -> tuple[int, int]:
    """Samples, and steps between two that are looked at, so that voltages are a few for each synapse."""
    wanted = ROWS_PER_SYNAPSE * inputs.n_rows
    every = 2 if inputs.n_steps > 4 else 1
    n_samples = min(inputs.n_samples, max(8, -(-wanted * every // max(1, inputs.n_steps))))
    every = max(every, n_samples * inputs.n_steps // max(wanted, 1))
    return n_samples, every
