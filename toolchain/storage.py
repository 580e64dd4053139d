"""Files at rest: safetensors with a JSON header for arrays, JSON for the rest; never a pickle.

Every file is written under a temporary name, flushed to disk and renamed, so a reader finds the old file
or the new one and nothing in between, whenever the writer is killed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import CheckpointError, InputError

HEADER_KEY = "delayline"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; raises InputError with the path and the cause if the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; free or choose another place") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read; NaN and infinity are refused, for JSON has none."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write arrays as safetensors with `header` as JSON in its metadata."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomically(path, save(contiguous, metadata={HEADER_KEY: json.dumps(header)}))


def load_arrays(path: Path, *, what: str = "checkpoint") -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save_arrays` wrote.

    Raises
    ------
    CheckpointError
        If the file is absent, truncated, not safetensors, or without our header.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"{what} {path} does not exist; train the network first or give another run folder")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{what} {path} ({path.stat().st_size} bytes) cannot be read: {error}; it is truncated or not one of ours"
        ) from error
    for name, array in arrays.items():
        # Types of the package ml_dtypes, which safetensors knows where it is installed, are no numbers of NumPy.
        if array.dtype.kind not in "biuf":
            raise CheckpointError(f"{what} {path}: {name} is {array.dtype}, no type of NumPy's; it is not one of ours")
    try:
        header = json.loads(metadata[HEADER_KEY])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} {path}: no {HEADER_KEY} header; it was not written by this program") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{what} {path}: its header is {type(header).__name__}, must be a mapping")
    return arrays, header
