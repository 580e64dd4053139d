"""What is asked of a placement holds for what is exported and compared too, and a bundle keeps it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.loihi import loihi2
from hardware_targets.spinnaker import spinnaker1
from hardware_targets.spinnaker.quantised import SpinnakerQuantised
from hardware_targets.spinnaker.spynnaker_runner import exported_tables
from tests.conftest import MODELS
from tests.networks import random_spikes
from tests.oracles.spynnaker_board import installed
from toolchain.deployment.plan import plan_network
from toolchain.deployment.request import PlacementRequest, read_neurons_per_core, read_request
from toolchain.errors import InputError, TargetLimitError
from toolchain.network import Network, Population, make_projection
from toolchain.recipe import read_recipe
from toolchain.spikes import SpikeTrains

NO_NEURONS: tuple[object, ...] = (None, [], {"a": 0}, {"a": "8"}, {1: 8}, {"a": True})
SMALL_BOARD = PlacementRequest(chips=4)
FEWER = PlacementRequest(neurons_per_core={"in": 3, "hidden": 5})


def spikes() -> SpikeTrains:
    return random_spikes(np.random.default_rng(2), 2, 4, 30, 0.1)


@cache
def tight() -> SpinnakerQuantised:
    """Delays that leave 8 neurons a core: 77 cores without delay extension, where a board of 4 chips has 63."""
    random, size = np.random.default_rng(1), 600
    populations = (
        Population("in", "spike_source", 4),
        Population("hidden", "lif", size, 20.0, 5.0, 1.0),
        Population("out", "leaky_readout", 2),
    )
    mask = random.random((4, size)) < 0.5
    network = Network(
        1.0,
        populations,
        (
            make_projection("in", "hidden", random.normal(2, 1, (4, size)), random.uniform(0, 999, (4, size)), mask),
            make_projection("hidden", "out", random.normal(0, 0.1, (size, 2)), np.zeros((size, 2))),
        ),
    )
    return spinnaker1.quantise(network, spikes(), clip_delays=False, extend_delays=True)


def export(folder: Path, request: PlacementRequest) -> Path:
    labels = np.zeros(2, dtype=np.int64)
    return spinnaker1.export(tight(), spikes(), labels, folder, readout="sum", request=request)


@pytest.mark.parametrize(("asked", "version"), [(PlacementRequest(), 5), (SMALL_BOARD, 3), (FEWER, 5)])
def test_what_is_exported_lies_as_it_was_reported(tmp_path: Path, asked: PlacementRequest, version: int) -> None:
    reported = spinnaker1.place(tight(), request=asked)
    folder = export(tmp_path, asked)
    stored = exported_tables(folder)
    assert [(c.population, c.first, c.last) for c in reported.cores] == [
        (c.core.vertex, c.core.first, c.core.last) for c in stored.cores
    ]
    most = {
        name: max(c.last - c.first + 1 for c in reported.cores if c.population == name) for name in reported.reasons
    }
    written = re.findall(r'"neurons_per_core": (\d+)', (folder / "network.py").read_text())
    assert [int(n) for n in written] == list(most.values())
    assert json.loads((folder / "network.json").read_text())["board_version"] == version
    assert f"version = {version}\n" in (folder / "README.md").read_text()
    used = {r.name: r for r in reported.resources}
    assert used["cores"].used == len(stored.cores) <= (used["cores"].limit or 0)


def test_a_small_board_needs_an_extension_where_a_large_one_needs_none(tmp_path: Path) -> None:
    """Otherwise the test above compares nothing."""
    large, small = (spinnaker1.place(tight(), request=r) for r in (PlacementRequest(), SMALL_BOARD))
    assert "delay extension" not in large.reasons["in"]
    assert "delay extension has 1 stage" in small.reasons["in"]


@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]")
def test_spynnaker_lays_out_the_small_board_as_it_was_asked_for(tmp_path: Path) -> None:
    folder = export(tmp_path, SMALL_BOARD)
    found = spinnaker1.compare_tables(tight(), folder, timeout_s=300, request=SMALL_BOARD)
    assert found.difference is None
    other = spinnaker1.compare_tables(tight(), folder, timeout_s=300)
    assert not other.equal, "with another request there are other cores"


def test_a_stored_request_is_the_one_that_was_stored() -> None:
    for request in (PlacementRequest(), SMALL_BOARD, FEWER):
        assert read_request(json.loads(json.dumps(request.to_json()))) == request
    assert read_request(None) == PlacementRequest()


@pytest.mark.parametrize(
    "entry",
    [
        *(3, [], {}, {"chips": 4}, {"chips": 4, "neurons_per_core": {}, "more": 1}),
        *({"chips": chips, "neurons_per_core": {}} for chips in (0, -1, "4", True, 1.0)),
        *({"chips": None, "neurons_per_core": neurons} for neurons in NO_NEURONS),
    ],
)
def test_a_damaged_request_is_refused(entry: object) -> None:
    with pytest.raises(InputError, match="deploy again"):
        read_request(entry)


def test_neurons_a_core_are_those_that_were_asked_for() -> None:
    placement = spinnaker1.place(tight(), request=FEWER)
    sizes = {name: [c.last - c.first + 1 for c in placement.cores if c.population == name] for name in ("in", "hidden")}
    assert sizes == {"in": [3, 1], "hidden": [5] * 120}
    assert placement.reasons["hidden"].startswith("5 neurons a core, as was asked for, on 120 cores; ")
    more = spinnaker1.place(tight(), request=PlacementRequest(neurons_per_core={"in": 200}))
    assert more.reasons["in"].startswith("4 neurons a core, as was asked for"), "no more than there are"


@pytest.mark.parametrize(
    ("neurons", "error", "words"),
    [
        ({"hidden": 257}, InputError, "257 is not in 1..256"),
        (
            {"hidden": 64},
            TargetLimitError,
            "would put synapses of in->hidden into wrong rows: with 64 a core of hidden",
        ),
        ({"hidden": 256}, TargetLimitError, "would need 31 stages of 32 ticks, there are 8; .*--neurons-per-core"),
        ({"hidden": 1, "in": 1}, None, ""),
    ],
)
def test_neurons_a_core_that_lead_to_wrong_tables_are_refused(
    neurons: dict[str, int], error: type[Exception] | None, words: str
) -> None:
    request = PlacementRequest(neurons_per_core=neurons)
    if error is None:
        assert spinnaker1.place(tight(), request=request).cores
        return
    with pytest.raises(error, match=words):
        spinnaker1.place(tight(), request=request)


def test_before_anything_is_quantised_overfull_cores_are_refused() -> None:
    with pytest.raises(InputError, match=r"neurons per core of hidden: 300 is not in 1..256"):
        spinnaker1.check_budget(cores=None, request=PlacementRequest(neurons_per_core={"hidden": 300}))


def test_a_target_without_the_choice_says_so() -> None:
    request = PlacementRequest(neurons_per_core={"hidden": 8})
    with pytest.raises(InputError, match=r"--neurons-per-core hidden=8: on loihi2 .*; leave it out"):
        loihi2.check_budget(cores=None, request=request)
    plan = plan_network(read_recipe(MODELS / "digits.yaml", []), 62)
    with pytest.raises(InputError, match="leave it out"):
        loihi2.place_plan(plan, clip_delays=False, request=request)


def test_neurons_a_core_are_read_as_they_are_written() -> None:
    assert read_neurons_per_core(["hidden=32", "a=b=7"]) == {"hidden": 32, "a=b": 7}
    for entry in ("hidden", "hidden=", "=3", "hidden=0", "hidden=-1", "hidden=1.5", "hidden=٣", "hidden=" + "9" * 5000):
        with pytest.raises(InputError, match="--neurons-per-core"):
            read_neurons_per_core([entry])
    with pytest.raises(InputError, match="hidden was given 3 already"):
        read_neurons_per_core(["hidden=3", "hidden=4"])
    with pytest.raises(InputError, match="hiden=4: no such population; did you mean 'hidden'"):
        PlacementRequest(neurons_per_core={"hiden": 4}).check_names(["in", "hidden"])
