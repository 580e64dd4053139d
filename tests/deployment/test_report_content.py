"""What a deployment puts into its report beside the ladder: flips, figures, and where it comes from."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.deployment.fakes import FaultyVendor
from toolchain.deployment.deploy import Options, deploy
from toolchain.deployment.provenance import repeat_commands
from toolchain.deployment.target import find_target
from toolchain.report.content import Flip
from toolchain.training.run_folder import RunFolder
from toolchain.validation.flips import find_flips


def silent(text: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, trained_run: RunFolder) -> Path:
    run = RunFolder(shutil.copytree(trained_run.path, tmp_path_factory.mktemp("content") / "run"))
    return deploy(run, FaultyVendor(), Options(vendor_samples=4), silent)[0]


@pytest.fixture(scope="module")
def content(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "report.json").read_text())
    return found


def test_every_hash_is_that_of_the_file_and_of_the_manifest(bundle: Path, content: dict[str, Any]) -> None:
    hashes = content["provenance"]["sha256"]
    trained = hashes.pop("trained network (best.safetensors)")
    best = bundle.parent / "checkpoints" / "best.safetensors"
    assert trained == hashlib.sha256(best.read_bytes()).hexdigest()
    assert {"quantised.safetensors", "recipe.yaml", "placement.json"} <= set(hashes)
    listed = yaml.safe_load((bundle / "manifest.yaml").read_text())["files"]
    for name, digest in hashes.items():
        assert digest == listed[name] == hashlib.sha256((bundle / name).read_bytes()).hexdigest()


def test_provenance_says_what_it_was_trained_and_deployed_with(bundle: Path, content: dict[str, Any]) -> None:
    found = content["provenance"]
    assert found["trained_with"] == json.loads((bundle.parent / "environment.json").read_text())
    assert found["deployed_with"]["packages"]["numpy"] == np.__version__
    assert found["repeat"] == [
        "delayline train run/recipe.yaml",
        "delayline deploy run --target loihi2 --vendor-samples 4",
    ]


def test_commands_repeat_what_was_asked_for(trained_run: RunFolder) -> None:
    target, name = find_target("loihi2"), trained_run.path.name
    for options, words in (
        (Options(), ""),
        (Options(vendor_samples=0, vendor_timeout_s=9.0), " --no-vendor"),
        (Options(clip_delays=True, strict=True), " --clip-delays --strict"),
        (Options(prune=0.5, cores=3, chips=2), " --chips 2 --prune 0.5 --cores 3"),
        (Options(neurons_per_core={"a": 5, "b": 6}), " --neurons-per-core a=5 --neurons-per-core b=6"),
    ):
        assert repeat_commands(trained_run, target, options)[1] == f"delayline deploy {name} --target loihi2{words}"


def test_flips_are_those_of_the_two_rungs(content: dict[str, Any]) -> None:
    flips, by_name = content["flips"], {rung["rung"]: rung for rung in content["ladder"]}
    gained = len(flips["against"]["gained"]) - len(flips["against"]["lost"])
    assert gained == by_name["emulator"]["tally"]["correct"] - by_name["float"]["tally"]["correct"]
    kinds = {f["sample"]: (f["float_class"] == f["label"], f["chip_class"] == f["label"]) for f in flips["samples"]}
    for key, kind in (("lost", (True, False)), ("gained", (False, True)), ("moved", (False, False))):
        assert flips["against"][key] == [i for i, found in kinds.items() if found == kind]


def test_weights_lie_within_their_range_of_errors(content: dict[str, Any]) -> None:
    for p in content["projections"]:
        found = content["figures"]["weights"][p["projection"]]
        assert found["synapses"] == sum(found["counts"]) == p["synapses"]
        assert found["beyond_half"] >= p["clipped"]
        assert -found["reach"] <= found["min"] <= found["max"] <= found["reach"]


def test_samples_that_flipped_are_drawn(bundle: Path, content: dict[str, Any]) -> None:
    against = content["flips"]["against"]
    flipped = {*against["lost"], *against["gained"]} - {0}
    drawn = [s["sample"] for s in content["figures"]["spikes"]]
    assert drawn[0] == 0
    assert len(drawn) == 1 + min(2, len(flipped))
    assert set(drawn[1:]) <= flipped
    # The vendor's code ran four samples: only these have its spikes.
    for sample in content["figures"]["spikes"]:
        engines = sample["populations"][1]["engines"]
        assert len(engines) == (3 if sample["sample"] < 4 else 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2), st.integers(-1, 2)), max_size=20))
def test_a_flip_is_a_sample_read_differently(samples: list[tuple[int, int, int]]) -> None:
    labels, before, after = (np.array([s[i] for s in samples], np.int64) for i in range(3))
    found = find_flips([("float", before), ("other", before), ("emulator", after)], labels, 3)
    assert found is not None
    assert found.samples == tuple(Flip(i, *s) for i, s in enumerate(samples) if s[1] != s[2])
    assert find_flips([("float", before)], labels, 3) is None
