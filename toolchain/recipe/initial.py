"""How an array starts: a constant, or a distribution that it is drawn from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from toolchain.recipe.sections import Section

LARGEST_VALUE = 1e9
Value = Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]


class Normal(Section):
    """Values drawn from a normal distribution."""

    mean: Value = 0.0
    sd: Annotated[float, Field(ge=0, le=LARGEST_VALUE)] = 1.0


class Uniform(Section):
    """Values drawn uniformly from [low, high)."""

    low: Value = 0.0
    high: Value

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.high < self.low:
            raise ValueError(f"high {self.high} is below low {self.low}")
        return self


class Initial(Section):
    """How an array starts: exactly one of a constant, a normal or a uniform distribution.

    A bare number in the recipe means a constant.
    """

    constant: Value | None = None
    normal: Normal | None = None
    uniform: Uniform | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be a number, a normal or a uniform distribution, not true or false")
        return {"constant": value} if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Initial:
        given = [k for k in ("constant", "normal", "uniform") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of constant, normal, uniform, not {given or 'none'}")
        return self

    @property
    def lowest(self) -> float:
        """Smallest value that can be drawn (minus infinity for a normal distribution that is not constant)."""
        if self.constant is not None:
            return self.constant
        if self.uniform is not None:
            return self.uniform.low
        assert self.normal is not None
        return self.normal.mean if self.normal.sd == 0 else float("-inf")

    @property
    def highest(self) -> float:
        """Largest value that can be drawn, as `lowest`."""
        if self.constant is not None:
            return self.constant
        if self.uniform is not None:
            return self.uniform.high
        assert self.normal is not None
        return self.normal.mean if self.normal.sd == 0 else float("inf")
