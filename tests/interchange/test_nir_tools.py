"""Files of snnTorch and Norse: imported, they give the spikes that the tools compute themselves, step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.interchange.nir_tools import GOLDEN, NETWORKS, ToolRun, golden, run_tool
from toolchain.interchange.nir import read_nir
from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.spikes import from_rasters
from toolchain.training.backends import make_engine

every_network = pytest.mark.parametrize("name", NETWORKS)


def computed_here(
    network: Network, inputs: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.float32]]:
    """Spikes (steps, units) of every population and the voltage of the readout (steps, units), by the backend cpu."""
    last = network.readout
    objective = Objective() if last.kind == "leaky_readout" else Objective("first_spike", "cross_entropy")
    engine = make_engine("cpu", network, len(inputs), max_slot=network.max_slot, objective=objective)
    trace = engine.trace(from_rasters(inputs[np.newaxis]), 0)
    spikes = {}
    for population in network.of_kind("lif"):
        times, units = trace.spikes[population.name]
        spikes[population.name] = np.zeros((len(inputs), population.size), dtype=np.bool_)
        spikes[population.name][times, units] = True
    return spikes, trace.readout_v.T


def assert_same(name: str, path: Path, theirs: ToolRun) -> None:
    imported = read_nir(path, NETWORKS[name])
    source, hidden, output = imported.network.populations
    assert (source.kind, hidden.kind) == ("spike_source", "lif")
    # Two stages: what comes in waits two steps longer than in the tool, so that the last steps have to be added.
    inputs = np.concatenate([theirs.inputs, np.zeros((2, source.size), dtype=np.bool_)])
    spikes, voltage = computed_here(imported.network, inputs)
    assert theirs.hidden.sum() > 50
    assert np.array_equal(spikes[hidden.name][1:-1], theirs.hidden)
    if output.kind == "lif":
        assert theirs.output.sum() > 10
        assert np.array_equal(spikes[output.name][2:], theirs.output > 0.5)
    else:
        assert np.abs(voltage[2:] - theirs.output).max() < 1e-5 * np.abs(theirs.output).max()
    assert any("2" in sentence and "later" in sentence for sentence in imported.assumed)


@every_network
def test_golden_files_of_other_tools_give_the_spikes_of_these_tools(name: str, tmp_path: Path) -> None:
    path = tmp_path / "their.nir"
    assert_same(name, path, golden(name, path))


@every_network
def test_other_tools_write_what_gives_their_spikes(name: str, tmp_path: Path) -> None:
    for package in ("torch", "nir", "nirtorch", name.split("_")[0]):
        pytest.importorskip(package, reason=f"{package} is not installed; the golden files stand in for it")
    path = tmp_path / "their.nir"
    assert_same(name, path, run_tool(name, path))


def test_there_is_a_golden_file_of_every_network() -> None:
    assert {f.name.split(".")[0] for f in GOLDEN.glob("*.nir.gz")} == set(NETWORKS)
