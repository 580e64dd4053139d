"""Why the chip first spikes otherwise than the trained network: the cause by name, and what each change contributed.

At the first spike that one of the two engines has and the other has not, the margin V - threshold of that neuron lies
on different sides of zero. The difference of the two margins is taken apart:

    chip margin - float margin = sum of what quantisation changed (membrane.decompose) - change of the threshold
                                 + rounding at every step + overflows

and the largest contribution toward the other side is the cause. All values are in units of the trained threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolchain.attribution.membrane import CHANGES, Change, Events, Neuron, course, decompose
from toolchain.deployment.abilities import Overflow, Replay

Cause = Literal[
    Change, "rounded_threshold", "truncated_decay", Overflow, "threshold_tie", "float_rounding", "unexplained"
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
Engine = Literal["float", "chip"]
Shift = Literal["chip_later", "chip_earlier"]
Outcome = Literal["lost", "gained", "same"]

TIE_UNITS = 2.0
"""A margin of so many units in the last place of the chip's v is a tie."""
EDGE = 0.1
"""A float margin below this part of the largest contribution is a knife's edge: any change at all would have done."""
BEFORE, AFTER = 20, 10
"""Steps of the traces around a divergence."""
SHOWN_SYNAPSES, SHOWN_ARRIVALS = 5, 8

WORDS: Mapping[Cause, str] = {
    "pruned_synapses": "pruned synapses",
    "clipped_delay": "clipped delays",
    "moved_delay": "moved delays",
    "rounded_weight": "rounded weights",
    "clipped_weight": "clipped weights",
    "zeroed_weight": "weights rounded to zero",
    "rounded_voltage_decay": "the rounded voltage decay",
    "rounded_current_decay": "the rounded current decay",
    "rounded_gain": "the rounded gain",
    "rounded_threshold": "the rounded threshold",
    "truncated_decay": "rounding at every step",
    "wrapped_current": "a wrapped current",
    "clipped_voltage": "a clipped voltage",
    "saturated_ring_buffer": "a saturated ring buffer",
    "wrapped_state": "a wrapped state",
    "threshold_tie": "a tie at the threshold",
    "float_rounding": "the rounding of the float network itself",
    "unexplained": "something unexplained",
}
"""How each cause reads in a sentence."""


@dataclass(frozen=True)
class Contribution:
    """What one change does to the margin at the divergence, in thresholds.

    Attributes
    ----------
    value : all contributions together are chip margin - float margin
    alone : what the change does to the trained neuron by itself; of rounding at every step and overflows the same
    """

    name: Cause
    value: float
    alone: float


@dataclass(frozen=True)
class SynapseChange:
    """One synapse whose weight or delay changed, and what that does to the margin by itself, in thresholds.

    Attributes
    ----------
    arrivals, chip_arrivals : last steps up to the divergence at which something arrived by it
    """

    source: str
    source_neuron: int
    slot: int
    chip_slot: int
    weight: float
    chip_weight: float
    effect: float
    arrivals: tuple[int, ...]
    chip_arrivals: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """The neuron around the divergence, each with its own engine's spikes as input; voltages in thresholds.

    Attributes
    ----------
    first_step : of the arrays
    float_v, chip_v : (n,) before the reset of each step; None where a neuron that spikes once has no voltage any more
    chip_threshold : 1 is the trained one
    arriving : (n,) sum of trained weights that arrives, in units of the weight
    float_spikes, chip_spikes : steps at which the neuron spikes
    """

    first_step: int
    float_v: tuple[float | None, ...]
    chip_v: tuple[float, ...]
    chip_threshold: float
    arriving: tuple[float, ...]
    float_spikes: tuple[int, ...]
    chip_spikes: tuple[int, ...]


@dataclass(frozen=True)
class Attribution:
    """The first spike of a sample in which two engines differ, and why.

    Attributes
    ----------
    spiked : the engine that has the spike
    float_margin, chip_margin : V - threshold in each, in thresholds; 0 or more spikes
    contributions : those that are not 0; their sum is chip_margin - float_margin
    decisive : the fewest contributions that take the margin across, the largest first
    off_by_one : the other engine has the same spike one step later
    knife_edge : the float margin is below `EDGE` of the largest contribution
    unit : one in the last place of the chip's v, in thresholds
    overflows : (step, what) of this neuron up to the divergence, at most 8
    outcome : what became of the class of the sample: right in float and wrong on the chip, or the reverse
    synapses, window : of samples that are shown
    """

    sample: int
    population: str
    neuron: int
    step: int
    spiked: Engine
    float_margin: float
    chip_margin: float
    contributions: tuple[Contribution, ...]
    cause: Cause
    decisive: tuple[Cause, ...]
    off_by_one: Shift | None
    knife_edge: bool
    unit: float
    overflows: tuple[tuple[int, str], ...] = ()
    outcome: Outcome = "same"
    synapses: tuple[SynapseChange, ...] = ()
    window: Window | None = None

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        where = f"Sample {self.sample}: neuron {self.neuron} of {self.population} spikes at step {self.step}"
        text = where + (" on the chip and not in float" if self.spiked == "chip" else " in float and not on the chip")
        text += ", where it comes one step later" if self.off_by_one else ""
        text += f", because of {WORDS[self.cause]}"
        if len(self.decisive) > 1:
            text += f" together with {' and '.join(WORDS[c] for c in self.decisive[1:])}"
        text += f". Its margin is {_signed(self.float_margin)} of the threshold in float and "
        text += f"{_signed(self.chip_margin)} on the chip"
        return text + (": float itself is on a knife's edge." if self.knife_edge else ".")

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the sentence; synapses and window only where there are any."""
        found = {**asdict(self), "sentence": self.sentence}
        if self.window is None:
            del found["synapses"], found["window"]
        return found


def _signed(margin: float) -> str:
    return f"{100 * margin:+.3g}%".replace("-", "−")


@dataclass(frozen=True)
class Divergent:
    """The first spike of one sample that one of two engines has and the other has not."""

    population: str
    neuron: int
    step: int
    spiked: Engine


@dataclass(frozen=True)
class Margins:
    """V - threshold of one neuron at one step in both number systems, on the same input; all in thresholds.

    Attributes
    ----------
    contributions : those that are not 0; together they are chip - trained
    overflows : (step, what) of this neuron up to that step
    by_synapse : (n_synapses,) as `membrane.Decomposition`
    """

    trained: float
    chip: float
    contributions: tuple[Contribution, ...]
    overflows: tuple[tuple[int, Overflow], ...]
    by_synapse: NDArray[np.float64]


def take_apart(neuron: Neuron, replay: Replay, spikes: Mapping[str, Events], step: int) -> Margins:
    """Both margins at a step, and what makes the difference.

    Parameters
    ----------
    replay : of the neuron on spikes that are the same before `step`
    """
    theta = neuron.trained.threshold
    found = decompose(neuron, spikes, step)
    contributions = [
        Contribution(name, found.shapley[name] / theta, found.alone[name] / theta)
        for name in CHANGES
        if name in found.shapley
    ]
    overflows = tuple((at, what) for at, what in replay.overflows if at <= step)
    arithmetic: list[tuple[Cause, float]] = [
        ("rounded_threshold", theta - replay.threshold),
        ("truncated_decay", float(replay.unbounded[step]) - found.quantised),
    ]
    if overflows:
        arithmetic.append((overflows[0][1], float(replay.v[step] - replay.unbounded[step])))
    contributions += [Contribution(name, value / theta, value / theta) for name, value in arithmetic if value]
    # As whole units: the comparison of the chip is exact, and so is its sign here.
    chip = float(np.rint((replay.v[step] - replay.threshold) / replay.unit)) * replay.unit / theta
    trained = (found.trained - theta) / theta
    return Margins(trained, chip, tuple(contributions), overflows, found.by_synapse / theta)


def attribute(
    neuron: Neuron,
    divergent: Divergent,
    replay: Replay,
    floating: Mapping[str, Events],
    chip: Mapping[str, Events],
    *,
    sample: int,
    faithful: bool = True,
    shown: bool = False,
) -> Attribution:
    """Name the cause of a divergence.

    Parameters
    ----------
    neuron : that of the divergence
    replay : of it on the chip's spikes, at least up to the step of the divergence
    floating, chip : population -> spikes of either engine; equal before that step
    faithful : whether the replay has the voltages of the emulator; if not, nothing here explains it
    shown : also give synapses and traces
    """
    step = divergent.step
    margins = take_apart(neuron, replay, floating, step)
    contributions, unit = margins.contributions, replay.unit / neuron.trained.threshold
    cause, decisive = _cause(divergent.spiked, margins, unit, faithful)
    largest = max((abs(c.value) for c in contributions), default=0.0)
    result = Attribution(
        sample,
        divergent.population,
        divergent.neuron,
        step,
        divergent.spiked,
        margins.trained,
        margins.chip,
        contributions,
        cause,
        decisive,
        _off_by_one(neuron, divergent, floating, chip),
        abs(margins.trained) < EDGE * largest,
        unit,
        margins.overflows[:8],
    )
    if not shown:
        return result
    synapses = _synapses(neuron, floating, step, margins.by_synapse)
    return replace(result, synapses=synapses, window=_window(neuron, replay, floating, chip, step))


def _cause(spiked: Engine, margins: Margins, unit: float, faithful: bool) -> tuple[Cause, tuple[Cause, ...]]:
    """The cause, and the fewest contributions that take the margin across zero."""
    by_chip = spiked == "chip"
    if not faithful or (margins.chip >= 0) != by_chip:
        return "unexplained", ("unexplained",)
    if (margins.trained >= 0) == by_chip:
        # In exact arithmetic the trained neuron does what the chip did: float32 decided the other way.
        return "float_rounding", ("float_rounding",)
    direction = 1.0 if by_chip else -1.0
    decisive: list[Cause] = []
    margin = margins.trained
    for contribution in sorted(margins.contributions, key=lambda c: -direction * c.value):
        decisive.append(contribution.name)
        margin += contribution.value
        if (margin >= 0) == by_chip:
            break
    tied = max(abs(margins.trained), abs(margins.chip)) <= TIE_UNITS * unit
    if tied and decisive[0] in ("rounded_threshold", "truncated_decay"):
        return "threshold_tie", ("threshold_tie",)
    return decisive[0], tuple(decisive)


def _off_by_one(
    neuron: Neuron, divergent: Divergent, floating: Mapping[str, Events], chip: Mapping[str, Events]
) -> Shift | None:
    other = floating if divergent.spiked == "chip" else chip
    if divergent.step + 1 not in neuron.own(other):
        return None
    return "chip_earlier" if divergent.spiked == "chip" else "chip_later"


def _synapses(
    neuron: Neuron, spikes: Mapping[str, Events], step: int, effect: NDArray[np.float64]
) -> tuple[SynapseChange, ...]:
    """Those whose change has the largest effect."""
    times, synapses = neuron.arrivals(spikes)
    shown = []
    for index in np.argsort(-np.abs(effect), kind="stable")[:SHOWN_SYNAPSES].tolist():
        if not effect[index]:
            break
        source, first, _ = next(s for s in neuron.sources if s[1] <= index < s[1] + s[2])
        sent = np.sort(times[synapses == index])
        slots = int(neuron.slot[index]), int(neuron.chip_slot[index])
        arrived, chip_arrived = ((sent + 1 + k)[sent + 1 + k <= step][-SHOWN_ARRIVALS:].tolist() for k in slots)
        shown.append(
            SynapseChange(
                source,
                index - first,
                *slots,
                float(neuron.weight[index]),
                float(neuron.chip_weight[index]),
                float(effect[index]),
                tuple(arrived),
                tuple(chip_arrived),
            )
        )
    return tuple(shown)


def _window(
    neuron: Neuron, replay: Replay, floating: Mapping[str, Events], chip: Mapping[str, Events], step: int
) -> Window:
    theta, n_steps = neuron.trained.threshold, replay.v.size
    first = max(0, step - BEFORE)
    voltage, arriving = course(neuron, floating, n_steps)

    def inside(spikes: Mapping[str, Events]) -> tuple[int, ...]:
        own = neuron.own(spikes)
        return tuple(own[(own >= first) & (own < n_steps)].tolist())

    return Window(
        first,
        tuple(None if np.isnan(v) else v for v in (voltage[first:] / theta).tolist()),
        tuple((replay.v[first:] / theta).tolist()),
        replay.threshold / theta,
        tuple(arriving[first:].tolist()),
        inside(floating),
        inside(chip),
    )
