"""``--set key.path=value``: it changes one value, or is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.test_recipe import FULL, changed, outcome, quick, recipes_folder
from toolchain.recipe import parse_recipe, read_recipe

__all__ = ["recipes_folder"]


@pytest.fixture
def full_file(tmp_path: Path) -> Path:
    path = tmp_path / "full.yaml"
    path.write_text(yaml.safe_dump(FULL), encoding="utf-8")
    return path


def test_an_override_changes_one_value_and_nothing_else(full_file: Path) -> None:
    for override, path, value in (
        ("training.epochs=7", ("training", "epochs"), 7),
        ("deployment.max_loss_points = 2.5", ("deployment", "max_loss_points"), 2.5),
        (
            "network.projections.1.weight={normal: {sd: 2}}",
            ("network", "projections", 1, "weight"),
            {"normal": {"sd": 2}},
        ),
        ("network.projections.0.weight.normal.sd=3", ("network", "projections", 0, "weight", "normal", "sd"), 3),
        ("dataset.options.steps=99", ("dataset", "options", "steps"), 99),
        ("name=a=b", ("name",), "a=b"),
    ):
        places: tuple[str | int, ...] = path
        expected = outcome(parse_recipe, changed(places, value), str(full_file))
        assert outcome(read_recipe, full_file, [override]) == expected
        if not expected:
            assert read_recipe(full_file, [override]) == parse_recipe(changed(places, value), "R")


def test_an_override_can_open_a_section_and_the_last_one_wins(full_file: Path) -> None:
    full_file.write_text(yaml.safe_dump({k: v for k, v in FULL.items() if k != "training"}), encoding="utf-8")
    recipe = read_recipe(full_file, ["training.seed=1", "training.epochs=5", "training.seed=2"])
    assert (recipe.training.seed, recipe.training.epochs) == (2, 5)


def test_an_override_of_one_projection_leaves_one_with_the_same_yaml_anchor_alone(full_file: Path) -> None:
    text = full_file.read_text(encoding="utf-8")
    text = text.replace("weight: 1.5", "weight: *shared").replace("weight:\n", "weight: &shared\n", 1)
    full_file.write_text(text, encoding="utf-8")
    before = read_recipe(full_file).network.projections
    assert before[0].weight == before[1].weight
    after = read_recipe(full_file, ["network.projections.0.weight.normal.sd=9"]).network.projections
    assert after[0].weight != before[0].weight
    assert after[1].weight == before[1].weight


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "must be key.path=value"),
        ("=1", "must be key.path=value"),
        ("training..epochs=1", "must be key.path=value"),
        ("training.epochs=[", "not YAML that a recipe can hold"),
        ("training.epoch=1", "unknown key 'training.epoch'; did you mean 'epochs'?"),
        ("trainig.epochs=1", "unknown key 'trainig'; did you mean 'training'?"),
        ("training.epochs=many", "training.epochs: input should be a valid integer, got 'many'"),
        ("name.first=x", "name is a value and has no key 'first'"),
        ("network.projections.2.to=out", "'2' must be an index below 2"),
        ("network.projections.-1.to=out", "'-1' must be an index below 2"),
        ("network.projections.last.to=out", "'last' must be an index below 2"),
        ("network.projections.\N{SUPERSCRIPT TWO}.to=out", "must be an index below 2"),
    ],
)
def test_an_override_that_fits_nowhere_is_refused(full_file: Path, override: str, message: str) -> None:
    assert message in outcome(read_recipe, full_file, [override])


@given(st.text(max_size=30) | st.from_regex(r"(network|training|name)(\.\w{1,6}){0,3}=.{0,8}", fullmatch=True))
@quick
def test_any_override_is_applied_or_refused(recipes_folder: Path, override: str) -> None:
    path = recipes_folder / "full.yaml"
    if not path.exists():
        path.write_text(yaml.safe_dump(FULL), encoding="utf-8")
    outcome(read_recipe, path, [override])
