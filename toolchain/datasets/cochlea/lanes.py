"""How the kernels of the cochlea are laid out and compiled: channels side by side in one vector, time outermost.

Every equation after the membrane is a recurrence in time and the same for each channel. So channels lie in blocks of
`LANES`, an array of a block is ``(n_steps, LANES)`` flattened, and the innermost loop goes over lanes: LLVM turns it
into vector instructions. Floating-point operations are neither reordered nor fused, so spikes do not depend on the
vector unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel

LANES = 32
"""Channels in a block: two vectors of the widest unit, so that one is computed while the other waits for its last."""
WIDTH = np.uint64(LANES)
"""The same for kernels: LLVM finds vectors only where no index can be negative, so theirs are unsigned."""

F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]

__all__ = ["F32", "LANES", "U32", "WIDTH", "kernel"]
