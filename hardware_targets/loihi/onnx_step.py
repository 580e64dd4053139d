"""Loihi's step in ONNX, as `integer_network` writes it, and the integers back from its tensors.

    a <- sum of weight << exponent over arriving spikes
    u <- sign(u) * ((|u| * (4096 - (du + 1))) >> 12) + (a << 6)      wraps once at 24 bits
    v <- sign(v) * ((|v| * (4096 - dv)) >> 12) + u                   clips at 24 bits
    spike if v > vth << 6, then v <- 0

Products of 24 and 12 bits need more than 32: states are int64. Of a magnitude, Div is the shift. A weight is stored as
what the chip stores, half of Lava's even number in 8 bits, beside the `unit`, 2^(exponent + 1), that it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hardware_targets.loihi.integer_network import (
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.quantised import LoihiQuantised, restore
from hardware_targets.loihi.rounding import dequantised_weights
from hardware_targets.step_tensors import blank_network, narrow_slots, projection_names
from toolchain.errors import InterchangeError
from toolchain.interchange.onnx.delivery import SHARED, function
from toolchain.interchange.onnx.step_graph import Array, StepGraph, StepPopulation, StepProjection

DECAY = function(
    "The chip's decay toward zero: sign(x) * ((|x| * keep) >> 12).",
    """
DecayTowardZero (x, keep) => (kept)
{
  whole = Constant <value_int = 4096> ()
  size = Abs (x)
  scaled = Mul (size, keep)
  kept_size = Div (scaled, whole)
  sign = Sign (x)
  kept = Mul (kept_size, sign)
}
""",
)

WRAP = function(
    "Lava's current: 32 bits, then once to 24: what exceeds 2^23 loses 2^24, what is -2^23 or less gains it.",
    """
WrapCurrent (x) => (wrapped)
{
  half = Constant <value_int = 2147483648> ()
  whole = Constant <value_int = 4294967296> ()
  top = Constant <value_int = 8388608> ()
  bottom = Constant <value_int = -8388608> ()
  range = Constant <value_int = 16777216> ()
  raised = Add (x, half)
  rest = Mod (raised, whole)
  x32 = Sub (rest, half)
  too_large = Greater (x32, top)
  too_small = LessOrEqual (x32, bottom)
  lowered = Sub (x32, range)
  lifted = Add (x32, range)
  from_below = Where (too_small, lifted, x32)
  wrapped = Where (too_large, lowered, from_below)
}
""",
)

NEURON = function(
    "A neuron of Lava's fixed_pt LIF: u, v of 24 bits, decays of 12. A readout is one whose threshold is the largest.",
    """
LoihiNeuron (arriving, u, v, keep_u, keep_v, threshold) => (u_after, v_after, spikes)
{
  six_bits = Constant <value_int = 64> ()
  largest = Constant <value_int = 8388607> ()
  smallest = Constant <value_int = -8388607> ()
  zero = Constant <value_int = 0> ()
  u_kept = delayline.DecayTowardZero (u, keep_u)
  sum = Cast <to = 7> (arriving)
  added = Mul (sum, six_bits)
  u_sum = Add (u_kept, added)
  u_after = delayline.WrapCurrent (u_sum)
  v_kept = delayline.DecayTowardZero (v, keep_v)
  v_sum = Add (v_kept, u_after)
  v_above = Max (v_sum, smallest)
  v_reached = Min (v_above, largest)
  spikes = Greater (v_reached, threshold)
  v_after = Where (spikes, zero, v_reached)
}
""",
)

_BODY = """
{
  last = Constant <value_int = 1> ()
  first = Constant <value_int = 0> ()
  sample, neuron = delayline.FindSpikes (spikes)
  weights = Gather <axis = 0> (weight, neuron)
  counts = Cast <to = 6> (weights)
  %s
  slots = Gather <axis = 0> (slot, neuron)
  slot_of_synapse = Cast <to = 7> (slots)
  shape = Shape (weight)
  post = Gather <axis = 0> (shape, last)
  column = Range (first, post, last)
  arriving_after = delayline.AddAtSlot (arriving, sample, slot_of_synapse, column, added)
}
"""

SYNAPSES = function(
    "Synapses with a delay each: a spike of step t adds weight (pre, post) times unit at step t + 1 + slot.",
    "LoihiSynapses (arriving, spikes, weight, unit, slot) => (arriving_after)" + _BODY % "added = Mul (counts, unit)",
)

MASKED_SYNAPSES = function(
    "Synapses with a delay each, where mask (pre, post) is true: a spike of step t adds weight (pre, post) times unit "
    "at step t + 1 + slot.",
    "LoihiSynapsesWhere (arriving, spikes, weight, unit, slot, mask) => (arriving_after)"
    + _BODY
    % """nothing = Constant <value = int32 {0}> ()
  weighted = Mul (counts, unit)
  there = Gather <axis = 0> (mask, neuron)
  added = Where (there, weighted, nothing)""",
)


def step_graph(quantised: LoihiQuantised) -> StepGraph:
    """The network without relays: any delay is a row of what is under way.

    Raises
    ------
    InterchangeError
        If its neurons have thresholds of their own, as an imperfect chip's.
    """
    integers = quantised.integers
    if integers.thresholds:
        raise InterchangeError(
            f"network: the neurons of {', '.join(integers.thresholds)} have thresholds of their own, which is an "
            "imperfect chip and no network; export the one that was deployed"
        )
    return integer_graph(integers, quantised.chip, quantised.arrays()[1])


def integer_graph(integers: IntegerNetwork, chip: str, header: Mapping[str, Any]) -> StepGraph:
    """The graph of integers alone; `header` is what makes a quantised network of them."""
    check_integers(integers)
    return StepGraph(
        {p.name: p.size for p in integers.sources},
        tuple(_population(p) for p in integers.simulated),
        tuple(_projection(p) for p in integers.projections),
        (*SHARED, DECAY, WRAP, NEURON, SYNAPSES, MASKED_SYNAPSES),
        chip,
        integers.dt_ms,
        header,
    )


def _population(population: IntegerPopulation) -> StepPopulation:
    constants: dict[str, Array] = {
        "keep_u": np.array(4096 - (population.du + 1), dtype=np.int64),
        "keep_v": np.array(4096 - population.dv, dtype=np.int64),
        "threshold": np.array(population.vth << 6, dtype=np.int64),
    }
    rest: dict[str, Array] = {state: np.zeros((), dtype=np.int64) for state in ("u", "v")}
    return StepPopulation(
        population.name,
        population.size,
        "LoihiNeuron",
        constants,
        rest,
        np.dtype(np.int32),
        ("u", "v"),
        read="v" if population.kind == "leaky_readout" else None,
    )


def _projection(projection: IntegerProjection) -> StepProjection:
    tensors: dict[str, Array] = {
        "weight": (projection.weight >> 1).astype(np.int8),
        "unit": np.array(1 << (projection.exponent + 1), dtype=np.int32),
        "slot": narrow_slots(projection.slots),
    }
    if projection.mask is not None:
        tensors["mask"] = projection.mask
    return StepProjection(
        projection.source,
        projection.target,
        "LoihiSynapses" if projection.mask is None else "LoihiSynapsesWhere",
        tensors,
        1 + int(projection.slots.max(initial=0)),
    )


def from_step(tensors: Mapping[str, Array], header: Mapping[str, Any], chip: ChipLimits) -> LoihiQuantised:
    """The inverse of `step_graph`; as trained counts the network that the integers stand for.

    Raises
    ------
    BundleError, KeyError, TypeError, ValueError
        If tensors and header do not fit together.
    """
    names = projection_names(header["trained"])
    arrays = blank_network(
        header["trained"],
        {name: tensors[f"{name}/slot"] for name in names},
        {name: tensors[f"{name}/mask"] for name in names if f"{name}/mask" in tensors},
    )
    for name in names:
        arrays[f"integer.{name}.weight"] = 2 * tensors[f"{name}/weight"].astype(np.int32)
        arrays[f"integer.{name}.slots"] = tensors[f"{name}/slot"].astype(np.int64)
    blank = restore(arrays, header, chip)
    return replace(blank, trained=dequantised_weights(blank.integers, blank.trained))
