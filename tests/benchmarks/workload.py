"""The training workload of the benchmarks: 700-256-20, 1000 steps, delays of 0 to 62 slots, batches of 32.

The shape is that of the published recurrent network for Spiking Heidelberg Digits (Meszaros, Knight, Nowotny 2025):
700 inputs with about 8,000 spikes a sample, 256 recurrent LIF neurons, 20 leaky readouts. Inputs are uniform noise;
what a batch costs depends on how many spikes there are, so the input weights are scaled until the hidden neurons spike
as often as they do in training, about 14 times each.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.event_graph import flatten, unflatten
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import BatchGradient, Engine, make_engine
from toolchain.training.optimiser import Adam


@dataclass(frozen=True)
class Workload:
    """Size of a workload.

    Attributes
    ----------
    input_spikes : a sample, exactly
    rate : spikes of a hidden neuron and sample that the weights are scaled for
    recurrent : whether hidden neurons project to each other
    """

    inputs: int = 700
    hidden: int = 256
    outputs: int = 20
    steps: int = 1000
    input_spikes: int = 8000
    max_slot: int = 62
    batch: int = 32
    rate: float = 14.0
    recurrent: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Prepared:
    """A workload with its data; `rate` is the one reached, spikes a hidden neuron and sample over the whole batch."""

    workload: Workload
    network: Network
    spikes: SpikeTrains
    labels: NDArray[np.int64]
    rate: float

    @property
    def events(self) -> float:
        """Synaptic events of a forward pass a sample: one for each spike and synapse it goes out on."""
        w = self.workload
        fan_out = w.outputs + (w.hidden if w.recurrent else 0)
        return float(w.input_spikes * w.hidden + self.rate * w.hidden * fan_out)

    def engine(self, threads: int = 1) -> Engine:
        """Our engine, ready for this workload."""
        w = self.workload
        return make_engine("cpu", self.network, w.steps, max_slot=w.max_slot, threads=threads)


class Trainable(Protocol):
    """What a training step needs of an engine; the plain implementation has it too."""

    def set_parameters(self, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None: ...

    def gradients(
        self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> BatchGradient: ...


class TrainingStep:
    """A whole training step: parameters into the engine, gradients of the batch, Adam on weights and on delays.

    The optimisers do all of their arithmetic with a step of size zero, so that every repetition has the same spikes.
    """

    def __init__(self, prepared: Prepared, engine: Trainable) -> None:
        self.prepared, self.engine = prepared, engine
        self.weights, self.delays = (flatten(prepared.network, field) for field in ("weight", "delay"))
        rates = (np.full(self.weights.size, rate, dtype=np.float32) for rate in (1e-3, 0.1))
        self.optimisers = [Adam(rate) for rate in rates]
        self.samples = np.arange(prepared.workload.batch)

    def __call__(self) -> BatchGradient:
        """Take the step."""
        self.engine.set_parameters(self.weights, self.delays)
        gradient = self.engine.gradients(self.prepared.spikes, self.prepared.labels, self.samples)
        self.update(gradient)
        return gradient

    def update(self, gradient: BatchGradient) -> None:
        """Adam on weights and on delays, which are clipped."""
        self.optimisers[0].step(self.weights, gradient.weight, 0.0)
        self.optimisers[1].step(self.delays, gradient.delay, 0.0)
        np.clip(self.delays, 0, self.prepared.workload.max_slot, out=self.delays)


def prepare(workload: Workload) -> Prepared:
    """Draw inputs and weights, and scale the weights of the inputs until the neurons spike at the wanted rate."""
    w = workload
    random = np.random.default_rng(w.seed)
    spikes = _input_spikes(w, random)
    labels = random.integers(0, w.outputs, w.batch)
    network = _network(w, random)
    weights, delays = flatten(network, "weight"), flatten(network, "delay")
    engine = make_engine("cpu", network, w.steps, max_slot=w.max_slot, threads=1)
    n_input = w.inputs * w.hidden
    shape = weights[:n_input].copy()

    def rate(scale: float, part: SpikeTrains) -> float:
        weights[:n_input] = np.float32(scale) * shape
        engine.set_parameters(weights, delays)
        counts = engine.respond(part, labels[: part.n_samples]).neuron_spikes
        return float(counts.sum() - counts[w.hidden :].sum()) / (w.hidden * part.n_samples)

    few = spikes.select(np.arange(min(4, w.batch)))
    scale = _bisect(lambda s: rate(s, few), w.rate)
    reached = rate(scale, spikes)
    return Prepared(w, unflatten(network, weights, delays), spikes, labels, reached)


def _bisect(rate: Callable[[float], float], wanted: float) -> float:
    """Find a factor at which the rate, which rises with it, is within 1 % of the wanted one."""
    low, high = 0.0, 1.0
    while rate(high) < wanted:
        low, high = high, 2 * high
    for _ in range(20):
        middle = (low + high) / 2
        reached = rate(middle)
        if abs(reached - wanted) < 0.01 * wanted:
            return middle
        low, high = (middle, high) if reached < wanted else (low, middle)
    return high


def _network(w: Workload, random: np.random.Generator) -> Network:
    """Weights of the paper's start: inputs N(m, m / 3), recurrent N(0, 0.02), readout N(0, 0.03); delays uniform."""
    mean = 0.03 * 8000 / w.input_spikes

    def delays(n: int) -> NDArray[np.float64]:
        return random.uniform(0, w.max_slot, (n, w.hidden))

    projections = [
        make_projection("in", "hidden", random.normal(mean, mean / 3, (w.inputs, w.hidden)), delays(w.inputs))
    ]
    if w.recurrent:
        projections.append(
            make_projection("hidden", "hidden", random.normal(0, 0.02, (w.hidden, w.hidden)), delays(w.hidden))
        )
    projections.append(make_projection("hidden", "out", random.normal(0, 0.03, (w.hidden, w.outputs))))
    populations = (
        Population("in", "spike_source", w.inputs),
        Population("hidden", "lif", w.hidden, 20.0, 5.0, 1.0),
        Population("out", "leaky_readout", w.outputs, 20.0, 5.0),
    )
    return Network(1.0, populations, tuple(projections))


def _input_spikes(w: Workload, random: np.random.Generator) -> SpikeTrains:
    """Exactly so many spikes in each sample, uniform over units and steps; a key of step and unit is never twice."""
    keys = [np.sort(random.choice(w.inputs * w.steps, w.input_spikes, replace=False)) for _ in range(w.batch)]
    key = np.concatenate(keys)
    offsets = w.input_spikes * np.arange(w.batch + 1, dtype=np.int64)
    times, units = (key // w.inputs).astype(np.int32), (key % w.inputs).astype(np.int32)
    return SpikeTrains(times, units, offsets, w.inputs, w.steps)


def save(prepared: Prepared, path: Path) -> None:
    """Write the workload as .npz, for a process of its own: spikes, labels, weights and delays."""
    arrays: dict[str, NDArray[np.generic]] = {"size": np.array([prepared.spikes.n_units, prepared.spikes.n_steps])}
    for projection in prepared.network.projections:
        arrays[f"{projection.name}.weight"] = projection.weight
        arrays[f"{projection.name}.delay"] = projection.delay
    spikes = prepared.spikes
    np.savez(
        path, times=spikes.times, units=spikes.units, offsets=spikes.offsets, labels=prepared.labels, **arrays
    )  # fmt: skip


def load(path: Path, workload: Workload) -> Prepared:
    """Read what `save` wrote of a workload of this size, without running anything; the rate is not known."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    template = _network(workload, np.random.default_rng(0))
    network = template.with_arrays(
        {p.name: (arrays[f"{p.name}.weight"], arrays[f"{p.name}.delay"]) for p in template.projections}
    )
    spikes = SpikeTrains(
        arrays["times"], arrays["units"], arrays["offsets"], int(arrays["size"][0]), int(arrays["size"][1])
    )
    return Prepared(workload, network, spikes, arrays["labels"], math.nan)


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this thread on one core, where the system can; the scheduler's moves would be timed too."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def busy() -> str | None:
    """A warning where other work runs on this machine, since it makes every time too long; else None."""
    load = os.getloadavg()[0]
    return (
        f"other work runs here (load {load:.1f}): times are too long, and more so on two threads"
        if load > 0.5
        else None
    )


def cpu_seconds(call: Callable[[], object]) -> float:
    """Processor time of one call on one thread: on a machine of one's own the wall time, on a shared one less."""
    started = time.process_time()
    call()
    return time.process_time() - started


def wall_seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
