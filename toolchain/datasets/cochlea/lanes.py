"""How the kernels of the cochlea are laid out and compiled: channels side by side in one vector, time outermost.

Every equation after the membrane is a recurrence in time and the same for each channel. So channels lie in blocks of
`LANES`, an array of a block is ``(n_steps, LANES)`` flattened, and the innermost loop goes over lanes: LLVM turns it
into vector instructions. Floating-point operations are neither reordered nor fused, so spikes do not depend on the
vector unit.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 32
"""Channels in a block: two vectors of the widest unit, so that one is computed while the other waits for its last."""
WIDTH = np.uint64(LANES)
"""The same for kernels: LLVM finds vectors only where no index can be negative, so theirs are unsigned."""

F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]


_SOURCES = zlib.crc32(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))


def kernel(function: Any) -> Any:
    """Compile for many calls without the interpreter's lock; cached between processes.

    Numba compiles a kernel again when its own file has changed, not when a kernel that it calls or a constant that it
    uses has. The cache goes by the function's name, so a name with the checksum of all modules here is never stale.
    """
    function.__qualname__ += f"_{_SOURCES:08x}"
    return njit(function, cache=True, nogil=True, error_model="numpy", boundscheck=False)
