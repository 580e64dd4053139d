"""Which core each neuron of a population is on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.target import CoreUse


def home_cores(population: str, size: int, cores: Sequence[CoreUse]) -> NDArray[np.int64]:
    """Place in `cores` of the core of each neuron, (size,); -1 for none: input that comes from outside."""
    home = np.full(size, -1, dtype=np.int64)
    for i, core in enumerate(cores):
        if core.population == population:
            home[core.first : core.last + 1] = i
    return home
