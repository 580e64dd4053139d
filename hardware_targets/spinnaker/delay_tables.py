"""What a delay extension is told, and which stage and row a long delay belongs to.

A core with P slots delays up to P ticks itself. A longer delay D goes through the extension, which sends each spike
again P, 2 P, ... ticks later, once for every stage, whether anybody needs it or not; the target's core delays the rest:

    D = stage * P + residual,   1 <= residual <= P

Source: sPyNNaker 7.4.1, `get_synapses`, `DelayExtensionMachineVertex.write_delay_parameters`; delay_extension.aplx,
disassembled (facts of the project, spinnaker.md sections 2.1 to 2.4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]


def split_delay(delay: I64, slots: int) -> tuple[I64, I64]:
    """Stage, 0 for none, and the rest that the target's core delays, ticks; each (n_synapses,).

    Parameters
    ----------
    delay : (n_synapses,) ticks, >= 1
    slots : of the target's cores, ticks: the length of a stage
    """
    stage = (delay - 1) // slots
    return stage, delay - stage * slots


def delayed_rows(pre: I64, stage: I64, *, size: int, neurons: int, stages: int) -> I64:
    """Row of the delayed matrix in which a source's synapses of a stage lie, (n_synapses,).

    A core of the extension sends with its own key plus (stage - 1) * n + neuron, n neurons being on that core, fewer on
    a last core that is not full; the population table multiplies the number of the core with the rows of a full one.

    Parameters
    ----------
    pre, stage : (n_synapses,) source neuron, and its stage from 1 on
    size : of the source
    neurons : on a full core of the source
    stages : of the extension
    """
    core, local = np.divmod(pre, neurons)
    here = np.minimum(neurons, size - core * neurons)
    rows: I64 = core * (neurons * stages) + (stage - 1) * here + local
    return rows


def delay_parameters(
    *, key: int, incoming_key: int, incoming_mask: int, neurons: int, stages: int, stage: int, colour_bits: int
) -> U32:
    """The region `delay_params` of one core, 9 words.

    Parameters
    ----------
    key : with which it sends
    incoming_key, incoming_mask : of the source's core that it listens to
    neurons : on that core
    stages, stage : how many, and of how many ticks
    """
    has_key, drops_late = 1, 0
    words = [has_key, key, incoming_key, incoming_mask, neurons, stages, stage, drops_late, colour_bits]
    return np.array(words, dtype=np.uint32)
