"""ONNX files: what is written is read back exactly, and deployed it is the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.onnx_export import network_of
from tests.interchange.test_onnx_float import own_time_constants, single_spikes
from tests.networks import SHAPES, random_network, random_spikes
from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.target import find_target
from toolchain.interchange.formats import Assumptions, read_network
from toolchain.interchange.onnx.reading import read_onnx
from toolchain.interchange.onnx.writing import write_onnx
from toolchain.network import Network
from toolchain.recipe import read_recipe

RECIPE = read_recipe(Path(__file__).parents[2] / "models" / "sequence.yaml")
"""What a network is imported for; of an ONNX file nothing is taken from it."""


def assert_same_network(one: Network, other: Network) -> None:
    assert one.describe() == other.describe()
    for ours, theirs in zip(one.projections, other.projections, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.delay, theirs.delay)
        assert (ours.mask is None) == (theirs.mask is None)
        assert ours.mask is None or theirs.mask is None or np.array_equal(ours.mask, theirs.mask)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    shape=st.sampled_from(SHAPES),
    longest=st.sampled_from([0, 5, 700]),
    variant=st.sampled_from(["plain", "single spikes", "own time constants"]),
    spiking_output=st.booleans(),
)
def test_float_networks_come_back_exactly(
    seed: int, shape: str, longest: int, variant: str, spiking_output: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(seed)
    network = random_network(shape, random, max_slot=longest, spiking_output=spiking_output)
    if variant == "single spikes":
        network = single_spikes(network)
    elif variant == "own time constants":
        network = own_time_constants(network, random)
    path = tmp_path_factory.mktemp("float") / "network.onnx"
    write_onnx(path, network, provenance={"recipe": "x", "seed": seed})
    found = read_onnx(path)
    assert_same_network(found.network, network)
    assert found.target is None
    assert found.provenance == {"recipe": "x", "seed": seed}
    again = path.with_name("again.onnx")
    write_onnx(again, found.network, provenance=found.provenance)
    assert again.read_bytes() == path.read_bytes()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    shape=st.sampled_from(SHAPES),
    target_name=st.sampled_from(["loihi1", "loihi2", "spinnaker1"]),
    longest=st.sampled_from([9, 150]),
)
def test_quantised_networks_come_back_exactly(
    seed: int, shape: str, target_name: str, longest: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target, random = find_target(target_name), np.random.default_rng(seed)
    assert isinstance(target, StepGraphTarget)
    network, spikes = random_network(shape, random, max_slot=longest), random_spikes(random, 4, 5, 40, 0.2)
    quantised = target.quantise(network, spikes, clip_delays=False, extend_delays=True)
    path = tmp_path_factory.mktemp("quantised") / "network.onnx"
    write_onnx(path, (target, quantised), states=True)
    found = read_onnx(path)
    assert found.target is target or (found.target is not None and found.target.name == target.name)
    assert found.quantised is not None
    ours, theirs = quantised.arrays(), found.quantised.arrays()
    integers = [name for name in ours[0] if not name.startswith("trained.")]
    assert integers
    for name in integers:
        assert np.array_equal(ours[0][name], theirs[0][name]), name
    assert {k: v for k, v in ours[1].items() if k != "trained"} == {
        k: v for k, v in theirs[1].items() if k != "trained"
    }
    # What it counts as trained are the integers in float: quantised again in the same format they are the same.
    number_format = read_network(path, RECIPE, Assumptions()).number_format
    assert number_format is not None
    hint = number_format["hint"]
    again = target.quantise(found.network, spikes, clip_delays=False, extend_delays=True, hint=hint)
    one, other = (target.emulate_traces(q, spikes) for q in (quantised, again))
    for name, v in one.v.items():
        assert np.array_equal(v, other.v[name]), name


@pytest.mark.parametrize("numbers", ["float", "loihi2", "spinnaker1"])
def test_a_large_network_with_long_delays_takes_little_more_than_its_tensors(numbers: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    network = network_of({"in": 70, "hidden": 52, "out": 20}, random)
    path = tmp_path / "network.onnx"
    if numbers == "float":
        write_onnx(path, network)
        synapse = 8
    else:
        target = find_target(numbers)
        quantised = target.quantise(network, random_spikes(random, 2, 70, 50, 0.02), clip_delays=False)
        write_onnx(path, (target, quantised))
        synapse = 2 if numbers == "loihi2" else 5
    tensors = synapse * sum(p.n_synapses for p in network.projections)
    # Ten kilobytes of graph weigh more here than in the network of docs/results.md, which has a hundred times as many.
    assert tensors < path.stat().st_size < tensors + 20_000
    onnx.checker.check_model(str(path), full_check=True)
