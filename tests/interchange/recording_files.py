"""Files of recordings for tests: an event camera, a group a sample, one event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def camera(path: Path, place: str = "events", *, compound: bool = False, **attributes: Any) -> None:
    """Four events of a camera of 4 x 3 pixels, from microsecond 10^15 on."""
    x, y, p, t = (
        np.array([0, 3, 1, 3]),
        np.array([0, 2, 1, 2]),
        np.array([0, 1, 1, 0]),
        10**15 + np.array([0, 5, 9, 40]),
    )
    with h5py.File(path, "w") as file:
        if compound:
            table = np.zeros(4, dtype=[("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
            for name, values in (("x", x), ("y", y), ("p", p), ("t", t)):
                table[name] = values
            file[place] = table
        else:
            for name, values in (("x", x), ("y", y), ("p", p), ("t", t)):
                file[f"{place}/{name}"] = values
        for name, value in attributes.items():
            file[place].attrs[name] = value


def grouped(path: Path, parent: str = "") -> None:
    """Eleven samples, a group each, so that 10 comes after 2 and not after 1."""
    with h5py.File(path, "w") as file:
        for i in range(11):
            group = file.create_group(f"{parent}s{i}")
            group["times"], group["units"] = np.array([i, i + 1]), np.array([0, i])
            group.attrs["label"] = "even" if i % 2 == 0 else "odd"


def one_sample(path: Path, unit: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, times=np.array([0.25]), units=np.array([unit]), time_unit="s")
