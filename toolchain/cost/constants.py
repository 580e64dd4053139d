"""Constants that estimates rest on: a figure with its range, its source, and how well it is established."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.cost.interval import Interval

BASES = ("published", "public code", "derived", "assumed", "unknown")
"""How well a figure is established: read where it was published; read in public code that names a publication which was
not read itself; worked out from such figures or counted in shipped code; another chip's, standing in; not public."""
UNITS = {"pJ": 1e-12, "nJ": 1e-9, "ns": 1e-9, "us": 1e-6, "W": 1.0, "MHz": 1e6, "instructions": 1.0, "cycles": 1.0}
"""Units that a constant can have, and what one is in J, s, W, Hz or 1."""


@dataclass(frozen=True)
class Constant:
    """One figure of a chip.

    Attributes
    ----------
    value, low, high : in `unit`; all None where nothing is public
    basis : one of `BASES`
    note : what the range is made of, and what the figure leaves out
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    basis: str
    source: str
    note: str

    @property
    def known(self) -> bool:
        """Whether there is a figure."""
        return self.value is not None

    @property
    def interval(self) -> Interval:
        """In J, s, W, Hz or 1; KeyError where nothing is public."""
        if self.value is None or self.low is None or self.high is None:
            raise KeyError(f"constant {self.name} has no public figure")
        scale = UNITS[self.unit]
        return Interval(self.low * scale, self.value * scale, self.high * scale)


Constants = Mapping[str, Constant]


def describe(constants: Constants) -> list[dict[str, Any]]:
    """All of them for printing; JSON types."""
    return [dict(vars(constant)) for constant in constants.values()]
