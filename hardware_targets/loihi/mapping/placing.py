"""Placing slices on numbered cores of chips, so that little traffic goes between cores, and least between chips.

A message is one spike on its way to one core: a core that a spike reaches takes it once, whatever the number of its
synapses there. Where spikes were counted, that is how many there are in a sample; before training each
neuron is taken to spike once. Chips first: slices in order, or gathered around the busiest, whichever is better after
exchanging pairs as long as an exchange helps. Then cores within a chip by the distance between their tiles, in the
same way. No chance is involved, and slices that need only one chip stay on one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.problem import Problem
from hardware_targets.loihi.mapping.splitting import Slice, reached

Array = NDArray[np.float64]

SWEEPS = 10
"""Times that every slice is tried for an exchange; few cases need more than three."""
MOST_SLICES = 4096
"""Above it, slices stay in order: their traffic would be a table of more than 128 MiB."""


@dataclass(frozen=True)
class Traffic:
    """Messages between cores of a placement, and of the same slices placed in order.

    Attributes
    ----------
    between_cores : the same wherever the slices sit
    between_chips, between_chips_in_order : those of them that leave a chip
    hops, hops_in_order : links between neighbouring tiles that the others take; None where the mesh is not known
    """

    between_cores: float
    between_chips: float
    between_chips_in_order: float
    hops: float | None
    hops_in_order: float | None


@dataclass(frozen=True)
class Places:
    """Chip and core of each slice, and the traffic; None where there are too many slices to count it."""

    chip: NDArray[np.int64]
    core: NDArray[np.int64]
    traffic: Traffic | None


def place_slices(
    problem: Problem, slices: Sequence[Slice], limits: ChipLimits, rates: Mapping[str, Array] | None
) -> Places:
    """Choose a core for each slice.

    Parameters
    ----------
    slices : in order of population; as many as fit the system
    rates : population -> (size,) spikes of each neuron in a sample; None for one spike each
    """
    cores = limits["cores"]
    numbers = np.arange(len(slices))
    in_order = Places(numbers // cores, numbers % cores, None)
    if len(slices) > MOST_SLICES:
        return in_order
    messages = messages_between(problem, slices, rates)
    both_ways = messages + messages.T
    hops = tile_distances(limits)
    chip = _choose_chips(both_ways, cores)
    core = numbers % cores
    for number in range(int(chip.max(initial=-1)) + 1):
        here = np.flatnonzero(chip == number)
        core[here] = np.arange(here.size) if hops is None else _choose_cores(both_ways[np.ix_(here, here)], hops)
    return Places(chip, core, _traffic(messages, chip, core, in_order, hops))


def messages_between(problem: Problem, slices: Sequence[Slice], rates: Mapping[str, Array] | None) -> Array:
    """Messages from slice to slice, (n_slices, n_slices); a slice sends itself none over the mesh."""
    messages = np.zeros((len(slices), len(slices)))
    index: dict[str, list[int]] = {}
    for i, piece in enumerate(slices):
        index.setdefault(piece.population, []).append(i)
    for synapses in problem.synapses:
        if synapses.source not in index:
            continue
        senders, receivers = index[synapses.source], index[synapses.target]
        edges = np.array([slices[i].first for i in receivers] + [synapses.post])
        spikes = np.ones(synapses.pre) if rates is None else rates[synapses.source]
        arriving = reached(synapses, edges) * spikes
        messages[np.ix_(senders, receivers)] = np.add.reduceat(arriving, [slices[i].first for i in senders], axis=1).T
    np.fill_diagonal(messages, 0)
    return messages


def tile_distances(limits: ChipLimits) -> Array | None:
    """Links between the tiles of any two cores of a chip, (cores, cores); None where the mesh is not known."""
    per_tile, columns = limits.value("cores_per_tile"), limits.value("mesh_columns")
    if per_tile is None or columns is None:
        return None
    tile = np.arange(limits["cores"]) // per_tile
    x, y = tile % columns, tile // columns
    distances: Array = (np.abs(x[:, None] - x) + np.abs(y[:, None] - y)).astype(np.float64)
    return distances


def _choose_chips(both_ways: Array, cores: int) -> NDArray[np.int64]:
    """Chip of each slice, as few chips as hold them."""
    n = both_ways.shape[0]
    in_order = np.arange(n) // cores
    if n <= cores:
        return in_order
    tried = [_exchanged(both_ways, chip, cores) for chip in (in_order, _gathered(both_ways, cores))]
    return min(tried, key=lambda chip: _leaving(both_ways, chip))


def _leaving(both_ways: Array, chip: NDArray[np.int64]) -> float:
    return float(both_ways[chip[:, None] != chip].sum())


def _gathered(both_ways: Array, cores: int) -> NDArray[np.int64]:
    """Fill chip after chip: the busiest slice left, then always the one that has most to do with those there."""
    n = both_ways.shape[0]
    chip = np.full(n, -1)
    for number in range(-(-n // cores)):
        left = chip < 0
        chosen = int(np.where(left, both_ways[:, left].sum(axis=1), -1.0).argmax())
        drawn = np.zeros(n)
        for _ in range(min(cores, int(np.count_nonzero(left)))):
            chip[chosen] = number
            drawn += both_ways[chosen]
            chosen = int(np.where(chip < 0, drawn, -1.0).argmax())
    return chip


def _exchanged(both_ways: Array, chip: NDArray[np.int64], cores: int) -> NDArray[np.int64]:
    """Exchange slices between chips, one after the other with the best partner, while messages become fewer."""
    n_chips = int(chip.max()) + 1
    n = both_ways.shape[0]
    # Empty cores take part as slices without messages.
    places = n_chips * cores
    counts = np.bincount(chip, minlength=n_chips)
    where = np.concatenate([chip, np.repeat(np.arange(n_chips), cores - counts)])
    least = 1e-9 * float(both_ways.sum())
    full = np.zeros((n, places))
    full[:, :n] = both_ways
    # Messages of each place with each chip.
    onto = np.zeros((places, n_chips))
    onto[:n] = both_ways @ np.eye(n_chips)[chip]
    for _ in range(SWEEPS):
        moved = False
        for i in range(n):
            here = where[i]
            gain = onto[i, where] - onto[i, here] + onto[:, here] - onto[np.arange(places), where] - 2 * full[i]
            gain[where == here] = 0
            best = int(gain.argmax())
            if gain[best] <= least:
                continue
            there = where[best]
            shift = full[i] - (full[best] if best < n else 0)
            onto[:, here] -= shift
            onto[:, there] += shift
            where[i], where[best] = there, here
            moved = True
        if not moved:
            break
    chosen: NDArray[np.int64] = where[:n]
    return chosen


def _choose_cores(both_ways: Array, hops: Array) -> NDArray[np.int64]:
    """Core of each slice of one chip: from the order of the slices, exchanges of cores that make hops fewer."""
    n, cores = both_ways.shape[0], hops.shape[0]
    full = np.zeros((cores, cores))
    full[:n, :n] = both_ways
    # Slice, or empty core, number i sits at where[i]; cost[i, q] is what it would take at core q.
    where = np.arange(cores)
    cost = full @ hops[where]
    least = 1e-9 * float(full.sum())
    for _ in range(SWEEPS):
        moved = False
        for i in range(n):
            at = where[i]
            now = cost[np.arange(cores), where]
            gain = now[i] - cost[i, where] + now - cost[:, at] - 2 * full[i] * hops[at, where]
            gain[i] = 0
            best = int(gain.argmax())
            if gain[best] <= least:
                continue
            to = where[best]
            cost += np.outer(full[:, i] - full[:, best], hops[to] - hops[at])
            where[i], where[best] = to, at
            moved = True
        if not moved:
            break
    return where[:n]


def _traffic(
    messages: Array, chip: NDArray[np.int64], core: NDArray[np.int64], in_order: Places, hops: Array | None
) -> Traffic:
    def crossing(chips: NDArray[np.int64]) -> float:
        return float(messages[chips[:, None] != chips].sum())

    def links(chips: NDArray[np.int64], cores: NDArray[np.int64]) -> float | None:
        if hops is None:
            return None
        return float((messages * hops[cores[:, None], cores])[chips[:, None] == chips].sum())

    return Traffic(
        float(messages.sum()),
        crossing(chip),
        crossing(in_order.chip),
        links(chip, core),
        links(in_order.chip, in_order.core),
    )
