"""Adam (Kingma, Ba 2015) over a flat vector, with a step size for each parameter.

Weights, delays and time constants have an optimiser each, as published for the first two (facts/training.md section
2.4); a step size of zero freezes a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolchain.kernels import kernel

F32 = NDArray[np.float32]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""As published; a smaller BETA2 forgets sooner how large gradients were when the network was another."""


@dataclass
class Adam:
    """Moments of one parameter vector.

    Parameters
    ----------
    rate : (n,) step size of each parameter
    beta_1, beta_2 : what a step keeps of the running means of the gradient and of its square
    """

    rate: NDArray[np.float32]
    beta_1: float = BETA1
    beta_2: float = BETA2
    first: NDArray[np.float32] = field(init=False)
    second: NDArray[np.float32] = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        self.first = np.zeros_like(self.rate)
        self.second = np.zeros_like(self.rate)

    def step(self, parameters: NDArray[np.float32], gradient: NDArray[np.float32], factor: float) -> None:
        """Move `parameters` in place by one step of size ``factor * rate``."""
        self.steps += 1
        rest = np.sqrt(1 - self.beta_2**self.steps)
        scale = factor * rest / (1 - self.beta_1**self.steps)
        _step(
            parameters, gradient, self.rate, self.first, self.second, np.float32(1 - self.beta_1),
            np.float32(1 - self.beta_2), np.float32(scale), np.float32(EPSILON * rest),
        )  # fmt: skip


@kernel
def _step(
    parameters: F32, gradient: F32, rate: F32, first: F32, second: F32, new_1: np.float32, new_2: np.float32,
    scale: np.float32, epsilon: np.float32,
) -> None:  # fmt: skip
    """One pass over all five vectors: in NumPy each operation is a pass of its own."""
    for n in range(np.uint64(parameters.size)):
        first[n] += new_1 * (gradient[n] - first[n])
        second[n] += new_2 * (gradient[n] * gradient[n] - second[n])
        parameters[n] -= scale * rate[n] * first[n] / (np.sqrt(second[n]) + epsilon)
