"""Causes of first divergences over many samples: a histogram by layer, and what they have to do with accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolchain.attribution.divergence import CAUSES, WORDS, Attribution, Cause, Outcome
from toolchain.attribution.typical import Typical


@dataclass(frozen=True)
class CauseRow:
    """Samples whose first divergence is in one population and has one cause.

    Attributes
    ----------
    mean_step : of their first divergences
    mean_margin : mean size of the float margin, in thresholds: how near to the threshold it happens
    knife_edge, off_by_one : how many of them are
    lost, gained : how many of them change from the right class to another, and the reverse
    """

    population: str
    cause: Cause
    samples: int
    mean_step: float
    mean_margin: float
    knife_edge: int
    off_by_one: int
    lost: int
    gained: int


@dataclass(frozen=True)
class Causes:
    """Why the chip's spikes first differ from those of the trained network, sample by sample.

    Attributes
    ----------
    samples : how many were looked at, the first ones of the test set
    of : samples of the test set
    attributions : of the samples that diverge, in order; the first one and one of the most frequent cause are shown in
        full
    outcomes_equal : what became of the class of the samples whose spikes are all equal: (lost, gained)
    typical : what each change does to V at spikes of the float network, given its input
    kept : (a, b): of b such spikes the chip's neuron, given the same input, reaches its threshold at a
    """

    samples: int
    of: int
    attributions: Sequence[Attribution]
    outcomes_equal: tuple[int, int] = (0, 0)
    typical: Sequence[Typical] = ()
    kept: tuple[int, int] = (0, 0)

    @property
    def diverging(self) -> int:
        """Samples with a spike that one engine has and the other has not."""
        return len(self.attributions)

    @property
    def by_population(self) -> dict[str, int]:
        """Population -> samples whose first divergence is in it, most first."""
        return dict(Counter(a.population for a in self.attributions).most_common())

    @property
    def by_cause(self) -> dict[Cause, int]:
        """Cause -> samples, most first; of several with as many the order of `CAUSES`."""
        counts = Counter(a.cause for a in self.attributions)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], CAUSES.index(item[0]))))

    @property
    def mean_step(self) -> float | None:
        """Mean step of the first divergence; None where there is none."""
        return sum(a.step for a in self.attributions) / self.diverging if self.attributions else None

    @property
    def shown(self) -> tuple[Attribution, ...]:
        """Those with synapses and traces."""
        return tuple(a for a in self.attributions if a.window is not None)

    def rows(self) -> list[CauseRow]:
        """The histogram: populations in the order of how often, then causes."""
        found = []
        for population in self.by_population:
            here = [a for a in self.attributions if a.population == population]
            for cause in (c for c in self.by_cause if any(a.cause == c for a in here)):
                mine = [a for a in here if a.cause == cause]
                outcomes: Counter[Outcome] = Counter(a.outcome for a in mine)
                found.append(
                    CauseRow(
                        population,
                        cause,
                        len(mine),
                        sum(a.step for a in mine) / len(mine),
                        sum(abs(a.float_margin) for a in mine) / len(mine),
                        sum(a.knife_edge for a in mine),
                        sum(a.off_by_one is not None for a in mine),
                        outcomes["lost"],
                        outcomes["gained"],
                    )
                )
        return found

    def sentence(self) -> str:
        """All of it in one or two sentences."""
        if not self.attributions:
            return f"In all of {self.samples} samples the chip has every spike of the float network and no other."
        mean = self.mean_step
        assert mean is not None
        cause, often = next(iter(self.by_cause.items()))
        layers = [f"{name} ({n})" for name, n in self.by_population.items()]
        where = f"in {next(iter(self.by_population))}" if len(layers) == 1 else f"in {', '.join(layers)}"
        text = (
            f"In {self.diverging} of {self.samples} samples the chip's spikes differ from those of the float network: "
            f"first {where}, on average at step {mean:.0f}, most often because of {WORDS[cause]} "
            f"({100 * often / self.diverging:.0f}%)."
        )
        edges = sum(a.knife_edge for a in self.attributions)
        if edges:
            text += f" In {edges} the float network itself was on a knife's edge."
        lost, gained = (sum(a.outcome == o for a in self.attributions) for o in ("lost", "gained"))
        text += f" The right class is lost on the chip in {lost} of them and gained in {gained}."
        return text + self._typical_sentence()

    def _typical_sentence(self) -> str:
        """Which change moves V most, wherever that is; what comes late in a sample is no first divergence."""
        if not self.typical:
            return ""
        most = max(self.typical, key=lambda t: t.rms)
        a, b = self.kept
        return (
            f" At spikes of the float network, given the same input, V of {most.population} is moved most by "
            f"{WORDS[most.cause]} ({100 * most.rms:.2g}% of the threshold, root mean square), and the chip's neuron "
            f"reaches its threshold at {a} of {b} of them."
        )

    def to_json(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "samples": self.samples,
            "of": self.of,
            "diverging": self.diverging,
            "mean_step": self.mean_step,
            "by_population": self.by_population,
            "by_cause": dict(self.by_cause),
            "rows": [vars(row) for row in self.rows()],
            "equal_spikes": {"lost": self.outcomes_equal[0], "gained": self.outcomes_equal[1]},
            "typical": [vars(t) for t in self.typical],
            "kept_spikes": {"kept": self.kept[0], "of": self.kept[1]},
            "sentence": self.sentence(),
            "attributions": [a.to_json() for a in self.attributions],
        }
