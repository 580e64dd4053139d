"""What placing a network depends on: sizes, and of each projection what a core has to store.

Made from a quantised network, whose weights and slots are known, or from a plan, of which only the largest slots are.
A synapse whose weight has become 0 does nothing: it needs no memory where synapses carry an index, its source needs
no axon for it, and its slot does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from toolchain.deployment.plan import NetworkPlan, ProjectionPlan


@dataclass(frozen=True)
class MappedPopulation:
    """A population: `placed` on cores, or spikes that come from outside; `output` is what the network is read from."""

    name: str
    size: int
    placed: bool
    output: bool


@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses of one projection as a core's tables see them.

    Attributes
    ----------
    source, target : population names
    pre : number of source neurons
    counts : (post + 1, pre) int32; row j has the synapses of each source onto the target neurons before j. None where
        every pair has one
    deepest : (post,) largest slot of the synapses onto each target neuron
    low, high : (post,) smallest and largest of their weights
    steps : (post,) bitwise or of the magnitudes of their weights: its lowest bit is the step that all are multiples of
    bits : weights are made to need no more bits than this
    """

    source: str
    target: str
    pre: int
    counts: NDArray[np.int32] | None
    deepest: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    steps: NDArray[np.int64]
    bits: int

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"

    @property
    def post(self) -> int:
        """Number of target neurons."""
        return self.deepest.size

    @cached_property
    def one_kind(self) -> bool:
        """Whether the synapses onto any two neurons need the same bits."""
        return all((column == column[:1]).all() for column in (self.deepest, self.low, self.high, self.steps))

    @cached_property
    def alike(self) -> bool:
        """Whether any two slices of one length need the same."""
        return self.counts is None and self.one_kind

    def needs(self, first: int, last: int) -> tuple[int, int, int, int]:
        """Largest slot, smallest and largest weight, and common step of the synapses onto neurons first..last-1.

        The step is a power of two that all weights are multiples of.
        """
        return self._needs_of_all if self.one_kind else self._needs(slice(first, last))

    @cached_property
    def _needs_of_all(self) -> tuple[int, int, int, int]:
        return self._needs(slice(None))

    def _needs(self, here: slice) -> tuple[int, int, int, int]:
        steps = int(np.bitwise_or.reduce(self.steps[here]))
        low, high = int(self.low[here].min()), int(self.high[here].max())
        return int(self.deepest[here].max()), low, high, steps & -steps

    def fan_out(self, first: int, last: int) -> NDArray[np.int32]:
        """Synapses of each source onto the target neurons first..last-1, (pre,)."""
        if self.counts is None:
            return np.full(self.pre, last - first, dtype=np.int32)
        found: NDArray[np.int32] = self.counts[last] - self.counts[first]
        return found

    def exists(self) -> NDArray[np.bool_]:
        """Which pairs have a synapse, (post, pre)."""
        if self.counts is None:
            return np.ones((self.post, self.pre), dtype=np.bool_)
        found: NDArray[np.bool_] = np.diff(self.counts, axis=0).astype(np.bool_)
        return found

    def with_synapses(self, exists: NDArray[np.bool_]) -> Synapses:
        """The same with these synapses alone, (post, pre)."""
        return replace(self, counts=counted(exists))

    def cut(self, pre: int, post: int) -> Synapses:
        """The synapses between the first neurons of both populations."""
        columns = {name: getattr(self, name)[:post] for name in ("deepest", "low", "high", "steps")}
        counts = None if self.counts is None else self.counts[: post + 1, :pre]
        return replace(self, pre=pre, counts=counts, **columns)


@dataclass(frozen=True, eq=False)
class Problem:
    """A network to place."""

    populations: tuple[MappedPopulation, ...]
    synapses: tuple[Synapses, ...]

    def __getitem__(self, name: str) -> MappedPopulation:
        return next(p for p in self.populations if p.name == name)

    @property
    def placed(self) -> tuple[MappedPopulation, ...]:
        """Populations that sit on cores."""
        return tuple(p for p in self.populations if p.placed)

    def onto(self, target: str) -> tuple[Synapses, ...]:
        """Synapses onto one population."""
        return tuple(s for s in self.synapses if s.target == target)

    @property
    def largest_slot(self) -> int:
        """Over all synapses."""
        return max((int(s.deepest.max(initial=0)) for s in self.synapses), default=0)


def counted(exists: NDArray[np.bool_]) -> NDArray[np.int32] | None:
    """`Synapses.counts` of pairs that exist, (post, pre); None where all do."""
    if exists.all():
        return None
    counts = np.zeros((exists.shape[0] + 1, exists.shape[1]), dtype=np.int32)
    for row, new in enumerate(exists):
        # Seven times as fast as a cumulative sum down the columns, which has no vector instructions to use.
        np.add(counts[row], new, out=counts[row + 1])
    return counts


def problem_of_network(network: IntegerNetwork, limits: ChipLimits) -> Problem:
    """The problem of a quantised network."""
    passing_on = {p.source for p in network.projections if p.source != p.target}
    populations = tuple(
        MappedPopulation(p.name, p.size, p.kind != "spike_source", p.name not in passing_on)
        for p in network.populations
    )
    widest = limits.choices["weight_bits"].value[-1]
    return Problem(populations, tuple(_of_projection(p, widest) for p in network.projections))


def _of_projection(projection: IntegerProjection, bits: int) -> Synapses:
    # Transposed once, so that what belongs to a target neuron lies together.
    weight = np.ascontiguousarray(projection.weight.T)
    exists = weight != 0
    if projection.mask is not None:
        exists &= projection.mask.T
    if not exists.all():
        weight = np.where(exists, weight, 0)
    slots = np.where(exists, projection.slots.T, 0)
    return Synapses(
        projection.source,
        projection.target,
        weight.shape[1],
        counted(exists),
        slots.max(axis=1, initial=0),
        weight.min(axis=1, initial=0).astype(np.int64),
        weight.max(axis=1, initial=0).astype(np.int64),
        np.bitwise_or.reduce(np.abs(weight), axis=1).astype(np.int64),
        bits,
    )


def problem_of_plan(plan: NetworkPlan, limits: ChipLimits) -> Problem:
    """The problem of a network that is not trained yet: any weight of the format, the largest slot everywhere."""
    passing_on = {p.source for p in plan.projections if p.source != p.target}
    populations = tuple(
        MappedPopulation(p.name, p.size, p.kind != "spike_source", p.name not in passing_on) for p in plan.populations
    )
    sizes = {p.name: p.size for p in plan.populations}

    def synapses(projection: ProjectionPlan) -> Synapses:
        def everywhere(value: int) -> NDArray[np.int64]:
            return np.full(sizes[projection.target], value, dtype=np.int64)

        return Synapses(
            projection.source,
            projection.target,
            sizes[projection.source],
            None if projection.mask is None else counted(np.ascontiguousarray(projection.mask.T)),
            everywhere(projection.largest_slot),
            everywhere(limits["weight_min"]),
            everywhere(limits["weight_max"]),
            # Even weights of both signs.
            everywhere(2),
            limits.choices["weight_bits"].value[-1],
        )

    return Problem(populations, tuple(synapses(p) for p in plan.projections))
