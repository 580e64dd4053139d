"""Samples, arrays and the end of the script; nothing of sPyNNaker is imported here."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

MISSING, BAD_INPUT, FAILED = 4, 2, 1
"""Exit codes: a package is missing, an option or file is not usable, a run did not do what it should."""


def stop(message: str, code: int = BAD_INPUT) -> NoReturn:
    """End with one line on standard error."""
    print(f"network.py: {message}", file=sys.stderr)
    raise SystemExit(code)


try:
    import numpy as np
except ImportError as error:
    stop(f"cannot import numpy: {error}; pip install numpy", MISSING)


class Samples:
    """Spikes in event form, as samples.npz and --data hold them.

    times, units : (n_events,) integers, step and unit of each spike
    offsets : (n_samples + 1,) events of sample s are offsets[s]:offsets[s + 1]
    n_units, n_steps : integers; labels : (n_samples,) integers, optional
    """

    def __init__(self, path: Path, n_sources: int) -> None:
        arrays = load(path)
        try:
            self.times, self.units, self.offsets = (arrays[key] for key in ("times", "units", "offsets"))
            self.n_units, self.n_steps = int(arrays["n_units"]), int(arrays["n_steps"])
            self.labels = arrays.get("labels")
        except (KeyError, TypeError, ValueError) as error:
            stop(f"{path}: {error}; it needs times, units, offsets, n_units and n_steps (README.md)")
        self.n = self.offsets.size - 1
        if self.n_units != n_sources or self.n_steps < 1:
            stop(f"{path}: {self.n_units} units, {self.n_steps} steps; the network has {n_sources} sources, steps >= 1")
        events = (self.times, self.units, self.offsets)
        if any(a.ndim != 1 or a.dtype.kind not in "iu" for a in events) or self.n < 1:
            stop(f"{path}: times, units and offsets must be flat arrays of integers, offsets one longer than samples")
        ends = (int(self.offsets[0]), int(self.offsets[-1]))
        if ends != (0, self.times.size) or self.units.size != self.times.size or (np.diff(self.offsets) < 0).any():
            stop(f"{path}: offsets must rise from 0 to the number of events, {self.times.size} times")
        for values, limit, what in ((self.times, self.n_steps, "step"), (self.units, self.n_units, "unit")):
            if values.size and not 0 <= int(values.min()) <= int(values.max()) < limit:
                stop(f"{path}: {what}s {values.min()} to {values.max()} are outside 0..{limit - 1}")
        if self.labels is not None and (self.labels.shape != (self.n,) or self.labels.dtype.kind not in "iu"):
            stop(f"{path}: labels must be {self.n} integers, one a sample")

    def of(self, sample: int) -> tuple[Any, Any]:
        """Steps and units of one sample."""
        events = slice(int(self.offsets[sample]), int(self.offsets[sample + 1]))
        return self.times[events].astype(np.int64), self.units[events].astype(np.int64)


def load(path: Path) -> dict[str, Any]:
    """Arrays of an npz file, none of which is pickled."""
    arrays: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays.update({key: archive[key] for key in archive.files})
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        stop(f"{path}: cannot be read ({error}); it must be an npz file as README.md describes it")
    return arrays


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write an npz file; under its name there is never half of one."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)
