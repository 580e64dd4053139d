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


class UnstableTrainingError(InputError):
    """Training left the range of its numbers; the recipe has to change."""


class BundleError(InputError):
    """A bundle is missing, incomplete or changed since it was written."""


class ValidationError(DelaylineError):
    """What was deployed does not do what was trained."""

    exit_code = 1


class TargetLimitError(DelaylineError):
    """The network does not fit the chip."""

    exit_code = 3


class MissingDependencyError(DelaylineError):
    """A package, an interpreter or a device that this step needs is absent or does not answer."""

    exit_code = 4
