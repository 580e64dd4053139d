"""The engine that a recipe trains on: its objective, its target traces and the firing rates that it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.datasets import Dataset
from toolchain.errors import RecipeError
from toolchain.network import Network
from toolchain.readouts import READOUTS
from toolchain.recipe import Recipe
from toolchain.training.backends import Engine, make_engine


@dataclass(frozen=True)
class RateTarget:
    """Spikes a trial that each neuron of a population is drawn to, and how strongly (facts/training.md 2.2)."""

    spikes: float
    strength: float


def rate_targets(recipe: Recipe) -> dict[str, RateTarget]:
    """Hidden lif population -> what it is drawn to; those of strength 0 are left out."""
    rates = recipe.training.rates
    strengths = {name: rates.strength_of.get(name, rates.strength) for name in recipe.network.hidden}
    return {name: RateTarget(rates.target_spikes, strength) for name, strength in strengths.items() if strength > 0}


def training_engine(recipe: Recipe, dataset: Dataset, network: Network, threads: int | None) -> Engine:
    """Engine of the recipe's backend for gradients of its objective on its data."""
    settings = recipe.training
    readout = next((name for name in READOUTS if name == settings.readout), None)
    if readout is None or rate_targets(recipe):
        raise RecipeError(
            f"recipe {recipe.name}: backend {settings.backend} knows neither training.readout {settings.readout} nor "
            "training.rates; give one of "
            f"{', '.join(READOUTS)} and leave training.rates out"
        )
    return make_engine(
        settings.backend,
        network,
        dataset.n_steps,
        max_slot=settings.max_slot,
        readout=readout,
        min_slope=settings.min_slope,
        threads=threads,
    )
