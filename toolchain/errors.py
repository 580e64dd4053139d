"""The few exception types of the project.

Every message names the object, the value, the limit and the remedy, in one line that a person can act
on. The exit code is a property of the type, so the command line needs no table of its own:

    0  done
    1  validation failed
    2  bad input
    3  does not fit the chip
    4  a dependency or a device is missing
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


class DelaylineError(Exception):
    """Base of every error that is meant for the user; never raised itself."""

    exit_code: int = 2


class InputError(DelaylineError):
    """A file, an option or an array that we were given is not usable."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe has an unknown key, a wrong type or an impossible combination."""


class DatasetError(InputError):
    """A file of recordings is missing, damaged or not of the kind that it was taken for."""


class NetworkError(InputError):
    """A network description contradicts itself: shapes, names, ranges."""


class CheckpointError(InputError):
    """A run folder or checkpoint is missing, truncated or from another network."""


class InterchangeError(InputError):
    """A file of another tool is damaged, or says something that a network here cannot mean, or the other way round."""


class UnstableTrainingError(InputError):
    """Training left the range of its numbers; the recipe has to change."""


class BundleError(InputError):
    """A bundle is missing, incomplete or changed since it was written."""


class ValidationError(DelaylineError):
    """What was deployed does not do what was trained."""

    exit_code = 1


@dataclass(frozen=True)
class Remedy:
    """A change that was tried: with it alone the network fits.

    Attributes
    ----------
    text : what to change, and how much
    share : how large that is relative to what it changes
    cores, chips : what the network then takes
    """

    text: str
    share: float
    cores: int
    chips: int

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        outcome = {"fits": True, "cores": self.cores, "chips": self.chips}
        return {"text": self.text, "share": self.share, "outcome": outcome}


@dataclass(frozen=True)
class Exceeded:
    """Which limit is exceeded by how much: what a message says, for programs.

    Attributes
    ----------
    name, unit : of the limit
    used, limit : what is needed, and the figure
    where : what needs it, in words
    population, projection : which one that is; None where it is neither
    neurons : first and last of the population that need it on one core; None where it is not about a core
    remedies : the smallest changes that would help, the smallest first
    """

    name: str
    used: int
    limit: int
    unit: str
    where: str
    population: str | None = None
    projection: str | None = None
    neurons: tuple[int, int] | None = None
    remedies: tuple[Remedy, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON types, without the remedies."""
        figures = {"over": self.used - self.limit, "times": self.used / self.limit if self.limit else None}
        neurons = None if self.neurons is None else list(self.neurons)
        return {**{k: v for k, v in asdict(self).items() if k != "remedies"}, "neurons": neurons, **figures}


class TargetLimitError(DelaylineError):
    """The network does not fit the chip; `exceeded` is None where it is not for a figure."""

    exit_code = 3

    def __init__(self, message: str, *, exceeded: Exceeded | None = None) -> None:
        super().__init__(message)
        self.exceeded = exceeded

    def to_json(self) -> dict[str, Any]:
        """For programs: that it does not fit, for which limit, and what would help."""
        exceeded = self.exceeded
        return {
            "fits": False,
            "message": str(self),
            "exceeded": None if exceeded is None else exceeded.to_json(),
            "changes": [] if exceeded is None else [remedy.to_json() for remedy in exceeded.remedies],
        }


class MissingDependencyError(DelaylineError):
    """A package, an interpreter or a device that this step needs is absent or does not answer."""

    exit_code = 4


class UnansweredError(MissingDependencyError):
    """What is there died, or did not answer within its time; it may do better when it is started again."""
