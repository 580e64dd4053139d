"""A network as an ONNX file holds it: what one step computes, in named functions and arrays of any number system.

The float network and the integers of every chip have the same frame: in each step the populations take what arrives,
then their spikes are sent on. They differ in what a neuron computes and in how a synapse adds, which are ONNX functions
that each number system brings along (`float_step`; the chips' own are beside their emulators).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True)
class StepPopulation:
    """Neurons, and the function that takes them through a step.

    The function is called as ``function(arriving, *states, *constants)`` and returns
    ``(*states after the step, spikes, *observed)``; all values are (batch, size).

    Parameters
    ----------
    name, size : as in the network
    function : name of the ONNX function
    constants : parameter of the function -> a number, or (size,)
    states : state -> what each sample starts from, a number or (size,)
    lanes : sums that arrive at each neuron: those of lane l are (batch, l * size .. (l + 1) * size)
    dtype : of what arrives
    offered : states that the model can offer, as they are at the end of a step
    observed : those of them that the function returns besides, for their states have moved on by then
    spiking : whether spikes are an output of the model
    read : the one that is an output of the model in any case: v of a readout
    """

    name: str
    size: int
    function: str
    constants: Mapping[str, Array]
    states: Mapping[str, Array]
    dtype: np.dtype[np.generic]
    offered: tuple[str, ...]
    observed: tuple[str, ...] = ()
    lanes: int = 1
    spiking: bool = True
    read: str | None = None


@dataclass(frozen=True)
class StepProjection:
    """Synapses, and the function that sends spikes through them.

    The function is called as ``function(arriving, spikes, *tensors)``: `arriving` (batch, rows, lanes * post) is what
    is under way to the target, row r for r + 1 steps later. It returns the same with what the spikes (batch, pre) add.

    Parameters
    ----------
    tensors : parameter of the function -> array, most of them (pre, post)
    rows : largest slot + 1
    """

    source: str
    target: str
    function: str
    tensors: Mapping[str, Array]
    rows: int

    @property
    def name(self) -> str:
        """``source->target``."""
        return f"{self.source}->{self.target}"


@dataclass(frozen=True)
class StepGraph:
    """Everything that a model is assembled from; see `assemble`.

    Parameters
    ----------
    sources : spike source -> size
    populations, projections : in the order of the network
    functions : ONNX functions in ONNX's text form, called functions before those that call them
    numbers : the number system: ``float``, or the name of a target
    dt_ms : length of a step, ms
    description : everything else that is needed to have the network back, JSON types
    """

    sources: Mapping[str, int]
    populations: tuple[StepPopulation, ...]
    projections: tuple[StepProjection, ...]
    functions: tuple[str, ...]
    numbers: str
    dt_ms: float
    description: Mapping[str, object] = field(default_factory=dict)

    def tensors(self) -> dict[str, Array]:
        """Name in the file -> array: ``<population>/<constant>``, ``<projection>/<tensor>``."""
        found: dict[str, Array] = {}
        for population in self.populations:
            found |= {f"{population.name}/{key}": array for key, array in population.constants.items()}
        for projection in self.projections:
            found |= {f"{projection.name}/{key}": array for key, array in projection.tensors.items()}
        return found
