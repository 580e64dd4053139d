"""Reading HDF5 in a process of its own: on a damaged file the library may crash, or walk in a circle for ever.

    python -m toolchain.interchange.recordings.isolated PATH OUT.npz OPTIONS

writes what it found as OUT.npz, in the layout of `npz_file`, and OUT.json beside it: counts and the like, or an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.datasets.checks.isolated import limit_memory
from toolchain.errors import DelaylineError, InterchangeError
from toolchain.interchange.recordings.found import Found
from toolchain.interchange.recordings.npz_file import read_npz
from toolchain.interchange.recordings.pixels import Pixels

SECONDS, SECONDS_PER_MB = 120.0, 2.0
"""That a file may take; reading a large one takes a hundredth of it."""


def read_isolated(path: Path, pixels: Pixels, node: str | None) -> Found:
    """Read an HDF5 file, whatever it does to the library.

    Parameters
    ----------
    path : of the file
    pixels : how events of cameras become units
    node : of a NIR data file, the node whose spikes are read

    Raises
    ------
    InterchangeError
        As `hdf5_file.read_hdf5`, and if the library crashes or does not come back.
    """
    if not path.is_file():
        raise InterchangeError(f"file {path}: does not exist, or is none; give the path of a file")
    limit_s = SECONDS + SECONDS_PER_MB * path.stat().st_size / 1e6
    options = json.dumps({"sensor": pixels.sensor, "polarity": pixels.polarity, "node": node})
    with tempfile.TemporaryDirectory(prefix="delayline-") as folder:
        out = Path(folder) / "found.npz"
        command = [sys.executable, "-m", __name__, str(path.absolute()), str(out), options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise InterchangeError(
                f"file {path}: the library that reads it did not come back within {limit_s:.0f} s; it is damaged: "
                "fetch or write it again"
            ) from error
        said = _said(out.with_suffix(".json"))
        if "error" in said:
            raise InterchangeError(str(said["error"]).replace(str(path.absolute()), str(path)))
        if done.returncode or "counts" not in said:
            why = f"signal {-done.returncode}" if done.returncode < 0 else " ".join(done.stderr.split())[-200:]
            raise InterchangeError(
                f"file {path}: the library that reads it ended with {why}; it is damaged: write it again"
            )
        found = read_npz(out)
        found.counts = {str(k): int(v) for k, v in said["counts"].items()}
        found.finest, found.unlabelled = float(said["finest"]), str(said["unlabelled"])
        return found


def _said(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _read(path: Path, options: dict[str, Any]) -> Found:
    from toolchain.interchange.recordings.hdf5_file import is_nir_data, read_hdf5

    if is_nir_data(path):
        from toolchain.interchange.recordings.nir_file import read_nir

        return read_nir(path, options["node"])
    if options["node"] is not None:
        raise InterchangeError(f"file {path}: is no NIR data file and has no node {options['node']}; leave --node out")
    sensor = options["sensor"]
    return read_hdf5(path, Pixels((sensor[0], sensor[1]) if sensor else None, options["polarity"]))


def _main(path: str, out: str, options: str) -> None:
    limit_memory()
    said: dict[str, Any]
    try:
        found = _read(Path(path), json.loads(options))
        arrays: dict[str, Any] = {"times": found.times, "units": found.units, "offsets": found.offsets}
        for name in ("time_unit", "dt_ms", "n_units"):
            if getattr(found, name) is not None:
                arrays[name] = np.array(getattr(found, name))
        if found.labels is not None:
            arrays["labels"] = np.array(found.labels)
        if found.label_names:
            arrays["label_names"] = np.array(found.label_names)
        np.savez(out, **arrays)
        said = {"counts": found.counts, "finest": found.finest, "unlabelled": found.unlabelled}
    except DelaylineError as error:
        said = {"error": str(error)}
    except MemoryError:
        said = {"error": f"file {path}: needs more memory than a file of recordings may; it is damaged: write it again"}
    Path(out).with_suffix(".json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
