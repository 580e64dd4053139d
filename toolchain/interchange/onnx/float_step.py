"""The float network in ONNX: law 2 of the design in float32, step by step as `toolchain.network` writes it.

    I <- beta I + A,   V <- alpha V + gain I,   spike if V >= threshold, then V <- reset

`reset` is 0, and minus infinity for neurons that spike once a sample. Sums are taken in another order than by the
training backend: a voltage that meets the threshold within the rounding of float32 may spike in one and not the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolchain.interchange.onnx.delivery import SHARED, function
from toolchain.interchange.onnx.step_graph import Array, StepGraph, StepPopulation, StepProjection
from toolchain.network import Network, NeuronConstants, Population, Projection

NUMBERS = "float"
STATES = ("I", "V")

LIF = function(
    "A leaky integrate-and-fire neuron with exponential synapses: I <- beta I + A, V <- alpha V + gain I, a spike if V "
    ">= threshold, then V <- reset.",
    """
LeakyIntegrateAndFire (arriving, I, V, alpha, beta, gain, threshold, reset) => (I_after, V_after, spikes)
{
  I_kept = Mul (beta, I)
  I_after = Add (I_kept, arriving)
  V_kept = Mul (alpha, V)
  V_gained = Mul (gain, I_after)
  V_reached = Add (V_kept, V_gained)
  spikes = GreaterOrEqual (V_reached, threshold)
  V_after = Where (spikes, reset, V_reached)
}
""",
)

READOUT = function(
    "A leaky readout: I <- beta I + A, V <- alpha V + gain I.",
    """
LeakyReadout (arriving, I, V, alpha, beta, gain) => (I_after, V_after)
{
  I_kept = Mul (beta, I)
  I_after = Add (I_kept, arriving)
  V_kept = Mul (alpha, V)
  V_gained = Mul (gain, I_after)
  V_after = Add (V_kept, V_gained)
}
""",
)

_BODY = """
{
  last = Constant <value_int = 1> ()
  first = Constant <value_int = 0> ()
  sample, neuron = delayline.FindSpikes (spikes)
  %s
  delays = Gather <axis = 0> (delay, neuron)
  rounded = Round (delays)
  slot = Cast <to = 7> (rounded)
  shape = Shape (weight)
  post = Gather <axis = 0> (shape, last)
  column = Range (first, post, last)
  arriving_after = delayline.AddAtSlot (arriving, sample, slot, column, added)
}
"""

SYNAPSES = function(
    "Synapses with a delay each: a spike of step t adds weight (pre, post) at step t + 1 + round(delay), half to even.",
    "DelayedSynapses (arriving, spikes, weight, delay) => (arriving_after)"
    + _BODY % "added = Gather <axis = 0> (weight, neuron)",
)

MASKED_SYNAPSES = function(
    "Synapses with a delay each, where mask (pre, post) is true: a spike of step t adds weight (pre, post) at step "
    "t + 1 + round(delay), half to even.",
    "DelayedSynapsesWhere (arriving, spikes, weight, delay, mask) => (arriving_after)"
    + _BODY
    % """nothing = Constant <value_float = 0.0> ()
  weights = Gather <axis = 0> (weight, neuron)
  there = Gather <axis = 0> (mask, neuron)
  added = Where (there, weights, nothing)""",
)


def float_graph(network: Network) -> StepGraph:
    """A network in float32."""
    populations = tuple(
        _population(p, NeuronConstants.of(p, network.dt_ms)) for p in network.populations if p.kind != "spike_source"
    )
    projections = tuple(_projection(p) for p in network.projections)
    wanted = (LIF, READOUT, SYNAPSES, MASKED_SYNAPSES)
    called = {p.function for p in populations} | {p.function for p in projections}
    return StepGraph(
        {p.name: p.size for p in network.of_kind("spike_source")},
        populations,
        projections,
        (*SHARED, *(text for text in wanted if name_of(text) in called)),
        NUMBERS,
        network.dt_ms,
        {"network": network.describe()},
    )


def name_of(text: str) -> str:
    """Name of a function in ONNX's text form."""
    return text.partition(">\n")[2].partition("(")[0].strip()


def network_arrays(tensors: Mapping[str, Array], network: Mapping[str, object]) -> dict[str, NDArray[np.generic]]:
    """Arrays under the names that `network_from_description` expects; raises KeyError where one is missing."""
    found: dict[str, NDArray[np.generic]] = {}
    entries = network["projections"]
    if not isinstance(entries, list):
        raise TypeError("its projections are no list")
    for entry in entries:
        name = f"{entry['source']}->{entry['target']}"
        for key in ("weight", "delay"):
            found[f"{name}.{key}"] = tensors[f"{name}/{key}"]
        if entry["masked"]:
            found[f"{name}.mask"] = tensors[f"{name}/mask"].astype(np.uint8)
    return found


def _population(population: Population, constants: NeuronConstants) -> StepPopulation:
    numbers = {key: np.asarray(getattr(constants, key), dtype=np.float32) for key in ("alpha", "beta", "gain")}
    spiking = population.kind == "lif"
    if spiking:
        numbers["threshold"] = np.asarray(constants.threshold, dtype=np.float32)
        numbers["reset"] = np.asarray(-np.inf if population.single_spike else 0.0, dtype=np.float32)
    return StepPopulation(
        population.name,
        population.size,
        "LeakyIntegrateAndFire" if spiking else "LeakyReadout",
        numbers,
        {state: np.zeros((), dtype=np.float32) for state in STATES},
        np.dtype(np.float32),
        STATES,
        spiking=spiking,
        read=None if spiking else "V",
    )


def _projection(projection: Projection) -> StepProjection:
    tensors: dict[str, Array] = {"weight": projection.weight, "delay": projection.delay}
    if projection.mask is not None:
        tensors["mask"] = projection.mask
    return StepProjection(
        projection.source,
        projection.target,
        "DelayedSynapses" if projection.mask is None else "DelayedSynapsesWhere",
        tensors,
        1 + int(projection.slots().max(initial=0)),
    )
