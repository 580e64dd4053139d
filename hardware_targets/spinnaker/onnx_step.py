"""SpiNNaker's tick in ONNX, as `integer_network` writes it, and the integers back from its tensors.

    value[type] += decay(min(ring[type], 0xffff) << shift[type], init[type])
    refractory <= 0:  I = value[exc] - value[inh] + i_offset
                      alpha = mulk(I, R) + v_rest;  v <- alpha - mulk(exp_tc, alpha - v)
    spike if v >= v_thresh, then v <- v_reset, refractory <- t_refract
    value[type] <- decay(value[type], decay_u[type])

Numbers are s16.15 in int64, cut to 32 bits after each sum as on the chip; a shift to the right of a number with a sign
is x less its remainder, divided. The excitatory sums of a population arrive in the first half of its columns, the
inhibitory ones in the second: the sign of a weight says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.fixed_point import check_constants, initialise
from hardware_targets.spinnaker.integer_network import (
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
    check_integers,
)
from hardware_targets.spinnaker.quantised import SpinnakerQuantised, restore
from hardware_targets.spinnaker.rounding import dequantised_weights
from hardware_targets.step_tensors import MAX_NEURONS, blank_network, narrow_slots, projection_names
from toolchain.interchange.onnx.delivery import SHARED, function
from toolchain.interchange.onnx.step_graph import Array, StepGraph, StepPopulation, StepProjection

WRAP = function(
    "The low 32 bits of a whole number, as a signed one.",
    """
KeepLow32Bits (x) => (kept)
{
  half = Constant <value_int = 2147483648> ()
  whole = Constant <value_int = 4294967296> ()
  raised = Add (x, half)
  rest = Mod (raised, whole)
  kept = Sub (rest, half)
}
""",
)

DECAY = function(
    "s16.15 times u0.32: floor(x * u / 2^32).",
    """
TimesFraction (x, u) => (kept)
{
  whole = Constant <value_int = 4294967296> ()
  product = Mul (x, u)
  rest = Mod (product, whole)
  without = Sub (product, rest)
  kept = Div (without, whole)
}
""",
)

MULK = function(
    "s16.15 times s16.15: floor(a * b / 2^15), its low 32 bits.",
    """
TimesAccum (a, b) => (kept)
{
  one = Constant <value_int = 32768> ()
  product = Mul (a, b)
  rest = Mod (product, one)
  without = Sub (product, rest)
  shifted = Div (without, one)
  kept = delayline.KeepLow32Bits (shifted)
}
""",
)

RECEIVE = function(
    "What a ring buffer of 16 bits, which saturates, adds to the value of a synapse type.",
    """
ReceiveRing (ring, value, factor, init) => (used)
{
  full = Constant <value_int = 65535> ()
  sum = Cast <to = 7> (ring)
  entry = Min (sum, full)
  scaled = Mul (entry, factor)
  arriving = delayline.KeepLow32Bits (scaled)
  added = delayline.TimesFraction (arriving, init)
  raised = Add (value, added)
  used = delayline.KeepLow32Bits (raised)
}
""",
)

_CONSTANTS = (
    "factor_exc", "factor_inh", "init_exc", "init_inh", "decay_exc", "decay_inh", "resistance", "exp_tc", "v_rest",
    "i_offset", "v_reset", "v_thresh", "t_refract",
)  # fmt: skip

NEURON = function(
    "A neuron of sPyNNaker's IF_curr_exp on SpiNNaker 1, in s16.15; a readout is one whose threshold is the largest.",
    f"""
SpinnakerNeuron (arriving, exc, inh, v, timer, {", ".join(_CONSTANTS)})
  => (exc_after, inh_after, v_after, timer_after, spikes, exc_used, inh_used)
{{
  zero = Constant <value_int = 0> ()
  one = Constant <value_int = 1> ()
  ring_exc, ring_inh = Split <axis = 1> (arriving)
  exc_used = delayline.ReceiveRing (ring_exc, exc, factor_exc, init_exc)
  inh_used = delayline.ReceiveRing (ring_inh, inh, factor_inh, init_inh)
  difference = Sub (exc_used, inh_used)
  with_offset = Add (difference, i_offset)
  current = delayline.KeepLow32Bits (with_offset)
  rise = delayline.TimesAccum (current, resistance)
  target = Add (rise, v_rest)
  alpha = delayline.KeepLow32Bits (target)
  distance = Sub (alpha, v)
  gap = delayline.KeepLow32Bits (distance)
  left = delayline.TimesAccum (exp_tc, gap)
  approached = Sub (alpha, left)
  v_driven = delayline.KeepLow32Bits (approached)
  refractory = Greater (timer, zero)
  v_reached = Where (refractory, v, v_driven)
  spikes = GreaterOrEqual (v_reached, v_thresh)
  v_after = Where (spikes, v_reset, v_reached)
  timer_less = Sub (timer, one)
  timer_left = Where (refractory, timer_less, timer)
  timer_after = Where (spikes, t_refract, timer_left)
  exc_after = delayline.TimesFraction (exc_used, decay_exc)
  inh_after = delayline.TimesFraction (inh_used, decay_inh)
}}
""",
)

SYNAPSES = function(
    "Synapses with a delay each: a spike of tick t adds the magnitude of weight (pre, post) at tick t + 1 + slot, to "
    "the excitatory sums, or to the inhibitory ones where weight is below 0.",
    """
SpinnakerSynapses (arriving, spikes, weight, slot) => (arriving_after)
{
  last = Constant <value_int = 1> ()
  first = Constant <value_int = 0> ()
  none = Constant <value = int32 {0}> ()
  sample, neuron = delayline.FindSpikes (spikes)
  weights = Gather <axis = 0> (weight, neuron)
  magnitude = Abs (weights)
  inhibitory = Less (weights, none)
  lane = Cast <to = 7> (inhibitory)
  slots = Gather <axis = 0> (slot, neuron)
  slot_of_synapse = Cast <to = 7> (slots)
  shape = Shape (weight)
  post = Gather <axis = 0> (shape, last)
  in_lane = Range (first, post, last)
  first_of_lane = Mul (lane, post)
  column = Add (first_of_lane, in_lane)
  arriving_after = delayline.AddAtSlot (arriving, sample, slot_of_synapse, column, magnitude)
}
""",
)


def step_graph(quantised: SpinnakerQuantised, name: str) -> StepGraph:
    """The network with all delays in its synapses, as delay extensions make it; `name` of the target."""
    integers, header = quantised.integers, quantised.arrays()[1]
    return integer_graph(integers, name, {**header, "parameters": {p.name: _stored(p) for p in integers.simulated}})


def integer_graph(integers: IntegerNetwork, name: str, header: Mapping[str, Any]) -> StepGraph:
    """The graph of integers alone; `header` is what makes a quantised network of them."""
    check_integers(integers)
    for population in integers.simulated:
        assert population.parameters is not None, "checked by check_integers"
        check_constants(population.name, population.parameters, integers.dt_ms)
    return StepGraph(
        {p.name: p.size for p in integers.sources},
        tuple(_population(p, integers.dt_ms) for p in integers.simulated),
        tuple(_projection(p) for p in integers.projections),
        (*SHARED, WRAP, DECAY, MULK, RECEIVE, NEURON, SYNAPSES),
        name,
        integers.dt_ms,
        header,
    )


def _stored(population: IntegerPopulation) -> dict[str, int | list[int]]:
    """Parameters of a population as JSON, one number where all neurons have the same."""
    assert population.parameters is not None, "a simulated population has parameters"
    return {f.name: _plain(getattr(population.parameters, f.name)) for f in fields(NeuronParameters)}


def _plain(values: NDArray[np.int32]) -> int | list[int]:
    return int(values[0]) if (values == values[0]).all() else [int(v) for v in values]


def _constant(values: NDArray[Any]) -> Array:
    """As int64, one number where all neurons have the same."""
    found = values.astype(np.int64)
    return found[0].reshape(()) if (found == found[0]).all() else found


def _population(population: IntegerPopulation, dt_ms: float) -> StepPopulation:
    assert population.parameters is not None, "a simulated population has parameters"
    chip = initialise(population.parameters, dt_ms)
    values = {
        "factor_exc": np.array([1 << population.shifts[0]]),
        "factor_inh": np.array([1 << population.shifts[1]]),
        "init_exc": chip.init[0], "init_inh": chip.init[1], "decay_exc": chip.decay[0], "decay_inh": chip.decay[1],
        **{name: getattr(chip, name) for name in _CONSTANTS if hasattr(chip, name)},
    }  # fmt: skip
    nothing = np.zeros((), dtype=np.int64)
    rest: dict[str, Array] = {"exc": nothing, "inh": nothing, "v": _constant(chip.v_rest), "timer": nothing}
    return StepPopulation(
        population.name,
        population.size,
        "SpinnakerNeuron",
        {name: _constant(values[name]) for name in _CONSTANTS},
        rest,
        np.dtype(np.int32),
        ("exc", "inh", "v"),
        ("exc", "inh"),
        lanes=2,
        read="v" if population.kind == "leaky_readout" else None,
    )


def _projection(projection: IntegerProjection) -> StepProjection:
    slots = np.where(projection.exists, projection.delay.astype(np.int64) - 1, 0)
    weight = np.where(projection.exists, projection.weight, 0).astype(np.int32)
    tensors: dict[str, Array] = {"weight": weight, "slot": narrow_slots(slots)}
    return StepProjection(
        projection.source, projection.target, "SpinnakerSynapses", tensors, 1 + int(slots.max(initial=0))
    )


def from_step(tensors: Mapping[str, Array], header: Mapping[str, Any]) -> SpinnakerQuantised:
    """The inverse of `step_graph`; as trained counts the network that the integers stand for.

    Raises
    ------
    BundleError, KeyError, TypeError, ValueError
        If tensors and header do not fit together.
    """
    names = projection_names(header["trained"])
    weights = {name: tensors[f"{name}/weight"].astype(np.int32) for name in names}
    arrays = blank_network(
        header["trained"],
        {name: tensors[f"{name}/slot"] for name in names},
        {name: weight != 0 for name, weight in weights.items()},
    )
    for name, weight in weights.items():
        exists = weight != 0
        arrays[f"integer.{name}.weight"] = weight
        arrays[f"integer.{name}.delay"] = np.where(exists, tensors[f"{name}/slot"].astype(np.int32) + 1, 0)
        arrays[f"integer.{name}.exists"] = exists.astype(np.uint8)
    for population in header["trained"]["populations"]:
        if population["kind"] != "spike_source":
            name, size = population["name"], population["size"]
            for key, value in header["parameters"][name].items():
                arrays[f"parameters.{name}.{key}"] = _spread(value, size)
    blank = restore(arrays, header)
    return replace(blank, trained=dequantised_weights(blank.integers, blank.trained))


def _spread(value: Any, size: int) -> NDArray[np.int32]:
    """A parameter of each neuron, from one number or as many; a list that a file declares is as long as the file."""
    if isinstance(value, list):
        return np.array(value, dtype=np.int32)
    return np.full(min(size, MAX_NEURONS), value, dtype=np.int32)
