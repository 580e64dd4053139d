"""The exported folder: what is in it, that nothing escapes from a name, and that it runs on its own."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import LAVA, run_lava
from tests.loihi.random_networks import assert_equal_traces, random_network, random_spikes
from toolchain.errors import InputError, NetworkError
from toolchain.spikes import SpikeTrains

LAVA_PYTHON = LAVA.interpreter()
ODD_NAMES = (
    "');__import__('os')._exit(3)#",
    '"""',
    "{name}",
    "class",
    "input",
    "np",
    "1st",
    "höhe",
    "a-b",
    "a_b",
    "network",
    "a_b.npy",
)


def chain(names: tuple[str, ...], seed: int = 0) -> tuple[IntegerNetwork, SpikeTrains]:
    """A source, hidden populations one after the other, and a readout, under these names."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 5, len(names)).tolist()
    kinds = ["spike_source", *["lif"] * (len(names) - 2), "leaky_readout"]
    populations = tuple(
        IntegerPopulation(name, kind, size, 300, 200, READOUT_VTH if kind == "leaky_readout" else 40)  # type: ignore[arg-type]
        for name, kind, size in zip(names, kinds, sizes, strict=True)
    )
    projections = tuple(
        IntegerProjection(
            names[i],
            names[i + 1],
            (2 * rng.integers(-20, 128, (sizes[i], sizes[i + 1]))).astype(np.int32),
            1,
            rng.integers(0, 3 * (i % 2) + 1, (sizes[i], sizes[i + 1])),
        )
        for i in range(len(names) - 1)
    )
    network = IntegerNetwork(1.0, populations, projections)
    return network, random_spikes(rng, network, 2, 40)


def test_arrays_and_samples_hold_the_network(tmp_path: Path) -> None:
    network, spikes = random_network(4)
    labels = np.arange(spikes.n_samples, dtype=np.int16)
    write_lava_folder(network, spikes, labels, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "arrays.npz",
        "expected.npz",
        "lava_machines.py",
        "lava_reading.py",
        "lava_running.py",
        "network.py",
        "samples.npz",
    ]
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    assert any(p.mask is not None for p in network.projections)
    for projection in network.projections:
        key = f"{projection.source}_to_{projection.target}"
        weights, delays = arrays[f"{key}_weights"], arrays[f"{key}_delays"]
        assert (weights.dtype, delays.dtype) == (np.int32, np.int64)
        if projection.mask is None:
            np.testing.assert_array_equal(weights.T, projection.weight)
            np.testing.assert_array_equal(delays.T, projection.slots)
        else:
            pre, post = arrays[f"{key}_pre"], arrays[f"{key}_post"]
            assert weights.size == projection.n_synapses
            np.testing.assert_array_equal(weights, projection.weight[pre, post])
            np.testing.assert_array_equal(delays, projection.slots[pre, post])
            assert projection.mask[pre, post].all()
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as archive:
        again = SpikeTrains(
            archive["times"],
            archive["units"],
            archive["offsets"],
            int(archive["n_units"]),
            int(archive["n_steps"]),
        )
        np.testing.assert_array_equal(archive["labels"], labels)
    assert again.n_steps == spikes.n_steps
    for sample in range(spikes.n_samples):
        np.testing.assert_array_equal(again.dense(sample), spikes.dense(sample))


@pytest.mark.parametrize(
    ("slot", "masked", "process"),
    [
        (0, False, "Dense"),
        (5, False, "DelayDense"),
        (0, True, "Sparse"),
        (5, True, "DelaySparse"),
    ],
)
def test_the_cheapest_process_that_holds_the_projection(tmp_path: Path, slot: int, masked: bool, process: str) -> None:
    network, spikes = chain(("in", "out"))
    first = network.projections[0]
    mask = np.ones(first.weight.shape, dtype=np.bool_)
    mask[0, 0] = False
    slots = np.full(first.weight.shape, slot, dtype=np.int64)
    if masked:
        slots[0, 0] = 62  # not a synapse, so not a reason for delays
    network = replace(network, projections=(replace(first, slots=slots, mask=mask if masked else None),))
    write_lava_folder(network, spikes, None, tmp_path)
    script = (tmp_path / "network.py").read_text()
    assert f"    in_to_out = {process}(\n" in script
    assert ("max_delay=5," in script) == (slot == 5)
    assert "sign_mode=SignMode.MIXED" in script
    assert "weight_exp=1," in script
    assert "vth=131071" in script


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    network, spikes = random_network(2)
    for name in ("a", "b"):
        write_lava_folder(network, spikes, None, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("seed", range(12))
def test_script_is_python_and_imports_only_lava_and_its_needs(tmp_path: Path, seed: int) -> None:
    network, spikes = random_network(seed)
    write_lava_folder(network, spikes, None, tmp_path)
    scripts = [path.read_text() for path in sorted(tmp_path.glob("*.py"))]
    modules = {
        name.split(".")[0]
        for script in scripts
        for node in ast.walk(ast.parse(script))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    own = {path.stem for path in tmp_path.glob("*.py")}
    assert modules - set(sys.stdlib_module_names) - own <= {"lava", "numpy", "scipy"}
    assert "np.load(path, allow_pickle=False)" in "".join(scripts)


def test_no_name_breaks_out_of_its_string(tmp_path: Path) -> None:
    network, spikes = chain(ODD_NAMES)
    write_lava_folder(network, spikes, None, tmp_path)
    tree = ast.parse((tmp_path / "network.py").read_text())
    build = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "build")
    called = {n.func.id for n in ast.walk(build) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert called == {"LIF", "Dense", "DelayDense"}
    strings = {n.value for n in ast.walk(build) if isinstance(n, ast.Constant)}
    assert strings >= set(ODD_NAMES[1:])
    assigned = [
        n.targets[0].id for n in ast.walk(build) if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    ]
    assert len(assigned) == len(set(assigned))
    assert all(re.fullmatch("[a-z_][a-z0-9_]*", name) for name in assigned)


@pytest.mark.parametrize("name", ["two\nlines", "nul\0", "\ud800", "tab\t"])
def test_names_that_cannot_name_a_trace_are_refused(tmp_path: Path, name: str) -> None:
    network, spikes = chain(("in", name, "out"))
    with pytest.raises(NetworkError, match="must be non-empty and printable"):
        write_lava_folder(network, spikes, None, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_what_does_not_fit_the_network_is_refused(tmp_path: Path) -> None:
    network, spikes = chain(("in", "out"))
    with pytest.raises(InputError, match="must be integers of shape"):
        write_lava_folder(network, spikes, np.zeros(3, dtype=np.int64), tmp_path)
    with pytest.raises(InputError, match="labels: float64"):
        write_lava_folder(network, spikes, np.zeros(2), tmp_path)
    with pytest.raises(InputError, match="at least one of each"):
        write_lava_folder(network, spikes.select([]), None, tmp_path)
    with pytest.raises(InputError, match="units, but the spike sources"):
        write_lava_folder(network, replace(spikes, n_units=99), None, tmp_path)
    too_late = replace(network.projections[0], slots=np.full(network.projections[0].weight.shape, 64))
    with pytest.raises(NetworkError, match="delay slot 64"):
        write_lava_folder(replace(network, projections=(too_late,)), spikes, None, tmp_path)


@pytest.mark.lava
def test_odd_names_run(tmp_path: Path) -> None:
    network, spikes = chain(ODD_NAMES)
    write_lava_folder(network, spikes, None, tmp_path)
    traces = run_lava(tmp_path, samples=2, timeout_s=120)
    ours = emulate(network, spikes, traces=True)
    assert all(ours.spikes[name].any() for name in ODD_NAMES[1:-1])
    assert_equal_traces(ours, traces)


@pytest.mark.lava
def test_separate_parts_empty_projections_and_lone_populations_run(tmp_path: Path) -> None:
    network, _ = chain(("in", "hidden", "out"))
    other, _ = chain(("in2", "hidden2", "out2"), seed=1)
    rng = np.random.default_rng(5)
    nothing = np.zeros_like(other.projections[1].weight)
    empty = replace(other.projections[1], weight=nothing, slots=nothing.astype(np.int64), mask=nothing.astype(np.bool_))
    network = replace(
        network,
        populations=(
            *network.populations,
            *(replace(p, kind="lif", vth=40) if p.name == "out2" else p for p in other.populations),
            IntegerPopulation("alone", "lif", 3, 10, 10, 10),
            IntegerPopulation("unused", "spike_source", 2),
        ),
        projections=(*network.projections, other.projections[0], empty),
    )
    spikes = random_spikes(rng, network, 2, 40)
    write_lava_folder(network, spikes, None, tmp_path)
    script = (tmp_path / "network.py").read_text()
    assert "start_from=['hidden', 'hidden2', 'alone']," in script
    assert "outputs={'out': 'v', 'out2': 's', 'alone': 's'}," in script
    assert "'unused'" not in script
    traces = run_lava(tmp_path, samples=2, timeout_s=120)
    ours = emulate(network, spikes, traces=True)
    assert ours.spikes["hidden"].any()
    assert ours.spikes["hidden2"].any()
    assert_equal_traces(ours, traces)


# Whatever an import of ours would reach is out of reach, in the script and in all that it forks.
ALONE = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("toolchain", "hardware_targets", "models", "tests", "delayline"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Nothing())
script = sys.argv.pop(1)
sys.argv[0] = script
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.lava
def test_script_runs_alone_and_prints_the_accuracy(tmp_path: Path) -> None:
    network, spikes = chain(("in", "hidden", "out"))
    spikes = spikes.select([0, 1, 1, 0])
    result = emulate(network, spikes, traces=True)
    weight = np.exp(-np.arange(spikes.n_steps) / spikes.n_steps)
    guess = (result.readout_v * weight[:, None]).sum(axis=1).argmax(axis=1)
    labels = guess.copy()
    labels[1] += 1  # one of the first three is wrong
    folder, work = tmp_path / "folder", tmp_path / "elsewhere"
    write_lava_folder(network, spikes, labels, folder)
    work.mkdir()
    run = subprocess.run(
        [LAVA_PYTHON, "-I", "-c", ALONE, str(folder / "network.py"), "--samples", "3"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "sample 1 of 3",
        "sample 2 of 3",
        "sample 3 of 3",
        "accuracy 0.6667 (2 of 3 right)",
        "outputs equal the emulator's on 3 of 3 samples",
        f"SHA-256 of the outputs {hashlib.sha256(result.readout_v[:3].tobytes()).hexdigest()}",
    ]
    assert [p.name for p in work.iterdir()] == ["traces.npz"]
    with np.load(work / "traces.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["prediction", "s/hidden", "s/out", "u/hidden", "u/out", "v/hidden", "v/out"]
        np.testing.assert_array_equal(archive["prediction"], guess[:3])
        np.testing.assert_array_equal(archive["v/out"], result.readout_v[:3])
        np.testing.assert_array_equal(archive["s/hidden"], result.spikes["hidden"][:3])
    refused = subprocess.run(
        [LAVA_PYTHON, str(folder / "network.py"), "--samples", "5"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.strip() == "network.py: --samples 5 is outside 1..4"


# The same network from `build`, run as Lava runs it by itself, with three Monitors for each population.
WITH_MONITORS = """
import json, pathlib, sys
import numpy as np

folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import lava_running, network
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer
from lava.proc.monitor.process import Monitor

class WithRingBuffers:
    def __init__(self, raster):
        self.raster, self.neurons, self.synapses = raster, {}, []

    def stream(self, first, size):
        return RingBuffer(data=self.raster[first : first + size])

if __name__ == "__main__":
    samples = lava_running.load(folder / "samples.npz")
    n_steps = int(samples["n_steps"])
    events = slice(0, samples["offsets"][1])
    raster = np.zeros((int(samples["n_units"]), n_steps), dtype=np.int32)
    raster[samples["units"][events], samples["times"][events]] = 1
    built = WithRingBuffers(raster)
    network.build(built, lava_running.load(folder / "arrays.npz"))
    monitors = {}
    for name, lif in built.neurons.items():
        for kind, var in (("u", lif.u), ("v", lif.v), ("s", lif.s_out)):
            monitors[f"{kind}/{name}"] = monitor = Monitor()
            monitor.probe(var, n_steps)
    first = next(iter(built.neurons.values()))
    first.run(
        condition=lava_running.RunSteps(num_steps=n_steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt")
    )
    traces = {key: next(iter(next(iter(m.get_data().values())).values())) for key, m in monitors.items()}
    first.stop()
    print(json.dumps({key: trace.tolist() for key, trace in traces.items()}))
"""


@pytest.mark.lava
def test_traces_are_those_of_lavas_own_models_with_monitors(tmp_path: Path) -> None:
    """Without the models that record, and those that sort weights by delay once; one of each kind is delayed."""
    network, spikes = random_network(13)
    delayed = [p for p in network.projections if p.slots.max() > 0]
    assert {p.mask is None for p in delayed} == {True, False}
    write_lava_folder(network, spikes, None, tmp_path)
    traces = run_lava(tmp_path, samples=1, timeout_s=120)
    run = subprocess.run(
        [LAVA_PYTHON, "-c", WITH_MONITORS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    monitored = json.loads(run.stdout.splitlines()[-1])
    assert len(monitored) == 3 * len(network.simulated)
    for kind, recorded in (("u", traces.u), ("v", traces.v), ("s", traces.spikes)):
        for name, trace in recorded.items():
            np.testing.assert_array_equal(trace[0], np.array(monitored[f"{kind}/{name}"]))
