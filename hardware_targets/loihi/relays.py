"""Delays beyond the slots of the chip, by relays: neurons that pass the spikes of a source on some steps later.

A relay spikes exactly at the steps at which a spike arrives. It forgets its current within a step, one input exceeds
its threshold, and a spike clears its voltage: there is nothing that could accumulate, in adjacent steps neither. With
slots 0..s on the chip and h = s + 1, a relay that is reached through slot s repeats a spike of step t at step t + h,
and n of them in a row at t + n h. What leaves the n-th through slot r arrives at t + n h + 1 + r, which is where slot
n h + r of the source itself would lead:

    slot <= s               the synapse stays where it is
    n h <= slot < (n + 1) h it starts at the n-th relay of its source, stage n, with what is left of its slot

The relays of a source neuron form one chain, which all of its synapses share, in whatever projection they are. No
chain can be shorter: n relays in a row reach no further than slot n h + s, however the way is divided, and relays of
two sources cannot be one, for a spike does not say whose it is. The way can be divided differently with the same
number of relays, though. The last stage of a population is reached through the smallest slot that leaves s for its
longest synapse, because the shallower the delays onto a core are, the more relays it holds.

Weight and exponent of a synapse stay, and integers add up to the same in any order, so u, v and spikes of the other
populations are the same at every step, wraps included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from toolchain.deployment.target import Placement, Resource
from toolchain.errors import Exceeded, TargetLimitError
from toolchain.network import Network

DU, DV, VTH, WEIGHT = 4095, 4095, 1, 2
"""Of a relay: with this du nothing is left of u after a step, and the weight is above the threshold by itself."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The n-th relays of a source population, one population of their own.

    Attributes
    ----------
    name : of the population, unique in its network: ``hidden+63`` repeats the spikes of ``hidden`` 63 steps later
    source : population whose spikes they repeat
    steps : how much later
    slot : through which each is reached from the stage before, or from the source
    units : (size,) neurons of the source that have a relay here, rising
    """

    name: str
    source: str
    steps: int
    slot: int
    units: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Extended:
    """A network whose delays fit the chip, and what that cost.

    Attributes
    ----------
    network : the populations of the original first, in its order; the original itself if nothing had to change
    stages : by source population in the order of the network, then by steps
    moved : projection of the original -> synapses that start at a relay now
    """

    network: IntegerNetwork
    stages: tuple[Stage, ...]
    moved: Mapping[str, int]

    @property
    def n_relays(self) -> int:
        """Relay neurons; each has one synapse, from the relay before it or from its source."""
        return sum(stage.units.size for stage in self.stages)


def count_relays(network: Network, slot_max: int) -> int:
    """Relays that a network needs where a synapse has slots 0..`slot_max`."""
    return sum(int((longest // (slot_max + 1)).sum()) for longest in _longest_slots(network).values())


def extend_delays(network: IntegerNetwork, limits: ChipLimits) -> Extended:
    """Bring all delays within the slots of the chip by relays.

    Parameters
    ----------
    network : with slots of any size; a synapse of weight 0 adds nothing and gets no relay, its slot becomes 0
    limits : of the chip

    Raises
    ------
    TargetLimitError
        If the relays alone are more than the chip can hold. Whether the network fits with them, the mapping says.
    """
    slot_max = limits["slot_max"]
    longest = _longest_slots(network.as_graph())
    # Before anything of that size is made.
    _check_fit(longest, limits)
    stages: list[Stage] = []
    for population in network.populations:
        if population.name in longest:
            taken = {p.name for p in network.populations} | {stage.name for stage in stages}
            stages += _chain(population.name, longest[population.name], slot_max, taken)
    kept: list[IntegerProjection] = []
    served: list[IntegerProjection] = []
    moved: dict[str, int] = {}
    for projection in network.projections:
        here, there = _split(projection, [s for s in stages if s.source == projection.source], slot_max)
        kept += here
        served += there
        moved[projection.name] = sum(p.n_synapses for p in there)
    if not stages and all(p.slots.max(initial=0) <= slot_max for p in network.projections):
        return Extended(network, (), moved)
    relays = tuple(IntegerPopulation(s.name, "lif", s.units.size, DU, DV, VTH, relays_of=s.source) for s in stages)
    links = (_link(network, before, stage) for before, stage in zip([None, *stages], stages, strict=False))
    extended = IntegerNetwork(network.dt_ms, (*network.populations, *relays), (*kept, *links, *served))
    return Extended(extended, tuple(stages), moved)


def relay_resources(extended: Extended, placement: Placement, limits: ChipLimits) -> tuple[Resource, ...]:
    """What relays take of the chip: neurons, their own synapses, and the cores that they sit on."""
    names = {stage.name for stage in extended.stages}
    on_cores = sum(core.population in names for core in placement.cores)
    cores = next(r.limit for r in placement.resources if r.name == "cores")
    a_core = limits.table["neurons_per_core"].value
    neurons = None if cores is None or a_core is None else cores * a_core
    each = ", ".join(f"{s.name} {s.units.size}" for s in extended.stages) or "no delay needs one"
    served = f"one onto each relay, part of synaptic_memory_per_core; {sum(extended.moved.values())} others start there"
    return (
        Resource("relay_neurons", extended.n_relays, neurons, "neurons", each),
        Resource("relay_synapses", extended.n_relays, None, "synapses", served),
        Resource("relay_cores", on_cores, cores, "cores", "part of cores"),
    )


def _longest_slots(network: Network) -> dict[str, NDArray[np.int64]]:
    """Source population -> (size,) the largest slot of each neuron's synapses that have a weight."""
    longest: dict[str, NDArray[np.int64]] = {}
    for projection in network.projections:
        mine = np.where(projection.weight != 0, projection.slots(), 0).max(axis=1)
        longest[projection.source] = np.maximum(longest.get(projection.source, 0), mine)
    return longest


def _check_fit(longest: Mapping[str, NDArray[np.int64]], limits: ChipLimits) -> None:
    """Refuse chains that the chip cannot hold, however they are placed."""
    slot_max, cores = limits["slot_max"], limits["cores"]
    reach = max((int(slots.max()) for slots in longest.values()), default=0)
    relays = sum(int((slots // (slot_max + 1)).sum()) for slots in longest.values())
    # A spike waits at least so many steps in the delay buffers of its relays, one cell for each.
    waiting = sum(int(np.maximum(slots - slot_max, 0).sum()) for slots in longest.values())
    for name, used in (("neurons_per_core", relays), ("delay_cells_per_core", waiting)):
        limit = limits.table[name]
        if limit.value is not None and used > cores * limit.value:
            raise TargetLimitError(
                f"network: delays up to slot {reach} need {relays} relays, which take {used} {limit.unit}; the {cores} "
                f"cores of {limits.chip} have {cores * limit.value}; train with a smaller training.max_slot or with "
                "fewer neurons that have long delays",
                exceeded=Exceeded(
                    name, used, cores * limit.value, limit.unit, f"network: {relays} relays, on {cores} cores"
                ),
            )


def _chain(source: str, longest: NDArray[np.int64], slot_max: int, taken: set[str]) -> list[Stage]:
    """The stages of a source population, from the largest slot of each of its neurons, (size,)."""
    hop = slot_max + 1
    relays = longest // hop
    n_stages = int(relays.max())
    stages: list[Stage] = []
    before = 0
    for n in range(1, n_stages + 1):
        steps = n * hop if n < n_stages else int(longest.max()) - slot_max
        name = f"{source}+{steps}"
        while name in taken:
            name += "'"
        stages.append(Stage(name, source, steps, steps - before - 1, np.flatnonzero(relays >= n)))
        before = steps
    return stages


def _link(network: IntegerNetwork, before: Stage | None, stage: Stage) -> IntegerProjection:
    """One synapse onto each relay, from the same neuron's relay of the stage before or from the source itself."""
    if before is None or before.source != stage.source:
        source, units = stage.source, np.arange(network[stage.source].size)
    else:
        source, units = before.name, before.units
    mask = units[:, np.newaxis] == stage.units
    weight, slots = np.where(mask, WEIGHT, 0).astype(np.int32), np.where(mask, stage.slot, 0)
    return IntegerProjection(source, stage.name, weight, 0, slots, mask)


def _split(
    projection: IntegerProjection, stages: list[Stage], slot_max: int
) -> tuple[list[IntegerProjection], list[IntegerProjection]]:
    """What stays of a projection, and what starts at relays instead, stage by stage; empty parts are left out."""
    weight, slots = projection.weight, projection.slots
    too_long = slots > slot_max
    if not too_long.any():
        return [projection], []
    needed = np.where(too_long & projection.exists & (weight != 0), slots // (slot_max + 1), 0)
    served = []
    for n, stage in enumerate(stages, start=1):
        mask = needed[stage.units] == n
        if mask.any():
            left = slots[stage.units] - stage.steps
            served.append(_masked(projection, stage.name, weight[stage.units], left, mask))
    kept = replace(projection, slots=np.where(too_long, 0, slots))
    if not served:
        return [kept], []
    mask = projection.exists & (needed == 0)
    return [_masked(kept, kept.source, weight, kept.slots, mask)] if mask.any() else [], served


def _masked(
    projection: IntegerProjection,
    source: str,
    weight: NDArray[np.int32],
    slots: NDArray[np.int64],
    mask: NDArray[np.bool_],
) -> IntegerProjection:
    """The synapses of a projection that `mask` leaves, from `source`; arrays are (pre, post) of what results."""
    weight = np.where(mask, weight, 0).astype(np.int32)
    return IntegerProjection(source, projection.target, weight, projection.exponent, np.where(mask, slots, 0), mask)
