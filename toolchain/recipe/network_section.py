"""The network of a recipe: populations and projections, and which population is the output."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from toolchain.errors import NetworkError
from toolchain.network import TIME_CONSTANTS, Kind, Population
from toolchain.recipe.initial import Initial
from toolchain.recipe.sections import Section, nearest

MAX_NEURONS = 1_000_000
LOWEST_TAU_MS = 0.1
"""Floor of a time constant that is drawn from a normal distribution, ms."""


class PopulationRecipe(Section):
    """One population; input and output may leave out their size, which then is that of the dataset.

    Time constants are one number for all neurons or drawn for each; a draw from a normal distribution that is below
    `LOWEST_TAU_MS` is drawn again. Those that learn do so neuron by neuron.
    """

    kind: Kind
    size: Annotated[int, Field(ge=1, le=MAX_NEURONS)] | None = None
    tau_mem_ms: Initial = Initial(constant=20.0)
    tau_syn_ms: Initial = Initial(constant=5.0)
    threshold: Annotated[float, Field(gt=0)] = 1.0
    single_spike: bool = False
    learn_tau_mem: bool = False
    learn_tau_syn: bool = False

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the time constants that learn."""
        return tuple(tau for tau in TIME_CONSTANTS if getattr(self, f"learn_{tau.removesuffix('_ms')}"))

    @model_validator(mode="after")
    def _has_what_learns(self) -> PopulationRecipe:
        if self.kind == "spike_source" and self.learned:
            field = self.learned[0].removesuffix("_ms")
            raise ValueError(f"learn_{field}: a spike_source has no time constants; leave it out")
        return self

    @model_validator(mode="after")
    def _only_lif_spikes_once(self) -> PopulationRecipe:
        if self.single_spike and self.kind != "lif":
            raise ValueError(f"single_spike: is of a lif population, not of a {self.kind}; leave it out")
        return self

    @field_validator("tau_mem_ms", "tau_syn_ms")
    @classmethod
    def _positive(cls, tau: Initial) -> Initial:
        if tau.normal is not None and tau.normal.mean < LOWEST_TAU_MS:
            raise ValueError(f"normal.mean {tau.normal.mean:g} ms is below {LOWEST_TAU_MS:g}; most draws would be")
        if tau.normal is None and tau.lowest <= 0:
            raise ValueError(f"{tau.lowest:g} ms must be above 0")
        return tau


class ProjectionRecipe(Section):
    """One projection: initial weights and delays, which of them learn, and how much faster than the rest.

    `density` below 1 keeps each synapse with that probability (a mask, fixed for the whole run).
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    weight: Initial
    delay: Initial = Initial(constant=0.0)
    learn_weight: bool = True
    learn_delay: bool = False
    weight_rate_factor: Annotated[float, Field(gt=0)] = 1.0
    density: Annotated[float, Field(gt=0, le=1)] = 1.0

    @field_validator("delay")
    @classmethod
    def _delay_not_negative(cls, delay: Initial) -> Initial:
        if delay.normal is not None and delay.normal.sd > 0:
            raise ValueError("a delay cannot start from a normal distribution, it would be negative; use uniform")
        if delay.lowest < 0:
            raise ValueError(f"delay {delay.lowest:g} is below 0 slots; slot 0 already arrives one step after")
        return delay


class NetworkRecipe(Section):
    """The network: step length, populations by name, projections."""

    dt_ms: Annotated[float, Field(gt=0)] = 1.0
    populations: dict[str, PopulationRecipe]
    projections: Annotated[list[ProjectionRecipe], Field(min_length=1)]

    @model_validator(mode="after")
    def _ends_exist(self) -> NetworkRecipe:
        for i, projection in enumerate(self.projections):
            for end, name in (("from", projection.source), ("to", projection.target)):
                if name not in self.populations:
                    raise ValueError(
                        f"projections.{i}.{end}: population {name!r} does not exist"
                        + nearest(name, list(self.populations))
                    )
            if self.populations[projection.target].kind == "spike_source":
                raise ValueError(f"projections.{i}.to: {projection.target} is a spike_source and takes no input")
            if self.populations[projection.source].kind == "leaky_readout":
                raise ValueError(f"projections.{i}.from: {projection.source} is a leaky_readout and never spikes")
        pairs = [(p.source, p.target) for p in self.projections]
        for i, pair in enumerate(pairs):
            if pair in pairs[:i]:
                raise ValueError(f"projections.{i}: {pair[0]}->{pair[1]} is given twice; merge the two into one")
        sources = sum(p.kind == "spike_source" for p in self.populations.values())
        if sources != 1:
            raise ValueError(f"populations: {sources} of kind spike_source, must be exactly 1")
        outputs = self._outputs()
        if len(outputs) != 1:
            names = f" ({', '.join(outputs)})" if outputs else ""
            raise ValueError(
                f"populations: {len(outputs)} outputs{names}, must be exactly 1: a leaky_readout, or a lif population "
                "that projects to no other"
            )
        for name, population in self.populations.items():
            try:
                Population(name, population.kind, 1)
            except NetworkError as error:
                raise ValueError(f"populations: {error}") from error
            if population.kind == "lif" and population.size is None and name != self.output:
                raise ValueError(f"populations.{name}.size: a lif population needs a size")
            if population.kind != "spike_source" and name not in (p.target for p in self.projections):
                raise ValueError(f"populations.{name}: no projection leads to it; add one or remove the population")
        return self

    def _outputs(self) -> list[str]:
        passing_on = {p.source for p in self.projections if p.source != p.target}
        return [n for n, p in self.populations.items() if p.kind != "spike_source" and n not in passing_on]

    @property
    def output(self) -> str:
        """Name of the population that the network is read from: the one that projects to no other."""
        return self._outputs()[0]

    @property
    def hidden(self) -> list[str]:
        """Names of the lif populations that are not the output."""
        return [n for n, p in self.populations.items() if p.kind == "lif" and n != self.output]
