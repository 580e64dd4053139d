"""Reading a file in a process of its own: on damaged HDF5 the library may crash, or walk in a circle for ever.

The process is ``python -m MODULE PATH OUT OPTIONS`` and runs `answer`: it writes what it read as OUT, and beside it
OUT.json, what else it has to say or its error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolchain.datasets.checks.isolated import limit_memory
from toolchain.errors import DelaylineError, InterchangeError

SECONDS, SECONDS_PER_MB = 120.0, 2.0
"""That a file may take; reading a large one takes a hundredth of it."""


def read_apart(module: str, path: Path, out: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Let a module read a file in a process of its own, with limits on time and memory.

    Parameters
    ----------
    module : whose ``_main`` calls `answer`
    path : of the file
    out : where the process writes what it read
    options : of JSON types, for the reader

    Returns
    -------
    what the reader said besides

    Raises
    ------
    InterchangeError
        With the reader's own message, or if the process ends without one, as when a library crashes or hangs.
    """
    if not path.is_file():
        raise InterchangeError(f"file {path}: does not exist, or is none; give the path of a file")
    limit_s = SECONDS + SECONDS_PER_MB * path.stat().st_size / 1e6
    command = [sys.executable, "-m", module, str(path.absolute()), str(out), json.dumps(options)]
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
    said = _said(_beside(out))
    if "error" in said:
        raise InterchangeError(str(said["error"]).replace(str(path.absolute()), str(path)))
    if done.returncode or "said" not in said:
        why = f"signal {-done.returncode}" if done.returncode < 0 else " ".join(done.stderr.split())[-200:]
        why = why or "no answer"
        raise InterchangeError(
            f"file {path}: the library that reads it ended with {why}; it is damaged: write it again"
        )
    found: dict[str, Any] = said["said"]
    return found


def answer(read: Callable[[Path, Path, dict[str, Any]], Mapping[str, Any]], arguments: list[str]) -> None:
    """The other side, in the process: call `read(path, out, options)` and write what it returns, or its error."""
    limit_memory()
    path, out = Path(arguments[0]), Path(arguments[1])
    said: dict[str, Any]
    try:
        said = {"said": dict(read(path, out, json.loads(arguments[2])))}
    except DelaylineError as error:
        said = {"error": str(error)}
    except MemoryError:
        said = {"error": f"file {path}: needs more memory than such a file may; it is damaged: write it again"}
    _beside(out).write_text(json.dumps(said), encoding="utf-8")


def _beside(out: Path) -> Path:
    return out.with_suffix(".json")


def _said(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
