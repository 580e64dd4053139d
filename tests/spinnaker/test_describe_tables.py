"""Tables as text: every core with place, keys and what it receives, decoded from its words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hardware_targets.spinnaker.describe import describe_tables
from hardware_targets.spinnaker.plan import make_plan
from hardware_targets.spinnaker.problem import problem_of_network
from hardware_targets.spinnaker.tables import build_tables, restore_tables
from tests.spinnaker.mapped import LIMITS, golden, plan_of, random_case
from toolchain.errors import BundleError


def test_the_golden_network_of_two_stages_is_told_core_by_core() -> None:
    network, neurons, found = golden("E")
    text = describe_tables(build_tables(network, plan_of(network, neurons)))
    for line in (
        "population src: 128 neurons on 2 cores, key 00000000 mask fffff000",
        "  core 1 at chip 0,0 core 4: neurons 64..127, key 00000400 mask fffffc00",
        "    ring buffers: 64 neurons, 2 types, 128 slots; shifts: excitatory 0, inhibitory 0; room for 256 spikes",
        "    entry src_delayed: key 00001000 mask fffff000, core mask 1 shift 11, 128 rows a core",
        "    delay_params: hears 00000400 mask fffffc00, 64 neurons, keeps late spikes, 4 colour bits",
        "      stage 2: 256 ticks later, keys 00001c00..00001fff",
    ):
        assert line in text.splitlines(), line
    # The first synapse that was asked for: from 0 to 0, 0.0997 nA, 1 ms.
    pre, post, weight, delay = found["exc"][0]
    assert f"row {pre}: to {post}, excitatory {round(weight * 2**15)}, {round(delay)} tick" in text


def test_synapses_are_counted_once() -> None:
    for seed in range(6):
        network, neurons = random_case(seed)
        text = describe_tables(build_tables(network, plan_of(network, neurons)))
        counted = sum(int(n) for n in re.findall(r"words, (\d+) synapses", text))
        assert counted == sum(p.n_synapses for p in network.projections)


def test_what_spynnaker_would_misplace_is_said() -> None:
    network, neurons, _ = golden("C")
    assert "note: sPyNNaker 7.4.1 writes synapses of src->dst into other rows" in describe_tables(
        build_tables(network, plan_of(network, neurons))
    )


def test_damaged_tables_are_no_endless_text() -> None:
    network, neurons, _ = golden("A")
    arrays, header = build_tables(network, plan_of(network, neurons)).arrays()
    short = {**arrays, "dst.0.SynBlocks": arrays["dst.0.SynBlocks"][:-1]}
    with pytest.raises(BundleError, match="rows of src end before their matrix does"):
        describe_tables(restore_tables(short, header))
    table = arrays["dst.0.PopTable"].copy()
    table[2] = np.uint32(77)
    with pytest.raises(BundleError, match="no vertex has the key 0000004d"):
        describe_tables(restore_tables({**arrays, "dst.0.PopTable": table}, header))


def test_places_on_several_boards_are_left_to_spynnaker() -> None:
    network, _ = random_case(4)
    tables = build_tables(network, make_plan(problem_of_network(network), LIMITS, boards=2))
    arrays, header = tables.arrays()
    assert describe_tables(restore_tables(arrays, header)) == describe_tables(tables)
    assert "core 0 at a place that sPyNNaker chooses" in describe_tables(tables)
