"""Placing a network on cores: consecutive slices of a population, as many neurons a core as all limits allow.

A core holds neurons of one population. Going through the populations in order, each core takes the
longest slice of what is left that breaks no limit; the result depends on nothing but the network.
Memory of the synapses of one incoming axon, as nengo-loihi counts it for Loihi 1 (block.py, bits_per_axon;
no public model for Loihi 2): blocks of up to 64 synapses, each synapse weight + delay (+ index where the
projection is masked) bits, 10 bits a block, rounded up to words of 64 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from toolchain.deployment.target import CoreUse, Placement, Resource
from toolchain.errors import TargetLimitError

WEIGHT_BITS = 8
DELAY_BITS = 6
INDEX_BITS = 12
BLOCK, BLOCK_HEADER_BITS, WORD_BITS = 64, 10, 64
DELAY_DEPTHS = (8, 16, 32, 64)
"""Depths that a core's delay buffer can be set to; two slots of each are not usable (64 gives 0..62)."""

PER_CORE = (
    "neurons_per_core",
    "synaptic_memory_per_core",
    "axons_in_per_core",
    "delay_cells_per_core",
    "axons_out_per_core",
)


@dataclass(frozen=True)
class _Slice:
    population: IntegerPopulation
    first: int
    last: int  # exclusive


def place_network(network: IntegerNetwork, limits: ChipLimits) -> Placement:
    """Put all simulated neurons on cores.

    Raises
    ------
    TargetLimitError
        If one neuron alone exceeds a limit of a core, or the chip has too few cores.
    """
    slices: list[_Slice] = []
    for population in network.simulated:
        first = 0
        while first < population.size:
            last = _longest_slice(network, population, first, limits)
            slices.append(_Slice(population, first, last))
            first = last
    uses = [_use_inside(network, s.population, s.first, s.last) for s in slices]
    for s, use in zip(slices, uses, strict=True):
        use["axons_out_per_core"] = _axons_out(network, s, slices)
        _check_core(s, use, limits)
    cores = limits["cores"]
    if len(slices) > cores:
        raise TargetLimitError(
            f"network: needs {len(slices)} cores, {limits.chip} has {cores}; make the largest population smaller, "
            "its delays shorter or its projections sparser"
        )
    placed = tuple(
        CoreUse(i, s.population.name, s.first, s.last - 1, use)
        for i, (s, use) in enumerate(zip(slices, uses, strict=True))
    )
    return Placement(placed, _resources(network, placed, limits))


def _longest_slice(network: IntegerNetwork, population: IntegerPopulation, first: int, limits: ChipLimits) -> int:
    """End of the longest slice from `first` that fits a core; every use grows with the slice, so bisect."""

    def fits(last: int) -> bool:
        use = _use_inside(network, population, first, last)
        return all(_within(use[name], limits.table[name].value) for name in use)

    low, high = first + 1, population.size
    if not fits(low):
        use = _use_inside(network, population, first, low)
        _check_core(_Slice(population, first, low), use, limits)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _use_inside(network: IntegerNetwork, population: IntegerPopulation, first: int, last: int) -> dict[str, float]:
    """Use of everything that depends on the slice alone."""
    bits = axons = deepest = 0
    for projection in network.projections:
        if projection.target != population.name:
            continue
        fan_out = _synapses_per_source(projection, first, last)
        axons += int(np.count_nonzero(fan_out))
        bits += int(axon_bits(fan_out, indexed=projection.mask is not None).sum())
        part = projection.slots[:, first:last]
        deepest = max(deepest, int(part.max(initial=0)))
    n = last - first
    return {
        "neurons_per_core": n,
        "synaptic_memory_per_core": bits,
        "axons_in_per_core": axons,
        "delay_cells_per_core": n * delay_depth(deepest),
    }


def _synapses_per_source(projection: IntegerProjection, first: int, last: int) -> NDArray[np.int64]:
    if projection.mask is None:
        return np.full(projection.weight.shape[0], last - first, dtype=np.int64)
    counts: NDArray[np.int64] = np.count_nonzero(projection.mask[:, first:last], axis=1).astype(np.int64)
    return counts


def axon_bits(fan_out: NDArray[np.int64], *, indexed: bool) -> NDArray[np.int64]:
    """Synaptic memory of axons with these numbers of synapses on a core, bits."""
    per_synapse = WEIGHT_BITS + DELAY_BITS + (INDEX_BITS if indexed else 0)

    def block(n: NDArray[np.int64]) -> NDArray[np.int64]:
        words = -(-(n * per_synapse + BLOCK_HEADER_BITS) // WORD_BITS)
        return np.where(n > 0, words * WORD_BITS, 0)

    full, rest = np.divmod(fan_out, BLOCK)
    return full * block(np.asarray(BLOCK, dtype=np.int64)) + block(rest)


def delay_depth(slot: int) -> int:
    """Smallest depth of a delay buffer in which `slot` is usable."""
    for depth in DELAY_DEPTHS:
        if slot <= depth - 2:
            return depth
    return slot + 2


def _axons_out(network: IntegerNetwork, source: _Slice, slices: list[_Slice]) -> int:
    """One axon for every neuron of the slice and every core that it reaches."""
    total = 0
    for projection in network.projections:
        if projection.source != source.population.name:
            continue
        for target in slices:
            if target.population.name != projection.target:
                continue
            if projection.mask is None:
                total += source.last - source.first
            else:
                part = projection.mask[source.first : source.last, target.first : target.last]
                total += int(np.count_nonzero(part.any(axis=1)))
    return total


def _within(used: float, limit: int | None) -> bool:
    return limit is None or used <= limit


def _check_core(s: _Slice, use: dict[str, float], limits: ChipLimits) -> None:
    for name, used in use.items():
        limit = limits.table[name]
        if not _within(used, limit.value):
            raise TargetLimitError(
                f"population {s.population.name}: neurons {s.first}..{s.last - 1} take {used:.0f} {limit.unit} of "
                f"{limit.name}, {limits.chip} has {limit.value}; reduce its inputs or outputs, or make them sparse"
            )


def _resources(network: IntegerNetwork, cores: tuple[CoreUse, ...], limits: ChipLimits) -> tuple[Resource, ...]:
    def row(name: str, used: float) -> Resource:
        limit = limits.table[name]
        note = f"assumed: {limit.source}" if limit.assumed else limit.source
        return Resource(name, used, limit.value, limit.unit, note)

    def most(name: str) -> float:
        return max((c.use[name] for c in cores), default=0)

    return (
        row("cores", len(cores)),
        *(row(name, most(name)) for name in PER_CORE),
        row("slot_max", max((int(p.slots.max(initial=0)) for p in network.projections), default=0)),
        row("weight_exponent_max", max((p.exponent for p in network.projections), default=0)),
        row("threshold_max", max((p.vth for p in network.simulated if p.kind == "lif"), default=0)),
    )
