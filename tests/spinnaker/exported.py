"""Small networks that are exported, with samples that leave spikes under way at their end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import (
    NO_THRESHOLD,
    ONE,
    IntegerNetwork,
    IntegerPopulation,
    NeuronParameters,
)
from hardware_targets.spinnaker.plan import Plan
from hardware_targets.spinnaker.spynnaker_export import write_spynnaker_folder
from tests.spinnaker.mapped import plan_of, projection
from tests.spinnaker.pynn_stand_in import write_stand_in
from toolchain.network import Kind
from toolchain.spikes import SpikeTrains, bin_events

ROOT = Path(__file__).parents[2]
LABELS = np.array([1, 0, 2], dtype=np.int64)
SIZES = {"in": 20, "hidden layer": 60, "out": 3}


def neurons(
    name: str, size: int, *, threshold: float, kind: Kind = "lif", tau_m: float = 20.0, shift: int = 3
) -> IntegerPopulation:
    """A population of equal neurons at rest at 0; tau_m in ms, threshold in mV."""
    values = {
        "tau_m": tau_m,
        "cm": tau_m,
        "tau_syn_e": 5.0,
        "tau_syn_i": 4.0,
        "v_rest": 0.0,
        "v_reset": 0.0,
        "v_thresh": threshold,
        "i_offset": 0.0,
        "tau_refrac": 0.0,
    }
    integers = [np.full(size, min(round(v * ONE), NO_THRESHOLD), dtype=np.int32) for v in values.values()]
    return IntegerPopulation(name, kind, size, NeuronParameters(*integers), (shift, shift + 1), 1.0)


def small_network(longest: int = 200, dt_ms: float = 1.0, recurrent: float = 0.1) -> IntegerNetwork:
    """20 sources, 60 recurrent neurons, 3 readouts; hidden and output neurons differ in a parameter each."""
    rng = np.random.default_rng(7)
    hidden = neurons("hidden layer", SIZES["hidden layer"], threshold=2.0)
    assert hidden.parameters is not None
    hidden.parameters.tau_m[:] = rng.integers(10 * ONE, 30 * ONE, hidden.size)
    hidden.parameters.cm[:] = hidden.parameters.tau_m
    hidden.parameters.tau_refrac[::7] = 3 * ONE
    populations = (
        IntegerPopulation("in", "spike_source", SIZES["in"]),
        hidden,
        neurons("out", SIZES["out"], threshold=65536.0, kind="leaky_readout"),
    )

    def some(source: str, target: str, share: float, mean: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shape = (SIZES[source], SIZES[target])
        weight = np.rint(rng.normal(mean, 2500, shape)).astype(np.int64)
        weight = np.where(rng.random(shape) < share, weight, 0)
        return weight, rng.integers(1, longest + 1, shape)

    return IntegerNetwork(
        dt_ms,
        populations,
        (
            projection("in", "hidden layer", *some("in", "hidden layer", 0.6, 4000.0)),
            projection("hidden layer", "hidden layer", *some("hidden layer", "hidden layer", recurrent, 0.0)),
            projection("hidden layer", "out", *some("hidden layer", "out", 1.0, 0.0)),
        ),
    )


def samples(network: IntegerNetwork, n_samples: int = 3, n_ticks: int = 60, seed: int = 1) -> SpikeTrains:
    """Random spikes, one source silent throughout, all others busy in the last tick."""
    rng = np.random.default_rng(seed)
    n_units = sum(p.size for p in network.sources)
    found = []
    for _ in range(n_samples):
        raster = rng.random((n_ticks, n_units)) < 0.15
        raster[-1] = True
        raster[:, 0] = False
        times, units = np.nonzero(raster)
        found.append((times, units))
    return bin_events(found, n_units, n_ticks)[0]


def extended_plan(network: IntegerNetwork) -> Plan:
    """All neurons of a population on one core, so that delays beyond 128 ticks go through an extension."""
    return plan_of(network, {p.name: p.size for p in network.populations})


def export(folder: Path, network: IntegerNetwork, spikes: SpikeTrains) -> Path:
    """Write the folder, with labels where there are three samples."""
    labels = LABELS if spikes.n_samples == LABELS.size else None
    write_spynnaker_folder(
        network, extended_plan(network), spikes, labels, folder / "spinnaker", readout="exp_weighted_average"
    )
    return folder / "spinnaker"


def run_script(folder: Path, scratch: Path, *arguments: str, stand_in: bool = True) -> subprocess.CompletedProcess[str]:
    """Run network.py in `scratch`, with the stand-in for sPyNNaker or without any of ours on the path."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"HOME": str(home)}
    # As `spynnaker_runner` does: what is run from a bundle's folder leaves nothing in it.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if stand_in:
        path = scratch / "stand-in"
        if not path.exists():
            write_stand_in(path)
        environment["PYTHONPATH"] = f"{path}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, str(folder / "network.py"), *arguments],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
