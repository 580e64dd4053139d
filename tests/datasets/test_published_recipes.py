"""The recipes of published tasks build the published networks, from files in the published layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.layouts import shd_file, shd_folder
from toolchain.recipe import Recipe, read_recipe
from toolchain.training.trainer import prepare

MODELS = Path(__file__).parent.parent.parent / "models"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELAYLINE_CACHE", str(tmp_path / "cache"))


def sizes(recipe: Recipe) -> tuple[int, int]:
    """How many weights and how many learned delays the network has."""
    network = prepare(recipe).network
    learned = {f"{p.source}->{p.target}" for p in recipe.network.projections if p.learn_delay}
    weights = sum(p.n_synapses for p in network.projections)
    return weights, sum(p.n_synapses for p in network.projections if p.name in learned)


@pytest.mark.parametrize(
    ("name", "weights", "delays"),
    [
        # 0.631 M weights and 0.621 M delays: facts/training.md section 3.1
        ("shd_recurrent", 700 * 512 + 512 * 512 + 512 * 20, 700 * 512 + 512 * 512),
        ("shd_feedforward", 700 * 256 + 256 * 256 + 256 * 20, 700 * 256 + 256 * 256),
        ("shd_loihi", 700 * 256 + 256 * 256 + 256 * 20, 700 * 256 + 256 * 256),
    ],
)
def test_shd(name: str, weights: int, delays: int, tmp_path: Path) -> None:
    recipe = read_recipe(MODELS / f"{name}.yaml", [f"dataset.options.path={shd_folder(tmp_path / 'shd')}"])
    assert sizes(recipe) == (weights, delays)
    # Where delays start, before they have learned anything, no chip limit may be exceeded either.
    assert max(p.delay.max() for p in prepare(recipe).network.projections) <= recipe.training.largest_slot


def test_ssc(tmp_path: Path) -> None:
    """1.80 M weights and 1.77 M delays: facts/training.md section 3.1."""
    words = [f"word{i}" for i in range(35)]
    for split in ("train", "valid", "test"):
        shd_file(tmp_path / f"ssc_{split}.h5", range(35), [0] * 35, keys=words)
    recipe = read_recipe(MODELS / "ssc.yaml", [f"dataset.options.path={tmp_path}"])
    assert sizes(recipe) == (700 * 1024 + 1024**2 + 1024 * 35, 700 * 1024 + 1024**2)


def test_published_settings_are_those_of_the_paper() -> None:
    """Batch, rates, start and bound of delays, target of spikes: facts/training.md sections 2.2 to 2.5."""
    for name, start in (("shd_recurrent", 150), ("shd_feedforward", 100), ("ssc", 50)):
        recipe = read_recipe(MODELS / f"{name}.yaml")
        training = recipe.training
        assert (training.batch_size, training.weight_rate, training.delay_rate) == (256, 0.001, 0.1)
        assert (training.max_slot, training.rates.target_spikes, training.revive) == (1000, 14, 0.002)
        assert training.augmentation.channel_shift == 40
        assert recipe.network.projections[0].delay.highest == start
    assert read_recipe(MODELS / "shd_loihi.yaml").training.max_slot == 62
