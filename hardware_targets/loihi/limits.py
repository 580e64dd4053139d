"""Limits of a chip as data: read from YAML, each with unit and source, used by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True)
class Limit:
    """One figure of a chip; `value` is None where no public figure is known, `assumed` where it is another chip's."""

    name: str
    value: int | None
    unit: str
    source: str
    assumed: bool = False


@dataclass(frozen=True)
class ChipLimits:
    """All limits of one chip."""

    chip: str
    table: Mapping[str, Limit]

    def __getitem__(self, name: str) -> int:
        """Value of a limit that must be known; KeyError if it is not."""
        value = self.table[name].value
        if value is None:
            raise KeyError(f"{self.chip}: limit {name} has no public figure")
        return value

    def describe(self) -> list[dict[str, Any]]:
        """All limits for printing."""
        return [dict(vars(limit)) for limit in self.table.values()]


@cache
def read_limits(chip: str) -> ChipLimits:
    """Read the limits that ship with this package; `chip` is the name of the file without its ending."""
    text = resources.files(__package__).joinpath(f"{chip}.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    return ChipLimits(data["chip"], {name: Limit(name, **entry) for name, entry in data["limits"].items()})
