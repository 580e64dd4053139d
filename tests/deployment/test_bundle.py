"""Reading a bundle trusts nothing in it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.fakes import FaultyVendor
from tests.no_pictures import no_pictures
from toolchain.deployment.bundle import MANIFEST, read_bundle, replacing
from toolchain.deployment.deploy import Options, deploy
from toolchain.errors import BundleError, DelaylineError, InputError
from toolchain.storage import load_arrays, save_arrays
from toolchain.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, trained_run: RunFolder) -> Path:
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path_factory.mktemp("deployed") / "run"))
    with no_pictures():
        return deploy(run, FaultyVendor(), Options(), lambda text: None)[0]


@pytest.fixture
def bundle(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def edit_manifest(bundle: Path, **changes: Any) -> None:
    manifest = yaml.safe_load((bundle / MANIFEST).read_text())
    manifest.update(changes)
    (bundle / MANIFEST).write_text(yaml.safe_dump(manifest))


def test_untouched_bundle_is_read_and_holds_the_network(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert read.target.name == "loihi2"
    assert read.recipe.name == "digits"
    arrays, _ = read.quantised.arrays()
    stored, _ = load_arrays(bundle / "quantised.safetensors")
    assert all((arrays[k] == stored[k]).all() for k in stored)


def test_manifest_lists_every_file_but_itself(bundle: Path) -> None:
    listed = set(yaml.safe_load((bundle / MANIFEST).read_text())["files"])
    there = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()} - {MANIFEST}
    assert listed == there


def test_any_changed_or_missing_file_is_named(bundle: Path) -> None:
    for name in yaml.safe_load((bundle / MANIFEST).read_text())["files"]:
        file = bundle / name
        held = file.read_bytes()
        file.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
        with pytest.raises(BundleError, match="was changed after it was written") as error:
            read_bundle(bundle)
        assert name in str(error.value)
        file.unlink()
        with pytest.raises(BundleError, match="is missing"):
            read_bundle(bundle)
        file.write_bytes(held)
    read_bundle(bundle)


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "format: 2", "{", "format: 1", "format: 1\nfiles: {}", "a: !!python/object/apply:os.getcwd []"],
)
def test_foreign_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(BundleError):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "lava/../../x"])
def test_manifest_cannot_name_files_outside(bundle: Path, name: str) -> None:
    edit_manifest(bundle, files={name: "0" * 64})
    with pytest.raises(BundleError, match="outside the bundle"):
        read_bundle(bundle)


def test_bundle_of_an_unknown_target_is_refused(bundle: Path) -> None:
    edit_manifest(bundle, target="loihi3")
    with pytest.raises(InputError, match="did you mean 'loihi2'"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda a, h: a.pop("integer.input->hidden.weight"),
        lambda a, h: a.update({"integer.input->hidden.weight": a["integer.input->hidden.weight"][:-1]}),
        lambda a, h: a.update({"integer.input->hidden.weight": a["integer.input->hidden.weight"] + 1}),
        lambda a, h: a.update({"integer.input->hidden.slots": a["integer.input->hidden.slots"] - 100}),
        lambda a, h: a.update({"integer.input->hidden.slots": a["integer.input->hidden.slots"].astype("float32")}),
        lambda a, h: h.pop("exponents"),
        lambda a, h: h["exponents"].update({"input->hidden": -2}),
        lambda a, h: h["exponents"].update({"input->hidden": "x"}),
        lambda a, h: h["populations"][1].update({"du": 5000}),
        lambda a, h: h["populations"].pop(),
        lambda a, h: h["trained"]["populations"][1].update({"size": 10**9}),
    ],
)
def test_damaged_network_is_refused_even_with_a_right_hash(bundle: Path, change: Any) -> None:
    """Hashes catch accidents; a file that was made on purpose is still checked index by index."""
    file = bundle / "quantised.safetensors"
    arrays, header = load_arrays(file)
    change(arrays, header)
    save_arrays(file, arrays, header)
    files = yaml.safe_load((bundle / MANIFEST).read_text())["files"]
    edit_manifest(bundle, files={**files, file.name: hashlib.sha256(file.read_bytes()).hexdigest()})
    with pytest.raises(DelaylineError):
        read_bundle(bundle)


def test_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.yaml"):
        read_bundle(tmp_path)


def test_replacing_keeps_the_old_folder_when_the_block_fails(tmp_path: Path) -> None:
    destination = tmp_path / "there"
    destination.mkdir()
    (destination / "old").touch()

    def fail() -> None:
        with replacing(destination) as fresh:
            (fresh / "new").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in tmp_path.rglob("*")] == ["there", "old"]
    with replacing(destination) as fresh:
        (fresh / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["there", "new"]
