"""What a report says: the JSON part, with keys that stay, and the arrays behind its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.attribution.causes import Causes
from toolchain.attribution.distances import SpikeDistances
from toolchain.cost.content import Cost
from toolchain.deployment.abilities import TableComparison
from toolchain.deployment.target import ConstantError, Placement, ProjectionError, Pruned
from toolchain.diagnosis.findings import Diagnosis

Events = Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Population -> (times, units) of one sample."""


@dataclass(frozen=True)
class Against:
    """A rung compared with another on the samples that both have read.

    Attributes
    ----------
    rung : the other one
    shared : how many samples both have
    lost, gained : samples that the other read right and this one wrong, and the reverse
    moved : samples that both read wrong, each as another class
    p_value : of McNemar's exact test: how likely so uneven a split is by chance
    """

    rung: str
    shared: int
    lost: tuple[int, ...]
    gained: tuple[int, ...]
    moved: tuple[int, ...]
    p_value: float


@dataclass(frozen=True)
class Tally:
    """What a rung read, counted.

    Attributes
    ----------
    classes : how many there are
    confusion : (classes, classes + 1) samples by label and class that was read; the last column where none was
    correct : samples read right
    low, high : 95 % interval of the accuracy (Wilson), fractions
    against : the rung before; None of the first
    """

    classes: int
    confusion: tuple[tuple[int, ...], ...]
    correct: int
    low: float
    high: float
    against: Against | None


@dataclass(frozen=True)
class Rung:
    """One step of the accuracy ladder; `accuracy` is a fraction, `tally` says what it is counted from."""

    rung: str
    accuracy: float
    samples: int
    tally: Tally | None = None


@dataclass(frozen=True)
class Divergence:
    """Where two engines first differ: sample, population, neuron, step, which quantity, and both values."""

    sample: int
    layer: str
    neuron: int
    step: int
    quantity: str
    ours: int
    theirs: int


@dataclass(frozen=True)
class Flip:
    """A test sample of which float and emulator read another class; -1 where none was read."""

    sample: int
    label: int
    float_class: int
    chip_class: int


@dataclass(frozen=True)
class Flips:
    """The emulator against the float network: `against` counts, `samples` are those read differently."""

    against: Against
    samples: tuple[Flip, ...]


@dataclass(frozen=True)
class WeightErrors:
    """Weights of the synapses of a projection before and after quantisation.

    Attributes
    ----------
    trained, quantised : (n_synapses,)
    steps : spacing of negative and of positive quantised weights
    """

    trained: NDArray[np.float64]
    quantised: NDArray[np.float64]
    steps: tuple[float, float]

    @property
    def in_steps(self) -> NDArray[np.float64]:
        """(n_synapses,) quantised - trained, in units of the step of its own sign."""
        step = np.where(self.trained < 0, self.steps[0], self.steps[1])
        errors: NDArray[np.float64] = (self.quantised - self.trained) / step
        return errors


@dataclass(frozen=True)
class SampleSpikes:
    """One more sample that is drawn, as `Figures` has them; `why` says why it was chosen, for people."""

    sample: int
    label: int
    rasters: Mapping[str, Events]
    why: str


@dataclass(frozen=True)
class Figures:
    """Arrays behind the pictures.

    Attributes
    ----------
    delays : projection -> (trained delays, slots on the chip), (n_synapses,) each, where delays were learned or not 0
    sizes : population -> neurons
    sample, label, n_steps : the test sample that is drawn
    rasters : engine name ("float", "emulator", vendor's name) -> spikes of that sample
    metrics : lines of metrics.jsonl
    weights : projection -> weights before and after
    others : further samples that are drawn
    """

    delays: Mapping[str, tuple[NDArray[np.float32], NDArray[np.int64]]]
    sizes: Mapping[str, int]
    sample: int
    label: int
    n_steps: int
    rasters: Mapping[str, Events]
    metrics: Sequence[Mapping[str, Any]]
    weights: Mapping[str, WeightErrors] = field(default_factory=dict)
    others: Sequence[SampleSpikes] = ()

    def samples(self) -> list[SampleSpikes]:
        """All samples that are drawn, the first one first."""
        first = SampleSpikes(self.sample, self.label, self.rasters, "")
        return [*([first] if self.rasters else []), *self.others]


@dataclass(frozen=True)
class Report:
    """A deployment in numbers.

    `verdict` is "pass" only if the loss from float to emulator is within the recipe's limit and the vendor's code
    agreed with the emulator in every spike, u and v; or, where it runs on the chip alone, if its `tables` are ours
    word for word. `reasons` says what kept it from that.
    """

    verdict: str
    reasons: Sequence[str]
    name: str
    target: str
    vendor: str
    ladder: Sequence[Rung]
    vendor_equal: bool
    vendor_samples: int
    first_divergence: Divergence | None
    placement: Placement
    projections: Sequence[ProjectionError]
    constants: Sequence[ConstantError]
    overflows: Mapping[str, Mapping[str, int]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    pruned: Pruned | None = None
    tables: TableComparison | None = None
    flips: Flips | None = None
    causes: Causes | None = None
    spike_distances: SpikeDistances | None = None
    cost: Cost | None = None
    diagnosis: Diagnosis | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of report.json. Keys up to `resources` are a promise to other programs."""
        return {
            "verdict": self.verdict,
            "target": self.target,
            "ladder": [asdict(r) for r in self.ladder],
            "vendor_equal": self.vendor_equal,
            "vendor_samples": self.vendor_samples,
            "first_divergence": asdict(self.first_divergence) if self.first_divergence else None,
            "resources": [asdict(r) for r in self.placement.resources],
            "reasons": list(self.reasons),
            "name": self.name,
            "vendor": self.vendor,
            "projections": [asdict(p) for p in self.projections],
            "constants": [asdict(c) for c in self.constants],
            "overflows": {name: dict(events) for name, events in self.overflows.items()},
            "flips": asdict(self.flips) if self.flips else None,
            "pruning": _pruning(self.pruned),
            "tables": asdict(self.tables) if self.tables else None,
            "causes": self.causes.to_json() if self.causes else None,
            "spike_distances": self.spike_distances.to_json() if self.spike_distances else None,
            "cost": self.cost.to_json() if self.cost else None,
            "diagnosis": self.diagnosis.to_json() if self.diagnosis else None,
            "cores": [{**asdict(c), "use": dict(c.use)} for c in self.placement.cores],
            "placement_reasons": dict(self.placement.reasons),
            "provenance": dict(self.provenance),
        }


def _pruning(pruned: Pruned | None) -> dict[str, Any] | None:
    """What pruning removed and saved, without the network itself."""
    if pruned is None:
        return None
    return {
        "projections": [asdict(p) for p in pruned.projections],
        "savings": [asdict(s) for s in pruned.savings],
        "longest_slot": pruned.longest_slot,
    }
