"""Events of an event camera: a pixel and a polarity become one unit.

unit = (c * height + y) * width + x          c = 0 for off and 1 for on, or 0 for both
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError

Polarity = Literal["separate", "merge", "on", "off"]
POLARITIES: tuple[str, ...] = get_args(Polarity)
LARGEST_SIDE = 100_000


@dataclass(frozen=True)
class Pixels:
    """What is asked for.

    Attributes
    ----------
    sensor : (width, height) of the camera, None where the file says it
    polarity : ``separate``: off and on are units of their own; ``merge``: both are one; ``on``, ``off``: the others are
        left out
    """

    sensor: tuple[int, int] | None = None
    polarity: str = "separate"


def units_of_pixels(
    x: NDArray[Any], y: NDArray[Any], p: NDArray[Any] | None, sensor: tuple[int, int], polarity: str, where: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int, dict[str, int]]:
    """Units, which events are kept, how many units there are, and what was dropped or merged.

    Raises
    ------
    InterchangeError
        If a pixel is outside the sensor, or polarities are neither 0 and 1 nor -1 and 1.
    """
    width, height = sensor
    for name, values, limit in (("x", x, width), ("y", y, height)):
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < limit:
            raise InterchangeError(
                f"{where}: {name} is {values.min()} to {values.max()}, outside 0..{limit - 1} of a sensor of "
                f"{width}x{height}; give --sensor WIDTHxHEIGHT"
            )
    kept = np.ones(x.size, dtype=np.bool_)
    counts: dict[str, int] = {}
    units = y.astype(np.int64) * width + x.astype(np.int64)
    if p is None:
        if polarity in ("on", "off"):
            raise InterchangeError(f"{where}: has no polarity p; --polarity {polarity} cannot be asked of it")
        return units, kept, width * height, counts
    seen = np.unique(p)
    if not (np.isin(seen, (0, 1)).all() or np.isin(seen, (-1, 1)).all()):
        raise InterchangeError(f"{where}: polarities are {seen[:5].tolist()}; they must be 0 and 1, or -1 and 1")
    on = p > 0
    if polarity == "separate":
        return units + on * (width * height), kept, 2 * width * height, counts
    if polarity == "merge":
        if x.size:
            counts["events whose polarity was left out"] = int(x.size)
        return units, kept, width * height, counts
    kept = on if polarity == "on" else ~on
    if dropped := int(np.count_nonzero(~kept)):
        counts[f"events of the other polarity than {polarity} left out"] = dropped
    return units, kept, width * height, counts
