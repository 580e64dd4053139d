"""The engine that a recipe trains on: its objective, its target traces and the firing rates that it asks for."""

from __future__ import annotations

from toolchain.datasets import Dataset
from toolchain.errors import InputError
from toolchain.network import Network
from toolchain.recipe import Recipe
from toolchain.training.backends import Engine, GennOptions, RateTarget, make_engine


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
        learn_tau=learning_populations(recipe),
        genn=genn_options(recipe),
    )


def learning_populations(recipe: Recipe) -> list[str]:
    """Populations of which a time constant learns."""
    return [name for name, population in recipe.network.populations.items() if population.learned]


def genn_options(recipe: Recipe) -> GennOptions:
    """What a recipe asks of the backend ``genn``."""
    section, settings = recipe.training.genn, recipe.training
    betas = None if recipe.adam_needs_host else (settings.adam_betas[0], settings.adam_betas[1])
    return GennOptions(section.code, section.samples_at_once, settings.batch_size, section.adam, betas)


def say_backend(recipe: Recipe, dataset: Dataset, network: Network) -> str | None:
    """What training runs on, in words, or None for the usual backend; whether it can, before it starts.

    Raises
    ------
    MissingDependencyError, InputError
        If it cannot: something is missing, or does not fit.
    """
    if recipe.training.backend != "genn":
        return None
    from toolchain.training.backends.genn.backend import prepare_backend

    prepared = prepare_backend(
        network,
        dataset.n_steps,
        max_slot=recipe.training.largest_slot,
        options=genn_options(recipe),
        with_rates=bool(rate_targets(recipe)),
        learn_tau=learning_populations(recipe),
    )
    return str(prepared)


def require_one_process(recipe: Recipe) -> None:
    """Raise InputError if several processes were started together and the backend does not share batches."""
    from toolchain.training.backends.genn.ranks import find_ranks

    count = find_ranks().count
    if recipe.training.backend != "genn" and count > 1:
        raise InputError(
            f"backend {recipe.training.backend}: {count} processes were started together, and it trains in one, with "
            "threads; start one, or give --backend genn"
        )
