"""The script of a bundle: machines, resets and data by name, with outputs that are those of the emulator each time."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation
from hardware_targets.loihi.lava_export import _circles, write_lava_folder
from hardware_targets.loihi.lava_runner import LAVA, run_on_chip
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.relays import extend_delays
from tests.loihi.lava_loihi_stand_in import IN, OUT, write_stand_in
from tests.loihi.random_networks import random_network, random_spikes
from tests.loihi.small_networks import projection
from toolchain.errors import MissingDependencyError
from toolchain.objective import Reading
from toolchain.spikes import SpikeTrains

PYTHON = LAVA.interpreter()
MISSING = (
    "--on loihi2 needs lava-loihi, Intel's extension of Lava (No module named 'lava.proc.embedded_io'); members of the "
    "INRC get it: https://neuromorphic.intel.com or inrc_interest@intel.com. --on cpu simulates the chip"
)


def call(folder: Path, *options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    command = [PYTHON, str(folder / "network.py"), "--out", str(folder / "out.npz"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def equal(n: int) -> str:
    return f"outputs equal the emulator's on {n} of {n} samples"


@pytest.mark.lava
def test_a_network_for_loihi1_is_simulated_and_on_loihi2_refused_by_name(tmp_path: Path) -> None:
    network, spikes = recurrent_network()
    write_lava_folder(network, spikes.select([0]), None, tmp_path / "lava", chip="loihi1")
    refused = call(tmp_path / "lava", "--on", "loihi2", path=write_stand_in(tmp_path / "stand_in"))
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "network.py: --on loihi2: this network was made for loihi1; it runs on cpu (README.md)"
    ]
    assert not (tmp_path / "lava/out.npz").exists()
    offered = call(tmp_path / "lava", "--help").stdout
    assert "--on {cpu}" in offered
    assert "loihi2" not in offered
    assert "--on nowhere: there is no such machine; it runs on cpu" in call(tmp_path / "lava", "--on", "nowhere").stderr
    done = call(tmp_path / "lava")
    assert done.returncode == 0, done.stderr
    assert equal(1) in done.stdout


def recurrent_network(readout: str = "leaky_readout", seed: int = 1) -> tuple[IntegerNetwork, SpikeTrains]:
    """Two populations that excite themselves and each other for a while, over delays up to 62, and then fall silent."""
    rng = np.random.default_rng(seed)
    lif = readout == "lif"
    populations = (
        IntegerPopulation("in", "spike_source", 6),
        IntegerPopulation("a", "lif", 8, 900, 500, 2500),
        IntegerPopulation("b", "lif", 6, 900, 500, 2500),
        IntegerPopulation("out", "lif" if lif else "leaky_readout", 3, 400, 100, 500 if lif else READOUT_VTH),
    )
    sizes = {p.name: p.size for p in populations}

    def random(source: str, target: str, low: int, high: int, slots: int):  # type: ignore[no-untyped-def]
        shape = (sizes[source], sizes[target])
        weight = (2 * rng.integers(low, high, shape)).tolist()
        return projection(source, target, weight, rng.integers(0, slots + 1, shape).tolist(), 2)

    projections = (
        random("in", "a", -10, 70, 62),
        random("a", "a", -50, 40, 62),
        random("a", "b", -10, 60, 20),
        random("b", "a", -60, 40, 62),
        random("b", "out", -40, 60, 5),
    )
    network = IntegerNetwork(1.0, populations, projections)
    return network, random_spikes(rng, network, 2, 50)


def relayed_network() -> tuple[IntegerNetwork, SpikeTrains]:
    """The same without circles, and slots up to 150 brought within 62 by relays."""
    network, spikes = recurrent_network()
    first = network.projections[0]
    slots = np.random.default_rng(3).integers(0, 151, first.slots.shape)
    network = replace(network, projections=(replace(first, slots=slots), *network.projections[2::2]))
    extended = extend_delays(network, read_limits("loihi2")).network
    assert len(extended.populations) == 6
    return extended, spikes


NETWORKS = {
    "deep": lambda: random_network(7),
    "recurrent": recurrent_network,
    "spiking output": lambda: recurrent_network("lif"),
    "relays": relayed_network,
}


# Lava takes its sparse projections slowly, and relays are made of them.
@pytest.fixture(params=[pytest.param(n, marks=pytest.mark.slow) if n == "relays" else n for n in NETWORKS])
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, IntegerNetwork, SpikeTrains]:
    network, spikes = NETWORKS[request.param]()
    assert spikes.n_samples > 1
    reading: Reading = "first_spike" if request.param == "spiking output" else "average"
    write_lava_folder(network, spikes, None, tmp_path / "lava", readout=reading)
    return tmp_path / "lava", network, spikes


@pytest.mark.lava
def test_both_recordings_and_both_resets_give_the_outputs_of_the_emulator(
    exported: tuple[Path, IntegerNetwork, SpikeTrains],
) -> None:
    folder, network, spikes = exported
    result = emulate(network, spikes, traces=True)
    limit = 2 if len(network.populations) > 5 else 3  # sparse projections take Lava long
    for options in (["--record", "outputs"], ["--record", "outputs", "--reset", "gap"], ["--reset", "gap"])[:limit]:
        done = call(folder, *options)
        assert equal(spikes.n_samples) in done.stdout, (options, done.stdout + done.stderr)
        with np.load(folder / "out.npz") as archive:
            entries = {key: archive[key] for key in archive.files}
        kind = "s" if network["out"].kind == "lif" else "v"
        if "--record" in options:
            assert sorted(entries) == ["prediction", f"{kind}/out"]
        values = result.spikes["out"] if kind == "s" else result.v["out"]
        assert entries[f"{kind}/out"].dtype == (np.bool_ if kind == "s" else np.int32)
        np.testing.assert_array_equal(entries[f"{kind}/out"], values)


@pytest.mark.lava
def test_the_path_to_a_chip_gives_the_outputs_of_the_emulator_and_says_how_late_they_were(
    exported: tuple[Path, IntegerNetwork, SpikeTrains], tmp_path: Path
) -> None:
    """With stand-ins for what leads to a chip; nothing here has run on one."""
    folder, network, spikes = exported
    done = call(folder, "--on", "loihi2", path=write_stand_in(tmp_path / "stand_in"))
    spiking = network["out"].kind == "lif"
    late = f"outputs are late by {IN + OUT} steps (s/out)" if spiking else f"outputs are late by {IN} steps (v/out)"
    assert late in done.stdout, done.stdout + done.stderr
    assert equal(spikes.n_samples) in done.stdout, done.stdout + done.stderr


@pytest.mark.lava
def test_without_the_empty_steps_spikes_under_way_spoil_the_next_sample(tmp_path: Path) -> None:
    """What the two tests above could not see if it were not so."""
    network, spikes = recurrent_network()
    write_lava_folder(network, spikes, None, tmp_path)
    script = tmp_path / "network.py"
    script.write_text(script.read_text().replace("depth=2,", "depth=0,"))
    assert "outputs equal the emulator's on 1 of 2 samples" in call(tmp_path, "--reset", "gap").stdout


@pytest.mark.slow
@pytest.mark.lava
def test_a_population_that_excites_itself_for_ever_is_found_and_needs_a_restart(tmp_path: Path) -> None:
    network, spikes = random_network(9)
    write_lava_folder(network, spikes, None, tmp_path)
    done = call(tmp_path, "--reset", "gap")
    assert done.returncode == 1
    assert "--reset gap: h0 still spike 1710 empty steps after a sample" in done.stderr
    assert "Traceback" not in done.stderr
    assert equal(3) in call(tmp_path, "--reset", "restart", "--record", "outputs").stdout


@pytest.mark.lava
def test_data_of_ones_own(tmp_path: Path) -> None:
    """Any file in the layout of samples.npz, of any number of steps, and no traceback for any that is not."""
    network, spikes = recurrent_network()
    write_lava_folder(network, spikes, None, tmp_path)
    other = random_spikes(np.random.default_rng(8), network, 2, 90)
    good: dict[str, NDArray[Any]] = {
        "times": other.times,
        "units": other.units,
        "offsets": other.offsets,
        "n_units": np.array(6),
        "n_steps": np.array(90),
        "labels": np.array([0, 1]),
    }
    data = tmp_path / "own.npz"
    np.savez(data, **good)
    done = call(tmp_path, "--data", str(data), "--record", "outputs")
    assert "accuracy" in done.stdout, done.stderr
    assert "equal" not in done.stdout
    with np.load(tmp_path / "out.npz") as archive:
        np.testing.assert_array_equal(archive["v/out"], emulate(network, other, traces=True).v["out"])
    for spoiled, message in (
        ({"n_units": np.array(7)}, "7 units, 90 steps; the network has 6 sources"),
        ({"times": good["times"] + 1}, "steps 1 to 90 are outside 0..89"),
        ({"units": good["units"] - 1}, "units -1 to 4 are outside 0..5"),
        ({"offsets": good["offsets"][::-1]}, "offsets must rise from 0"),
        ({"labels": np.array([1])}, "labels must be 2 integers"),
        ({"times": np.array([{}], dtype=object)}, "cannot be read (Object arrays cannot be loaded"),
    ):
        np.savez(data, **{**good, **spoiled})
        done = call(tmp_path, "--data", str(data))
        assert done.returncode == 2
        assert done.stderr.startswith("network.py: ")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.lava
def test_what_is_missing_for_a_chip_is_said_in_one_line(tmp_path: Path) -> None:
    network, spikes = recurrent_network()
    write_lava_folder(network, spikes, None, tmp_path)
    done = call(tmp_path, "--on", "loihi2")
    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"network.py: {MISSING}\n")
    assert call(tmp_path, "--on", "loihi2", "--record", "full").returncode == 2
    with pytest.raises(MissingDependencyError) as caught:
        run_on_chip(tmp_path, samples=1, timeout_s=60)
    assert str(caught.value) == f"loihi2: {MISSING}"


@pytest.mark.lava
def test_outputs_of_a_chip_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, spikes = random_network(7)
    write_lava_folder(network, spikes, None, tmp_path / "lava")
    monkeypatch.setenv("PYTHONPATH", str(write_stand_in(tmp_path / "stand_in")))
    outputs = run_on_chip(tmp_path / "lava", samples=spikes.n_samples, timeout_s=120)
    assert outputs.spikes == {}
    np.testing.assert_array_equal(outputs.v["out"], emulate(network, spikes, traces=True).v["out"])


def test_circles_and_rows_of_populations() -> None:
    """Sources count, circles count once, what passes nothing on does not count."""
    network, _ = recurrent_network()
    assert _circles(network) == (["a", "b"], 2)
    chain = replace(network, projections=(network.projections[0], network.projections[2], network.projections[4]))
    assert _circles(chain) == ([], 3)
    assert _circles(replace(network, projections=network.projections[:2])) == (["a"], 2)
    assert _circles(replace(network, projections=())) == ([], 0)
    relays = relayed_network()[0]
    assert _circles(relays) == ([], 5)
