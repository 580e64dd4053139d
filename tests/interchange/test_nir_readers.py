"""Our files in other programs: sc-neurocore 3.16, which has delays, and Norse and snnTorch, which have none.

``python -m tests.interchange.test_nir_readers FILE`` writes the golden files of sc-neurocore.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.interchange.nir_tools import GOLDEN
from tests.networks import random_network
from tests.oracles.reference import simulate
from toolchain.interchange.nir import NirAssumptions, read_nir, write_nir
from toolchain.network import Network, make_projection

STEPS = 150
AS_THEY_DO = NirAssumptions(discretisation="euler", hop="within-step")
"""How sc-neurocore and Norse compute what they read."""
NEUROCORE = ("feedforward", "two_layers", "recurrent", "skip")
neurocore = pytest.mark.parametrize("shape", NEUROCORE)


def network_of(shape: str, *, delays: bool = True) -> Network:
    network = random_network(shape, np.random.default_rng(4), spiking_output=True, max_slot=6)
    # Loops that excite make every neuron spike in every step, which shows little.
    found = (
        make_projection(p.source, p.target, -p.weight if p.source == p.target else p.weight, p.slots() if delays else 0)
        for p in network.projections
    )
    return replace(network, projections=tuple(found))


def spikes_here(path: Path, inputs: NDArray[np.bool_]) -> tuple[dict[str, NDArray[np.bool_]], dict[str, int]]:
    """Spikes of our reading of a file as others compute it, moved back by the latency that it states."""
    imported = read_nir(path, AS_THEY_DO)
    (sentence,) = (s for s in imported.assumed if "come later here" in s)
    late = {name: int(n) for name, n in (p.split() for p in sentence.rstrip(".").split(": ")[1].split(", "))}
    padded = np.concatenate([inputs, np.zeros((max(late.values()), inputs.shape[1]), dtype=np.bool_)])
    state = simulate(imported.network, {"in": padded})
    return {name: state.spikes[name][n : n + STEPS] for name, n in late.items()}, late


def inputs_of(network: Network) -> NDArray[np.bool_]:
    return np.random.default_rng(5).random((STEPS, network["in"].size)) < 0.04


def neurocore_spikes(network: Network, path: Path, inputs: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """What sc-neurocore computes from a file, (steps, units) of every lif."""
    from sc_neurocore.nir_bridge import from_nir

    theirs = from_nir(str(path), dt=network.dt_ms / 1000)
    seen: dict[str, list[NDArray[np.float64]]] = {p.name: [] for p in network.of_kind("lif")}
    for name, rows in seen.items():
        theirs.nodes[name].forward = _recorded(theirs.nodes[name].forward, rows)
    for row in inputs:
        theirs.step({"in": row.astype(np.float64)})
    return {name: np.array(rows) > 0 for name, rows in seen.items()}


def _recorded(forward: Any, rows: list[NDArray[np.float64]]) -> Any:
    def recording(x: Any) -> Any:
        rows.append(np.array(forward(x)))
        return rows[-1]

    return recording


@neurocore
def test_sc_neurocore_read_our_delays(shape: str, tmp_path: Path) -> None:
    """Delay, Linear, sums and loops of our file in another program: every spike of every population in its step."""
    network, path = network_of(shape), tmp_path / "n.nir"
    write_nir(network, path)
    ours, late = spikes_here(path, inputs_of(network))
    with np.load(GOLDEN / f"sc_neurocore_{shape}.npz", allow_pickle=False) as theirs:
        assert set(late) == set(theirs.files) == set(ours)
        for name, spikes in ours.items():
            assert np.array_equal(spikes, theirs[name]), name
    assert sum(int(s.sum()) for s in ours.values()) > 100


@neurocore
def test_sc_neurocore_reads_our_delays_still(shape: str, tmp_path: Path) -> None:
    pytest.importorskip("sc_neurocore.nir_bridge", reason="sc-neurocore is not installed; golden files stand in for it")
    network, path = network_of(shape), tmp_path / "n.nir"
    write_nir(network, path)
    ours, _ = spikes_here(path, inputs_of(network))
    for name, spikes in neurocore_spikes(network, path, inputs_of(network)).items():
        assert np.array_equal(spikes, ours[name]), name


def test_norse_reads_our_networks_without_delays(tmp_path: Path) -> None:
    norse = pytest.importorskip(
        "norse.torch", reason="norse is not installed; nir and sc-neurocore's golden files read ours without it"
    )
    torch = pytest.importorskip("torch", reason="torch, which norse needs, is not installed")
    network, path = network_of("two_layers", delays=False), tmp_path / "n.nir"
    write_nir(network, path)
    inputs, rows, state = inputs_of(network), [], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nirtorch announces its next interface
        theirs = norse.from_nir(nir.read(path), dt=network.dt_ms / 1000)
    with torch.no_grad():
        for row in inputs:
            spikes, state = theirs(torch.from_numpy(row.astype(np.float32))[None], state)
            rows.append(spikes[0].numpy())
    ours, _ = spikes_here(path, inputs)
    assert np.array_equal(ours["out"], np.array(rows) > 0)
    assert ours["out"].sum() > 20


def test_snntorch_refuses_a_resistance_of_one(tmp_path: Path) -> None:
    """It takes CubaLIF only with r = tau_mem/dt for its own step of 0.1 ms, and says so: nothing is read wrongly."""
    importer = pytest.importorskip(
        "snntorch.import_nir", reason="snntorch is not installed; that it refuses our files is about snntorch alone"
    )
    path = tmp_path / "n.nir"
    write_nir(network_of("feedforward", delays=False), path)
    with pytest.raises(AssertionError, match="r not supported in CubaLIF"):
        importer.import_from_nir(nir.read(path))


if __name__ == "__main__":
    for one in NEUROCORE:
        net, file = network_of(one), Path(sys.argv[1])
        write_nir(net, file)
        found: dict[str, Any] = dict(neurocore_spikes(net, file, inputs_of(net)))
        np.savez_compressed(GOLDEN / f"sc_neurocore_{one}.npz", **found)
