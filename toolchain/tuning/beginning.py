"""Where tuning begins: the network of a bundle as the chip holds it, its number format, and a recipe to go on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.deployment.abilities import TunableTarget
from toolchain.deployment.bundle import Bundle
from toolchain.deployment.target import TrainingFormat
from toolchain.errors import InputError
from toolchain.network import Network
from toolchain.recipe import Recipe, parse_recipe

SUFFIX = "_tuned"
RATE = 0.1
"""Share of the step sizes that the network was trained with."""
FINAL = 0.1
"""Share of them that is left in the last epoch."""


@dataclass(frozen=True)
class Settings:
    """How to tune; None for what the network was trained with.

    Parameters
    ----------
    epochs : >= 1
    rate : what the step sizes of weights and delays are multiplied by; None for `RATE`, or 1 if the network was tuned
        before
    batch : samples of a batch
    samples : training samples of an epoch, drawn anew for each; None for all
    seed : of what is drawn
    patience : epochs without a better validation accuracy after which to end; None to go on to the last
    """

    epochs: int = 10
    rate: float | None = None
    batch: int | None = None
    samples: int | None = None
    seed: int | None = None
    patience: int | None = None


def tuned_recipe(bundle: Bundle, settings: Settings, about: str) -> Recipe:
    """The recipe of a run that goes on from a bundle.

    What is trained on, how it is read, the loss, rate targets and augmentation stay. Step sizes fall from a share of
    what they were by half a cosine. Nobody is revived: a neuron that is silent on the chip may be dead, and weights
    onto it would grow without end. Time constants learn no more.

    Parameters
    ----------
    about : added to the description

    Raises
    ------
    RecipeError
        If a setting is out of range.
    """
    before = bundle.recipe
    data: dict[str, Any] = before.model_dump(mode="json", by_alias=True, exclude_none=True)
    training, was = data["training"], before.training
    tuned = before.name.endswith(SUFFIX)
    rate = settings.rate if settings.rate is not None else 1.0 if tuned else RATE
    longest = max((int(p.slots().max(initial=0)) for p in bundle.quantised.rounded.projections), default=0)
    largest = bundle.target.largest_slot()
    extended = longest > largest
    allowed = was.max_slot if was.max_slot is not None else largest
    max_slot = max(longest, allowed if extended else min(allowed, largest))
    training |= {
        # The device runs forward, and where it stands there may be no GPU.
        "backend": "cpu",
        "genn": {},
        "epochs": settings.epochs,
        "batch_size": settings.batch or was.batch_size,
        "weight_rate": was.weight_rate * rate,
        "delay_rate": was.delay_rate * rate,
        "rate_decay": 1.0,
        "schedule": {"decay": "cosine", "final": FINAL},
        "max_slot": max_slot,
        "revive": 0.0,
        "seed": was.seed if settings.seed is None else settings.seed,
        "quantise": {
            "from_epoch": 0,
            "forward": "emulator",
            "calibration_samples": before.deployment.calibration_samples,
        },
    }
    for key in ("stop_at_accuracy", "early_stop"):
        training.pop(key, None)
    if settings.samples is not None:
        training["epoch_samples"] = settings.samples
    if settings.patience is not None:
        training["early_stop"] = {"patience": settings.patience}
    if was.validation is not None and was.validation.fraction is not None and was.validation.seed is None:
        # What was trained on may not become what is validated on.
        training["validation"]["seed"] = was.seed
    for population in data["network"]["populations"].values():
        population |= {"learn_tau_mem": False, "learn_tau_syn": False}
    for projection, entry in zip(before.network.projections, data["network"]["projections"], strict=True):
        if projection.delay.highest > max_slot:
            entry["delay"] = {"constant": 0.0}  # of no use: learning begins with the delays of the bundle
    data["deployment"] |= {"target": bundle.target.name, "extend_delays": extended, "prune": 0.0}
    data["deployment"].pop("cores", None)
    data["name"] = before.name if tuned else before.name + SUFFIX
    data["about"] = f"{before.about} {about}".strip()
    return parse_recipe(data, data["name"])


def first_network(bundle: Bundle, recipe: Recipe) -> tuple[Network, TrainingFormat]:
    """The network of a bundle as the chip holds it, and the format that it is held in.

    Delays keep the fractions of slots that they were trained with, where the chip holds the slot that they round to.

    Raises
    ------
    InputError
        If nothing can be tuned on the target.
    """
    target = bundle.target
    if not isinstance(target, TunableTarget):
        raise InputError(f"target {target.name}: its networks cannot be tuned; give a bundle for another")
    trained, held = bundle.quantised.trained, bundle.quantised.weighted
    largest = np.float32(recipe.training.largest_slot)
    arrays = {}
    for fine, ours in zip(trained.projections, held.projections, strict=True):
        delay = np.where(fine.slots() == ours.slots(), fine.delay, ours.delay)
        arrays[ours.name] = (ours.weight, np.minimum(delay, largest).astype(np.float32))
    return held.with_arrays(arrays), target.format_of(bundle.quantised)
