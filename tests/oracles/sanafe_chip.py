"""SANA-FE, run on a network that we placed, with the very spikes that ours has.

SANA-FE (SLAM-Lab, University of Texas at Austin; GPL-3.0) is used as a program of its own, in tests alone. Its neurons
compute in floating point and its delays cannot be used, so its spikes are forced: a neuron forgets everything in each
step, and a bias that is set between two steps takes it over its threshold where our emulator has a spike. Synapses,
messages and hops are SANA-FE's own, as are the constants: its loihi.yaml, as shipped. Delays are left out, since they
move events in time and change none of the totals.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.workload import tile_positions
from toolchain.deployment.target import CoreUse

VERSION = "2.2.9"
HEIGHT = 4
"""Rows of the mesh in loihi.yaml; SANA-FE numbers tiles down a column first."""
BIAS, THRESHOLD, WEIGHT = 1e6, 1e5, 1.0


def sanafe_is_missing() -> str | None:
    """Why SANA-FE cannot be run here; None if it can."""
    try:
        found = importlib.metadata.version("sanafe")
    except importlib.metadata.PackageNotFoundError:
        return f"SANA-FE is not installed: pip install sanafe=={VERSION} (GPL-3.0, for these tests alone)"
    return None if found == VERSION else f"SANA-FE {found} is installed, its counts are known for {VERSION}"


needs_sanafe = pytest.mark.skipif(sanafe_is_missing() is not None, reason=str(sanafe_is_missing()))


@dataclass(frozen=True)
class SanafeRun:
    """Totals of a run: counts, and energy in J by part of the chip; `time_s` by its own timing model."""

    spikes: int
    events: int
    messages: int
    updates: int
    hops: int
    synapse_j: float
    soma_j: float
    network_j: float
    total_j: float
    time_s: float


def run_sanafe(
    network: IntegerNetwork,
    cores: Sequence[CoreUse],
    limits: ChipLimits,
    rasters: Mapping[str, NDArray[np.bool_]],
    synapse: str = "loihi_dense_synapse",
) -> SanafeRun:
    """Run one sample.

    Parameters
    ----------
    cores : of all populations, spike sources included, on one chip
    rasters : population -> (n_steps, size) spikes that are forced; none for populations that stay silent
    synapse : unit of loihi.yaml that processes all synapses
    """
    sanafe: Any = importlib.import_module("sanafe")
    architecture = sanafe.load_arch(str(importlib.resources.files("sanafe") / "examples" / "loihi.yaml"))
    n_steps = next(iter(rasters.values())).shape[0]
    x, y = tile_positions(cores, limits)
    net, groups = sanafe.Network(), {}
    for i, core in enumerate(cores):
        source = network[core.population].kind == "spike_source"
        size = core.last - core.first + 1
        group = groups[i] = net.create_neuron_group(f"g{i}", size, default_synapse_hw_name=synapse)
        tile = architecture.tiles[int(x[i]) * HEIGHT + int(y[i])]
        place = tile.cores[core.core % limits["cores_per_tile"]]
        for n in range(size):
            neuron = group[n]
            if source:
                train = rasters[core.population][:, core.first + n]
                neuron.set_attributes(soma_hw_name=f"loihi_inputs[{n}]", model_attributes={"spikes": train.tolist()})
            else:
                settings = {"threshold": THRESHOLD, "leak_decay": 0.0, "input_decay": 0.0, "force_update": True}
                neuron.set_attributes(soma_hw_name="loihi_lif", model_attributes=settings)
            neuron.map_to_core(place)
    for projection in network.projections:
        there = projection.exists & (projection.weight != 0)
        for i, source_core in enumerate(cores):
            for j, target_core in enumerate(cores):
                if (source_core.population, target_core.population) != (projection.source, projection.target):
                    continue
                pairs = np.argwhere(
                    there[source_core.first : source_core.last + 1, target_core.first : target_core.last + 1]
                )
                if pairs.size:
                    edges = [(int(a), int(b)) for a, b in pairs]
                    groups[i].connect_neurons_sparse(groups[j], {"weight": [WEIGHT] * len(edges)}, edges)
    chip = sanafe.SpikingChip(architecture)
    chip.load(net)
    return _stepped(chip, network, cores, rasters, n_steps)


def _stepped(
    chip: Any,
    network: IntegerNetwork,
    cores: Sequence[CoreUse],
    rasters: Mapping[str, NDArray[np.bool_]],
    n_steps: int,
) -> SanafeRun:
    """Step by step, with the biases of each step set before it."""
    neurons = chip.mapped_neuron_groups
    before: dict[tuple[int, int], bool] = {}
    sums = dict.fromkeys(("fired", "spikes", "packets", "updated", "hops", "time"), 0.0)
    energy = dict.fromkeys(("synapse", "soma", "network", "total"), 0.0)
    for step in range(n_steps):
        for i, core in enumerate(cores):
            if network[core.population].kind == "spike_source" or core.population not in rasters:
                continue
            for n in range(core.last - core.first + 1):
                spikes = bool(rasters[core.population][step, core.first + n])
                if before.get((i, n), False) != spikes:
                    neurons[f"g{i}"][n].set_attributes(model_attributes={"bias": BIAS if spikes else 0.0})
                    before[i, n] = spikes
        found = chip.sim(1, perf_trace=True, timing_model="simple")
        sums["fired"] += found["neurons_fired"]
        sums["spikes"] += found["spikes"]
        sums["packets"] += found["packets_sent"]
        sums["updated"] += found["neurons_updated"]
        sums["hops"] += sum(found["perf_trace"]["hops"]) if "hops" in found["perf_trace"] else 0
        sums["time"] += found["sim_time"]
        for part in energy:
            energy[part] += found["energy"][part]
    fired, events, packets, updated, hops = (
        int(sums[name]) for name in ("fired", "spikes", "packets", "updated", "hops")
    )
    synapse, soma, network_j, total = (energy[part] for part in ("synapse", "soma", "network", "total"))
    return SanafeRun(fired, events, packets, updated, hops, synapse, soma, network_j, total, sums["time"])
