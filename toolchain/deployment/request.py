"""What is asked of a placement: it goes wherever a network is placed, exported or laid out, and into the bundle.

A target places a network anew each time it needs the tables. The same request leads to the same placement, so a bundle
keeps it: what was reported is what was exported, and what `validate` compares with later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.errors import InputError


@dataclass(frozen=True)
class PlacementRequest:
    """What is asked of a placement; without anything the target chooses.

    Parameters
    ----------
    chips : over how many cores may be spread; None for those of the target's usual board
    """

    chips: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For the manifest of a bundle; `read_request` is the inverse."""
        return {"chips": self.chips}


def read_request(entry: object) -> PlacementRequest:
    """Rebuild what `PlacementRequest.to_json` returned; InputError if it is none. Nothing (None) asks for nothing."""
    if entry is None:
        return PlacementRequest()
    if not isinstance(entry, dict) or set(entry) != {"chips"}:
        raise InputError(f"placement {entry!r}: must have chips; deploy again")
    chips = entry["chips"]
    if chips is not None and (isinstance(chips, bool) or not isinstance(chips, int) or chips < 1):
        raise InputError(f"placement: chips {chips!r} is no whole number above 0; deploy again")
    return PlacementRequest(chips)
