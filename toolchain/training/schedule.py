"""Step sizes over a run: a factor that changes from epoch to epoch, and one that grows over the first batches.

Of epoch e = 1..E, with the keys of ``training.schedule``:

    exponential   rate_decay^(e-1)                                         1 throughout by default
    constant      1
    cosine        final + (1 - final) (1 + cos(pi (e-1)/(E-1))) / 2        from 1 to `final`
    plateau       factor^n, n times that the validation loss did not improve for `patience` epochs

Warm-up multiplies batch b = 0, 1, ... of the run by from^(1 - b/batches) until that is 1, for weights alone as
published (1e-5 to 1e-3 in steps of 1.05; facts/training.md section 2.4) or for weights and delays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from toolchain.recipe import TrainingRecipe
from toolchain.training.patience import Patience


@dataclass(frozen=True)
class Plateau:
    """Where decay on a plateau stands, as it lies in a checkpoint: the factor by now, and the wait for better."""

    factor: float = 1.0
    loss: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        factor: object = self.factor
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 <= factor <= 1:
            raise ValueError(f"factor {factor!r} is not a number of 0..1")

    def after(self, valid_loss: float, settings: TrainingRecipe) -> Plateau:
        """One epoch later; stays as it is where the schedule is another."""
        schedule = settings.schedule
        if schedule.decay != "plateau":
            return self
        assert schedule.factor is not None
        assert schedule.patience is not None
        loss = self.loss.after(valid_loss, larger_is_better=False)
        if loss.waited < schedule.patience:
            return Plateau(self.factor, loss)
        return Plateau(self.factor * schedule.factor, replace(loss, waited=0))


def epoch_factor(settings: TrainingRecipe, epoch: int, plateau: Plateau) -> float:
    """Factor of both step sizes in an epoch, counted from 1; `plateau` is the state before it."""
    schedule = settings.schedule
    if schedule.decay == "cosine":
        assert schedule.final is not None
        turned = math.pi * (epoch - 1) / max(1, settings.epochs - 1)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(turned)) / 2
    if schedule.decay == "plateau":
        return plateau.factor
    return settings.rate_decay ** (epoch - 1) if schedule.decay == "exponential" else 1.0


def warm_up_factors(settings: TrainingRecipe, batch: int) -> tuple[float, float]:
    """Factor of the step sizes of weights and of delays in a batch, counted from 0 over the whole run."""
    warm_up = settings.schedule.warm_up
    if warm_up is None or batch >= warm_up.batches:
        return 1.0, 1.0
    factor = warm_up.start ** (1 - batch / warm_up.batches)
    return factor, factor if warm_up.which == "both" else 1.0
