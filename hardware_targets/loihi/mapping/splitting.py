"""Splitting populations over cores: as few cores as the limits allow, and slices of one length where they can be.

A core holds consecutive neurons of one population. Whatever a core stores grows with its slice, so going through a
population and taking the longest slice each time gives the fewest cores that slices in this order can have. The same
number of cores is then shared out evenly. Axons out depend on how the targets were split too: a population with
too many of them is split again into shorter slices, until all fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.formats import Formats, Stored, delay_depth
from hardware_targets.loihi.mapping.problem import MappedPopulation, Problem, Synapses

AXONS_OUT = "axons_out_per_core"
PER_CORE = (
    "neurons_per_core",
    "synaptic_memory_per_core",
    "axons_in_per_core",
    "delay_cells_per_core",
    "synapse_formats_per_core",
    AXONS_OUT,
)
MOST_AGAIN = 8
"""Times that a population is split into shorter slices for the sake of its axons out; one or two are the rule."""


@dataclass(frozen=True)
class Slice:
    """Neurons first..last-1 of a population, which share a core."""

    population: str
    first: int
    last: int


@dataclass(frozen=True)
class Shortfall:
    """A limit that a network exceeds: `where` takes `used` of it, `available` is the figure.

    `population` and `projection` are which one that is, `neurons` the first and last on one core; None where it is not.
    """

    limit: str
    where: str
    used: int
    available: int
    population: str | None = None
    projection: str | None = None
    neurons: tuple[int, int] | None = None


@dataclass(frozen=True)
class Split:
    """A network that fits: its slices in order of population, and what each takes of every limit of a core."""

    slices: tuple[Slice, ...]
    uses: tuple[Mapping[str, int], ...]
    formats: tuple[Mapping[str, Stored], ...]


class SliceUse:
    """What slices take of a core, remembered: slices of one length are alike where nothing tells neurons apart."""

    def __init__(self, problem: Problem, limits: ChipLimits) -> None:
        self.problem, self.limits = problem, limits
        self.formats = Formats(limits)
        self.onto = {p.name: problem.onto(p.name) for p in problem.placed}
        self.alike = {name: all(s.alike for s in onto) for name, onto in self.onto.items()}
        self.most = {name: limits.value(name) for name in PER_CORE}
        self._known: dict[Slice, tuple[dict[str, int], dict[str, Stored]]] = {}

    @property
    def counted(self) -> int:
        """How many different slices were counted so far: what the search for a split costs."""
        return len(self._known)

    def of(self, population: str, first: int, last: int) -> tuple[dict[str, int], dict[str, Stored]]:
        """Use of everything that depends on the slice alone, and the stored synapses of each projection onto it."""
        if self.alike[population]:
            first, last = 0, last - first
        key = Slice(population, first, last)
        if key not in self._known:
            self._known[key] = self._count(key)
        return self._known[key]

    def _count(self, key: Slice) -> tuple[dict[str, int], dict[str, Stored]]:
        held: dict[str, Stored] = {}
        for synapses in self.onto[key.population]:
            here = self.formats.stored(synapses, key.first, key.last)
            if here is not None:
                held[synapses.name] = here
        deepest = max((s.deepest for s in held.values()), default=0)
        neurons = key.last - key.first
        use = {
            "neurons_per_core": neurons,
            "synaptic_memory_per_core": sum(s.bits for s in held.values()),
            "axons_in_per_core": sum(s.axons for s in held.values()),
            "delay_cells_per_core": neurons * delay_depth(deepest, self.limits),
            # A projection has an exponent and a sign mode of its own, so its format is not another's.
            "synapse_formats_per_core": len(held),
        }
        return use, held

    def exceeded(self, population: str, first: int, last: int) -> str | None:
        """The first limit that the slice breaks."""
        for name, used in self.of(population, first, last)[0].items():
            most = self.most[name]
            if most is not None and used > most:
                return name
        return None

    def fits(self, population: str, first: int, last: int) -> bool:
        """Whether the slice breaks no limit."""
        return self.exceeded(population, first, last) is None


def split_network(slice_use: SliceUse, chips: int) -> Split | Shortfall:
    """Slices of all populations on cores, or the limit that keeps them from `chips` chips."""
    problem, limits = slice_use.problem, slice_use.limits
    too_deep = _too_deep(problem, limits)
    if too_deep is not None:
        return too_deep
    bounds: dict[str, NDArray[np.int64]] = {}
    for population in problem.placed:
        edges = _evenly(slice_use, population, population.size)
        if isinstance(edges, Shortfall):
            return edges
        bounds[population.name] = edges
    axons_out = _split_for_axons_out(slice_use, bounds, limits["cores"] * chips)
    if isinstance(axons_out, Shortfall):
        return axons_out
    slices, uses, formats = [], [], []
    for name, edges in bounds.items():
        for i, (first, last) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            use, held = slice_use.of(name, first, last)
            slices.append(Slice(name, first, last))
            uses.append({**use, AXONS_OUT: int(axons_out[name][i])})
            formats.append(held)
    return Split(tuple(slices), tuple(uses), tuple(formats))


def _too_deep(problem: Problem, limits: ChipLimits) -> Shortfall | None:
    """The first projection with a slot that no buffer of the chip has."""
    largest = limits["slot_max"]
    for synapses in problem.synapses:
        slot = int(synapses.deepest.max(initial=0))
        if slot > largest:
            return Shortfall("slot_max", f"projection {synapses.name}", slot, largest, projection=synapses.name)
    return None


def surely_too_large(slice_use: SliceUse, chips: int) -> bool:
    """Whether a network needs more cores than there are, or no core holds one of its neurons.

    Sooner known than all slices of `split_network`, which also finds out whether too many axons leave them.
    """
    if _too_deep(slice_use.problem, slice_use.limits) is not None:
        return True
    left = slice_use.limits["cores"] * chips
    for population in slice_use.problem.placed:
        edges = _greedily(slice_use, population, population.size, left)
        if isinstance(edges, Shortfall) or edges[-1] < population.size:
            return True
        left -= edges.size - 1
    return False


def _evenly(slice_use: SliceUse, population: MappedPopulation, longest: int) -> NDArray[np.int64] | Shortfall:
    """Bounds of the fewest slices of at most `longest` neurons, as even as they can be, (n_slices + 1,)."""
    fewest = _greedily(slice_use, population, longest, population.size)
    if isinstance(fewest, Shortfall):
        return fewest
    name, size, n = population.name, population.size, fewest.size - 1
    even = np.arange(n + 1, dtype=np.int64) * size // n
    if all(slice_use.fits(name, a, b) for a, b in zip(even[:-1].tolist(), even[1:].tolist(), strict=True)):
        return even
    low, high, best = -(-size // n), int(np.diff(fewest).max()), fewest
    # The shortest longest slice that needs no further core.
    while low < high:
        middle = (low + high) // 2
        tried = _greedily(slice_use, population, middle, n)
        if not isinstance(tried, Shortfall) and tried[-1] == size:
            best, high = tried, middle
        else:
            low = middle + 1
    return best


def _greedily(
    slice_use: SliceUse, population: MappedPopulation, longest: int, most_slices: int
) -> NDArray[np.int64] | Shortfall:
    """Bounds of at most so many slices, each as long as the limits and `longest` allow, (n_slices + 1,)."""
    name, size = population.name, population.size
    bounds, length = [0], min(longest, size)
    while bounds[-1] < size and len(bounds) <= most_slices:
        first = bounds[-1]
        length = _longest(slice_use, name, first, min(longest, size - first), length)
        if length == 0:
            limit = slice_use.exceeded(name, first, first + 1)
            assert limit is not None
            most = slice_use.most[limit]
            assert most is not None
            use = slice_use.of(name, first, first + 1)[0]
            where = f"population {name}: neuron {first}"
            return Shortfall(limit, where, use[limit], most, population=name, neurons=(first, first))
        bounds.append(first + length)
    return np.array(bounds, dtype=np.int64)


def _longest(slice_use: SliceUse, name: str, first: int, most: int, guess: int) -> int:
    """Length of the longest slice from `first` that fits, at most `most`; the one before it is a good guess."""
    low, high = 0, most
    for length in (guess, guess + 1, guess - 1):
        if low < length <= high:
            low, high = (length, high) if slice_use.fits(name, first, first + length) else (low, length - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if slice_use.fits(name, first, first + middle) else (low, middle - 1)
    return low


def _split_for_axons_out(
    slice_use: SliceUse, bounds: dict[str, NDArray[np.int64]], cores: int
) -> dict[str, NDArray[np.int64]] | Shortfall:
    """Make slices shorter, in place, until none has too many axons out; returns those of each slice."""
    problem, most = slice_use.problem, slice_use.most[AXONS_OUT]
    first_over = None
    tried = dict.fromkeys(bounds, 0)
    while True:
        n_cores = sum(b.size - 1 for b in bounds.values())
        if n_cores > cores:
            largest = max(bounds, key=lambda n: bounds[n].size)
            where = _largest_share(slice_use, largest, bounds[largest])
            return first_over or Shortfall("cores", where, n_cores, cores, population=largest)
        axons_out = axons_out_of(problem.synapses, bounds)
        over = _too_many_axons(axons_out, bounds, most)
        if over is None:
            return axons_out
        first_over = first_over or over.shortfall
        name, length = over.population, over.length
        tried[name] += 1
        if length == 1 or tried[name] > MOST_AGAIN:
            return first_over
        # Axons to other populations fall with the length of the slice. Those to its own hardly do, as there are more
        # slices to reach the shorter they are.
        own = axons_out_of([s for s in problem.onto(name) if s.source == name], bounds)[name][over.number]
        left, others = over.shortfall.available - int(own), over.shortfall.used - int(own)
        shorter = length * left // others if left > 0 else length * 3 // 4
        again = _evenly(slice_use, problem[name], max(1, min(length - 1, shorter)))
        assert not isinstance(again, Shortfall), "shorter slices fit where longer ones did"
        bounds[name] = again


def axons_out_of(
    projections: Sequence[Synapses], bounds: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.int64]]:
    """Axons that leave each slice, population -> (n_slices,): one for every neuron and every core that it reaches."""
    totals = {name: np.zeros(edges.size - 1, dtype=np.int64) for name, edges in bounds.items()}
    for synapses in projections:
        if synapses.source not in totals:
            continue
        edges = bounds[synapses.source]
        if synapses.counts is None:
            totals[synapses.source] += np.diff(edges) * (bounds[synapses.target].size - 1)
        else:
            cores = reached(synapses, bounds[synapses.target]).sum(axis=0, dtype=np.int64)
            totals[synapses.source] += np.add.reduceat(cores, edges[:-1])
    return totals


def reached(synapses: Synapses, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a source neuron has a synapse onto each slice of the target, (n_slices, pre)."""
    if synapses.counts is None:
        return np.ones((targets.size - 1, synapses.pre), dtype=np.bool_)
    found: NDArray[np.bool_] = np.diff(synapses.counts[targets], axis=0) > 0
    return found


@dataclass(frozen=True)
class _Over:
    """The slice with the most axons out, where they are more than the limit."""

    population: str
    number: int
    length: int
    shortfall: Shortfall


def _too_many_axons(
    axons_out: Mapping[str, NDArray[np.int64]], bounds: Mapping[str, NDArray[np.int64]], most: int | None
) -> _Over | None:
    if most is None:
        return None
    name = max(axons_out, key=lambda n: int(axons_out[n].max()))
    worst = int(axons_out[name].argmax())
    used = int(axons_out[name][worst])
    if used <= most:
        return None
    first, last = bounds[name][worst : worst + 2].tolist()
    where = f"population {name}: the core of neurons {first}..{last - 1}"
    shortfall = Shortfall(AXONS_OUT, where, used, most, population=name, neurons=(first, last - 1))
    return _Over(name, worst, last - first, shortfall)


def _largest_share(slice_use: SliceUse, name: str, edges: NDArray[np.int64]) -> str:
    """How many cores a population takes, and which limit keeps a core from one neuron more."""
    n, size = edges.size - 1, int(edges[-1])
    longest = _longest(slice_use, name, 0, size, int(edges[1]))
    held = slice_use.exceeded(name, 0, longest + 1) if longest < size else None
    return f"{name} takes {n} of them" + (f": {held} holds {longest} of its neurons on a core" if held else "")
