"""What is said about cost: counts, estimates with their ranges, loads of cores, and published figures beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from toolchain.cost.constants import Constants, describe
from toolchain.cost.counting import Counts
from toolchain.cost.interval import Interval
from toolchain.cost.workload import I64, Workload

LABEL = "estimate"
"""What every figure of energy and time is: nothing was measured on a chip."""


@dataclass(frozen=True)
class CountRow:
    """A count of one inference: mean over samples, standard deviation, and the least and most of any sample."""

    name: str
    unit: str
    meaning: str
    mean: float
    deviation: float
    least: int
    most: int


@dataclass(frozen=True)
class Part:
    """What an estimate is the sum of: `how` says of which count and constant."""

    name: str
    how: str
    interval: Interval


@dataclass(frozen=True)
class Estimate:
    """One estimate of an inference.

    Attributes
    ----------
    name : ``energy_dynamic``, ``energy_static``, ``energy_total``, ``latency``, ``real_time_factor``, or a target's own
    unit : J, s or 1
    interval : None where no constant is public
    note : what it covers and what it leaves out
    """

    name: str
    unit: str
    interval: Interval | None
    note: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class SiteLoad:
    """Work of one core in a step, on average, and the share of its step that takes; None where no figure is known."""

    chip: int
    core: int
    population: str
    first: int
    last: int
    what: str
    per_step: Mapping[str, float]
    busy: Interval | None


@dataclass(frozen=True)
class PublishedCost:
    """What others measured.

    Attributes
    ----------
    device, task, figure : what ran what, and what was found, in words
    energy_j, latency_s : of one inference; None where not given
    established : how well, as in `toolchain.cost.constants.BASES`
    comparable : what has to be the same for a comparison to mean something, and is not
    """

    device: str
    task: str
    figure: str
    energy_j: float | None
    latency_s: float | None
    established: str
    comparable: str
    source: str


@dataclass(frozen=True)
class Cost:
    """What an inference costs on a target.

    Attributes
    ----------
    samples, traced_samples : that were counted, and of which every step was looked at
    n_steps, dt_ms : of an inference
    n_cores, n_chips : that the network takes
    spikes : a row for each population
    loads : of the busiest cores, falling
    warnings : what does not work out as it stands
    """

    target: str
    samples: int
    traced_samples: int
    n_steps: int
    dt_ms: float
    n_cores: int
    n_chips: int
    spikes: Sequence[CountRow]
    counts: Sequence[CountRow]
    estimates: Sequence[Estimate]
    loads: Sequence[SiteLoad]
    warnings: Sequence[str]
    constants: Constants
    published: Sequence[PublishedCost]

    def estimate(self, name: str) -> Estimate:
        """One of them; KeyError if there is none of that name."""
        for found in self.estimates:
            if found.name == name:
                return found
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """JSON types; every figure of energy and time stands under `estimates` or is how busy a core is, labelled."""
        return {
            "target": self.target,
            "samples": self.samples,
            "traced_samples": self.traced_samples,
            "n_steps": self.n_steps,
            "dt_ms": self.dt_ms,
            "n_cores": self.n_cores,
            "n_chips": self.n_chips,
            "spikes": [asdict(row) for row in self.spikes],
            "counts": [asdict(row) for row in self.counts],
            "estimates": {e.name: _estimate(e) for e in self.estimates},
            "loads": [{**asdict(load), "per_step": dict(load.per_step), "busy": _busy(load)} for load in self.loads],
            "warnings": list(self.warnings),
            "constants": describe(self.constants),
            "published": [asdict(p) for p in self.published],
        }


def _busy(load: SiteLoad) -> dict[str, Any] | None:
    return {"label": LABEL, **load.busy.to_json()} if load.busy else None


def _estimate(estimate: Estimate) -> dict[str, Any]:
    ends = estimate.interval.to_json() if estimate.interval else {"low": None, "value": None, "high": None}
    parts = [{"name": p.name, "how": p.how, **p.interval.to_json()} for p in estimate.parts]
    return {"label": LABEL, "unit": estimate.unit, **ends, "note": estimate.note, "parts": parts}


def count_rows(workload: Workload, counts: Counts) -> list[CountRow]:
    """A row for each kind of a workload."""
    return [_row(k.name, k.unit, k.meaning, counts.events[k.name]) for k in workload.kinds]


def spike_rows(counts: Counts) -> list[CountRow]:
    """A row for each population."""
    return [_row(name, "spikes", "spikes of the population", array) for name, array in counts.spikes.items()]


def _row(name: str, unit: str, meaning: str, array: I64) -> CountRow:
    if not array.size:
        return CountRow(name, unit, meaning, 0.0, 0.0, 0, 0)
    deviation = float(np.std(array))
    return CountRow(name, unit, meaning, float(array.mean()), deviation, int(array.min()), int(array.max()))
