"""Limits of a chip as data: entries of a YAML file, each with value, unit and source, checked and used by name.

A limit is a number, or null where no public figure is known: then nothing is checked. A choice is a list of the
values that a field can have, such as the bits of a weight. Each chip family says which limits it has, and which of them
its arithmetic cannot do without.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from toolchain.errors import InputError

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
class Kinds:
    """Which limits a family of chips has.

    Attributes
    ----------
    known : limits that must have a figure
    may_be_unknown : limits that may be null
    may_be_negative, may_be_zero : those of the known ones that are not above 0 of necessity
    """

    known: Collection[str]
    may_be_unknown: Collection[str] = ()
    may_be_negative: Collection[str] = ()
    may_be_zero: Collection[str] = ()


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

    def describe(self) -> list[dict[str, Any]]:
        """All limits and choices for printing; JSON types."""
        choices = [{**vars(choice), "value": list(choice.value)} for choice in self.choices.values()]
        return [dict(vars(limit)) for limit in self.table.values()] + choices


def read_sections(text: str, origin: str, sections: tuple[str, ...]) -> dict[str, Any]:
    """The top level of a limit file, which must hold these sections and a name of the chip under ``chip``.

    Raises
    ------
    InputError
        Naming `origin`, the section and the remedy.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"limits {origin}: no YAML ({' '.join(str(error).split())}); correct it") from error
    names = f"{', '.join(sections[:-1])} and {sections[-1]}"
    if not isinstance(data, dict) or set(data) != set(sections):
        raise InputError(f"limits {origin}: must hold exactly {names}; add what is missing")
    if not isinstance(data["chip"], str) or not data["chip"]:
        raise InputError(f"limits {origin}: chip {data['chip']!r} is no name; give one")
    return data


def read_limit_entries(found: object, kinds: Kinds, where: str) -> dict[str, Limit]:
    """Limits by name, in the order of the file; InputError names `where`, the entry and the remedy."""
    entries = _entries(found, (*kinds.known, *kinds.may_be_unknown), f"{where} limits")
    for name, entry in entries.items():
        _check_limit(name, entry["value"], kinds, f"{where} limits.{name}")
    return {name: Limit(name, **entry) for name, entry in entries.items()}


def read_choice_entries(found: object, names: tuple[str, ...], where: str) -> dict[str, Choice]:
    """Choices by name, in the order of the file; InputError names `where`, the entry and the remedy."""
    entries = _entries(found, names, f"{where} choices")
    for name, entry in entries.items():
        _check_choice(entry["value"], f"{where} choices.{name}")
    return {name: Choice(name, **{**entry, "value": tuple(entry["value"])}) for name, entry in entries.items()}


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


def _check_limit(name: str, value: object, kinds: Kinds, where: str) -> None:
    if value is None and name in kinds.may_be_unknown:
        return
    if not _whole(value):
        raise InputError(f"limits {where}: value {value!r} is no whole number; give the figure")
    assert isinstance(value, int)
    if value < 0 and name not in kinds.may_be_negative:
        raise InputError(f"limits {where}: value {value} is below 0; give the figure, or null where none is public")
    if value == 0 and name not in (*kinds.may_be_zero, *kinds.may_be_negative):
        raise InputError(f"limits {where}: value 0 leaves no room for a neuron; give the figure, or null for unknown")


def _check_choice(value: object, where: str) -> None:
    if not isinstance(value, list) or not value or not all(_whole(v) and v >= 0 for v in value):
        raise InputError(f"limits {where}: value {value!r} is no list of whole numbers from 0 on; give one")
    if value != sorted(set(value)):
        raise InputError(f"limits {where}: value {value!r} does not rise; sort it, each number once")
