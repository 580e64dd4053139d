"""What is asked of a placement: it goes wherever a network is placed, exported or laid out, and into the bundle.

A target places a network anew each time it needs the tables. The same request leads to the same placement, so a bundle
keeps it: what was reported is what was exported, and what `validate` compares with later.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolchain.errors import InputError

DIGITS = 9
"""More digits than any number of neurons on a core has."""


@dataclass(frozen=True)
class PlacementRequest:
    """What is asked of a placement; without anything the target chooses.

    Parameters
    ----------
    chips : over how many cores may be spread; None for those of the target's usual board
    neurons_per_core : population -> neurons on each of its cores, where the target is not to choose
    """

    chips: int | None = None
    neurons_per_core: Mapping[str, int] = field(default_factory=dict)

    def check_names(self, populations: Iterable[str]) -> None:
        """Refuse names that no population has (InputError)."""
        known = list(populations)
        for name in self.neurons_per_core:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                hint = f"did you mean {close[0]!r}?" if close else f"give one of {', '.join(known)}"
                raise InputError(f"--neurons-per-core {name}={self.neurons_per_core[name]}: no such population; {hint}")

    def to_json(self) -> dict[str, Any]:
        """For the manifest of a bundle; `read_request` is the inverse."""
        return {"chips": self.chips, "neurons_per_core": dict(self.neurons_per_core)}


def read_request(entry: object) -> PlacementRequest:
    """Rebuild what `PlacementRequest.to_json` returned; InputError if it is none. Nothing (None) asks for nothing."""
    if entry is None:
        return PlacementRequest()
    if not isinstance(entry, dict) or set(entry) != {"chips", "neurons_per_core"}:
        raise InputError(f"placement {entry!r}: must have chips and neurons_per_core; deploy again")
    chips, neurons = entry["chips"], entry["neurons_per_core"]
    if chips is not None and not _counts(chips):
        raise InputError(f"placement: chips {chips!r} is no whole number above 0; deploy again")
    if not isinstance(neurons, dict) or not all(isinstance(n, str) and _counts(i) for n, i in neurons.items()):
        raise InputError(f"placement: neurons_per_core {neurons!r} is no whole number for each name; deploy again")
    return PlacementRequest(chips, dict(neurons))


def read_neurons_per_core(entries: Iterable[str]) -> dict[str, int]:
    """Population -> neurons a core, from texts as ``hidden=32``.

    Raises
    ------
    InputError
        If a text is none, or two are about one population.
    """
    found: dict[str, int] = {}
    for entry in entries:
        # A name may hold "=", a number cannot.
        name, _, number = entry.rpartition("=")
        if not name or not (number.isascii() and number.isdecimal()) or len(number) > DIGITS or int(number) < 1:
            raise InputError(
                f"--neurons-per-core {entry}: must be a population, = and a whole number above 0, as hidden=32"
            )
        if name in found:
            raise InputError(f"--neurons-per-core {entry}: {name} was given {found[name]} already; give one of the two")
        found[name] = int(number)
    return found


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
