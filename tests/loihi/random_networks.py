"""Random integer networks that reach the corners, and the comparison that names the first difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from toolchain.spikes import SpikeTrains, bin_events

SHAPES = ("feedforward", "deep", "skip", "recurrent", "feedback", "two sources")


class Traces(Protocol):
    """What `Emulation` and `LavaTraces` have in common."""

    @property
    def u(self) -> Mapping[str, NDArray[np.int32]]: ...
    @property
    def v(self) -> Mapping[str, NDArray[np.int32]]: ...
    @property
    def spikes(self) -> Mapping[str, NDArray[np.bool_]]: ...


def assert_equal_traces(ours: Traces, theirs: Traces) -> None:
    """Fail at the first step at which any spike, u or v differs, naming where and both values."""
    assert set(ours.u) == set(theirs.u), f"populations {sorted(ours.u)} and {sorted(theirs.u)}"
    differences: list[tuple[int, int, str]] = []
    for field in ("spikes", "u", "v"):
        for name, mine in getattr(ours, field).items():
            other = getattr(theirs, field)[name]
            assert mine.shape == other.shape, f"{field} of {name}: shapes {mine.shape} and {other.shape}"
            where = np.argwhere(mine != other)
            if where.size:
                sample, step, neuron = (int(i) for i in where[0])
                differences.append(
                    (
                        sample,
                        step,
                        f"{field} of population {name}, neuron {neuron}, step {step}, sample {sample}: "
                        f"{mine[sample, step, neuron]} and {other[sample, step, neuron]}",
                    )
                )
    assert not differences, "first difference: " + min(differences)[2]


def random_network(seed: int) -> tuple[IntegerNetwork, SpikeTrains]:
    """One of `SHAPES` by turns, with random sizes, constants, weights, slots and masks, and its input.

    A third of the networks drive their neurons hard enough to wrap u and clip v; every second one has
    several samples, with a burst of spikes at the end of each that is still under way when it ends.
    """
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    hard = (seed + seed // len(SHAPES)) % 3 == 0
    inputs = {"in": int(rng.integers(2, 13))}
    if shape == "two sources":
        inputs["in-2"] = int(rng.integers(2, 6))
    n_hidden = {"deep": 3, "feedback": 2, "skip": 2}.get(shape, 1)
    hidden = {f"h{i}": int(rng.integers(2, 9)) for i in range(n_hidden)}
    populations = [IntegerPopulation(name, "spike_source", size) for name, size in inputs.items()]
    for name, size in hidden.items():
        du, dv = int(rng.choice([0, 50, 409, 2000, 4095])), int(rng.choice([0, 30, 200, 1500, 4095, 4096]))
        vth = int(rng.choice([0, 100, 1500, 20000, 131071])) if hard else int(rng.integers(50, 800))
        populations.append(IntegerPopulation(name, "lif", size, du, dv, vth))
    populations.append(
        IntegerPopulation("out", "leaky_readout", int(rng.integers(2, 5)), int(rng.choice([0, 409])), 100, READOUT_VTH)
    )
    names = list(hidden)
    pairs = [(names[i], names[i + 1]) for i in range(n_hidden - 1)] + [(names[-1], "out")]
    pairs += [(source, names[0] if source == "in" else names[-1]) for source in inputs]
    if shape == "skip":
        pairs += [("in", "out"), ("in", names[-1])]
    if shape == "recurrent":
        pairs.append((names[0], names[0]))
    if shape == "feedback":
        pairs += [(names[1], names[0]), (names[1], names[1])]
    size_of = {p.name: p.size for p in populations}
    projections = [
        _random_projection(rng, source, target, (size_of[source], size_of[target]), hard) for source, target in pairs
    ]
    # The order in which populations are listed means nothing to what they compute.
    network = IntegerNetwork(1.0, tuple(populations[i] for i in rng.permutation(len(populations))), tuple(projections))
    n_steps, n_samples = int(rng.integers(40, 71)), 1 + (seed // len(SHAPES) % 2) * int(rng.integers(1, 3))
    return network, random_spikes(rng, network, n_samples, n_steps)


def _random_projection(
    rng: np.random.Generator, source: str, target: str, shape: tuple[int, int], hard: bool
) -> IntegerProjection:
    exponent = int(rng.integers(5, 8)) if hard else int(rng.integers(-1, 3))
    low, high = (-128, 128) if hard or rng.random() < 0.3 else (-20, 60)
    weight = (2 * rng.integers(low, high, shape)).astype(np.int32)
    if hard:
        weight.flat[0], weight.flat[-1] = -256, 254
    max_slot = int(rng.choice([0, 0, 3, 20, 62]))
    mask = rng.random(shape) < 0.6 if rng.random() < 0.35 else None
    slots = rng.integers(0, max_slot + 1, shape)
    if mask is not None:
        weight = np.where(mask, weight, 0).astype(np.int32)
        slots = np.where(mask, slots, 0)
    return IntegerProjection(source, target, weight, exponent, slots.astype(np.int64), mask)


def random_spikes(rng: np.random.Generator, network: IntegerNetwork, n_samples: int, n_steps: int) -> SpikeTrains:
    """Spikes of random rate, and every unit once in the last three steps of each sample."""
    n_units = sum(p.size for p in network.populations if p.kind == "spike_source")
    samples = []
    for _ in range(n_samples):
        raster = rng.random((n_steps, n_units)) < rng.uniform(0.03, 0.3)
        raster[n_steps - 3 + rng.integers(0, 3, n_units), np.arange(n_units)] = True
        samples.append(tuple(np.nonzero(raster)))
    return bin_events([(times, units) for times, units in samples], n_units, n_steps)[0]


def has_delayed_self_projection(network: IntegerNetwork) -> bool:
    """Whether a population feeds itself with some slot above 0."""
    return any(p.source == p.target and bool(p.slots.max() > 0) for p in network.projections)
