"""The training part of a recipe: what is minimised, by which steps, on which data, and when it ends."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from toolchain.objective import COMBINATIONS, LossName, Objective, Reading
from toolchain.recipe.sections import Section, Speakers

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]

# Keys that only some choices use, with what they are where the recipe leaves them out.
LOSS_KEYS: dict[tuple[str, str], dict[str, float]] = {
    ("first_spike", "cross_entropy"): {"temperature_ms": 1.0, "late_penalty_ms": 0.01},
    ("first_spike", "relative_mse"): {"margin_ms": 1.0},
}
DECAY_KEYS: dict[str, dict[str, float]] = {"cosine": {"final": 0.01}, "plateau": {"factor": 0.5, "patience": 10}}


def _completed(value: Any, keys: dict[str, float] | None) -> Any:
    """Recipe data with the keys that a choice uses filled in where they are left out."""
    return {**keys, **value} if isinstance(value, dict) and keys else value


class RatesSection(Section):
    """Spikes a trial that each hidden neuron is drawn to, and how strongly; the strength may differ by population."""

    target_spikes: NotNegative = 14.0
    strength: NotNegative = 0.0
    strength_of: dict[str, NotNegative] = Field(default_factory=dict)


class AugmentationSection(Section):
    """What is changed in the training samples of each epoch; see `toolchain.datasets.augmentation`."""

    channel_shift: Count = 0
    time_shift: Count = 0
    time_stretch: Annotated[float, Field(ge=0, le=4)] = 0.0
    blend: Count = 0
    channel_mask: Count = 0
    time_mask: Count = 0
    tilt: Annotated[float, Field(ge=0, le=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return any(vars(self).values())


class WarmUpSection(Section):
    """Step sizes that start at a fraction of themselves and grow by the same factor with each batch."""

    batches: Annotated[int, Field(ge=1)]
    start: Annotated[float, Field(gt=0, le=1, alias="from")]
    which: Literal["weights", "both"] = "weights"


class ScheduleSection(Section):
    """How the step sizes of weights, delays and time constants change; see `toolchain.training.schedule`."""

    warm_up: WarmUpSection | None = None
    decay: Literal["exponential", "constant", "cosine", "plateau"] = "exponential"
    final: Annotated[float, Field(ge=0, le=1)] | None = None
    factor: Annotated[float, Field(gt=0, lt=1)] | None = None
    patience: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        return _completed(value, DECAY_KEYS.get(str(value.get("decay"))) if isinstance(value, dict) else None)

    @model_validator(mode="after")
    def _keys_are_used(self) -> ScheduleSection:
        for decay, keys in DECAY_KEYS.items():
            for key in keys:
                if self.decay != decay and getattr(self, key) is not None:
                    raise ValueError(f"{key}: decay {self.decay} does not use it, {decay} does; leave it out")
        return self


class EarlyStopSection(Section):
    """End when what is watched has not become better for so many epochs."""

    patience: Annotated[int, Field(ge=1)]
    watch: Literal["valid_accuracy", "valid_loss", "train_accuracy"] = "valid_accuracy"


class ValidationSection(Section):
    """Part of the training set that replaces the dataset's own validation set: a fraction, or speakers.

    `seed` is that of the fraction, that of the run if left out.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    speaker: Speakers | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ValidationSection:
        if (self.fraction is None) == (self.speaker is None):
            raise ValueError("give exactly one of fraction, speaker")
        if self.seed is not None and self.fraction is None:
            raise ValueError("seed: speakers are not drawn; leave it out")
        return self


class QuantiseSection(Section):
    """Train in the numbers of `deployment.target`, from after so many epochs on (`training.straight_through`).

    `forward` is what the forward pass runs on: ``rounded`` weights and constants in floating point, or the target's
    ``emulator``, bit for bit.
    """

    from_epoch: Annotated[int, Field(ge=0, le=100_000)] = 0
    calibration_samples: Annotated[int, Field(ge=1)] = 50
    forward: Literal["rounded", "emulator"] = "rounded"


class GennSection(Section):
    """Of the backend ``genn``: what GeNN generates code for, how many samples run at once, else all that fit, and where
    the steps of the optimiser are taken.

    Another backend has no use for it, and lets it be: a recipe for a GPU trains on a laptop with --backend cpu.
    """

    code: Literal["auto", "cuda", "hip", "cpu"] = "auto"
    samples_at_once: Annotated[int, Field(ge=1)] | None = None
    adam: Literal["auto", "device", "host"] = "auto"


class TrainingRecipe(Section):
    """How to learn.

    `epoch_samples` is how many of the training samples an epoch takes, drawn anew for each; all if left out.
    Rates are Adam step sizes: of weights in units of weight, of delays in slots, of time constants in units of their
    logarithm. `adam_betas` are what it keeps, at each step, of the running means of gradients and of their squares.
    `rate_decay` multiplies all of them after every epoch. Time constants that learn stay within
    `tau_range_ms`. `max_slot` left out is the largest slot of the target. `revive` is added to the incoming
    weights of neurons that were silent for an epoch.
    """

    backend: Literal["cpu", "genn"] = "cpu"
    readout: Reading = "exp_weighted_average"
    loss: LossName = "cross_entropy"
    epochs: Annotated[int, Field(ge=0, le=100_000)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 32
    epoch_samples: Annotated[int, Field(ge=1)] | None = None
    weight_rate: NotNegative = 1e-3
    delay_rate: NotNegative = 0.1
    tau_rate: Annotated[float, Field(ge=0, le=1)] = 0.01
    tau_range_ms: list[Positive] = Field(default_factory=lambda: [1.0, 1000.0], min_length=2, max_length=2)
    rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    adam_betas: list[Beta] = Field(default_factory=lambda: [0.9, 0.999], min_length=2, max_length=2)
    max_slot: Annotated[int, Field(ge=0, le=65_534)] | None = None
    min_slope: Positive = 0.05
    stop_at_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    temperature_ms: Positive | None = None
    late_penalty_ms: NotNegative | None = None
    margin_ms: NotNegative | None = None
    rates: RatesSection = RatesSection()
    revive: NotNegative = 0.0
    augmentation: AugmentationSection = AugmentationSection()
    schedule: ScheduleSection = ScheduleSection()
    early_stop: EarlyStopSection | None = None
    validation: ValidationSection | None = None
    quantise: QuantiseSection | None = None
    genn: GennSection = GennSection()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        choice = (str(value.get("readout")), str(value.get("loss", "cross_entropy")))
        return _completed(value, LOSS_KEYS.get(choice))

    @model_validator(mode="after")
    def _loss_goes_with_readout(self) -> TrainingRecipe:
        fitting = COMBINATIONS[self.readout]
        if self.loss not in fitting:
            raise ValueError(f"loss: {self.loss} does not go with readout {self.readout}; give {' or '.join(fitting)}")
        for (readout, loss), keys in LOSS_KEYS.items():
            for key in keys:
                if (self.readout, self.loss) != (readout, loss) and getattr(self, key) is not None:
                    raise ValueError(
                        f"{key}: loss {self.loss} of readout {self.readout} does not use it, {loss} of {readout} does; "
                        "leave it out"
                    )
        if self.rate_decay != 1 and self.schedule.decay != "exponential":
            raise ValueError(
                f"rate_decay: {self.rate_decay:g} is of schedule.decay exponential, not of {self.schedule.decay}; "
                "leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _epochs_are_left_to_quantise(self) -> TrainingRecipe:
        if self.quantise is not None and self.quantise.from_epoch >= max(self.epochs, 1):
            raise ValueError(
                f"quantise.from_epoch: {self.quantise.from_epoch} leaves none of {self.epochs} epochs; "
                "give a smaller one"
            )
        return self

    @field_validator("adam_betas")
    @classmethod
    def _squares_are_remembered(cls, betas: list[float]) -> list[float]:
        if betas[1] < 0.5:
            raise ValueError(f"the second, {betas[1]:g}, makes steps of any size out of one gradient; give 0.5 or more")
        return betas

    @field_validator("tau_range_ms")
    @classmethod
    def _lower_first(cls, bounds: list[float]) -> list[float]:
        if bounds[0] >= bounds[1]:
            raise ValueError(f"{bounds[0]:g} to {bounds[1]:g} ms is no range; give the smaller number first")
        return bounds

    @property
    def largest_slot(self) -> int:
        """`max_slot` of a completed recipe (`toolchain.training.chip.complete_recipe`)."""
        assert self.max_slot is not None, "the recipe is not completed"
        return self.max_slot

    def objective(self) -> Objective:
        """How the network is read and what is minimised, with the defaults where the loss has no use for a key."""
        given = {key: getattr(self, key) for keys in LOSS_KEYS.values() for key in keys}
        return Objective(self.readout, self.loss, **{k: v for k, v in given.items() if v is not None})
