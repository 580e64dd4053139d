"""A network in a chip's integers as diagnosis sees it: named constants of neurons, synapses, and the chip's step.

A step of a neuron has three stages, each of which can be tested by itself if what it starts from was reported:

    current   from the current before and what arrives
    voltage   from the voltage before, the current and whether it spiked
    spike     from the voltage as it is before a reset

Whatever may be wrong with a neuron is a named integer: a decay, a threshold, but also how it rounds or resets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

CURRENT, VOLTAGE, SPIKE = 0, 1, 2
QUANTITIES = ("u", "v", "spikes")
"""What is reported after each stage."""


@dataclass(frozen=True)
class Constant:
    """One of the integers that a neuron computes with.

    Attributes
    ----------
    name : as the chip's documents have it
    stage : the first that it acts on
    cause : what a report calls a wrong one
    words : what it is
    low, high : what it can be
    meanings : value -> what the chip does, of a constant that is a choice; empty of a number
    shared : all neurons of a population have the same one
    """

    name: str
    stage: int
    cause: str
    words: str
    low: int
    high: int
    meanings: Mapping[int, str] = field(default_factory=dict)
    shared: bool = False


@dataclass(frozen=True)
class Cells:
    """Neurons of a population; `constants` name -> (size,). A spike source has none."""

    name: str
    size: int
    constants: Mapping[str, I64]


@dataclass(frozen=True, eq=False)
class Synapses:
    """One projection.

    Attributes
    ----------
    weight : (pre, post) with its sign, as stored
    slots : (pre, post); a spike of step t arrives at step t + 1 + slot
    exists : (pre, post)
    exponent : what arrives is weight * 2^exponent
    late : steps that all of it arrives later than the slots say, or earlier if below 0
    lost : (n, 3) sample, step, neuron of spikes of the source that do not arrive
    extra : (n, 3) of spikes that arrive although the source reports none
    """

    source: str
    target: str
    weight: I64
    slots: I64
    exists: Flags
    exponent: int = 0
    late: int = 0
    lost: I64 | None = None
    extra: I64 | None = None

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"

    def addend(self, neurons: I64) -> I64:
        """What each synapse onto these neurons adds, (pre, n); 0 where there is none."""
        weight = np.where(self.exists[:, neurons], self.weight[:, neurons], 0)
        return weight << self.exponent if self.exponent >= 0 else weight >> -self.exponent


@dataclass(frozen=True)
class Model:
    """All populations, sources first or not, and all projections."""

    dt_ms: float
    cells: tuple[Cells, ...]
    synapses: tuple[Synapses, ...]

    def __getitem__(self, name: str) -> Cells:
        for cells in self.cells:
            if cells.name == name:
                return cells
        raise KeyError(name)

    def incoming(self, name: str) -> tuple[Synapses, ...]:
        """Projections onto a population."""
        return tuple(s for s in self.synapses if s.target == name)

    def outgoing(self, name: str) -> tuple[Synapses, ...]:
        """Projections from a population."""
        return tuple(s for s in self.synapses if s.source == name)

    def projection(self, name: str) -> Synapses:
        """The projection of that name."""
        return next(s for s in self.synapses if s.name == name)

    def with_constant(self, population: str, name: str, values: I64) -> Model:
        """The same with other values of one constant, (size,)."""
        cells = self[population]
        changed = replace(cells, constants={**cells.constants, name: values})
        return replace(self, cells=tuple(changed if c is cells else c for c in self.cells))

    def with_synapses(self, *changed: Synapses) -> Model:
        """The same with other projections in the place of those that have their names."""
        known = {s.name: s for s in changed}
        return replace(self, synapses=tuple(known.get(s.name, s) for s in self.synapses))


@dataclass(frozen=True, eq=False)
class Reported:
    """What a device said about some neurons; None where it said nothing.

    Attributes
    ----------
    currents : (channels, n_samples, n_steps, n), or (1, ...) where it is what reaches the membrane of all channels
    v : (n_samples, n_steps, n) at the end of each step
    spikes : (n_samples, n_steps, n)
    """

    currents: I64 | None
    v: I64 | None
    spikes: Flags | None


@dataclass(frozen=True, eq=False)
class Replayed:
    """What the same neurons must have had, each step from what was reported of the step before where it was.

    Where no current was reported it is computed from the start of the sample on, and so is v; spikes that were
    reported reset it. `currents` (channels, n_samples, n_steps, n); `v`, `spikes` (n_samples, n_steps, n).
    """

    currents: I64
    v: I64
    spikes: Flags


class Arithmetic(Protocol):
    """The step of a chip, for any neurons at once; arrays of constants are (n_constants, n) in the order of all."""

    @property
    def channels(self) -> int:
        """1, or 2 if positive and negative weights arrive at currents of their own, the second taken off the first."""

    @property
    def constants(self) -> Sequence[Constant]:
        """All that can be wrong with a neuron."""

    @property
    def together(self) -> Sequence[tuple[str, str, int, str]]:
        """Two constants that one parameter sets, of which the second acts on input alone, its channel, the words."""

    @property
    def weights(self) -> tuple[int, int, int]:
        """Least and largest weight that can be stored, and the step between them."""

    @property
    def exponents(self) -> tuple[int, int]:
        """Least and largest exponent of a projection."""

    @property
    def largest_slot(self) -> int:
        """Largest delay slot that is looked for in place of another."""

    def run(self, constants: I64, arrivals: I64, reported: Reported) -> Replayed:
        """Take all steps.

        Parameters
        ----------
        constants : (n_constants, n)
        arrivals : (channels, n_samples, n_steps, n), never below 0 with two channels
        reported : of the same neurons
        """

    def excess(self, constants: I64, arrivals: I64, reported: Reported) -> tuple[F64, Flags, F64]:
        """How much more arrived than `arrivals`, as far as currents or voltages tell.

        Returns
        -------
        excess, known : (n_samples, n_steps, n); in the unit of `charge`, and where it can be said
        tolerance : (n,) of the excess, which roundings may change by so much
        """

    def charge(self, constants: I64, addend: I64) -> F64:
        """What the arrival of an addend, (n,) or broadcast with it, counts in `excess`."""

    def threshold(self, constants: Mapping[str, int]) -> int | None:
        """What the voltage of a neuron with these constants is compared with; None if it is not meant to be reached."""

    def meaning(self, constant: str, value: int, dt_ms: float) -> str:
        """What a value stands for in physical units, such as ``9.8 ms``; empty if there is nothing to add."""


@dataclass(frozen=True)
class Chip:
    """What a target gives to diagnosis: its network, and its step."""

    model: Model
    arithmetic: Arithmetic
