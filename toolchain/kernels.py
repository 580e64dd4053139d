"""Compiling kernels with numba, once for all processes, and again when any of their sources changed."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any


def kernel(function: Any) -> Any:
    """Compile at first use, for many calls without the interpreter's lock; cached between processes.

    Numba keeps what it compiled beside the source and takes it again while that one file is the same, although other
    kernels, which it calls, are compiled into it. After an update of those it would go on with the old ones, without a
    word. So the name under which it is kept holds a digest of all sources in the folder.
    """
    from numba import njit

    function.__qualname__ += f"_{_digest(Path(inspect.getfile(function)).parent)}"
    return njit(function, cache=True, nogil=True, error_model="numpy", boundscheck=False)


@cache
def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        found.update(file.read_bytes() + b"\0")
    return found.hexdigest()[:12]
