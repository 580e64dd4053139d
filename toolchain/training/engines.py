"""The engine that a recipe trains on: its objective, its target traces and the firing rates that it asks for."""

from __future__ import annotations

from toolchain.datasets import Dataset
from toolchain.network import Network
from toolchain.recipe import Recipe
from toolchain.training.backends import Engine, RateTarget, make_engine


def rate_targets(recipe: Recipe) -> dict[str, RateTarget]:
    """Hidden lif population -> what it is drawn to; those of strength 0 are left out."""
    rates = recipe.training.rates
    strengths = {name: rates.strength_of.get(name, rates.strength) for name in recipe.network.hidden}
    return {name: RateTarget(rates.target_spikes, strength) for name, strength in strengths.items() if strength > 0}


def training_engine(recipe: Recipe, dataset: Dataset, network: Network, threads: int | None) -> Engine:
    """Engine of the recipe's backend for gradients of its objective on its data."""
    settings = recipe.training
    return make_engine(
        settings.backend,
        network,
        dataset.n_steps,
        max_slot=settings.largest_slot,
        objective=settings.objective(),
        targets=dataset.targets if settings.loss == "mse" else None,
        min_slope=settings.min_slope,
        threads=threads,
        rates=rate_targets(recipe) or None,
        learn_tau=[name for name, population in recipe.network.populations.items() if population.learned],
    )
