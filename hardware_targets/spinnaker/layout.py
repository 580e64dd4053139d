"""A layout: how many neurons of each population a core holds, and what follows from it for delays.

sPyNNaker 7.4.1 puts synapses that go through two or more extension stages into wrong rows, or drops them, unless a core
of the source holds as many neurons as one of the target and all cores of the source are full: it counts the source's
cores in units of the target's. With one stage the rows come out right whatever the sizes. `misplaced` names the
projections that it would get wrong (facts of the project, spinnaker.md section 2.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hardware_targets.limit_file import ChipLimits
from hardware_targets.spinnaker.problem import Problem, ProblemProjection
from hardware_targets.spinnaker.slots import counters_bytes, slots_used, stages_needed


@dataclass(frozen=True)
class Layout:
    """A problem with a number of neurons a core for each population, at most the population's size."""

    problem: Problem
    neurons: Mapping[str, int]
    limits: ChipLimits

    def cores(self, name: str) -> int:
        """Cores of a population, without those of its delay extension."""
        return -(-self.problem[name].size // self.neurons[name])

    @cached_property
    def slots(self) -> dict[str, int]:
        """Simulated population -> slots of its cores, ticks."""
        problem = self.problem
        return {
            p.name: slots_used(problem.longest(p.name), self.neurons[p.name], problem.dt_ms, self.limits)
            for p in problem.populations
            if p.simulated
        }

    def own_stages(self, projection: ProblemProjection) -> int:
        """Extension stages that one projection needs; 0 if its target's cores hold its delays."""
        return stages_needed(projection.longest, self.slots[projection.target], self.problem.dt_ms)

    @cached_property
    def stages(self) -> dict[str, int]:
        """Population with a delay extension -> its stages, in the order in which sPyNNaker adds extensions."""
        found: dict[str, int] = {}
        for source in self.sources:
            needed = max(self.own_stages(p) for p in self.problem.projections if p.source == source)
            if needed:
                found[source] = needed
        return found

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Populations that project to any, in the order of their first projection."""
        return tuple(dict.fromkeys(p.source for p in self.problem.projections))

    def extended(self, source: str) -> list[ProblemProjection]:
        """Projections that go through the extension of a population."""
        return [p for p in self.problem.projections if p.source == source and self.own_stages(p)]

    def stage_lengths(self, source: str) -> set[int]:
        """Lengths of a stage, ticks, that the targets of an extension ask for; sPyNNaker needs them to agree."""
        return {self.slots[p.target] for p in self.extended(source)}

    @property
    def n_cores(self) -> int:
        """Cores of all populations and extensions."""
        return sum(self.cores(p.name) for p in self.problem.populations) + sum(self.cores(name) for name in self.stages)

    @cached_property
    def misplaced(self) -> tuple[str, ...]:
        """Projections whose synapses sPyNNaker 7.4.1 would put into wrong rows."""
        found = []
        for source, stages in self.stages.items():
            full = self.problem[source].size % self.neurons[source] == 0
            for p in self.extended(source):
                if stages > 1 and not (full and self.neurons[source] == self.neurons[p.target]):
                    found.append(p.name)
        return tuple(found)

    def obstacles(self) -> list[str]:
        """What sPyNNaker or a core refuses about this layout, one line each; empty if nothing."""
        found = []
        for source, stages in self.stages.items():
            lengths = sorted(self.stage_lengths(source))
            if len(lengths) > 1:
                found.append(
                    f"the delay extension of {source} would need stages of "
                    f"{' and '.join(map(str, lengths))} ticks at once"
                )
            elif stages > self.limits["delay_stages"]:
                found.append(
                    f"the delay extension of {source} would need {stages} stages of {lengths[0]} ticks, there are "
                    f"{self.limits['delay_stages']}"
                )
            elif (taken := counters_bytes(stages, lengths[0], self.neurons[source])) > (
                room := self.limits["delay_counters_bytes"]
            ):
                found.append(
                    f"the delay extension of {source} would need {taken} bytes of counters a core, there are {room}"
                )
        return found
