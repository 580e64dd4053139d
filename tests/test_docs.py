"""The documentation does what it says: its code runs, its links lead somewhere, its recipe is a recipe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from toolchain.attribution.divergence import CAUSES
from toolchain.datasets import load_dataset
from toolchain.datasets.checks import Item, inspect_item
from toolchain.datasets.own_spikes import SpikesOptions
from toolchain.datasets.splits import split_validation
from toolchain.interchange.onnx.writing import write_onnx
from toolchain.network import Kind, Network, Population, make_projection
from toolchain.objective import COMBINATIONS
from toolchain.recipe import Recipe, parse_recipe, training_section
from toolchain.recipe.training_section import ValidationSection
from toolchain.training.run_folder import RunFolder

ROOT = Path(__file__).parent.parent
COMMANDS = (
    "train",
    "deploy",
    "validate",
    "tune",
    "export",
    "import",
    "report",
    "inspect",
    "cost",
    "targets",
    "doctor",
    "data",
)
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_first_network_runs_from_top_to_bottom(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "first_network.md").read_text(encoding="utf-8")
    steps = re.findall(r"```(sh|python)\n(.*?)```", page, flags=re.DOTALL)
    assert len(steps) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    for language, code in steps:
        command = ["sh", "-euc", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, code + done.stdout + done.stderr
    assert (tmp_path / "report.json").stat().st_size > 0


def test_the_diagnosis_of_the_page_runs_on_a_trained_network(tmp_path: Path, trained_run: RunFolder) -> None:
    (code,) = blocks(ROOT / "docs" / "where_accuracy_goes.md", "python")
    shutil.copytree(trained_run.path, tmp_path / "runs" / "digits-1")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"In \d+ of 300 samples the chip's spikes differ", done.stdout)
    assert "% of the threshold" in done.stdout


def test_causes_of_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "where_accuracy_goes.md").read_text(encoding="utf-8")
    assert [cause for cause in CAUSES if f"`{cause}`" not in page] == []


def test_recipe_of_the_reference_is_complete_and_correct() -> None:
    (block,) = blocks(ROOT / "docs" / "recipes.md", "yaml")
    recipe = parse_recipe(yaml.safe_load(block), "docs/recipes.md")
    for name in Recipe.model_fields:
        assert re.search(rf"^\s*#?\s*{name}:", block, flags=re.MULTILINE), name
    for section in (recipe.training, recipe.deployment):
        for name in type(section).model_fields:
            assert re.search(rf"^  (# )?{name}:", block, flags=re.MULTILINE), name


def test_keys_of_every_part_of_training_are_explained() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    parts = [s for name, s in vars(training_section).items() if name.endswith("Section") and name != "Section"]
    assert len(parts) == 8
    for part in parts:
        for name, field in part.model_fields.items():
            assert re.search(rf"[`{{ .]{field.alias or name}[`:]", page), (part.__name__, name)


def test_readouts_losses_and_their_combinations_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for reading, losses in COMBINATIONS.items():
        (row,) = [r for r in page.splitlines() if r.startswith("|") and f"`{reading}`" in r]
        assert {loss for loss in ("cross_entropy", "relative_mse", "mse") if f"`{loss}`" in row} == set(losses)


@pytest.mark.parametrize(
    "name",
    ["yin_yang", "sequence", "digits", "shd", "ssc", "fsdd", "braille", "synthetic_braille", "spoken_digits"],
)
def test_defaults_of_tasks_are_those_that_the_reference_names(name: str) -> None:
    from toolchain.datasets import _registry

    section = _registry()[name][0]
    (line,) = [row for row in (ROOT / "docs" / "recipes.md").read_text().splitlines() if row.startswith(f"| `{name}`")]
    for field, info in section.model_fields.items():
        assert f"`{field}` ({info.default})" in line, field


def test_a_file_written_as_data_md_shows_is_clean_and_can_be_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "data.md"
    (code,) = blocks(page, "python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    found = inspect_item(Item(tmp_path / "mine.h5"))
    assert (found.findings, found.samples, found.channels, found.real) == ([], 40, 12, False)
    monkeypatch.chdir(tmp_path)
    (recipe,) = (yaml.safe_load(b) for b in blocks(page, "yaml") if "task: spikes" in b)
    dataset = load_dataset("spikes", recipe["dataset"]["options"])
    dataset = split_validation(dataset, ValidationSection.model_validate(recipe["training"]["validation"]), "spikes", 0)
    assert [s.labels.size for s in (dataset.train, dataset.valid, dataset.test)] == [24, 6, 10]
    assert "touches of my sensor, synthetic" in dataset.provenance


def test_the_example_of_the_diagnosis_finds_the_weight_that_it_changes(tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "docs" / "diagnosis.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "projection input->hidden: synapse 3->7 has weight" in done.stdout


def test_the_first_example_of_interchange_runs_on_a_file_alone(tmp_path: Path) -> None:
    code = blocks(ROOT / "docs" / "interchange.md", "python")[0]
    sizes = {"input": 4, "hidden": 30, "output": 3}
    kinds: tuple[Kind, ...] = ("spike_source", "lif", "leaky_readout")
    populations = tuple(Population(name, kind, size) for (name, size), kind in zip(sizes.items(), kinds, strict=True))
    ones = {(s, t): np.full((sizes[s], sizes[t]), 10.0) for s, t in (("input", "hidden"), ("hidden", "output"))}
    write_onnx(
        tmp_path / "yin_yang.onnx",
        Network(1.0, populations, tuple(make_projection(*ends, weight) for ends, weight in ones.items())),
    )
    code += "print(hidden.shape, hidden.sum() > 0, voltage.shape, voltage.dtype)"
    # Isolated, so that the program is not there.
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == "(8, 200, 30) True (8, 200, 3) float32", done.stderr


def test_options_of_the_spikes_task_are_on_the_page() -> None:
    (line,) = [row for row in (ROOT / "docs" / "recipes.md").read_text().splitlines() if row.startswith("| `spikes`")]
    for field in SpikesOptions.model_fields:
        assert f"`{field}`" in line, field


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_pages_name_exist(page: Path) -> None:
    """Every `make target` and `delayline command`."""
    text = page.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^ {4})make ([a-z][a-z-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for command in re.findall(r"delayline ([a-z]+) ", text):
        assert command in COMMANDS, command
