"""What the kernels of the emulator read and write: the network as tables, and the records of a run.

Units are the sources, then the simulated neurons, in the order of the network. What arrives lies in a window of rows,
one a step, each with an integer for every neuron; a synapse adds at a fixed distance ahead of the row of the step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_targets.emulation import first_neurons
from hardware_targets.loihi.integer_network import IntegerNetwork
from toolchain.errors import NetworkError

STATE_MAX = 2**23 - 1
"""Largest magnitude that 24 bits with a sign hold; u alone may also be +2^23."""

CLIPS, WRAPS, SPIKES, PEAK_U, PEAK_V = 0, 1, 2, 3, 4
N_COUNTS = 5
"""Columns of `Records.counts`."""

STEP, POPULATION, NEURON, EVENT, VALUE = 0, 1, 2, 3, 4
"""Columns of `Records.overflow`, in the order in which `emulation.refuse_overflow` reads them."""

NOTHING, SUM_WRAPPED, CURRENT_WRAPPED, VOLTAGE_CLIPPED, READOUT_SPIKED = 0, 1, 2, 3, 4
"""What may stand in the column `EVENT`."""


class Tables(NamedTuple):
    """A network, for the kernels.

    `synapse_ptr` (n_units + 1,) slice of the synapses of each unit; `synapse` (n_synapses,) has in its upper 32 bits
    what it adds, weight << exponent, and in the lower ones how far ahead in the window: (1 + slot) n_neurons + post.
    In one word they are read in less time than from two arrays.
    `first` (n_populations + 1,) first neuron of each simulated population, then their number. Of each population:
    `keep_u` = 4096 - (du + 1), `keep_v` = 4096 - dv, `threshold`, the lowest of its neurons, and `largest`, the largest
    magnitude of u and v that is no event: of a readout the threshold, as its spike is one. `own_threshold`
    (n_neurons,) is vth << 6, unless the network has thresholds of single neurons.
    `n_sources` units before the first neuron; `n_rows` that a spike can reach, its own included.
    """

    synapse_ptr: NDArray[np.uint64]
    synapse: NDArray[np.int64]
    first: NDArray[np.uint64]
    keep_u: NDArray[np.int32]
    keep_v: NDArray[np.int32]
    threshold: NDArray[np.int32]
    largest: NDArray[np.int32]
    n_sources: int
    n_rows: int
    own_threshold: NDArray[np.int32]


class Records(NamedTuple):
    """What a run leaves; see `emulator.Emulation`.

    `readout_v` (n_samples, n_steps, n_readout) and `readout_first`, the first neuron of the readout; `counts`
    (n_samples, n_populations, N_COUNTS); `neuron_counts`, `first_spikes` (n_samples, n_neurons); `overflow`
    (n_samples, 5) the first event of each sample; `u`, `v`, `spikes` (n_samples, n_steps,
    n_neurons), or (0, 0, 0) without traces.
    """

    readout_v: NDArray[np.int32]
    readout_first: int
    counts: NDArray[np.int64]
    neuron_counts: NDArray[np.int64]
    first_spikes: NDArray[np.int64]
    overflow: NDArray[np.int64]
    u: NDArray[np.int32]
    v: NDArray[np.int32]
    spikes: NDArray[np.bool_]


def build_tables(network: IntegerNetwork) -> Tables:
    """Number the units and put the synapses in the order of their sources.

    Raises
    ------
    NetworkError
        If what may arrive at a neuron in one step does not fit 32 bits, or a spike reaches further ahead than 32 bits
        can say.
    """
    neurons = network.simulated
    n_neurons = sum(p.size for p in neurons)
    first_neuron = first_neurons(neurons)
    counts, synapses = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    fan_in = np.zeros(n_neurons, dtype=np.int64)
    n_rows = 1
    for source in (*network.sources, *neurons):
        exists, packed = [np.zeros((source.size, 0), dtype=np.bool_)], [np.zeros((source.size, 0), dtype=np.int64)]
        for projection in (p for p in network.projections if p.source == source.name):
            first, size = first_neuron[projection.target], projection.weight.shape[1]
            addend = np.where(projection.exists, projection.addend, 0)
            fan_in[first : first + size] += np.abs(addend).sum(axis=0)
            # A weight of zero adds nothing in Lava either, so those synapses need no entry.
            exists.append(addend != 0)
            # What a mask excludes may have any slot.
            n_rows = max(n_rows, int(projection.slots.max(initial=-1, where=exists[-1])) + 2)
            packed.append((addend << 32) + (1 + projection.slots) * n_neurons + np.arange(first, first + size))
        there = np.concatenate(exists, axis=1)
        counts.append(np.count_nonzero(there, axis=1))
        synapses.append(np.concatenate(packed, axis=1)[there])
    # With relays no network gets here: delays within the chip's slots would need 67 million neurons.
    if n_rows * n_neurons > 2**32:
        raise NetworkError(
            f"network: delays up to slot {n_rows - 2} onto {n_neurons} neurons need {n_rows * n_neurons} places for "
            "what is under way, the emulator has 2^32; train with a smaller training.max_slot or fewer neurons"
        )
    # Beyond this the int32 sum itself could wrap unseen, and no count would show it.
    if fan_in.max(initial=0) >= 2**31:
        raise NetworkError(
            f"network: the weights onto neuron {fan_in.argmax()} add up to {fan_in.max()}, must stay "
            "below 2^31; lower the exponent"
        )
    own = [network.thresholds.get(p.name, np.full(p.size, p.vth << 6, dtype=np.int32)) for p in neurons]
    threshold = np.array([t.min() for t in own], dtype=np.int32)
    readout = np.array([p.kind == "leaky_readout" for p in neurons], dtype=np.bool_)
    return Tables(
        synapse_ptr=np.cumsum(np.concatenate(counts)).astype(np.uint64),
        synapse=np.concatenate(synapses),
        first=np.array([*first_neuron.values(), n_neurons], dtype=np.uint64),
        keep_u=np.array([4096 - (p.du + 1) for p in neurons], dtype=np.int32),
        keep_v=np.array([4096 - p.dv for p in neurons], dtype=np.int32),
        threshold=threshold,
        largest=np.where(readout, threshold, STATE_MAX).astype(np.int32),
        n_sources=sum(p.size for p in network.sources),
        n_rows=n_rows,
        own_threshold=np.concatenate([np.zeros(0, dtype=np.int32), *own]),
    )
