"""What a trained network does on calibration samples: what its integers are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network
from toolchain.objective import Objective, Reading
from toolchain.spikes import SpikeTrains, bin_events
from toolchain.training.backends import make_engine


def trained_spikes(network: Network, spikes: SpikeTrains) -> dict[str, SpikeTrains]:
    """What the trained network does with these samples: every population but a leaky readout -> its spikes."""
    # Spikes do not depend on the objective, but it has to go with the kind of the output.
    reading: Reading = "first_spike" if network.readout.kind == "lif" else "sum"
    engine = make_engine("cpu", network, spikes.n_steps, max_slot=network.max_slot, objective=Objective(reading))
    traces = [engine.trace(spikes, sample).spikes for sample in range(spikes.n_samples)]
    return {
        p.name: bin_events([trace[p.name] for trace in traces], p.size, spikes.n_steps)[0]
        for p in network.populations
        if p.kind != "leaky_readout"
    }


def spike_counts(trains: SpikeTrains) -> NDArray[np.int64]:
    """Spikes of each neuron in each sample, (n_samples, n_units)."""
    sample = np.repeat(np.arange(trains.n_samples), np.diff(trains.offsets))
    counts = np.bincount(sample * trains.n_units + trains.units, minlength=trains.n_samples * trains.n_units)
    return counts.reshape(trains.n_samples, trains.n_units)
