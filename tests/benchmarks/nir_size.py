"""Room and time of a NIR file with many slots, beside the tensors of its network.

    python -m tests.benchmarks.nir_size

Writes and reads 700-512-20 with recurrence, all connected, random weights and slots 0 to 62; a few seconds. Times are
of the processor.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from toolchain.interchange.nir import NirAssumptions, read_nir, write_nir
from toolchain.network import Network, Population, make_projection

EDGES = (("input", "hidden"), ("hidden", "hidden"), ("hidden", "output"))


def network() -> Network:
    """700-512-20 with recurrence, slots 0 to 62."""
    random = np.random.default_rng(0)
    populations = (
        Population("input", "spike_source", 700),
        Population("hidden", "lif", 512),
        Population("output", "leaky_readout", 20),
    )
    size = {p.name: p.size for p in populations}
    shapes = [(source, target, (size[source], size[target])) for source, target in EDGES]
    projections = (
        make_projection(source, target, random.normal(0, 0.1, shape), random.integers(0, 63, shape))
        for source, target, shape in shapes
    )
    return Network(1.0, populations, tuple(projections))


def main() -> None:
    """Print one line."""
    one = network()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        begin = time.process_time()
        written = write_nir(one, path)
        between = time.process_time()
        read_nir(path, NirAssumptions())
        end = time.process_time()
        size = path.stat().st_size
    tensors = sum(p.weight.nbytes for p in one.projections)
    print(f"{written.nodes} nodes, {size / 1e6:.1f} MB for {tensors / 1e6:.1f} MB of weights")
    print(f"written in {between - begin:.1f} s, read in {end - between:.1f} s")


if __name__ == "__main__":
    main()
