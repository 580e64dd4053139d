"""What the kernels of the emulator read and write: the network as tables, and the records of a run.

Units are the sources, then the simulated neurons, in the order of the network. What arrives lies in a window of rows,
one a tick, each with the excitatory sum of every neuron, then the inhibitory ones; a synapse adds at a fixed distance
ahead of the row of the tick. Sums are kept whole: all that arrives is above 0, so that cutting a sum to 0xffff when it
is used is the same as letting it saturate on the way, in any order, and the whole of it can be reported.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware_targets.emulation import first_neurons
from hardware_targets.spinnaker.fixed_point import check_constants, initialise
from hardware_targets.spinnaker.integer_network import (
    INHIBITORY,
    LARGEST_WEIGHT,
    N_TYPES,
    IntegerNetwork,
)
from toolchain.errors import NetworkError

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

RING_MAX = LARGEST_WEIGHT
"""Largest entry of the ring buffer, 16 bits; more saturates."""

SPIKES, SATURATIONS, WRAPS, PEAK_EXC, PEAK_INH, PEAK_CURRENT, PEAK_VOLTAGE = range(7)
N_COUNTS = 7
"""Columns of `Records.counts`."""

TICK, POPULATION, NEURON, EVENT, VALUE = range(5)
"""Columns of `Records.overflow`, in the order in which `emulation.refuse_overflow` reads them."""

NOTHING, EXC_SATURATED, INH_SATURATED, EXC_WRAPPED, INH_WRAPPED, CURRENT_WRAPPED, VOLTAGE_WRAPPED = range(7)
"""What may stand in the column `EVENT`."""


class Tables(NamedTuple):
    """A network, for the kernels.

    `synapse_ptr` (n_units + 1,) slice of the synapses of each unit; `synapse` (n_synapses,) has in its upper 32 bits
    the stored weight and in the lower ones how far ahead in the window:
    delay * row + type * n_neurons + post, a row being N_TYPES * n_neurons. In one word they are read in less time than
    from two arrays. `first` (n_populations + 1,) first neuron of each simulated population, then their number;
    `shifts` (n_populations, N_TYPES). Constants of each neuron, (n_neurons,), those of `fixed_point.NeuronConstants`
    with the two types one by one.
    `n_sources` units before the first neuron; `n_rows` that a spike can reach, its own included.
    """

    synapse_ptr: U64
    synapse: I64
    first: U64
    shifts: I32
    resistance: I32
    exp_tc: I32
    v_rest: I32
    i_offset: I32
    v_reset: I32
    v_thresh: I32
    t_refract: I32
    decay_e: U32
    decay_i: U32
    init_e: U32
    init_i: U32
    n_sources: int
    n_rows: int


class Records(NamedTuple):
    """What a run leaves; see `emulator.Emulation`.

    `readout_v` (n_samples, n_ticks, n_readout) and `readout_first`, the first neuron of the readout; `counts`
    (n_samples, n_populations, N_COUNTS); `neuron_counts`, `first_spikes` (n_samples, n_neurons); `overflow`
    (n_samples, 5) the first event of each sample; `exc`, `inh`, `v`, `spikes` (n_samples, n_ticks, n_neurons), or
    (0, 0, 0) without traces.
    """

    readout_v: I32
    readout_first: int
    counts: I64
    neuron_counts: I64
    first_spikes: I64
    overflow: I64
    exc: I32
    inh: I32
    v: I32
    spikes: NDArray[np.bool_]


def build_tables(network: IntegerNetwork) -> Tables:
    """Number the units, put the synapses in the order of their sources and initialise the neurons as the chip does.

    Raises
    ------
    NetworkError
        If the parameters of a neuron are none that the chip can compute with, if what may arrive at a neuron in one
        tick does not fit 32 bits, or a spike reaches further ahead than 32 bits can say.
    """
    neurons = network.simulated
    n_neurons = sum(p.size for p in neurons)
    first_neuron = first_neurons(neurons)
    n_rows = 1 + max((p.longest for p in network.projections), default=0)
    row = N_TYPES * n_neurons
    if n_rows * row > 2**32:
        raise NetworkError(
            f"network: delays up to {n_rows - 1} ticks onto {n_neurons} neurons need {n_rows * row} places for what is "
            "under way, the emulator has 2^32; train with a smaller training.max_slot or fewer neurons"
        )
    counts, synapses = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    arriving = np.zeros(n_neurons, dtype=np.int64)
    for source in (*network.sources, *neurons):
        exists, packed = [np.zeros((source.size, 0), dtype=np.bool_)], [np.zeros((source.size, 0), dtype=np.int64)]
        for projection in network.outgoing(source.name):
            first, size = first_neuron[projection.target], projection.weight.shape[1]
            weight = np.abs(projection.weight.astype(np.int64))
            arriving[first : first + size] += weight.sum(axis=0, where=projection.exists)
            inhibitory = projection.of_type(INHIBITORY)
            ahead = projection.delay.astype(np.int64) * row + inhibitory * n_neurons + np.arange(first, first + size)
            exists.append(projection.exists)
            packed.append((weight << 32) + np.where(projection.exists, ahead, 0))
        there = np.concatenate(exists, axis=1)
        counts.append(np.count_nonzero(there, axis=1))
        synapses.append(np.concatenate(packed, axis=1)[there])
    # Beyond this a sum itself could wrap unseen, and no count would show it.
    if arriving.max(initial=0) >= 2**31:
        raise NetworkError(
            f"network: the stored weights onto neuron {arriving.argmax()} add up to {arriving.max()}, must stay below "
            "2^31; raise the ring-buffer shift"
        )
    return Tables(
        synapse_ptr=np.cumsum(np.concatenate(counts)).astype(np.uint64),
        synapse=np.concatenate(synapses),
        first=np.array([*first_neuron.values(), n_neurons], dtype=np.uint64),
        shifts=np.array([p.shifts for p in neurons], dtype=np.int32).reshape(-1, N_TYPES),
        **_constants(network),
        n_sources=sum(p.size for p in network.sources),
        n_rows=n_rows,
    )


def _constants(network: IntegerNetwork) -> dict[str, NDArray[Any]]:
    """Constants of all neurons, by the names of `Tables`."""
    names = ("resistance", "exp_tc", "v_rest", "i_offset", "v_reset", "v_thresh", "t_refract")
    parts: dict[str, list[NDArray[Any]]] = {name: [np.zeros(0, dtype=np.int32)] for name in names}
    parts |= {f"{name}_{t}": [np.zeros(0, dtype=np.uint32)] for name in ("decay", "init") for t in "ei"}
    for population in network.simulated:
        assert population.parameters is not None, "checked by check_integers"
        check_constants(population.name, population.parameters, network.dt_ms)
        constants = initialise(population.parameters, network.dt_ms)
        for name in names:
            parts[name].append(getattr(constants, name))
        for synapse_type, t in enumerate("ei"):
            parts[f"decay_{t}"].append(constants.decay[synapse_type])
            parts[f"init_{t}"].append(constants.init[synapse_type])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}
