"""Limits of a chip as data: read from YAML, each with unit and source, checked here once and used by name.

A limit is a number, or null where no public figure is known: then nothing is checked. A choice is a list of the
values that a field can have, such as the bits of a weight. What the arithmetic needs cannot be unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from toolchain.errors import InputError

KNOWN = (
    *("weight_min", "weight_max", "weight_exponent_min", "weight_exponent_max", "decay_max", "threshold_max"),
    *("state_bits", "slot_max", "cores", "chips", "chips_of_largest_system"),
    *("synapses_per_block", "block_header_bits", "memory_word_bits", "delay_slots_unusable"),
)
"""Limits that must have a figure."""
MAY_BE_UNKNOWN = (
    *("neurons_per_core", "synaptic_memory_per_core", "axons_in_per_core", "axons_out_per_core"),
    *("delay_cells_per_core", "synapse_formats_per_core", "decay_configurations_per_core", "thresholds_per_core"),
    *("cores_per_tile", "mesh_columns", "mesh_rows"),
)
MAY_BE_NEGATIVE = ("weight_min", "weight_exponent_min")
CHOICES = ("weight_bits", "index_bits", "delay_bits", "delay_depths")
FIELDS = {"value", "unit", "source", "assumed"}


@dataclass(frozen=True)
class Limit:
    """One figure of a chip.

    Attributes
    ----------
    value : None where no public figure is known
    assumed : the figure is another chip's, or inferred from public code, and stands in for one that is not public
    """

    name: str
    value: int | None
    unit: str
    source: str
    assumed: bool = False

    @property
    def note(self) -> str:
        """The source, and whether the figure is one of this chip."""
        return f"assumed: {self.source}" if self.assumed else self.source


@dataclass(frozen=True)
class Choice:
    """Values that a field of the chip can have, rising."""

    name: str
    value: tuple[int, ...]
    unit: str
    source: str
    assumed: bool = False


@dataclass(frozen=True)
class ChipLimits:
    """All limits and choices of one chip."""

    chip: str
    table: Mapping[str, Limit]
    choices: Mapping[str, Choice]

    def __getitem__(self, name: str) -> int:
        """Value of a limit that must be known; KeyError if it is not."""
        value = self.table[name].value
        if value is None:
            raise KeyError(f"{self.chip}: limit {name} has no public figure")
        return value

    def value(self, name: str) -> int | None:
        """Value of a limit that may be unknown."""
        return self.table[name].value

    def chips_available(self, chips: int | None) -> int:
        """As many chips as were asked for, or those of the usual board; InputError if no system has so many."""
        if chips is None:
            return self["chips"]
        largest = self.table["chips_of_largest_system"]
        if not 1 <= chips <= self["chips_of_largest_system"]:
            raise InputError(
                f"chips: {chips} of {self.chip} were asked for; the largest system has {largest.value} "
                f"({largest.source}); give 1 to {largest.value}"
            )
        return chips

    def check_budget(self, cores: int | None, chips: int | None) -> None:
        """Refuse more chips than any system has, and more cores than these chips have (InputError)."""
        available = self.chips_available(chips)
        most = available * self["cores"]
        if cores is None or cores <= most:
            return
        of = f"{available} chip{'' if available == 1 else 's'} of {self.chip}"
        needed = -(-cores // self["cores"])
        remedy = f"give --cores of at most {most}"
        if needed <= self["chips_of_largest_system"]:
            remedy += f", or --chips {needed}"
        raise InputError(f"cores: {cores} were asked for, {of} {'has' if available == 1 else 'have'} {most}; {remedy}")

    def describe(self) -> list[dict[str, Any]]:
        """All limits and choices for printing; JSON types."""
        choices = [{**vars(choice), "value": list(choice.value)} for choice in self.choices.values()]
        return [dict(vars(limit)) for limit in self.table.values()] + choices


@cache
def read_limits(chip: str) -> ChipLimits:
    """Read the limits that ship with this package; `chip` is the name of the file without its ending."""
    text = resources.files(__package__).joinpath(f"{chip}.yaml").read_text(encoding="utf-8")
    return parse_limits(text, f"{chip}.yaml")


def parse_limits(text: str, origin: str) -> ChipLimits:
    """Limits from the text of a file.

    Raises
    ------
    InputError
        If a limit is missing, unknown, no whole number, without unit or source, or has no figure where one is needed;
        the message names `origin`, the entry and the remedy.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"limits {origin}: no YAML ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(data, dict) or set(data) != {"chip", "limits", "choices"}:
        raise InputError(f"limits {origin}: must hold exactly chip, limits and choices; add what is missing")
    if not isinstance(data["chip"], str) or not data["chip"]:
        raise InputError(f"limits {origin}: chip {data['chip']!r} is no name; give one")
    limits = _entries(data["limits"], (*KNOWN, *MAY_BE_UNKNOWN), f"{origin} limits")
    choices = _entries(data["choices"], CHOICES, f"{origin} choices")
    for name, entry in limits.items():
        _check_limit(name, entry["value"], f"{origin} limits.{name}")
    for name, entry in choices.items():
        _check_choice(entry["value"], f"{origin} choices.{name}")
    found = ChipLimits(
        data["chip"],
        {name: Limit(name, **entry) for name, entry in limits.items()},
        {name: Choice(name, **{**entry, "value": tuple(entry["value"])}) for name, entry in choices.items()},
    )
    _check_together(found, origin)
    return found


def _entries(found: object, names: tuple[str, ...], where: str) -> dict[str, dict[str, Any]]:
    """Entries with exactly these names, in the order of the file; units, sources and marks are checked."""
    given = set(found) if isinstance(found, dict) else set()
    if not isinstance(found, dict) or given != set(names):
        missing, unknown = sorted(set(names) - given), sorted(map(str, given - set(names)))
        raise InputError(f"limits {where}: missing {missing or 'none'}, unknown {unknown or 'none'}; give these alone")
    for name, entry in found.items():
        if not isinstance(entry, dict) or not FIELDS - {"assumed"} <= set(entry) <= FIELDS:
            raise InputError(f"limits {where}.{name}: must have value, unit and source, and may have assumed; add them")
        for field in ("unit", "source"):
            if not isinstance(entry[field], str) or not entry[field].strip():
                raise InputError(f"limits {where}.{name}: {field} {entry[field]!r} is no text; say where it is from")
        if not isinstance(entry.get("assumed", False), bool):
            raise InputError(f"limits {where}.{name}: assumed {entry['assumed']!r} must be true or false")
    return found


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_limit(name: str, value: object, where: str) -> None:
    if value is None and name in MAY_BE_UNKNOWN:
        return
    if not _whole(value):
        raise InputError(f"limits {where}: value {value!r} is no whole number; give the figure")
    assert isinstance(value, int)
    if value < 0 and name not in MAY_BE_NEGATIVE:
        raise InputError(f"limits {where}: value {value} is below 0; give the figure, or null where none is public")
    if value == 0 and (name in MAY_BE_UNKNOWN or name in ("cores", "chips", "synapses_per_block", "memory_word_bits")):
        raise InputError(f"limits {where}: value 0 leaves no room for a neuron; give the figure, or null for unknown")


def _check_choice(value: object, where: str) -> None:
    if not isinstance(value, list) or not value or not all(_whole(v) and v >= 0 for v in value):
        raise InputError(f"limits {where}: value {value!r} is no list of whole numbers from 0 on; give one")
    if value != sorted(set(value)):
        raise InputError(f"limits {where}: value {value!r} does not rise; sort it, each number once")


def _check_together(limits: ChipLimits, origin: str) -> None:
    """Figures that contradict each other."""
    deepest = limits.choices["delay_depths"].value[-1] - limits["delay_slots_unusable"]
    field = 2 ** limits.choices["delay_bits"].value[-1] - 1
    if limits["slot_max"] > min(deepest, field):
        raise InputError(
            f"limits {origin}: slot_max {limits['slot_max']} is above {deepest}, the last usable slot of the deepest "
            f"buffer, or {field}, what delay_bits can say; correct one of them"
        )
    tiles = [limits.value(name) for name in ("cores_per_tile", "mesh_columns", "mesh_rows")]
    known = [figure for figure in tiles if figure is not None]
    if len(known) == len(tiles) and math.prod(known) < limits["cores"]:
        raise InputError(
            f"limits {origin}: a mesh of {' x '.join(map(str, known))} holds {math.prod(known)} cores, the chip has "
            f"{limits['cores']}; correct cores_per_tile, mesh_columns or mesh_rows"
        )
