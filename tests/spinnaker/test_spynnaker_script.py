"""The exported script run to the end, with a stand-in for sPyNNaker that computes in the chip's integers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import IntegerNetwork, IntegerPopulation
from tests.spinnaker.exported import LABELS, export, extended_plan, neurons, run_script, samples, small_network
from tests.spinnaker.mapped import projection
from toolchain.errors import InputError, NetworkError
from toolchain.spikes import SpikeTrains

CLASSES = 3


@pytest.fixture(scope="module")
def network() -> IntegerNetwork:
    return small_network()


@pytest.fixture(scope="module")
def spikes(network: IntegerNetwork) -> SpikeTrains:
    return samples(network)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, network: IntegerNetwork, spikes: SpikeTrains) -> Path:
    return export(tmp_path_factory.mktemp("bundle"), network, spikes)


def read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def test_the_folder_holds_what_it_says_and_nothing_that_is_run_when_read(folder: Path, network: IntegerNetwork) -> None:
    assert sorted(p.name for p in folder.iterdir() if p.name != "__pycache__") == [
        "README.md",
        "arrays.npz",
        "class_reading.py",
        "expected.npz",
        "network.json",
        "network.py",
        "samples.npz",
        "spynnaker_running.py",
        "spynnaker_samples.py",
        "spynnaker_virtual.py",
        "tables.json",
        "tables.npz",
    ]
    assert "delayline" not in (folder / "network.py").read_text()
    for name in ("spynnaker_running.py", "spynnaker_samples.py", "spynnaker_virtual.py", "class_reading.py"):
        text = (folder / name).read_text()
        assert "import hardware_targets" not in text
        assert "import toolchain" not in text
    lists = read(folder / "arrays.npz")
    assert lists["in_.hidden_layer.excitatory"].shape[1] == 4
    assert extended_plan(network).layout.stages == {"in": 1, "hidden layer": 1}
    text = (folder / "README.md").read_text()
    assert "{" not in text.replace("{n", "")


@pytest.mark.parametrize("how", [[], ["--together"]], ids=["one by one", "together"])
def test_every_sample_is_what_the_emulator_says(
    folder: Path, network: IntegerNetwork, spikes: SpikeTrains, tmp_path: Path, how: list[str]
) -> None:
    """Spikes of all populations and v of the readout, to the last bit; the lines that README.md foretells."""
    done = run_script(folder, tmp_path, *how)
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "traces.npz")
    truth = emulate(network, spikes, traces=True, threads=1)
    assert set(found) == {"s/hidden layer", "s/out", "v/out", "prediction"}
    for name in ("hidden layer", "out"):
        np.testing.assert_array_equal(found[f"s/{name}"], truth.spikes[name])
    assert found["s/hidden layer"].any(axis=(1, 2)).all()
    assert found["v/out"].dtype == np.int32
    np.testing.assert_array_equal(found["v/out"], truth.readout_v)
    weights = np.exp(-np.arange(spikes.n_steps) / spikes.n_steps)
    classes = np.einsum("t,sto->so", weights, truth.readout_v.astype(np.float64)).argmax(axis=1)
    np.testing.assert_array_equal(found["prediction"], classes)
    readme = (folder / "README.md").read_text().splitlines()
    last = done.stdout.splitlines()[-3:]
    assert [f"    {line}" in readme for line in last] == [True, True, True], last
    right = int(np.sum(classes == LABELS))
    assert last[0] == f"accuracy {right / CLASSES:.4f} ({right} of {CLASSES} right)"
    assert last[1] == "spikes and v equal the emulator's on 3 of 3 samples"
    said = [f"sample {i}: class {c}, label {label}" for i, (c, label) in enumerate(zip(classes, LABELS, strict=True))]
    assert done.stdout.splitlines()[-6:-3] == said
    # Nothing but the traces is written, here or in the home.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "stand-in", "traces.npz"]
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.slow
def test_steps_of_a_tenth_of_a_millisecond_land_in_their_ticks(tmp_path: Path) -> None:
    network = small_network(longest=30, dt_ms=0.1)
    done = run_script(export(tmp_path, network, samples(network)), tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "equal the emulator's on 3 of 3 samples" in done.stdout


def test_a_network_that_does_not_fall_silent_is_not_run_together(tmp_path: Path) -> None:
    """One neuron that excites itself for ever: the next sample would not begin at rest."""
    populations = (IntegerPopulation("in", "spike_source", 1), neurons("loop", 1, threshold=1.0))
    weight, delay = np.array([[60000]]), np.array([[3]])
    network = IntegerNetwork(
        1.0, populations, (projection("in", "loop", weight, delay), projection("loop", "loop", weight, delay))
    )
    raster = samples(IntegerNetwork(1.0, (IntegerPopulation("in", "spike_source", 2), populations[1]), ()), n_samples=2)
    spikes = SpikeTrains(raster.times, np.zeros_like(raster.units), raster.offsets, 1, raster.n_steps)
    folder = export(tmp_path, network, spikes)
    done = run_script(folder, tmp_path / "run", "--together")
    assert done.returncode == 1
    assert "network.py: --together: loop still spikes" in done.stderr
    assert "before sample 0 is cleared" in done.stderr
    assert not (tmp_path / "run" / "traces.npz").exists()
    alone = run_script(folder, tmp_path / "run", "--samples", "2")
    assert "equal the emulator's on 2 of 2 samples" in alone.stdout, alone.stderr


def test_where_no_pause_brings_neurons_back_together_is_refused(tmp_path: Path) -> None:
    network = small_network()
    for population in network.simulated:
        assert population.parameters is not None
        population.parameters.i_offset[:] = 5
    folder = export(tmp_path, network, samples(network))
    done = run_script(folder, tmp_path / "run", "--together")
    assert done.returncode == 2
    assert done.stderr == (
        "network.py: --together: population hidden layer has an i_offset, so its neurons do not stay at v_rest; "
        "leave it out\n"
    )
    assert "`--together` is refused for this network" in (folder / "README.md").read_text()


def test_samples_that_leave_the_range_of_the_proof_are_not_run_together(tmp_path: Path) -> None:
    """Synaptic values above 32768 mV: full weights with the largest shift."""
    network = small_network(longest=1)
    wide = tuple(p if p.kind == "spike_source" else replace(p, shifts=(16, 16)) for p in network.populations)
    folder = export(tmp_path, replace(network, populations=wide), samples(network))
    about = json.loads((folder / "network.json").read_text())
    assert about["clearing"] is None
    assert "range that is covered" in about["not_clearable"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "4"], "--samples 4 is outside 1..3"),
        (["--samples", "0"], "--samples 0 is outside 1..3"),
        (["--quiet", "9"], "--quiet goes with --together"),
        (["--together", "--quiet", "9"], "--quiet 9 is below"),
        (["--together", "--virtual", "x"], "--virtual maps what runs one sample at a time"),
        (["--data", "absent.npz"], "absent.npz: cannot be read"),
    ],
)
def test_unusable_options_end_with_one_line(folder: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run_script(folder, tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"network.py: {message}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_damaged_and_foreign_samples_are_refused(folder: Path, spikes: SpikeTrains, tmp_path: Path) -> None:
    good = read(folder / "samples.npz")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"n_units": np.array(21)}, "21 units"),
        ({"times": good["times"] + 60}, "steps 60 to"),
        ({"units": good["units"] + 1}, "units 2 to 20 are outside 0..19"),
        ({"offsets": good["offsets"][:-1]}, "offsets must rise"),
        ({"labels": np.zeros(2, dtype=np.int64)}, "labels must be 3 integers"),
        ({"times": good["times"].astype(np.float64)}, "flat arrays of integers"),
    ]
    for changes, message in cases:
        with (tmp_path / "other.npz").open("wb") as file:
            np.savez(file, **{**good, **changes})
        done = run_script(folder, tmp_path, "--data", "other.npz")
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_other_samples_run_without_a_comparison(folder: Path, network: IntegerNetwork, tmp_path: Path) -> None:
    other = samples(network, n_samples=1, n_ticks=25, seed=9)
    with (tmp_path / "other.npz").open("wb") as file:
        arrays = {name: getattr(other, name) for name in ("times", "units", "offsets")}
        np.savez(file, **arrays, n_units=np.array(other.n_units), n_steps=np.array(other.n_steps))
    done = run_script(folder, tmp_path, "--data", "other.npz", "--out", "mine.npz")
    assert done.returncode == 0, done.stderr
    assert "equal" not in done.stdout
    np.testing.assert_array_equal(read(tmp_path / "mine.npz")["v/out"], emulate(network, other).readout_v)


def test_names_are_no_code(tmp_path: Path) -> None:
    """A name may hold anything; it stands in the script as a text or not at all."""
    evil = 'x\'); import os; os.abort() #\n"""'
    populations = (
        IntegerPopulation("in", "spike_source", 2),
        neurons(evil, 2, threshold=2.0),
        neurons("sim", 1, threshold=1),
    )
    ones = np.full((2, 2), 9000)
    network = IntegerNetwork(
        1.0,
        populations,
        (projection("in", evil, ones, ones // 3000), projection(evil, "sim", ones[:, :1], ones[:, :1] // 3000)),
    )
    spikes = samples(network, n_samples=1)
    done = run_script(export(tmp_path, network, spikes), tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "equal the emulator's on 1 of 1 samples" in done.stdout


def test_without_spynnaker_the_script_says_how_to_get_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stand-in" / "pyNN").mkdir(parents=True)
    (tmp_path / "stand-in" / "pyNN" / "__init__.py").write_text("")
    (tmp_path / "stand-in" / "pyNN" / "spiNNaker.py").write_text("raise ImportError('No module named spynnaker')")
    done = run_script(folder, tmp_path)
    assert done.returncode == 4
    assert done.stderr == (
        "network.py: cannot import sPyNNaker: No module named spynnaker; pip install 'sPyNNaker==1!7.4.1'\n"
    )


def test_spikes_and_labels_that_do_not_fit_are_refused(network: IntegerNetwork, tmp_path: Path) -> None:
    from hardware_targets.spinnaker.spynnaker_export import write_spynnaker_folder

    spikes, plan = samples(network), extended_plan(network)

    def write(spikes: SpikeTrains, labels: Any) -> None:
        write_spynnaker_folder(network, plan, spikes, labels, tmp_path / "x", readout="sum")

    with pytest.raises(InputError, match="labels: float64 of shape"):
        write(spikes, np.zeros(3))
    with pytest.raises(InputError, match=r"0 samples of 60 steps"):
        write(spikes.select([]), None)
    other = SpikeTrains(spikes.times, spikes.units, spikes.offsets, 30, spikes.n_steps)
    with pytest.raises((InputError, NetworkError), match="30 units"):
        write(other, None)
    assert not (tmp_path / "x").exists()


def test_json_of_the_folder_is_plain(folder: Path) -> None:
    about = json.loads((folder / "network.json").read_text())
    assert about["readout"] == "v/out"
    assert about["simulated"] == {"hidden layer": 60, "out": 3}
