"""Our tables against those that sPyNNaker wrote for the golden networks, and where sPyNNaker's own are not right."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.spinnaker.tables import Tables, build_tables
from tests.spinnaker.decoder import Receiver, Sender, Synapse, decode
from tests.spinnaker.mapped import decoded, golden, plan_of, wanted
from tests.spinnaker.words import first_difference

U32 = NDArray[np.uint32]
Regions = dict[tuple[int, int, int], dict[str, U32]]


def regions_of(found: dict[str, Any]) -> Regions:
    """Core -> region -> words that sPyNNaker wrote."""
    regions: Regions = {}
    for region in found["regions"]:
        words = np.array([int(word, 16) for word in region["words"]], dtype=np.uint32)
        regions.setdefault(tuple(region["xyp"]), {})[region["label"]] = words
    return regions


def place_of(tables: Tables, index: int) -> tuple[int, int, int]:
    place = tables.cores[index].core.place
    assert place
    return place.x, place.y, place.core


def decoded_golden(found: dict[str, Any]) -> Counter[Synapse]:
    """The synapses that sPyNNaker's own words lead to."""
    regions, senders, receivers = regions_of(found), [], []
    keys = {key[1]: int(key[3], 16) for key in found["keys"] if key[0] == "MACHINE"}
    for kind, label, extent, *place in found["placements"]:
        first, last = (int(n) for n in extent.strip("()").split(":"))
        if kind == "SpikeSourceArrayMachineVertex":
            senders.append(Sender("src", keys[label], first, last - first + 1))
        elif kind == "PopulationMachineVertex":
            receivers.append(Receiver("dst", first, regions[tuple(place)]))
    extensions = [words["delay_params"] for words in regions.values() if "delay_params" in words]
    return decode(senders, receivers, extensions)


@pytest.mark.parametrize("name", ["A", "E", "H", "C"])
def test_cores_keys_and_places_are_those_of_spynnaker(name: str) -> None:
    network, neurons, found = golden(name)
    tables = build_tables(network, plan_of(network, neurons))
    theirs = {tuple(p[3:]): p[2] for p in found["placements"]}
    ours = {place_of(tables, i): f"({c.core.first}:{c.core.last})" for i, c in enumerate(tables.cores)}
    assert ours == theirs
    keys = {key[1]: (int(key[3], 16), int(key[4], 16)) for key in found["keys"] if key[0] == "APP"}
    assert {vertex: (k.key, k.mask) for vertex, k in tables.keys.items()} == keys
    machine = sorted((int(key[3], 16), int(key[4], 16)) for key in found["keys"] if key[0] == "MACHINE")
    assert sorted((key, k.core_mask) for k in tables.keys.values() for key in k.core_keys) == machine


@pytest.mark.parametrize("name", ["A", "E", "H"])
def test_every_word_is_that_of_spynnaker(name: str) -> None:
    network, neurons, found = golden(name)
    plan = plan_of(network, neurons)
    assert not plan.misplaced
    tables, regions = build_tables(network, plan), regions_of(found)
    compared = 0
    for index, core in enumerate(tables.cores):
        assert first_difference(core.regions, regions.get(place_of(tables, index), {})) is None, core.core
        compared += len(core.regions)
    assert compared == sum(len(of) for of in regions.values())


@pytest.mark.parametrize("name", ["A", "E", "H", "C"])
def test_our_words_lead_to_every_synapse_that_was_asked_for(name: str) -> None:
    network, neurons, _ = golden(name)
    assert decoded(build_tables(network, plan_of(network, neurons))) == wanted(network)


def test_spynnaker_loses_synapses_of_three_stages_and_we_do_not() -> None:
    """20 neurons project to cores of 256 through three stages; of 120 synapses 64 are where the cores look for them."""
    network, neurons, found = golden("C")
    plan = plan_of(network, neurons)
    assert plan.misplaced == ("src->dst",)
    asked = wanted(network)
    theirs = decoded_golden(found)
    assert sum(asked.values()) == 120
    assert sum((asked & theirs).values()) == 64
    lost = asked - theirs
    assert min(delay for *_, delay in lost) > 2 * 32, "the first stage is right"
    assert decoded(build_tables(network, plan)) == asked


@pytest.mark.parametrize("name", ["A", "E", "H"])
def test_the_decoder_reads_spynnakers_words_too(name: str) -> None:
    network, _, found = golden(name)
    assert decoded_golden(found) == wanted(network)


def test_the_table_of_three_stages_differs_in_its_rows_alone() -> None:
    network, neurons, found = golden("C")
    tables, regions = build_tables(network, plan_of(network, neurons)), regions_of(found)
    for index, core in enumerate(tables.cores):
        theirs = regions.get(place_of(tables, index), {})
        for name in core.regions.keys() - {"SynBlocks"}:
            np.testing.assert_array_equal(core.regions[name], theirs[name])
