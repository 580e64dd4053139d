"""Placing slices: as few chips as hold them, little traffic between chips and between distant cores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping import place_network
from tests.loihi.mapped_networks import LOIHI1, LOIHI2, chain, limited, make_network, networks
from toolchain.deployment.target import Placement

Rates = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]


def row(placement: Placement, name: str) -> float:
    return next(r.used for r in placement.resources if r.name == name)


def in_order(placement: Placement, name: str) -> float:
    note = next(r.note for r in placement.resources if r.name == name)
    return float(note.split()[0])


def columns(n: int, size: int = 8) -> IntegerNetwork:
    """So many columns of two layers each, all first layers before all second ones; columns have nothing in common."""
    sizes = {"in": 1, **{f"a{i}": size for i in range(n)}, **{f"b{i}": size for i in range(n)}, "out": 1}

    def full(source: str, target: str) -> IntegerProjection:
        shape = (sizes[source], sizes[target])
        return IntegerProjection(source, target, np.full(shape, 4, np.int32), 0, np.zeros(shape, np.int64))

    edges = [edge for i in range(n) for edge in (("in", f"a{i}"), (f"a{i}", f"b{i}"), (f"b{i}", f"a{i}"))]
    return make_network(sizes, [full(*edge) for edge in [*edges, ("b0", "out")]])


def recounted(network: IntegerNetwork, placement: Placement, rates: Rates | None = None) -> tuple[float, float]:
    """Messages between cores and between chips, counted neuron by neuron."""
    cores = chips = 0.0
    for projection in network.projections:
        exists = projection.exists & (projection.weight != 0)
        for source in (c for c in placement.cores if c.population == projection.source):
            for target in (c for c in placement.cores if c.population == projection.target):
                for pre in range(source.first, source.last + 1):
                    if source is not target and exists[pre, target.first : target.last + 1].any():
                        spikes = 1.0 if rates is None else float(rates[source.population][pre])
                        cores += spikes
                        chips += spikes * (source.chip != target.chip)
    return cores, chips


@given(network=networks(), cores=st.integers(2, 9), chip=st.sampled_from([LOIHI1, LOIHI2]), counted=st.booleans())
@settings(max_examples=60, deadline=None)
def test_traffic_is_counted_right_and_never_worse_than_in_order(
    network: IntegerNetwork, cores: int, chip: ChipLimits, counted: bool
) -> None:
    limits = limited(chip, cores=cores, chips=100, neurons_per_core=9)
    rates: Rates | None = None
    if counted:
        random = np.random.default_rng(cores)
        rates = {p.name: random.integers(0, 20, p.size).astype(np.float64) for p in network.simulated}
    placement = place_network(network, limits, rates=rates)
    messages = recounted(network, placement, rates)
    assert row(placement, "messages_between_cores") == pytest.approx(messages[0])
    assert row(placement, "messages_between_chips") == pytest.approx(messages[1])
    assert messages[1] <= in_order(placement, "messages_between_chips") + 0.5
    if row(placement, "chips") == 1:
        assert messages[1] == 0
        assert row(placement, "hops_between_tiles") <= in_order(placement, "hops_between_tiles") + 0.5
    assert place_network(network, limits, rates=rates).cores == placement.cores


@pytest.mark.parametrize("chip", [LOIHI1, LOIHI2], ids=["loihi1", "loihi2"])
def test_what_belongs_together_comes_onto_one_chip(chip: ChipLimits) -> None:
    """Fifteen columns of two cores on chips of eight: in order every message would leave its chip, and none has to."""
    placement = place_network(columns(15), limited(chip, cores=8))
    assert row(placement, "chips") == 4
    assert in_order(placement, "messages_between_chips") > 100
    # But those from column 0 to the output, if it has to sit elsewhere.
    assert row(placement, "messages_between_chips") <= 8


def test_a_network_that_fits_one_chip_stays_on_it() -> None:
    placement = place_network(chain(hidden=1000), LOIHI1)
    assert {c.chip for c in placement.cores} == {0}
    assert len(placement.cores) == len({c.core for c in placement.cores})


def test_busy_neurons_decide_where_slices_sit() -> None:
    """Of two chips with two cores each, a slice sits beside the one that it talks to most."""
    network = columns(2)
    loud = {"a0": 50.0, "b0": 50.0, "a1": 1.0, "b1": 1.0, "out": 0.0}
    rates = {name: np.full(network[name].size, rate) for name, rate in loud.items()}
    placement = place_network(network, limited(cores=2, chips=8), rates=rates)
    chip = {c.population: c.chip for c in placement.cores}
    assert chip["a0"] == chip["b0"]
    assert chip["a1"] == chip["b1"]


def test_cores_that_talk_share_a_tile_or_lie_side_by_side() -> None:
    """Four cores share a tile of Loihi 1: a column of two never needs a link."""
    placement = place_network(columns(20), LOIHI1)
    tile = {c.population: c.core // 4 for c in placement.cores}
    assert all(tile[f"a{i}"] == tile[f"b{i}"] for i in range(20))
    assert row(placement, "hops_between_tiles") < in_order(placement, "hops_between_tiles") / 4


def test_an_unknown_mesh_leaves_the_order_and_counts_no_links() -> None:
    placement = place_network(columns(3), limited(mesh_columns=None))
    assert [c.population for c in placement.cores] == ["a0", "a1", "a2", "b0", "b1", "b2", "out"]
    assert "hops_between_tiles" not in {r.name for r in placement.resources}
