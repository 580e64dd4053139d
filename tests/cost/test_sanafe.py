"""SANA-FE counts the same events, messages and hops, and the same energy, on networks that we placed.

Both are given the same spikes. SANA-FE counts spikes of inputs among its updates and ours does not; everything else is
compared as it is.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from hardware_targets.loihi.cost import ENERGIES, TIMES, barrier_time, read_constants, step_times
from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping import place_network
from hardware_targets.loihi.workload import build_workload
from tests.loihi.mapped_networks import LOIHI1, limited, make_network, random_projection
from tests.loihi.random_networks import random_spikes
from tests.oracles.sanafe_chip import SanafeRun, needs_sanafe, run_sanafe
from toolchain.cost.constants import Constants
from toolchain.cost.counting import Counts, count, source_rasters
from toolchain.cost.estimates import energy_parts
from toolchain.deployment.target import CoreUse, Placement

Rasters = dict[str, NDArray[np.bool_]]
DENSE, INDEXED = "loihi_dense_synapse", "loihi_sparse_synapse"


def recurrent(seed: int, sizes: dict[str, int], density: float = 1.0) -> IntegerNetwork:
    rng = np.random.default_rng(seed)
    edges = (("in", "a"), ("a", "a"), ("a", "out"))
    return make_network(sizes, [random_projection(rng, sizes, *e, density=density) for e in edges])


def cores_of(network: IntegerNetwork, limits: ChipLimits) -> list[CoreUse]:
    """Our placement, and the source on a core of the tile that is farthest away."""
    placed = list(place_network(network, limits).cores)
    last = limits["cores"] - 1
    assert all(core.core != last for core in placed)
    return [*placed, CoreUse(last, "in", 0, network["in"].size - 1, {})]


def ours(network: IntegerNetwork, cores: Sequence[CoreUse], limits: ChipLimits, rasters: Rasters) -> Counts:
    n_steps = rasters["in"].shape[0]
    spikes = {name: raster.sum(axis=0, dtype=np.int64)[np.newaxis] for name, raster in rasters.items()}
    return count(build_workload(network, cores, limits), spikes, n_steps)


def assert_same(found: Counts, theirs: SanafeRun, rasters: Rasters, constants: Constants) -> None:
    events = {kind: int(array[0]) for kind, array in found.events.items()}
    assert events["synaptic_events"] == theirs.events
    assert events["messages"] == theirs.messages
    assert events["hops"] == theirs.hops
    assert sum(int(raster.sum()) for raster in rasters.values()) == theirs.spikes
    assert events["neuron_updates"] + int(rasters["in"].sum()) == theirs.updates
    energy = {part.name: part.interval.value for part in energy_parts(found, ENERGIES, constants)}
    assert energy["dense_events"] + energy["indexed_events"] == pytest.approx(theirs.synapse_j, rel=1e-9)
    assert energy["neuron_updates"] + energy["spikes_out"] == pytest.approx(theirs.soma_j, rel=1e-9)
    network = energy["messages_out"] + energy["hops_east_west"] + energy["hops_north_south"]
    assert network == pytest.approx(theirs.network_j, rel=1e-9)
    # Ours alone knows entries of lists without index that hold no synapse.
    assert sum(energy.values()) - energy["zero_reads"] == pytest.approx(theirs.total_j, rel=1e-9)


@needs_sanafe
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 2, 3, 4, 5))])
def test_counts_and_energy_are_those_of_sanafe_on_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {"in": int(rng.integers(1, 12)), "a": int(rng.integers(5, 50)), "out": int(rng.integers(1, 6))}
    limits = limited(LOIHI1, neurons_per_core=int(rng.integers(2, 9)))
    network = recurrent(seed, sizes)
    cores = cores_of(network, limits)
    rasters = {name: rng.random((12, size)) < 0.25 for name, size in sizes.items()}
    found = ours(network, cores, limits, rasters)
    assert_same(found, run_sanafe(network, cores, limits, rasters, DENSE), rasters, read_constants("loihi1"))
    assert found.events["hops"][0] > 0


@needs_sanafe
def test_sparse_lists_cost_what_sanafe_says() -> None:
    sizes = {"in": 30, "a": 128, "out": 64}
    network = recurrent(5, sizes, density=0.04)
    cores = cores_of(network, LOIHI1)
    rng = np.random.default_rng(0)
    rasters = {name: rng.random((8, size)) < 0.2 for name, size in sizes.items()}
    found = ours(network, cores, LOIHI1, rasters)
    assert found.events["dense_events"][0] == 0
    assert_same(found, run_sanafe(network, cores, LOIHI1, rasters, INDEXED), rasters, read_constants("loihi1"))


@needs_sanafe
def test_what_the_emulator_spikes_costs_what_sanafe_says_for_64_32_10() -> None:
    sizes = {"in": 64, "a": 32, "out": 10}
    rng = np.random.default_rng(7)
    edges = (("in", "a"), ("a", "out"))
    network = make_network(sizes, [random_projection(rng, sizes, *e, sign=1) for e in edges])
    limits = limited(LOIHI1, neurons_per_core=8)
    cores = cores_of(network, limits)
    spikes = random_spikes(rng, network, 1, 40)
    traces = emulate(network, spikes, traces=True).spikes
    rasters = {n: r[0] for n, r in {**source_rasters(spikes, [("in", 64)]), **traces}.items()}
    assert 0 < rasters["a"].mean() < 1
    found, theirs = ours(network, cores, limits, rasters), run_sanafe(network, cores, limits, rasters)
    assert_same(found, theirs, rasters, read_constants("loihi1"))
    # Its simple timing model lets a core do two things at once where ours does one after the other.
    workload, batch = build_workload(network, cores, limits), {n: r[np.newaxis] for n, r in rasters.items()}
    step = step_times(workload, batch, Placement(tuple(cores), ()), limits, read_constants("loihi1"))
    assert step.low < theirs.time_s / 40 <= step.value


@needs_sanafe
def test_our_central_constants_are_those_of_its_architecture_file() -> None:
    text = (importlib.resources.files("sanafe") / "examples" / "loihi.yaml").read_text(encoding="utf-8")
    chip = yaml.safe_load(text)["architecture"]
    (tile,) = chip["tile"]
    (core,) = tile["core"]
    units = {u["name"]: u["attributes"] for kind in core.values() if isinstance(kind, list) for u in kind}
    lif, dense, indexed = units["loihi_lif"], units["loihi_dense_synapse"], units["loihi_sparse_synapse"]
    hops = tile["attributes"]
    expected = {
        "dense_events": (dense["energy_process_spike"], dense["latency_process_spike"]),
        "indexed_events": (indexed["energy_process_spike"], indexed["latency_process_spike"]),
        "neuron_updates": (
            lif["energy_access_neuron"] + lif["energy_update_neuron"],
            lif["latency_access_neuron"] + lif["latency_update_neuron"],
        ),
        "spikes_out": (lif["energy_spike_out"], lif["latency_spike_out"]),
        "messages_out": (units["loihi_out"]["energy_message_out"], units["loihi_out"]["latency_message_out"]),
        "messages": (None, units["loihi_in"]["latency_message_in"]),
        "hops_east_west": (hops["energy_east_hop"], None),
        "hops_north_south": (hops["energy_north_hop"], None),
    }
    constants = read_constants("loihi1")
    for kind, (energy, time) in expected.items():
        if energy is not None:
            assert constants[ENERGIES[kind]].interval.value == pytest.approx(energy), kind
        if time is not None:
            assert constants[TIMES[kind]].interval.value == pytest.approx(time), kind
    for tiles, seconds in chip["attributes"]["latency_sync"].items():
        assert barrier_time(tiles, constants).value == pytest.approx(seconds)
