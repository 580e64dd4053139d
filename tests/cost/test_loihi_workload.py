"""Counts on Loihi equal those of a loop over every spike, synapse and core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping import place_network
from hardware_targets.loihi.relays import extend_delays
from hardware_targets.loihi.workload import build_workload
from tests.loihi.mapped_networks import LOIHI1, LOIHI2, chips, limited, make_network, networks, random_projection
from tests.loihi.random_networks import random_spikes
from toolchain.cost.counting import count, source_rasters, step_counts, unit_counts
from toolchain.deployment.target import CoreUse
from toolchain.errors import TargetLimitError

Rasters = dict[str, NDArray[np.bool_]]


def recount(
    network: IntegerNetwork, cores: Sequence[CoreUse], limits: ChipLimits, rasters: Rasters, n_steps: int
) -> Counter[str]:
    """One sample, spike by spike; whether a list has an index is read from what the placement prints."""
    found: Counter[str] = Counter()
    columns, per_tile = limits["mesh_columns"], limits["cores_per_tile"]
    for core in cores:
        if network[core.population].kind != "spike_source":
            found["neuron_updates"] += n_steps * (core.last - core.first + 1)
    for population in network.populations:
        for _, neuron in np.argwhere(rasters[population.name]).tolist():
            homes = [c for c in cores if c.population == population.name and c.first <= neuron <= c.last]
            found["spikes_out"] += population.kind != "spike_source"
            found["relay_spikes"] += population.relays_of is not None
            for core in cores:
                reads = 0
                for p in network.projections:
                    if (p.source, p.target) != (population.name, core.population):
                        continue
                    for post in range(core.first, core.last + 1):
                        if p.weight[neuron, post] != 0 and (p.mask is None or p.mask[neuron, post]):
                            reads += 1
                    name = p.name
                if not reads:
                    continue
                indexed = core.formats[name].startswith("indexed")
                found["synaptic_events"] += reads
                found["indexed_events" if indexed else "dense_events"] += reads
                found["zero_reads"] += 0 if indexed else core.last - core.first + 1 - reads
                found["messages"] += 1
                if not homes:
                    found["input_messages"] += 1
                    continue
                (home,) = homes
                found["messages_out"] += 1
                if home.chip != core.chip:
                    found["messages_between_chips"] += 1
                    continue
                here, there = home.core // per_tile, core.core // per_tile
                across, down = abs(here % columns - there % columns), abs(here // columns - there // columns)
                found.update({"hops": across + down, "hops_east_west": across, "hops_north_south": down})
    return found


def random_rasters(network: IntegerNetwork, seed: int, n_samples: int, n_steps: int) -> Rasters:
    rng = np.random.default_rng(seed)
    return {p.name: rng.random((n_samples, n_steps, p.size)) < rng.uniform(0, 0.3) for p in network.populations}


@given(network=networks(), limits=chips(), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_counts_equal_those_of_every_single_event(network: IntegerNetwork, limits: ChipLimits, seed: int) -> None:
    try:
        cores = place_network(network, limits).cores
    except TargetLimitError:
        return
    rasters = random_rasters(network, seed, 2, 5)
    workload = build_workload(network, cores, limits)
    counts = count(workload, {n: r.sum(axis=1, dtype=np.int64) for n, r in rasters.items()}, 5)
    for sample in range(2):
        expected = recount(network, cores, limits, {n: r[sample] for n, r in rasters.items()}, 5)
        found = {kind: int(array[sample]) for kind, array in counts.events.items()}
        assert found == {kind: expected[kind] for kind in found}


@given(network=networks(), seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_steps_and_cores_add_up_to_the_whole(network: IntegerNetwork, seed: int) -> None:
    limits = limited(LOIHI2, neurons_per_core=9, cores=16)
    workload = build_workload(network, place_network(network, limits).cores, limits)
    rasters = random_rasters(network, seed, 3, 6)
    counts = count(workload, {n: r.sum(axis=1, dtype=np.int64) for n, r in rasters.items()}, 6)
    for kind in ("synaptic_events", "messages", "neuron_updates", "zero_reads", "messages_out", "spikes_out"):
        steps = step_counts(workload, rasters, kind)
        assert (steps.sum(axis=(1, 2)) == counts.events[kind]).all()
        if kind in counts.at_sites and kind not in ("messages_out", "spikes_out"):
            assert (steps.sum(axis=(0, 1)) == counts.at_sites[kind]).all()


@pytest.mark.parametrize("chip", [LOIHI1, LOIHI2], ids=["loihi1", "loihi2"])
def test_relays_send_messages_of_their_own(chip: ChipLimits) -> None:
    sizes = {"in": 7, "a": 12, "out": 3}
    rng = np.random.default_rng(3)
    edges = (("in", "a"), ("a", "a"), ("a", "out"))
    long = make_network(sizes, [random_projection(rng, sizes, *e, largest=150) for e in edges])
    extended = extend_delays(long, chip).network
    spikes = random_spikes(rng, long, 2, 250)
    emulated = emulate(extended, spikes, traces=True)
    placement = place_network(extended, chip)
    workload = build_workload(extended, placement.cores, chip)
    sources = [("in", 7)]
    counts = count(workload, {**unit_counts(spikes, sources), **emulated.neuron_counts}, 250)
    rasters = {**source_rasters(spikes, sources), **emulated.spikes}
    for sample in range(2):
        expected = recount(extended, placement.cores, chip, {n: r[sample] for n, r in rasters.items()}, 250)
        assert {k: int(a[sample]) for k, a in counts.events.items()} == {k: expected[k] for k in counts.events}
    assert counts.events["relay_spikes"].min() > 0


def test_a_pruned_synapse_is_read_from_a_list_without_index_and_not_from_one_with() -> None:
    sizes = {"in": 2, "a": 64, "out": 1}
    full, sparse = np.full((2, 64), 4, np.int32), np.zeros((2, 64), np.int32)
    sparse[:, 7] = 4
    full[0, :3] = 0
    found = []
    for weight in (full, sparse):
        slots = np.zeros((2, 64), np.int64)
        ends = IntegerProjection("a", "out", np.full((64, 1), 2, np.int32), 0, np.zeros((64, 1), np.int64))
        network = make_network(sizes, [IntegerProjection("in", "a", weight, 0, slots, weight != 0), ends])
        workload = build_workload(network, place_network(network, LOIHI1).cores, LOIHI1)
        silent = {"a": np.zeros((1, 64), np.int64), "out": np.zeros((1, 1), np.int64)}
        counts = count(workload, {"in": np.array([[1, 0]]), **silent}, 1)
        found.append([int(counts.events[k][0]) for k in ("dense_events", "indexed_events", "zero_reads")])
    assert found == [[61, 0, 3], [0, 1, 0]]
