"""Numbers in a recipe: how they may be written, and how large they may be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.test_recipe import FULL
from toolchain.errors import RecipeError
from toolchain.recipe import read_recipe


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", ".1e-2", "0.001", "1.0e-3", "+1e-3"])
def test_a_number_may_be_written_as_people_write_it(tmp_path: Path, text: str) -> None:
    """PyYAML alone takes 1e-3 for a text."""
    path = tmp_path / "full.yaml"
    path.write_text(yaml.safe_dump(FULL))
    assert read_recipe(path, [f"training.weight_rate={text}"]).training.weight_rate == 0.001


@pytest.mark.parametrize("weight", ["1e300", "{uniform: {low: -1e308, high: 1e308}}", "{normal: {sd: 1e300}}"])
def test_initial_values_that_float32_cannot_hold_are_refused(tmp_path: Path, weight: str) -> None:
    path = tmp_path / "full.yaml"
    path.write_text(yaml.safe_dump(FULL))
    with pytest.raises(RecipeError, match=r"projections\.0\.weight.*less than or equal to 1000000000"):
        read_recipe(path, [f"network.projections.0.weight={weight}"])


@pytest.mark.parametrize("text", ["0e0", "1e-3", "-1E5", "1.5e3", "on", "2001-01-01", "null", "0x1f"])
def test_a_text_that_looks_like_a_number_stays_a_text(tmp_path: Path, text: str) -> None:
    """A frozen recipe is read again when the run is resumed or deployed."""
    path = tmp_path / "full.yaml"
    path.write_text(yaml.safe_dump(FULL))
    recipe = read_recipe(path).model_copy(update={"about": text})
    path.write_text(recipe.dump())
    assert read_recipe(path).about == text
