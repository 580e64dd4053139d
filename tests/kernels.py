"""Compile the kernels of the backend cpu: `python -m tests.kernels`, which `make test` runs beside mypy.

It takes one core twenty seconds, once; without it every worker of pytest does so for itself at the same time.
"""

from __future__ import annotations

import numpy as np

from tests.networks import random_network, random_spikes
from toolchain.training.backends import make_engine

STEPS = 20


def main() -> None:
    """One gradient of one sample."""
    random = np.random.default_rng(0)
    network = random_network("recurrent", random)
    engine = make_engine("cpu", network, STEPS, max_slot=9)
    engine.gradients(random_spikes(random, 1, 5, STEPS, 0.1), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))


if __name__ == "__main__":
    main()
