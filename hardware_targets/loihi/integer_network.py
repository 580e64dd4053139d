"""A network in Loihi's integers: what the emulator runs, the mapper places and the Lava bundle holds.

One step of a population (Lava 0.10 `fixed_pt`; facts/lava.md section 2), all integers:

    a <- sum of weight << exponent over arriving spikes
    u <- sign(u) * ((|u| * (4096 - (du + 1))) >> 12) + (a << 6)      wraps once at 24 bits
    v <- sign(v) * ((|v| * (4096 - dv)) >> 12) + u                   clips at 24 bits
    spike if v > vth << 6, then v <- 0

A spike of step t on a synapse of slot k arrives at step t + 1 + k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import NetworkError
from toolchain.network import Kind, Network, Population, make_projection

READOUT_VTH = 131071
"""Largest 17-bit threshold mantissa; what a `leaky_readout` has."""

LARGEST_SLOT = 65_534
"""Largest slot that a recipe can ask for; the emulator takes all of them."""

LAVA_SLOT_MAX = 63
"""Largest slot of Lava's `fixed_pt` processes; on one above it Lava hangs."""


@dataclass(frozen=True)
class IntegerPopulation:
    """Neuron constants of one population.

    Parameters
    ----------
    name, kind, size : as in the float network
    du, dv : 12-bit decay of current and voltage; Lava adds one to du
    vth : threshold mantissa, compared as vth << 6; a readout has the largest there is
    scale : weight units that stand for one unit of the float membrane voltage
        (so v / (64 * scale) is the float V); 0 for a spike source
    relays_of : of relays (`hardware_targets.loihi.relays`), the population whose spikes they pass on
    """

    name: str
    kind: Kind
    size: int
    du: int = 0
    dv: int = 0
    vth: int = 0
    scale: float = 0.0
    relays_of: str | None = None


@dataclass(frozen=True)
class IntegerProjection:
    """Synapses of one projection.

    Parameters
    ----------
    source, target : population names
    weight : (pre, post) int32, even, -256..254: 8 bits and a sign mode of mixed leave the lowest bit zero
    exponent : -1..7; the synapse adds weight << exponent, or half of its weight, which is even, at -1
    slots : (pre, post) int64 delay slots
    mask : (pre, post) bool or None, as in the float network
    """

    source: str
    target: str
    weight: NDArray[np.int32]
    exponent: int
    slots: NDArray[np.int64]
    mask: NDArray[np.bool_] | None = None

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Which pairs have a synapse, (pre, post)."""
        return np.ones(self.weight.shape, dtype=np.bool_) if self.mask is None else self.mask

    @property
    def addend(self) -> NDArray[np.int64]:
        """What each synapse adds to the sum of its target, (pre, post).

        The chip shifts the sum of what arrives. At an exponent of -1 the sum is of even numbers: half of it is exact,
        and the same as the sum of halves, however arrivals fall together. No smaller exponent has that property.
        """
        weight = self.weight.astype(np.int64)
        return weight << self.exponent if self.exponent >= 0 else weight >> -self.exponent

    @property
    def n_synapses(self) -> int:
        """Number of synapses that exist."""
        return int(self.weight.size if self.mask is None else np.count_nonzero(self.mask))


@dataclass(frozen=True)
class IntegerNetwork:
    """The quantised network; populations and projections in the order of the float network.

    `thresholds` is of a chip whose neurons are not alike (`hardware_targets.loihi.mismatch`) and of the emulator alone:
    lif population -> (size,) int32, in units of v, instead of vth << 6.
    """

    dt_ms: float
    populations: tuple[IntegerPopulation, ...]
    projections: tuple[IntegerProjection, ...]
    thresholds: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)

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

    def as_graph(self) -> Network:
        """The same graph as a float network whose weights are what the synapses add.

        Only names, sizes, masks, weights and slots mean something in it: it serves to number units
        and to sort synapses (`toolchain.event_graph`). Integers up to 2^24 are exact in float32.
        """
        populations = tuple(Population(p.name, p.kind, p.size) for p in self.populations)
        projections = tuple(make_projection(p.source, p.target, p.addend, p.slots, p.mask) for p in self.projections)
        return Network(self.dt_ms, populations, projections)


def check_integers(network: IntegerNetwork, slot_max: int = LARGEST_SLOT) -> None:
    """Refuse a network whose integers Lava would alter silently (odd or large weights) or hang on (slots).

    Parameters
    ----------
    slot_max : largest slot that what runs the network can have

    Raises
    ------
    NetworkError
        Naming the population or projection, the value and the limit.
    """
    for projection in network.projections:
        if projection.slots.shape != projection.weight.shape:
            raise NetworkError(
                f"projection {projection.name}: slots have shape {projection.slots.shape}, weights "
                f"{projection.weight.shape}; both must be (pre, post)"
            )
    network.as_graph()  # checks names, shapes and the ends of projections
    for population in network.simulated:
        name = population.name
        for constant, limit in (("du", 4095), ("dv", 4096), ("vth", READOUT_VTH)):
            value = getattr(population, constant)
            if not isinstance(value, int) or not 0 <= value <= limit:
                raise NetworkError(
                    f"population {name}: {constant} {value} is not an integer in 0..{limit}; quantise again"
                )
        if population.kind == "leaky_readout" and population.vth != READOUT_VTH:
            raise NetworkError(
                f"population {name}: vth {population.vth} of a leaky_readout must be {READOUT_VTH}, the "
                "largest there is; quantise again"
            )
    for name, thresholds in network.thresholds.items():
        wanted = [p.size for p in network.simulated if p.name == name and p.kind == "lif"]
        if wanted != [thresholds.size] or thresholds.dtype != np.int32 or thresholds.min(initial=1) < 0:
            raise NetworkError(
                f"population {name}: thresholds are {thresholds.dtype}{thresholds.shape}, must be int32 of each of its "
                "lif neurons, 0 or more"
            )
    for projection in network.projections:
        name, mask = projection.name, projection.mask
        weight, slots = (a if mask is None else a[mask] for a in (projection.weight, projection.slots))
        unusable = (weight < -256) | (weight > 254) | ((weight & 1) == 1)
        if unusable.any():
            raise NetworkError(
                f"projection {name}: weight {weight[unusable][0]} is not an even number in -256..254; quantise again"
            )
        exponent: object = projection.exponent  # may come from a file
        if not isinstance(exponent, int) or not -1 <= exponent <= 7:
            raise NetworkError(f"projection {name}: exponent {exponent} is not an integer in -1..7; quantise again")
        if slots.size and slots.max() > slot_max:
            raise NetworkError(
                f"projection {name}: delay slot {slots.max()} exceeds {slot_max}; deploy with --extend-delays, or "
                "train with a smaller training.max_slot"
            )
