"""Quantities of which a range is known: a central value between two ends, none of them below 0."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from toolchain.errors import InputError


@dataclass(frozen=True)
class Interval:
    """A quantity and its range; sums and products take low with low, central with central, high with high.

    That is interval arithmetic of quantities that are not negative, which all here are.

    Raises
    ------
    InputError
        If the ends are not finite, below 0, or not in order.
    """

    low: float
    value: float
    high: float

    def __post_init__(self) -> None:
        finite = all(math.isfinite(end) for end in (self.low, self.value, self.high))
        if not finite or not 0 <= self.low <= self.value <= self.high:
            raise InputError(
                f"interval {self.low} .. {self.value} .. {self.high}: must rise from 0 on; correct the constant"
            )

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A quantity that is known exactly, such as a count."""
        return cls(value, value, value)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.value + other.value, self.high + other.high)

    def __mul__(self, other: Interval | float) -> Interval:
        factor = other if isinstance(other, Interval) else Interval.exact(other)
        return Interval(self.low * factor.low, self.value * factor.value, self.high * factor.high)

    __rmul__ = __mul__

    def per(self, other: Interval) -> Interval:
        """The quotient; `other` must be above 0 throughout (ZeroDivisionError)."""
        return Interval(self.low / other.high, self.value / other.value, self.high / other.low)

    def to_json(self) -> dict[str, float]:
        """As JSON types."""
        return {"low": self.low, "value": self.value, "high": self.high}


NONE = Interval.exact(0.0)


def total(parts: Iterable[Interval]) -> Interval:
    """Sum; that of nothing is 0."""
    found = NONE
    for part in parts:
        found = found + part
    return found
