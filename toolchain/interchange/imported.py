"""What comes of reading a network that another tool, or this one, has written."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.network import Network


@dataclass(frozen=True)
class Imported:
    """A network and what had to be assumed to read it.

    Attributes
    ----------
    network : as every stage here takes it
    assumed : one sentence each, for the log and the run folder: the discretisation, a rounding, a count of what was
        left out. Empty where the file says everything itself
    """

    network: Network
    assumed: tuple[str, ...] = ()
