"""Patience: for how many epochs in a row a figure has not become better than it ever was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """What has been waited for, as it lies in a checkpoint.

    Parameters
    ----------
    best : best value so far; None before the first
    waited : epochs since the one that brought it

    Raises
    ------
    ValueError
        If one of them is not a number, as in a damaged checkpoint.
    """

    best: float | None = None
    waited: int = 0

    def __post_init__(self) -> None:
        best: object = self.best
        if best is not None and (isinstance(best, bool) or not isinstance(best, (int, float))):
            raise ValueError(f"best {best!r} is not a number")
        waited: object = self.waited
        if isinstance(waited, bool) or not isinstance(waited, int) or waited < 0:
            raise ValueError(f"waited {waited!r} is not a whole number of at least 0")

    def after(self, value: float, *, larger_is_better: bool) -> Patience:
        """One epoch later, in which the figure was `value`; only what is strictly better ends the wait."""
        if self.best is None or (value > self.best if larger_is_better else value < self.best):
            return Patience(value, 0)
        return Patience(self.best, self.waited + 1)
