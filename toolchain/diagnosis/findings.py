"""What a diagnosis says, in words and as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

Place = tuple[int, int, int]
"""Sample, step, neuron."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be, and that explains every deviating state of the neurons it is about.

    Attributes
    ----------
    cause : its name: ``weight``, ``delay``, ``decay of the current``, ``threshold``, ``off by one step``, ``reset`` ...
    text : all of it in words
    population : whose states deviate
    neurons : which of them; empty for all
    quantity : u, v or spikes: the first that was reported and shows it
    explained, total : deviating states of these neurons that are right with the change, and all of them
    first : sample, step, neuron of the first
    projection, synapse : of a synapse ``source->target`` and its ends (pre, post); a projection alone has no synapse
    constant : name of a constant of the neurons
    expected : what the integer must be
    low, high : what it is: least and largest value that explain all; both None of a change that is not one integer
    alternatives : other single changes that explain the same states, in words: these samples cannot tell which it is
    """

    cause: str
    text: str
    population: str
    neurons: tuple[int, ...]
    quantity: str
    explained: int
    total: int
    first: Place
    projection: str | None = None
    synapse: tuple[int, int] | None = None
    constant: str | None = None
    expected: int | None = None
    low: int | None = None
    high: int | None = None
    alternatives: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether these samples leave no other single change that would do the same."""
        return not self.alternatives


@dataclass(frozen=True)
class Unexplained:
    """Deviating states that no change explains all of.

    Attributes
    ----------
    neurons : the neurons with such states
    states : how many there are
    largest : largest difference of reported and replayed value; 1 of spikes
    first : sample, step, neuron of the first
    """

    population: str
    quantity: str
    neurons: tuple[int, ...]
    states: int
    largest: int
    first: Place
    text: str


@dataclass(frozen=True)
class Window:
    """States of one neuron around a step, as the emulator had them and as the device reported them.

    Attributes
    ----------
    steps : the steps, rising
    ours, theirs : quantity ``u``, ``v``, ``spikes`` -> one value a step; what was not reported is left out
    threshold : what v is compared with, in the unit of v; None of a readout or where it is not known
    arrivals : of the reported spikes, what must arrive at these steps: step, source population, neuron, slot, weight
    """

    sample: int
    population: str
    neuron: int
    at: int
    steps: tuple[int, ...]
    ours: Mapping[str, tuple[int, ...]]
    theirs: Mapping[str, tuple[int, ...]]
    threshold: int | None = None
    arrivals: Sequence[tuple[int, str, int, int, int]] = ()

    def to_json(self) -> dict[str, Any]:
        """For report.json."""
        return asdict(self)


@dataclass(frozen=True)
class Diagnosis:
    """Why a device does not do what the emulator does.

    Attributes
    ----------
    findings : in the order of the network, and of current, voltage and spike
    unexplained : what is left
    samples, states : samples that were looked at, and states that were compared, one a quantity, neuron and step
    deviating : how many of them were not what they must be, given the state before and the spikes reported
    not_available : what the device did not report, and what that means, in words
    idle : projection -> synapses whose source never spiked: a fault in these cannot show; and synapses in all
    window : the traces around the first divergence from the emulator's own run, if both were given
    """

    findings: tuple[Finding, ...]
    unexplained: tuple[Unexplained, ...]
    samples: int
    states: int
    deviating: int
    not_available: tuple[str, ...] = ()
    idle: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    window: Window | None = None

    @property
    def equal(self) -> bool:
        """Whether every reported state is what it must be."""
        return not self.deviating

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        if self.equal:
            return (
                f"Every one of {self.states} reported states is what it must be, on {_counted(self.samples, 'sample')}."
            )
        found = _counted(len(self.findings), "cause")
        rest = sum(u.states for u in self.unexplained)
        left = f"; {rest} of the deviating states are not explained" if rest else "; together they explain all of them"
        if not self.findings:
            return f"{self.deviating} of {self.states} reported states deviate, and no single change explains them."
        if len(self.findings) == 1 and not rest:
            left = ", which explains all of them"
        return f"{self.deviating} of {self.states} reported states deviate. {found} found{left}."

    @property
    def causes(self) -> list[str]:
        """What was found, and what is left, a line each; where samples cannot tell causes apart it says so."""
        return [f"{f.text}{_or(f.alternatives)}" for f in self.findings] + [u.text for u in self.unexplained]

    def with_samples(self, numbers: Sequence[int]) -> Diagnosis:
        """The same with samples called by these numbers; here they are counted from 0."""

        def called(place: Place) -> Place:
            return numbers[place[0]], place[1], place[2]

        return replace(
            self,
            findings=tuple(replace(f, first=called(f.first)) for f in self.findings),
            unexplained=tuple(replace(u, first=called(u.first)) for u in self.unexplained),
        )

    def to_json(self) -> dict[str, Any]:
        """For report.json."""
        return {"equal": self.equal, "sentence": self.sentence, **asdict(self)}


def _or(alternatives: tuple[str, ...]) -> str:
    if not alternatives:
        return ""
    more = len(alternatives) - 1
    others = f" or {more} other single change{'s' if more > 1 else ''}" if more else ""
    return f" (these samples cannot tell it from: {alternatives[0]}{others})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
