"""What an ONNX file of 700-512-20 recurrent neurons with slots 0 to 62 takes, and what running it costs.

    python -m tests.benchmarks.onnx_export

Random weights and delays, 16 samples of 100 steps with 2 % of the inputs spiking in each. Prints, in float and for each
chip, medians of five: seconds to write and to read the file, its size beside that of its tensors, milliseconds of a
sample in onnxruntime on one core, and in the chip's emulator; then whether their states are equal.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.networks import random_spikes
from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.target import Quantised, Target, find_target
from toolchain.interchange.onnx.assemble import assemble
from toolchain.interchange.onnx.float_step import float_graph
from toolchain.interchange.onnx.reading import read_onnx
from toolchain.interchange.onnx.running import OnnxSession
from toolchain.interchange.onnx.writing import write_onnx
from toolchain.network import Network, Population, make_projection

SIZES = {"in": 700, "hidden": 512, "out": 20}
LONGEST, SAMPLES, STEPS, RATE, TIMES = 62, 16, 100, 0.02, 5


def network_of(sizes: dict[str, int], random: np.random.Generator) -> Network:
    """One recurrent hidden population, every pair connected, delays over all slots."""
    populations = (
        Population("in", "spike_source", sizes["in"]),
        Population("hidden", "lif", sizes["hidden"]),
        Population("out", "leaky_readout", sizes["out"]),
    )
    projections = []
    for source, target, strength in (("in", "hidden", 0.3), ("hidden", "hidden", 0.05), ("hidden", "out", 0.1)):
        shape = (sizes[source], sizes[target])
        weight, delay = random.normal(0, strength, shape), random.uniform(0, LONGEST, shape)
        projections.append(make_projection(source, target, weight, delay))
    return Network(1.0, populations, tuple(projections))


def seconds(work: Callable[[], Any]) -> float:
    """Median of a few calls, after one that counts for nothing."""
    work()
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(numbers: str, folder: Path) -> str:
    """A line for one number system."""
    random = np.random.default_rng(0)
    network = network_of(SIZES, random)
    spikes = random_spikes(random, SAMPLES, SIZES["in"], STEPS, RATE)
    path, beside = folder / f"{numbers}.onnx", ""
    what: Network | tuple[Target, Quantised] = network
    graph = float_graph(network)
    if numbers != "float":
        target = find_target(numbers)
        assert isinstance(target, StepGraphTarget)
        quantised = target.quantise(network, spikes, clip_delays=False)
        what, graph = (target, quantised), target.step_graph(quantised)
        emulating = 1000 * seconds(lambda: target.emulate(quantised, spikes)) / SAMPLES
        session = OnnxSession(assemble(graph, states=True))
        found = target.step_traces(session.run(spikes, session.outputs))
        expected = target.emulate_traces(quantised, spikes)
        equal = all(
            np.array_equal(getattr(found, q)[name], getattr(expected, q)[name])
            for q in ("u", "v", "spikes")
            for name in expected.v
        )
        count = int(expected.spikes["hidden"].sum())
        beside = f"; emulator {emulating:.2f} ms, states {'equal' if equal else 'DIFFER'}, {count} hidden spikes"
    writing, reading = seconds(lambda: write_onnx(path, what)), seconds(lambda: read_onnx(path))
    tensors = sum(array.nbytes for array in graph.tensors().values())
    session = OnnxSession(path.read_bytes())
    running = 1000 * seconds(lambda: session.run(spikes, session.outputs)) / SAMPLES
    size = path.stat().st_size
    return (
        f"{numbers}: written in {writing:.2f} s, read in {reading:.2f} s, {size} bytes, {size / tensors:.4f} times its "
        f"tensors; onnxruntime {running:.1f} ms a sample{beside}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for system in ("float", "loihi2", "spinnaker1"):
            print(measure(system, Path(place)), flush=True)
