"""Neurons of NIR without a synaptic current, on chips: tau_syn of dt/32 and weights of 32 times the file's."""

from __future__ import annotations

import itertools
from pathlib import Path

import nir
import numpy as np
import pytest

from hardware_targets.loihi import loihi2
from hardware_targets.spinnaker import spinnaker1
from tests.oracles.reference import simulate
from toolchain.deployment.target import Target
from toolchain.interchange.nir import NirAssumptions, read_nir
from toolchain.spikes import from_rasters

N_IN, N, STEPS, SAMPLES = 6, 12, 80, 12


@pytest.mark.parametrize("target", [loihi2, spinnaker1], ids=lambda t: t.name)
@pytest.mark.parametrize("dt_ms", [1.0, 0.1])
def test_a_lif_of_another_tool_spikes_on_the_chip_as_in_float(target: Target, dt_ms: float, tmp_path: Path) -> None:
    """Thresholds of each neuron, delays of half a step: by 8 bits of weight at most one count in twenty differs."""
    random, dt_s = np.random.default_rng(0), dt_ms / 1000
    lif = {"tau": np.full(N, 12 * dt_s), "r": np.ones(N), "v_leak": np.zeros(N), "v_reset": np.zeros(N)}
    nodes = {
        "my.input": nir.Input(input_type=np.array([N_IN])),
        "late": nir.Delay(np.arange(N_IN) * 1.5 * dt_s),
        "w": nir.Linear(random.normal(4, 5, (N, N_IN))),
        "hidden_": nir.LIF(**lif, v_threshold=np.geomspace(0.5, 2, N)),
        "v": nir.Linear(random.normal(0, 4, (3, N))),
        "out": nir.LI(np.full(3, 20 * dt_s), np.ones(3), np.zeros(3)),
        "output": nir.Output(output_type=np.array([3])),
    }
    path = tmp_path / "theirs.nir"
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(nodes))))
    network = read_nir(path, NirAssumptions(dt_ms)).network
    inputs = random.random((SAMPLES, STEPS, N_IN)) < 0.08
    spikes = from_rasters(inputs)
    quantised = target.quantise(network, spikes, clip_delays=True)
    emulated = target.emulate(quantised, spikes)
    expected = np.array([simulate(network, {"my.input": one}).spikes["hidden_"].sum(axis=0) for one in inputs])
    assert expected.sum() > 200
    assert emulated.neuron_counts["hidden_"].shape == expected.shape
    assert np.count_nonzero(emulated.neuron_counts["hidden_"] != expected) <= expected.size // 20
