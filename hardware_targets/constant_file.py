"""Constants of energy and time as data: a YAML file for each chip, checked and used by name.

An entry has a value with low and high ends, or all three null where nothing is public; a unit; how well it is
established (`toolchain.cost.constants.BASES`); a source; and a note that says what the range is made of. Each chip
family says which constants it has and in which units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib import resources

import yaml

from toolchain.cost.constants import BASES, UNITS, Constant
from toolchain.cost.content import PublishedCost
from toolchain.errors import InputError

FIELDS = {"value", "low", "high", "unit", "basis", "source", "note"}
PUBLISHED = "published_costs.yaml"
PUBLISHED_FIELDS = {"device", "task", "figure", "energy_j", "latency_s", "established", "comparable", "source"}


def parse_constants(text: str, origin: str, units: Mapping[str, str]) -> dict[str, Constant]:
    """Constants from the text of a file, in its order.

    Parameters
    ----------
    units : name -> unit of each constant that the chip must have

    Raises
    ------
    InputError
        If an entry is missing, unknown or incomplete, its figures do not rise from 0 on, or its unit is another; the
        message names `origin`, the entry and the remedy.
    """
    data = _read(text, origin)
    if not isinstance(data, dict) or set(data) != {"chip", "constants"} or not isinstance(data["constants"], dict):
        raise InputError(f"constants {origin}: must hold exactly chip and constants; add what is missing")
    entries = data["constants"]
    missing, unknown = sorted(set(units) - set(entries)), sorted(map(str, set(entries) - set(units)))
    if missing or unknown:
        raise InputError(
            f"constants {origin}: missing {missing or 'none'}, unknown {unknown or 'none'}; give these alone"
        )
    return {name: _constant(name, entry, units[name], f"{origin} {name}") for name, entry in entries.items()}


def read_constants(package: str, chip: str, units: Mapping[str, str]) -> dict[str, Constant]:
    """Constants that ship with a chip family; `chip` is the name of the file without its endings.

    Raises InputError as `parse_constants` does.
    """
    name = f"{chip}.energy.yaml"
    return parse_constants(resources.files(package).joinpath(name).read_text(encoding="utf-8"), name, units)


@cache
def published_costs() -> tuple[PublishedCost, ...]:
    """Figures that others measured on devices, from the file that ships with this package."""
    text = resources.files(__package__).joinpath(PUBLISHED).read_text(encoding="utf-8")
    return parse_published(text, PUBLISHED)


def parse_published(text: str, origin: str) -> tuple[PublishedCost, ...]:
    """Published figures from the text of a file; InputError names `origin`, the entry and the remedy."""
    data = _read(text, origin)
    if not isinstance(data, list):
        raise InputError(f"constants {origin}: {type(data).__name__} is no list of published figures; give one")
    found = []
    for i, entry in enumerate(data):
        where = f"{origin} entry {i}"
        if not isinstance(entry, dict) or set(entry) != PUBLISHED_FIELDS:
            raise InputError(f"constants {where}: must have {', '.join(sorted(PUBLISHED_FIELDS))}; correct it")
        for field in ("energy_j", "latency_s"):
            if entry[field] is not None and not (_is_number(entry[field]) and entry[field] > 0):
                raise InputError(f"constants {where}: {field} {entry[field]!r} is no number above 0; give it, or null")
        for field in PUBLISHED_FIELDS - {"energy_j", "latency_s"}:
            _check_text(entry[field], f"{where}: {field}")
        _check_basis(entry["established"], where)
        found.append(PublishedCost(**entry))
    return tuple(found)


def _read(text: str, origin: str) -> object:
    try:
        found: object = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"constants {origin}: no YAML ({' '.join(str(error).split())}); correct it") from error
    return found


def _constant(name: str, entry: object, unit: str, where: str) -> Constant:
    if not isinstance(entry, dict) or set(entry) != FIELDS:
        raise InputError(f"constants {where}: must have {', '.join(sorted(FIELDS))}; correct it")
    for field in ("unit", "source", "note"):
        _check_text(entry[field], f"{where}: {field}")
    if entry["unit"] != unit or unit not in UNITS:
        raise InputError(f"constants {where}: unit {entry['unit']!r} must be {unit!r}; convert the figures")
    _check_basis(entry["basis"], where)
    figures = [entry[end] for end in ("low", "value", "high")]
    if entry["basis"] == "unknown":
        if figures != [None, None, None]:
            raise InputError(f"constants {where}: {figures} of what is unknown; leave them null, or say what they are")
    elif not all(_is_number(f) for f in figures) or not 0 <= figures[0] <= figures[1] <= figures[2]:
        raise InputError(f"constants {where}: low, value and high {figures} must be numbers that rise from 0 on")
    return Constant(name, **{**entry, **{end: _float(entry[end]) for end in ("low", "value", "high")}})


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _float(value: int | float | None) -> float | None:
    return None if value is None else float(value)


def _check_text(value: object, where: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"constants {where} {value!r} is no text; say it in words")


def _check_basis(value: object, where: str) -> None:
    if value not in BASES:
        raise InputError(f"constants {where}: basis {value!r} must be one of {', '.join(BASES)}; say which")
