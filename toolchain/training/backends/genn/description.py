"""A GeNN model as plain data: what is to be generated, without PyGeNN.

PyGeNN is on no package registry, so that many machines, and those that test this project, do not have it. What can go
wrong without it lies here and in the modules that make these descriptions: names, types, sizes and code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

ITEM_BYTES = {"scalar": 4, "uint8_t": 1, "uint16_t": 2, "uint32_t": 4}
"""Types that are used, with the size of one item; scalars are float32."""
Param = tuple[str, str]
"""Name and type."""


@dataclass(frozen=True)
class Variable:
    """One value a neuron or synapse, and sample of the batch; read only and the same for all samples if `shared`."""

    name: str
    type: str
    shared: bool = False


@dataclass(frozen=True)
class Array:
    """Memory of any length, which code indexes itself; GeNN calls it an extra global parameter."""

    name: str
    type: str


@dataclass(frozen=True)
class NeuronModel:
    """Code of a kind of neuron.

    Attributes
    ----------
    params : constants of the population that are compiled into the code
    dynamic : constants that change between steps
    variables, arrays : what it keeps
    step : statements of every step
    spikes_if : condition of a spike, None for neurons that never do
    on_spike : statements after it
    feedback : name of the input that synapses add to from the side of the target, None where none does
    """

    name: str
    params: tuple[Param, ...]
    dynamic: tuple[Param, ...]
    variables: tuple[Variable, ...]
    arrays: tuple[Array, ...]
    step: str
    spikes_if: str | None
    on_spike: str
    feedback: str | None = None


@dataclass(frozen=True)
class SynapseModel:
    """Code of a kind of synapse.

    Attributes
    ----------
    variables : what each synapse keeps
    source_refs, target_refs : (name in the code, type, variable of the neuron) on either side
    on_spike, on_event : statements for a spike and for an event of the source
    event_if : condition of an event
    """

    name: str
    variables: tuple[Variable, ...]
    source_refs: tuple[tuple[str, str, str], ...]
    target_refs: tuple[tuple[str, str, str], ...]
    on_spike: str
    event_if: str
    on_event: str


@dataclass(frozen=True)
class UpdateModel:
    """Code that is run on every synapse of a projection when it is asked for, after a batch.

    Attributes
    ----------
    params, dynamic : as of a neuron
    variables : what it keeps of each synapse
    references : name and type of variables of the synapse; `SumI` and `SumD` are those of the whole batch
    code : statements
    """

    name: str
    params: tuple[Param, ...]
    dynamic: tuple[Param, ...]
    variables: tuple[Variable, ...]
    references: tuple[Param, ...]
    code: str


ADD_BATCH = UpdateModel(
    "AddBatch",
    params=(),
    dynamic=(),
    variables=(Variable("TotalI", "scalar"), Variable("TotalD", "scalar")),
    references=(("SumI", "scalar"), ("SumD", "scalar")),
    code="TotalI = SumI;\nTotalD = SumD;\nSumI = 0;\nSumD = 0;\n",
)
"""Run for each sample; GeNN adds up over the samples what each gives to the variables."""


@dataclass(frozen=True)
class PopulationPart:
    """A population of the model.

    Attributes
    ----------
    name : an identifier; the name that its user gave it may be none
    of : that name
    params : values of the model's params
    items : array name -> how many items it has
    """

    name: str
    of: str
    size: int
    model: NeuronModel
    params: dict[str, float]
    items: dict[str, int]


@dataclass(frozen=True)
class ProjectionPart:
    """A projection of the model.

    Attributes
    ----------
    name, of : as of a population
    source, target : names of parts
    delays : slots of the delay buffers, the largest delay plus one
    pairs : (pre, post) of each synapse in canonical order, None where all pairs are connected
    feedback : input of the source that the synapses add to on the way back, None where there is none
    shape : (pre, post) sizes
    update, update_params : what learns on the device, with values of its params; None where the host does
    """

    name: str
    of: str
    source: str
    target: str
    model: SynapseModel
    delays: int
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None
    feedback: str | None
    shape: tuple[int, int]
    update: UpdateModel | None
    update_params: dict[str, float]

    @property
    def n_synapses(self) -> int:
        """Number of synapses that exist."""
        return self.shape[0] * self.shape[1] if self.pairs is None else int(self.pairs[0].size)

    @property
    def row_length(self) -> int:
        """Synapses of the source neuron that has most; GeNN allocates that many for each."""
        if self.pairs is None:
            return self.shape[1]
        return int(np.bincount(self.pairs[0], minlength=self.shape[0]).max(initial=0))


@dataclass(frozen=True)
class ModelDescription:
    """All that GeNN is told.

    Attributes
    ----------
    batch : samples that run at once
    slots : batches that are held at once between their forward and their backward pass
    steps : T, length of a sample
    room : spikes of a neuron and sample that the tape holds
    """

    populations: tuple[PopulationPart, ...]
    projections: tuple[ProjectionPart, ...]
    batch: int
    slots: int
    steps: int
    room: int

    def digest(self) -> str:
        """Digest of what the generated code depends on: code, sizes, constants and the number of synapses a row."""
        populations = [{k: v for k, v in asdict(p).items() if k not in ("items", "of")} for p in self.populations]
        projections = [
            {
                **{k: v for k, v in vars(p).items() if k not in ("pairs", "model", "of", "update")},
                "model": asdict(p.model),
            }
            | {"update": None if p.update is None else asdict(p.update), "dense": p.pairs is None, "row": p.row_length}
            for p in self.projections
        ]
        text = json.dumps([populations, projections, asdict(ADD_BATCH), self.batch, self.steps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
