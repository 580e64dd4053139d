"""The region `SynapseParams`: how a core reads its synaptic words, and how far it shifts what its ring buffers hold.

Source: sPyNNaker 7.4.1, `PopulationMachineSynapses._write_synapse_parameters`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardware_targets.limit_file import ChipLimits
from hardware_targets.spinnaker.integer_network import N_TYPES
from hardware_targets.spinnaker.slots import TYPE_BITS, bits_for, index_bits


def synapse_parameters(*, neurons: int, slots: int, shifts: tuple[int, int], limits: ChipLimits) -> NDArray[np.uint32]:
    """The 9 words of every core of a population.

    Parameters
    ----------
    neurons : on a full core; all cores of a population are told the same
    slots : of its ring buffers, ticks, a power of two
    shifts : of excitatory and inhibitory input
    """
    drops_late = 0
    bits = [index_bits(neurons), TYPE_BITS, bits_for(slots)]
    return np.array([neurons, N_TYPES, *bits, drops_late, limits["spike_buffer"], *shifts], dtype=np.uint32)
