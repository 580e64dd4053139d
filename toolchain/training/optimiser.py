"""Adam (Kingma, Ba 2015) over a flat vector, with a step size for each parameter.

Weights, delays and time constants have an optimiser each, as published for the first two (facts/training.md section
2.4); a step size of zero freezes a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Adam:
    """Moments of one parameter vector; `rate` (n,) is the step size of each parameter."""

    rate: NDArray[np.float32]
    first: NDArray[np.float32] = field(init=False)
    second: NDArray[np.float32] = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        self.first = np.zeros_like(self.rate)
        self.second = np.zeros_like(self.rate)

    def step(self, parameters: NDArray[np.float32], gradient: NDArray[np.float32], factor: float) -> None:
        """Move `parameters` in place by one step of size ``factor * rate``."""
        self.steps += 1
        self.first += np.float32(1 - BETA1) * (gradient - self.first)
        self.second += np.float32(1 - BETA2) * (gradient * gradient - self.second)
        scale = np.float32(factor * np.sqrt(1 - BETA2**self.steps) / (1 - BETA1**self.steps))
        epsilon = np.float32(EPSILON * np.sqrt(1 - BETA2**self.steps))
        parameters -= scale * self.rate * self.first / (np.sqrt(self.second) + epsilon)
