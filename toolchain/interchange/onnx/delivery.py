"""How spikes get to their synapses: the functions that all number systems share.

What is under way to a population is a buffer (batch, rows, columns): row 0 arrives in the next step. `TakeNext` takes
it out and moves the others up by one. A spike costs its own synapses alone: `FindSpikes` lists the spikes of a step,
and `AddAtSlot` adds one value for each of their synapses at the row of its slot. The same place may be met many times,
which is why it is ScatterElements, in the order of the list, and no other operator.
"""

from __future__ import annotations

DOMAIN = "delayline"
OPSET = 17
"""Seen to run in onnxruntime 1.23, the last for Python 3.10, which reads up to 23, and in 1.31."""
IR_VERSION = 8
"""The first with functions of a model."""

HEAD = f'<opset_import: ["" : {OPSET}, "{DOMAIN}" : 1], domain: "{DOMAIN}", doc_string: "%s">\n'


def function(documentation: str, text: str) -> str:
    """One function in ONNX's text form; `documentation` is what Netron shows of it."""
    return HEAD % documentation.replace('"', "'") + text


TAKE_NEXT = function(
    "What arrives now, (batch, columns), and what is under way after it, (batch, rows, columns).",
    """
TakeNext (arriving) => (now, later)
{
  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
  end = Constant <value_ints = [9223372036854775807]> ()
  row = Slice (arriving, zero, one, one)
  now = Squeeze (row, one)
  others = Slice (arriving, one, end, one)
  empty = Sub (row, row)
  later = Concat <axis = 1> (others, empty)
}
""",
)

FIND_SPIKES = function(
    "Sample and neuron of each spike, (n,) both, of spikes (batch, neurons).",
    """
FindSpikes (spikes) => (sample, neuron)
{
  first = Constant <value_int = 0> ()
  second = Constant <value_int = 1> ()
  found = NonZero (spikes)
  sample = Gather <axis = 0> (found, first)
  neuron = Gather <axis = 0> (found, second)
}
""",
)

ADD_AT_SLOT = function(
    "Adds value (n, k) to what is under way, (batch, rows, columns): for spike i and synapse j at row slot (n, k) and "
    "column (n, k) of sample (n,).",
    """
AddAtSlot (arriving, sample, slot, column, value) => (arriving_after)
{
  all = Constant <value_ints = [-1]> ()
  last = Constant <value_ints = [1]> ()
  second = Constant <value_int = 1> ()
  third = Constant <value_int = 2> ()
  shape = Shape (arriving)
  rows = Gather <axis = 0> (shape, second)
  columns = Gather <axis = 0> (shape, third)
  first_row = Mul (sample, rows)
  first_row_of_spike = Unsqueeze (first_row, last)
  row = Add (first_row_of_spike, slot)
  first_place = Mul (row, columns)
  place = Add (first_place, column)
  places = Reshape (place, all)
  values = Reshape (value, all)
  flat = Reshape (arriving, all)
  added = ScatterElements <axis = 0, reduction = "add"> (flat, places, values)
  arriving_after = Reshape (added, shape)
}
""",
)

AT_REST = function(
    "What each sample of a batch starts from: first, (batch, ...width), for as many samples as there are spikes of.",
    """
AtRest (spikes, width, first) => (start)
{
  batch = Shape <start = 0, end = 1> (spikes)
  shape = Concat <axis = 0> (batch, width)
  start = Expand (first, shape)
}
""",
)

SHARED = (AT_REST, TAKE_NEXT, FIND_SPIKES, ADD_AT_SLOT)
