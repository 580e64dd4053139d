"""`delayline export` and `delayline import`: out to ONNX, back, and onto the chip with the same integers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cli.runner import Finished, run_cli
from toolchain.datasets import load_dataset
from toolchain.deployment.bundle import read_bundle
from toolchain.devices.device import Deployed
from toolchain.devices.onnx_device import OnnxDevice
from toolchain.devices.own import EmulatorDevice
from toolchain.errors import InputError
from toolchain.interchange.into_run import describe_in
from toolchain.network import Network, Population, make_projection
from toolchain.recipe import parse_recipe, read_recipe
from toolchain.training.checkpoints import load_network

pytestmark = pytest.mark.usefixtures("without_pictures")

Cli = Callable[..., Finished]
RUN = "runs/sequence-1"
SHORT = ("dataset.options={gap: 5, steps: 60, repeats: 4}", "training.epochs=2", "training.max_slot=20")
SETS = tuple(word for override in SHORT for word in ("--set", override))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command, in a folder with a run."""
    monkeypatch.chdir(tmp_path)
    trained = run_cli(capsys, monkeypatch, "train", "sequence", *SETS)
    assert trained.code == 0, trained.err
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def integers(bundle: str) -> dict[str, NDArray[Any]]:
    """What the chip holds; weights of Loihi as they add up, for two exponents may say the same."""
    quantised: Any = read_bundle(Path(bundle)).quantised
    arrays = {name: array for name, array in quantised.arrays()[0].items() if not name.startswith("trained.")}
    for projection in quantised.integers.projections:
        if hasattr(projection, "addend"):
            arrays[f"integer.{projection.name}.weight"] = projection.addend
    return arrays


def test_a_float_network_goes_out_and_comes_back_as_it_was(cli: Cli) -> None:
    out = cli("export", RUN)
    assert out.code == 0, out.err
    assert out.out.startswith(f"{RUN}/sequence.onnx: ")
    back = cli("import", f"{RUN}/sequence.onnx", "--recipe", "sequence", *SETS, "--json")
    assert back.code == 0, back.err
    content = json.loads(back.out)
    assert content["assumed"] == []
    run = Path(content["run"])
    assert run.name == "sequence_imported-1"
    before, after = (load_network(Path(r, "checkpoints/best.safetensors")) for r in (RUN, run))
    assert before.describe() == after.describe()
    for ours, theirs in zip(before.projections, after.projections, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.delay, theirs.delay)
    summary = json.loads(Path(RUN, "summary.json").read_text())
    assert content["test_accuracy"] == summary["test_accuracy"]
    assert content["test_samples"] == summary["test_samples"]


@pytest.mark.parametrize("target", ["loihi2", "spinnaker1"])
def test_a_quantised_network_comes_back_to_the_same_integers_on_the_chip(cli: Cli, target: str) -> None:
    cli("deploy", RUN, "--target", target, "--no-vendor")
    bundle = f"{RUN}/{target}"
    out = cli("export", bundle, "--json")
    assert out.code == 0, out.err
    exported = json.loads(out.out)
    assert exported["file"] == f"{RUN}/sequence.{target}.onnx"
    as_deploy_would = cli("export", RUN, "--quantised", "--target", target, "--out", "other.onnx", "--json")
    assert json.loads(as_deploy_would.out)["bytes"] > 0
    back = cli("import", exported["file"], "--recipe", "sequence", *SETS, "--json")
    assert back.code == 0, back.err
    run = json.loads(back.out)["run"]
    deployed = cli("deploy", run, "--no-vendor", "--json")
    content = json.loads(deployed.out)
    assert content["target"] == target
    assert content["reasons"] == [f"not compared with {content['vendor']}: no vendor samples were asked for"]
    before, after = integers(bundle), integers(f"{run}/{target}")
    assert set(before) == set(after)
    for name, array in before.items():
        assert np.array_equal(array, after[name]), name
    read = read_bundle(Path(bundle))
    here = Deployed(read.target, read.quantised, read.recipe)
    samples = load_dataset(read.recipe.dataset.task, read.recipe.dataset.options).test
    expected = EmulatorDevice().run(here, samples, traces=False, timeout_s=60).prediction
    assert np.unique(expected).size > 1
    for traces in (False, True):
        found = OnnxDevice(read.target).run(here, samples, traces=traces, timeout_s=60).prediction
        assert np.array_equal(found, expected)
    checked = cli("validate", bundle, "--on", "emulator", "--on", "onnx", "--require-equal", "onnx")
    assert checked.code == 0, checked.err
    assert "equals the emulator's" in checked.out


def test_without_the_package_onnx_that_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("export", RUN)
    for module in [name for name in sys.modules if name.partition(".")[0] == "onnx"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for words in (("export", RUN), ("import", f"{RUN}/sequence.onnx", "--recipe", "sequence")):
        refused = cli(*words)
        assert refused.code == 4, words
        assert "MissingDependencyError: onnx cannot be imported" in refused.err
        assert "pip install 'delayline[onnx]'" in refused.err
    assert cli("export", RUN, "--format", "nir").code == 0


def test_an_imported_run_is_not_trained_anew(cli: Cli) -> None:
    """There is nothing to go on from: training would begin with random weights, and overwrite what was imported."""
    cli("export", RUN)
    cli("import", f"{RUN}/sequence.onnx", "--recipe", "sequence", *SETS)
    best = Path("runs/sequence_imported-1/checkpoints/best.safetensors")
    before = best.read_bytes()
    refused = cli("train", "--resume", "runs/sequence_imported-1")
    assert refused.code == 2
    assert "run folder runs/sequence_imported-1: is imported" in refused.err
    assert best.read_bytes() == before
    assert not best.with_name("last.safetensors").exists()


def test_an_import_that_is_stopped_leaves_no_run_folder(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise InputError("cannot write: no space")

    cli("export", RUN)
    monkeypatch.setattr("toolchain.interchange.into_run.save_checkpoint", full)
    stopped = cli("import", f"{RUN}/sequence.onnx", "--recipe", "sequence", *SETS)
    assert (stopped.code, "no space" in stopped.err) == (2, True)
    assert [path.name for path in Path("runs").iterdir()] == ["sequence-1"]


def test_a_bundle_has_its_integers_and_takes_no_options_of_quantising(cli: Cli) -> None:
    cli("deploy", RUN, "--target", "loihi2", "--no-vendor")
    bundle = f"{RUN}/loihi2"
    assert cli("export", bundle, "--target", "loihi2").code == 0
    for words, message in (
        ((bundle, "--target", "spinnaker1"), f"bundle {bundle}: is for loihi2, not spinnaker1"),
        (
            (bundle, "--extend-delays"),
            "--extend-delays: is for a run that is quantised, and runs/sequence-1/loihi2 has",
        ),
        (
            (RUN, "--clip-delays"),
            "--clip-delays: is for a run that is quantised, and runs/sequence-1 goes out in float",
        ),
    ):
        refused = cli("export", *words)
        assert refused.code == 2, words
        assert message in refused.err.replace("\n", " "), refused.err


def test_a_network_that_follows_traces_comes_back_with_its_accuracy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its loss needs the traces of the data, and nothing of it can be deployed; but it can be looked at."""
    monkeypatch.chdir(tmp_path)
    for words in (
        ("train", "waveform", "--set", "training.epochs=1"),
        ("export", "runs/waveform-1"),
        ("import", "runs/waveform-1/waveform.onnx", "--recipe", "waveform"),
    ):
        done = run_cli(capsys, monkeypatch, *words)
        assert done.code == 0, done.err
    before, after = (
        json.loads(Path("runs", run, "summary.json").read_text()) for run in ("waveform-1", "waveform_imported-1")
    )
    assert after["test_accuracy"] == before["test_accuracy"]
    assert after["valid_accuracy"] == before["valid_accuracy"]


def test_checkpoints_of_mlgenn_become_a_run_that_deploys(cli: Cli) -> None:
    before = load_network(Path(RUN, "checkpoints/best.safetensors"))
    folder = Path("checkpoints")
    folder.mkdir()
    for projection in before.projections:
        stem = f"7-Conn_{projection.source.capitalize()}_{projection.target.capitalize()}"
        np.save(folder / f"{stem}-g.npy", projection.weight.ravel())
        np.save(folder / f"{stem}-d.npy", projection.delay.ravel())
    back = cli("import", str(folder), "--recipe", f"{RUN}/recipe.yaml", "--epoch", "7", "--json")
    assert back.code == 0, back.err
    content = json.loads(back.out)
    assert content["test_accuracy"] == json.loads(Path(RUN, "summary.json").read_text())["test_accuracy"]
    after = load_network(Path(content["run"], "checkpoints/best.safetensors"))
    for ours, theirs in zip(before.projections, after.projections, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.slots(), theirs.delay)
    assert cli("deploy", content["run"], "--dry-run").code == 0
    assert cli("import", str(folder), "--recipe", f"{RUN}/recipe.yaml", "--epoch", "8").code == 2


def test_netx_is_written_with_the_integers_of_loihi(cli: Cli) -> None:
    import h5py

    out = cli("export", RUN, "--format", "netx", "--lower-scales", "--json")
    assert out.code == 0, out.err
    content = json.loads(out.out)
    assert content["file"] == f"{RUN}/sequence.loihi2.net"
    with h5py.File(content["file"]) as file:
        kinds = [bytes(file[f"layer/{i}/type"][0]) for i in range(len(file["layer"]))]
    populations = load_network(Path(RUN, "checkpoints/best.safetensors")).populations
    assert kinds == [b"input"] + [b"dense"] * (len(populations) - 1)
    other = cli("export", RUN, "--format", "netx", "--target", "spinnaker1")
    assert other.code == 2
    assert "--format netx: is of Loihi, and spinnaker1 writes none" in other.err


def test_nir_goes_out_and_comes_back_as_it_was(cli: Cli) -> None:
    out = cli("export", RUN, "--format", "nir", "--json")
    assert out.code == 0, out.err
    back = cli("import", json.loads(out.out)["file"], "--recipe", "sequence", *SETS, "--json")
    assert back.code == 0, back.err
    content = json.loads(back.out)
    assert (content["format"], content["assumed"]) == ("nir", [])
    before, after = (load_network(Path(r, "checkpoints/best.safetensors")) for r in (RUN, content["run"]))
    assert before.describe() == after.describe()
    for ours, theirs in zip(before.projections, after.projections, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.delay, theirs.delay)


def test_what_cannot_be_meant_is_one_line(cli: Cli) -> None:
    cli("export", RUN)
    file = f"{RUN}/sequence.onnx"
    Path("text.txt").write_text("no network")
    for words, message in (
        (("export", RUN, "--format", "onx"), "--format onx: is none of onnx, nir, netx"),
        (("export", RUN, "--target", "loihi2"), "--target loihi2: is for --quantised"),
        (("export", RUN, "--format", "nir", "--states"), "--states: is for onnx"),
        (("export", RUN, "--format", "nir", "--quantised"), "--format nir: holds physical units"),
        (("export", RUN, "--format", "nir", "--target", "loihi2"), "--target loihi2: nir holds physical units"),
        (("export", "absent"), "run folder absent does not exist; give one that `delayline train` or `import` made"),
        (("export", RUN, "--out", "runs"), "--out runs: is a folder or a device and no file"),
        (("export", RUN, "--lower-scales"), "--lower-scales: is for netx"),
        (("import", file, "--recipe", "sequence", "--name", "input=In"), "--name is for mlgenn, and this is onnx"),
        (("import", file, "--recipe", "sequence", "--name", "input"), "--name input: must be POPULATION=NAME"),
        (("import", "absent.onnx", "--recipe", "sequence"), "file absent.onnx: No such file"),
        (("import", "text.txt", "--recipe", "sequence"), "is neither ONNX nor NIR"),
        (("import", file, "--recipe", "sequences"), "recipe 'sequences' does not exist"),
        (("import", file, "--recipe", "sequence", "--dt-ms", "1"), "--dt-ms is for nir, and this is onnx"),
        (("import", file, "--recipe", "yin_yang"), "network.populations.input.size: 2, but the dataset has 4 channels"),
        (
            ("import", file, "--recipe", "yin_yang_first_spike"),
            "training.readout: first_spike reads a lif population, but the output",
        ),
    ):
        refused = cli(*words)
        assert refused.code == 2, words
        assert message in refused.err.replace("\n", " "), refused.err
        assert len(refused.err.strip().splitlines()) <= 2
    assert not list(Path("runs").glob("*_imported-*"))


def test_the_frozen_recipe_describes_what_was_imported(tmp_path: Path) -> None:
    """Not the network that the recipe had before."""
    chosen = ["training.backend=genn", "training.genn.samples_at_once=4", "training.quantise={from_epoch: 1}"]
    recipe = read_recipe(Path(__file__).parents[2] / "models" / "yin_yang.yaml", chosen)
    random = np.random.default_rng(0)
    populations = (
        Population("spikes", "spike_source", 4),
        Population("one", "lif", 6, (10.0, 11.0, 12.0, 13.0, 14.0, 15.0), 5.0, 0.5),
        Population("two", "lif", 3, single_spike=True),
        Population("read", "leaky_readout", 3, 30.0, 4.0),
    )
    mask = random.random((6, 3)) < 0.5
    projections = (
        make_projection("spikes", "one", random.normal(0, 1, (4, 6)), 98.3 * np.eye(4, 6)),
        make_projection("one", "two", random.normal(2, 1, (6, 3)), 3.0, mask),
        make_projection("two", "read", np.ones((3, 3))),
    )
    described, said = describe_in(recipe, Network(0.5, populations, projections))
    assert [(n, p.kind, p.size) for n, p in described.network.populations.items()] == [
        (p.name, p.kind, p.size) for p in populations
    ]
    assert described.network.dt_ms == 0.5
    uniform = described.network.populations["one"].tau_mem_ms.uniform
    assert uniform is not None
    assert (uniform.low, uniform.high) == (10.0, 15.0)
    assert described.network.projections[1].density == mask.mean()
    assert described.network.projections[1].delay.constant == 3.0
    assert described.training.max_slot == 99
    assert said == (
        f"training.max_slot of the recipe raised from {recipe.training.max_slot} to 99, for the longest delay",
    )
    assert described.network.output == "read"
    # Where it is deployed there may be no GPU, and it has not learned in the numbers of this recipe's chip.
    assert (described.training.backend, described.training.genn.samples_at_once) == ("cpu", None)
    assert described.training.quantise is None
    data = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    data["training"]["rates"] = {"strength": 1e-9, "strength_of": {"hidden": 1e-8}}
    other, words = describe_in(parse_recipe(data, "yin_yang"), Network(0.5, populations, projections))
    assert (other.training.rates.strength, other.training.rates.strength_of) == (1e-9, {})
    assert words[-1].startswith("training.rates.strength_of.hidden of the recipe left out")
