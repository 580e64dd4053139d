"""NetX files in lava-dl itself: what its reader builds from ours, what Lava computes, and what it reads wrongly.

lava-dl 0.6.0 needs Python 3.10 and torch below 2.4, so it lives in an environment of its own:

    python3.10 -m venv lava-dl && lava-dl/bin/pip install lava-dl==0.6.0 'setuptools<70'
    DELAYLINE_LAVA_DL_PYTHON=lava-dl/bin/python pytest tests/interchange/test_netx_lava_dl.py
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hardware_targets.loihi.netx_export import write_netx
from hardware_targets.loihi.netx_synapses import delivered_weights
from hardware_targets.vendor_process import run_session
from tests.interchange.chains import looped_chain, quantised_of, random_chain
from tests.interchange.test_netx import assert_like_the_emulator, outputs
from toolchain.errors import InterchangeError

N_READ, RUN, LOOPED = 40, (5, 8, 17, 23, 32, 44, 100), 100
SECONDS = 900


@cache
def interpreter() -> str | None:
    """The Python that has lava-dl, or None."""
    if named := os.environ.get("DELAYLINE_LAVA_DL_PYTHON"):
        return named
    try:
        importlib.metadata.version("lava-dl")
    except importlib.metadata.PackageNotFoundError:
        return None
    return sys.executable


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(interpreter() is None, reason="lava-dl is not installed; DELAYLINE_LAVA_DL_PYTHON names none"),
]


def in_lava_dl(folder: Path, *options: str) -> None:
    script = Path(__file__).with_name("lava_dl_script.py")
    ended = run_session([str(interpreter()), str(script), str(folder), *options], folder, SECONDS)
    assert ended.code == 0, ended


def test_its_reader_holds_our_constants_weights_and_delays(tmp_path: Path) -> None:
    kinds = set()
    written = {}
    for seed in range(N_READ):
        network, _ = random_chain(seed, exponents=(-1, 0, 1, 2))
        try:
            written[seed] = write_netx(quantised_of(network), tmp_path / f"{seed}.net"), network
        except InterchangeError:
            continue
    assert len(written) > 15
    in_lava_dl(tmp_path)
    for seed, (about, network) in written.items():
        read = outputs(tmp_path / f"{seed}.read.npz")
        assert read["layers"] == len(about.layers) - 1
        for i, name in enumerate(about.layers[1:]):
            population, (projection,) = network[name], [p for p in network.projections if p.target == name]
            constants = [int(np.asarray(read[f"{i}/{k}"]).ravel()[0]) for k in ("du", "dv", "vth", "bias_mant")]
            assert constants == [population.du, population.dv, population.vth, 0]
            delivered = read[f"{i}/weights"] * 2.0 ** int(read[f"{i}/weight_exp"])
            assert np.array_equal(delivered, projection.weight.T * 2.0**projection.exponent)
            assert np.array_equal(read.get(f"{i}/delays", 0 * projection.slots.T), projection.slots.T)
            kinds.add((str(read[f"{i}/neuron"]), str(read[f"{i}/synapse"])))
    assert kinds == {("LIF", "Dense"), ("LIF", "DelayDense")}


def test_what_it_runs_in_lava_is_what_the_emulator_says(tmp_path: Path) -> None:
    """Spikes, u and v of every neuron at every step."""
    cases = {}
    for seed in RUN:
        network, spikes = random_chain(seed) if seed != LOOPED else looped_chain(seed)
        cases[seed] = write_netx(quantised_of(network), tmp_path / f"{seed}.net").layers, network, spikes
        np.save(tmp_path / f"{seed}.npy", spikes.dense(0).astype(np.int32))
    in_lava_dl(tmp_path, "--run")
    spiked = []
    for seed, (layers, network, spikes) in cases.items():
        ran = {
            f"{int(k.split('/')[0]) + 1}/{k.split('/')[1]}": v
            for k, v in outputs(tmp_path / f"{seed}.ran.npz").items()
            if "/" in k
        }
        spiked.append(assert_like_the_emulator(network, spikes, layers, ran))
    assert min(spiked) > 50


def test_our_account_of_what_it_does_to_weights_is_its_own(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    matrices: dict[str, Any] = {}
    for i in range(3000):
        low = int(random.choice([-600, -300, -256, -255, -128, -64, -9, -1, 0, 1]))
        high = int(random.choice([-1, 0, 1, 2, 8, 100, 127, 128, 254, 255, 256, 300, 600]))
        step = int(random.choice([1, 1, 2, 2, 4, 16, 64, 128, 256]))
        if high >= low:
            matrices[str(i)] = random.integers(low, high + 1, (2, 3)) // step * step
    np.savez(tmp_path / "weights.npz", **matrices)
    in_lava_dl(tmp_path)
    theirs, altered, failed = outputs(tmp_path / "weights.read.npz"), 0, 0
    for name, weight in matrices.items():
        ours = delivered_weights(weight)
        if ours is None:
            assert np.isnan(theirs[name]).all(), weight
            failed += 1
        else:
            assert np.array_equal(ours[0], theirs[name]), weight
            altered += not np.array_equal(ours[0], weight)
    assert altered > 100
    assert failed > 100


def recurrent_file(path: Path) -> None:
    """As ml_genn_netx writes them: delay and, of the recurrent synapses, delay_rec."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("layer/0")
        entry["type"], entry["shape"] = np.array(["input"], "S10"), [3]
        entry = file.create_group("layer/1")
        entry["type"], entry["shape"] = np.array(["dense_rec"], "S10"), [3]
        entry["weight"], entry["weight_rec"] = np.array([[2, 4, 8]] * 3), np.array([[2, 4, 6]] * 3)
        entry["delay"], entry["delay_rec"] = np.array([[1, 2, 3]] * 3), np.array([[4, 5, 6]] * 3)
        neuron = entry.create_group("neuron")
        neuron["type"] = np.array(["CUBA"], "S10")
        for name, value in {"iDecay": 10, "vDecay": 20, "vThMant": 30, "refDelay": 1}.items():
            neuron[name] = value


def test_delays_of_recurrent_layers_are_refused_with_reason(tmp_path: Path) -> None:
    recurrent_file(tmp_path / "delayed.net")
    in_lava_dl(tmp_path)
    read = outputs(tmp_path / "delayed.read.npz")
    assert read["0/rec_delays"].tolist() == [[1, 2, 3]] * 3  # those of the other synapses
    assert read["0/rec_weights"].tolist() == [[32, 64, 96]] * 3  # 16 times what they are, and no exponent
    assert np.isnan(read["0/rec_weight_exp"])
