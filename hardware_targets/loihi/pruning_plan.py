"""How much to prune: a share of all synapses, or as little as lets the network fit on so many cores.

What a pruned network takes is counted by the mapper, on a stand-in with the synapses and slots that stay and the least
weight everywhere, relays included. Two things save memory. Fewer synapses take fewer bits. And a core whose longest
delay is short has a shallower delay buffer and room for more neurons (`mapping`), a source without long delays needs
fewer relays (`relays`). One long delay is enough to lose that, so it is tried whether all synapses with a delay beyond
some slot should go first: for every depth of a delay buffer and every stage of relays that the network reaches into.
Of all that fit, the one whose removals cost least is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.problem import problem_of_network
from hardware_targets.loihi.mapping.splitting import SliceUse, Split, split_network
from hardware_targets.loihi.pruning import Ranking, compensate, cut, existing, prune_synapses, rank
from hardware_targets.loihi.quantiser import round_delays
from hardware_targets.loihi.relays import extend_delays
from hardware_targets.loihi.surgery import I64, Bools
from hardware_targets.trained_spikes import trained_spikes
from toolchain.deployment.target import Pruned, PrunedProjection, Saving
from toolchain.errors import Exceeded, TargetLimitError
from toolchain.network import Network
from toolchain.spikes import SpikeTrains

LARGEST_SHARE, STEPS = 0.98, 50
"""Beyond this share nothing of a network is left that could be called trained; and in how many steps it is sought."""

Kept = Mapping[str, Bools]


def prune_network(
    network: Network,
    calibration: SpikeTrains,
    limits: ChipLimits,
    *,
    fraction: float,
    cores: int | None,
    clip: bool,
    extend: bool,
) -> Pruned:
    """Prune a trained network; arguments as of `toolchain.deployment.target.Target.prune`.

    Raises
    ------
    TargetLimitError
        If it does not fit on so many cores however much is pruned, or has delays beyond the chip's slots that are
        neither to be cut nor extended.
    """
    whole = round_delays(network, limits, clip=clip, extend=extend).network
    there = existing(whole)
    n_synapses = sum(p.n_synapses for p in whole.projections)
    wanted = round(fraction * n_synapses)
    fits = cores is None or _fits(whole, there, limits, cores)
    if fits and wanted == 0:
        return _result(network, network, whole, there, limits, None)
    spikes = trained_spikes(whole, calibration)
    kept: Kept
    if cores is None or fits:
        kept, slot = prune_synapses(whole, spikes, wanted, _beyond(whole, None)), None
    else:
        kept, slot = _fit(whole, spikes, limits, wanted, n_synapses, cores)
    pruned = compensate(whole, spikes, kept)
    # The delays as trained, so that what rounds and cuts them counts those of the synapses that are left.
    arrays = {
        p.name: (q.weight, np.where(kept[p.name], p.delay, np.float32(0)))
        for p, q in zip(network.projections, pruned.projections, strict=True)
    }
    return _result(network, pruned.with_arrays(arrays), whole, kept, limits, slot)


def _fit(
    network: Network,
    spikes: Mapping[str, SpikeTrains],
    limits: ChipLimits,
    wanted: int,
    n_synapses: int,
    cores: int,
) -> tuple[Kept, int | None]:
    """The synapses that stay, and the slot beyond which all went, if any."""
    slots = _slots_to_try(network, limits)
    firsts = [_beyond(network, slot) for slot in slots]
    most = int(LARGEST_SHARE * n_synapses)
    counts = np.unique(np.linspace(wanted, max(wanted, most), STEPS + 1).astype(np.int64))
    best: tuple[float, int, int] | None = None
    fewest: int | None = None
    for choice, rankings in enumerate(rank(network, spikes, firsts)):
        found, used = _least(network, rankings, counts, limits, cores)
        fewest = used if fewest is None or (used is not None and used < fewest) else fewest
        if found is not None:
            cost = cut(network, rankings, int(counts[found]))[1]
            if best is None or cost < best[0]:
                best = (cost, choice, found)
    if best is None:
        least = f"takes {fewest} cores" if fewest is not None else "fits on no number of cores"
        raise TargetLimitError(
            f"network: {least} of {limits.chip} with {LARGEST_SHARE:.0%} of its synapses pruned, {cores} were asked "
            "for; allow more cores, or train with fewer neurons or smaller delays",
            exceeded=None
            if fewest is None
            else Exceeded("cores", fewest, cores, "cores", "network, pruned as far as can be"),
        )
    _, choice, found = best
    # Giving up idle neurons keeps other synapses than those that were counted, so it is counted again.
    for n_removed in counts[found:]:
        kept = prune_synapses(network, spikes, int(n_removed), firsts[choice])
        if _fits(network, kept, limits, cores):
            return kept, slots[choice]
    (rankings,) = rank(network, spikes, [firsts[choice]])
    return cut(network, rankings, int(counts[found]))[0], slots[choice]


def _least(
    network: Network, rankings: list[Ranking], counts: I64, limits: ChipLimits, cores: int
) -> tuple[int | None, int | None]:
    """Index of the smallest of `counts` of removed synapses that fits, if any does; and the cores of the largest."""

    def kept(index: int) -> Kept:
        return cut(network, rankings, int(counts[index]))[0]

    low, high = 0, counts.size - 1
    fewest = _cores(network, kept(high), limits)
    if fewest is None or fewest > cores:
        return None, fewest
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(network, kept(middle), limits, cores) else (middle + 1, high)
    return low, fewest


def _slots_to_try(network: Network, limits: ChipLimits) -> list[int | None]:
    """Slots beyond which all delays might go: the last of each stage of relays and of each delay buffer, or none."""
    hop = limits["slot_max"] + 1
    ends = {n * hop - 1 for n in range(1, network.max_slot // hop + 1)} | {
        depth - limits["delay_slots_unusable"] for depth in limits.choices["delay_depths"].value
    }
    return [None, *sorted((end for end in ends if end < network.max_slot), reverse=True)]


def _beyond(network: Network, slot: int | None) -> dict[str, Bools]:
    """Projection -> synapses with a longer delay; none without a slot."""
    return {
        p.name: existing(network)[p.name] & (p.slots() > slot) if slot is not None else np.zeros(p.weight.shape, bool)
        for p in network.projections
    }


def _stand_in(network: Network, kept: Kept) -> IntegerNetwork:
    """What the mapper has to know of a network: every synapse that stays with its slot, and weights of all 8 bits."""
    populations = tuple(IntegerPopulation(p.name, p.kind, p.size) for p in network.populations)
    there = existing(network)
    projections = tuple(
        IntegerProjection(
            p.source,
            p.target,
            np.where(kept[p.name], _weights_of_8_bits(p.weight.shape), 0).astype(np.int32),
            0,
            np.where(kept[p.name], p.slots(), 0),
            p.mask if np.array_equal(kept[p.name], there[p.name]) else kept[p.name],
        )
        for p in network.projections
    )
    return IntegerNetwork(network.dt_ms, populations, projections)


def _weights_of_8_bits(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Weights that no format with fewer bits holds, wherever they are cut: what training makes of most."""
    pre, post = np.indices(shape)
    return np.where((pre + post) % 2 == 0, 254, -254)


def _split(network: Network, kept: Kept, limits: ChipLimits) -> Split | None:
    """Onto as many cores as it takes, more than there are too; None if single neurons are too much for a core."""
    endless = replace(limits, table={**limits.table, "cores": replace(limits.table["cores"], value=2**31)})
    try:
        extended = extend_delays(_stand_in(network, kept), endless).network
    except TargetLimitError:
        return None
    split = split_network(SliceUse(problem_of_network(extended, limits), limits), chips=2**20)
    return split if isinstance(split, Split) else None


def _cores(network: Network, kept: Kept, limits: ChipLimits) -> int | None:
    split = _split(network, kept, limits)
    return None if split is None else len(split.slices)


def _fits(network: Network, kept: Kept, limits: ChipLimits, cores: int) -> bool:
    used = _cores(network, kept, limits)
    return used is not None and used <= cores


def _result(
    trained: Network, pruned: Network, whole: Network, kept: Kept, limits: ChipLimits, slot: int | None
) -> Pruned:
    there = existing(whole)
    before, after = _split(whole, there, limits), _split(whole, kept, limits)

    def bits(split: Split | None) -> int | None:
        return None if split is None else sum(int(use["synaptic_memory_per_core"]) for use in split.uses)

    def number(split: Split | None) -> int | None:
        return None if split is None else len(split.slices)

    return Pruned(
        pruned,
        [
            PrunedProjection(p.name, p.n_synapses, int(np.sum(there[p.name] & ~kept[p.name])))
            for p in trained.projections
        ],
        [
            Saving("cores", "cores", number(before), number(after)),
            Saving("synaptic_memory", "bits", bits(before), bits(after)),
        ],
        slot,
    )
