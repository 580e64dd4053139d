"""What planning a network depends on: sizes, longest delays, and how many synapses a row can have.

Made from a quantised network, whose synapses are known, or from a plan, of which sizes, masks and largest slots are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import (
    EXCITATORY,
    INHIBITORY,
    IntegerNetwork,
    IntegerProjection,
    check_integers,
)
from toolchain.deployment.plan import NetworkPlan

TYPES = (EXCITATORY, INHIBITORY)


@dataclass(frozen=True)
class RowMaxima:
    """Most synapses of one source in one core's rows: those that the core delays itself, and those of the extension."""

    type: int
    undelayed: int
    delayed: int


class Rows(Protocol):
    """Counts synapses in rows."""

    def maxima(self, neurons: int, stage: int, stages: int) -> list[RowMaxima]:
        """Of every type that has synapses.

        Parameters
        ----------
        neurons : on a core of the target
        stage : slots of such a core, ticks
        stages : of the extension that the projection goes through; 0 for none
        """

    def cut_at(self, ticks: int) -> Rows:
        """The same with no delay longer than so many ticks."""


@dataclass(frozen=True)
class ProblemPopulation:
    """A population: neurons that are simulated, or a source of spikes."""

    name: str
    size: int
    simulated: bool


@dataclass(frozen=True)
class ProblemProjection:
    """A projection: its longest delay in ticks, 0 if it has no synapse, and its rows."""

    source: str
    target: str
    longest: int
    rows: Rows

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class Problem:
    """A network to plan; populations and projections in its order, without projections that have no synapse."""

    dt_ms: float
    populations: tuple[ProblemPopulation, ...]
    projections: tuple[ProblemProjection, ...]

    def __getitem__(self, name: str) -> ProblemPopulation:
        return next(p for p in self.populations if p.name == name)

    def onto(self, name: str) -> Iterator[ProblemProjection]:
        """Projections onto a population."""
        return (p for p in self.projections if p.target == name)

    def longest(self, name: str) -> int:
        """Longest delay onto a population, ticks; 0 without synapses."""
        return max((p.longest for p in self.onto(name)), default=0)

    def cut_at(self, ticks: int) -> Problem:
        """The same with no delay longer than so many ticks."""
        cut = (replace(p, longest=min(p.longest, ticks), rows=p.rows.cut_at(ticks)) for p in self.projections)
        return replace(self, projections=tuple(cut))


@dataclass(frozen=True, eq=False)
class KnownRows:
    """Rows of a quantised projection."""

    projection: IntegerProjection

    def maxima(self, neurons: int, stage: int, stages: int) -> list[RowMaxima]:
        """As sPyNNaker counts them: a delay of exactly a stage counts among the delayed too, where there are any."""
        starts = np.arange(0, self.projection.weight.shape[1], neurons)

        def most(there: NDArray[np.bool_]) -> int:
            return int(np.add.reduceat(there, starts, axis=1, dtype=np.int64).max())

        found = []
        for kind in TYPES:
            there = self.projection.of_type(kind)
            if there.any():
                delay = self.projection.delay
                delayed = most(there & (delay >= stage) & (delay <= stage * (stages + 1))) if stages else 0
                found.append(RowMaxima(kind, most(there & (delay <= stage)), delayed))
        return found

    def cut_at(self, ticks: int) -> KnownRows:
        """The same with no delay longer than so many ticks."""
        return KnownRows(replace(self.projection, delay=np.minimum(self.projection.delay, ticks)))


@dataclass(frozen=True, eq=False)
class PossibleRows:
    """Rows of a projection that is not trained yet: any synapse can be of either type and have any delay."""

    pre: int
    post: int
    longest: int
    mask: NDArray[np.bool_] | None

    def maxima(self, neurons: int, stage: int, stages: int) -> list[RowMaxima]:
        """The most that training can lead to."""
        most = min(neurons, self.post)
        if self.mask is not None:
            starts = np.arange(0, self.post, neurons)
            most = int(np.add.reduceat(self.mask, starts, axis=1, dtype=np.int64).max())
        return [RowMaxima(kind, most, most if stages else 0) for kind in TYPES]

    def cut_at(self, ticks: int) -> PossibleRows:
        """The same with no delay longer than so many ticks."""
        return replace(self, longest=min(self.longest, ticks))


def problem_of_network(network: IntegerNetwork) -> Problem:
    """The problem of a quantised network; NetworkError if its parts do not fit together."""
    check_integers(network)
    projections = (ProblemProjection(p.source, p.target, p.longest, KnownRows(p)) for p in network.projections)
    return Problem(
        network.dt_ms,
        tuple(ProblemPopulation(p.name, p.size, p.kind != "spike_source") for p in network.populations),
        tuple(p for p in projections if p.longest),
    )


def problem_of_plan(plan: NetworkPlan) -> Problem:
    """The problem of a network that is not trained yet: a slot k is a delay of k + 1 ticks."""
    sizes = {p.name: p.size for p in plan.populations}
    projections = tuple(
        ProblemProjection(
            p.source,
            p.target,
            p.largest_slot + 1,
            PossibleRows(sizes[p.source], sizes[p.target], p.largest_slot + 1, p.mask),
        )
        for p in plan.projections
        if p.mask is None or p.mask.any()
    )
    populations = tuple(ProblemPopulation(p.name, p.size, p.kind != "spike_source") for p in plan.populations)
    return Problem(plan.dt_ms, populations, projections)
