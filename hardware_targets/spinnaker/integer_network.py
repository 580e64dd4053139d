"""A network in SpiNNaker's integers: what the emulator runs, the tables hold and the sPyNNaker script is made of.

Neurons are sPyNNaker's IF_curr_exp, all quantities s16.15 (`ONE` stands for 1) unless they say otherwise. One tick of a
neuron, `mulk(a, b)` = (a * b) >> 15, `decay(x, u)` = (x * u) >> 32, both floors, u an unsigned fraction of 32 bits:

    value[type] += decay(ring[type] << shift[type], init[type])             ring: 16 bits, saturates
    refractory <= 0:  I = value[exc] - value[inh] + i_offset
                      alpha = mulk(I, R) + v_rest;  v <- alpha - mulk(exp_tc, alpha - v)
    otherwise:        refractory <- refractory - 1
    spike if v >= v_thresh, then v <- v_reset, refractory <- t_refract
    value[type] <- decay(value[type], decay_u[type])

A spike of tick t on a synapse with a delay of d ticks is in the ring of tick t + d, d >= 1: d is slot + 1.
R, exp_tc, t_refract, init and decay_u are what the chip itself computes from the parameters when it starts
(`fixed_point`). Source: the ARM code of sPyNNaker 7.4.1, disassembled (facts of the project, spinnaker.md section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import NetworkError
from toolchain.network import Kind

ONE = 1 << 15
"""1.0 in s16.15."""
EXCITATORY, INHIBITORY = 0, 1
"""Synapse types: the sign of a stored weight is its type."""
N_TYPES = 2
LARGEST_WEIGHT = 0xFFFF
"""Largest stored weight; its sign is carried by the synapse type."""
LARGEST_SHIFT = 16
"""A larger ring-buffer shift moves bits out of s16.15."""
LARGEST_SAFE_SHIFT = 15
"""At 16 a stored weight of 2^15 or more would subtract: the chip takes the shifted weight as signed."""
NO_THRESHOLD = 0x7FFFFFFF
"""Threshold of a `leaky_readout`: the largest there is, just below 65536 mV."""

I32 = NDArray[np.int32]
PARAMETERS = ("tau_m", "cm", "tau_syn_e", "tau_syn_i", "v_rest", "v_reset", "v_thresh", "i_offset", "tau_refrac")


@dataclass(frozen=True)
class NeuronParameters:
    """What a neuron is given before it runs, each (size,) int32 in s16.15: those of PyNN's IF_curr_exp, ms and mV.

    With `cm` (nF) equal to `tau_m` (ms) the membrane has a resistance of 1, so a current of 1 nA leads to 1 mV.
    """

    tau_m: I32
    cm: I32
    tau_syn_e: I32
    tau_syn_i: I32
    v_rest: I32
    v_reset: I32
    v_thresh: I32
    i_offset: I32
    tau_refrac: I32


@dataclass(frozen=True)
class IntegerPopulation:
    """One population.

    Parameters
    ----------
    name, kind, size : as in the float network
    parameters : None for a spike source
    shifts : ring-buffer shift of excitatory and inhibitory input: a stored weight w adds ``w << shift`` in s16.15
    scale : mV that stand for one unit of the float membrane voltage; 0 for a spike source
    """

    name: str
    kind: Kind
    size: int
    parameters: NeuronParameters | None = None
    shifts: tuple[int, int] = (0, 0)
    scale: float = 0.0


@dataclass(frozen=True)
class IntegerProjection:
    """Synapses of one projection.

    Parameters
    ----------
    source, target : population names
    weight : (pre, post) int32, -65535..65535: magnitude as stored, negative for inhibitory synapses
    delay : (pre, post) int32, ticks, >= 1 where there is a synapse
    exists : (pre, post) bool; a synapse whose weight became 0 does not exist here
    """

    source: str
    target: str
    weight: I32
    delay: I32
    exists: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"

    @property
    def n_synapses(self) -> int:
        """Number of synapses that exist."""
        return int(np.count_nonzero(self.exists))

    def of_type(self, synapse_type: int) -> NDArray[np.bool_]:
        """Which synapses are excitatory or inhibitory, (pre, post): PyNN has a projection for either."""
        wanted = self.weight > 0 if synapse_type == EXCITATORY else self.weight < 0
        return wanted & self.exists

    @property
    def longest(self) -> int:
        """Longest delay of a synapse, ticks; 0 without synapses."""
        return int(self.delay[self.exists].max(initial=0))


@dataclass(frozen=True)
class IntegerNetwork:
    """The quantised network; populations and projections in the order of the float network."""

    dt_ms: float
    populations: tuple[IntegerPopulation, ...]
    projections: tuple[IntegerProjection, ...]

    def __getitem__(self, name: str) -> IntegerPopulation:
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)

    @property
    def simulated(self) -> tuple[IntegerPopulation, ...]:
        """Every population but the spike sources."""
        return tuple(p for p in self.populations if p.kind != "spike_source")

    @property
    def sources(self) -> tuple[IntegerPopulation, ...]:
        """The spike sources."""
        return tuple(p for p in self.populations if p.kind == "spike_source")

    def incoming(self, name: str) -> tuple[IntegerProjection, ...]:
        """Projections onto a population."""
        return tuple(p for p in self.projections if p.target == name)

    def outgoing(self, name: str) -> tuple[IntegerProjection, ...]:
        """Projections from a population."""
        return tuple(p for p in self.projections if p.source == name)


def check_integers(network: IntegerNetwork) -> None:
    """Refuse a network that SpiNNaker would alter silently, or whose parts do not fit together.

    Raises
    ------
    NetworkError
        Naming the population or projection, the value and the limit.
    """
    sizes = {p.name: p.size for p in network.populations}
    if len(sizes) != len(network.populations):
        raise NetworkError("network: two populations have the same name; rename one")
    for population in network.simulated:
        _check_population(population)
    for projection in network.projections:
        if projection.source not in sizes or projection.target not in sizes:
            raise NetworkError(f"projection {projection.name}: one of its ends is no population; quantise again")
        if network[projection.target].kind == "spike_source":
            raise NetworkError(f"projection {projection.name}: its target is a spike source; remove it")
        shape = (sizes[projection.source], sizes[projection.target])
        for what in ("weight", "delay", "exists"):
            if getattr(projection, what).shape != shape:
                raise NetworkError(
                    f"projection {projection.name}: {what} has shape {getattr(projection, what).shape}, must be {shape}"
                )
        here = projection.exists
        weight, delay = projection.weight[here], projection.delay[here]
        if weight.size and (np.abs(weight.astype(np.int64)).max() > LARGEST_WEIGHT or not weight.all()):
            unusable = weight[(np.abs(weight.astype(np.int64)) > LARGEST_WEIGHT) | (weight == 0)][0]
            raise NetworkError(
                f"projection {projection.name}: stored weight {unusable} is 0 or beyond "
                f"{LARGEST_WEIGHT}; quantise again"
            )
        if delay.size and delay.min() < 1:
            raise NetworkError(
                f"projection {projection.name}: delay of {delay.min()} ticks is below 1, the shortest there is; "
                "quantise again"
            )


def _check_population(population: IntegerPopulation) -> None:
    name, parameters = population.name, population.parameters
    if parameters is None:
        raise NetworkError(f"population {name}: has no parameters; quantise again")
    for field in PARAMETERS:
        value = getattr(parameters, field)
        if value.shape != (population.size,) or value.dtype != np.int32:
            raise NetworkError(
                f"population {name}: {field} is {value.dtype}{value.shape}, must be int32 of ({population.size},)"
            )
    for field in ("tau_m", "cm", "tau_syn_e", "tau_syn_i"):
        least = int(getattr(parameters, field).min())
        if least <= 0:
            raise NetworkError(f"population {name}: {field} of {least} in s16.15 is not above 0; quantise again")
    shifts: tuple[object, ...] = population.shifts  # may come from a file
    for shift in shifts:
        if not isinstance(shift, int) or not 0 <= shift <= LARGEST_SHIFT:
            raise NetworkError(f"population {name}: ring-buffer shift {shift} is not in 0..{LARGEST_SHIFT}")
