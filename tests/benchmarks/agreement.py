"""Whether our engine and the plain implementation compute the same: a time is worth nothing if the results differ.

Both use float32 and add arrivals in different orders, so a voltage that comes within rounding of the threshold may
reach it in one of them and a step later in the other; what spikes next differs too, and so do the gradients. In the
default workload this happens once in 32 samples: sample 20, neuron 192, step 931. In float64 its V is 5.5e-7 below the
threshold of 1. Of that, 5.2e-7 are made up by rounding alpha, beta and gain to float32, which leaves less than the
distance of two float32 numbers: the sums end at 1 in the engine and at the number below it in the plain implementation.

So samples are compared by their spikes first. Where those are equal, the gradients have to be equal. Where they are
not, each of the two is held to the float64 reference with its own spikes imposed: every spike and every absence of one,
at all steps, has to be what the voltage of the reference says, unless that is within `LEEWAY` of the threshold; and the
gradient has to be that of the reference for these spikes. Trains that pass can part only where rounding decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.plain_numba import PlainEngine
from tests.benchmarks.workload import Prepared, Trainable
from tests.oracles import reference
from toolchain.event_graph import flatten, split_flat
from toolchain.network import Network
from toolchain.training.backends import BatchGradient, Engine

TOLERANCE = 2e-5
"""Of a gradient, relative to the largest of its own projection; float32 sums were seen to differ by 8e-6."""

LEEWAY = 2e-6
"""Of a voltage, relative to the threshold: 16 units in the last place of float32.

In the default workload constants rounded to float32 move V by up to 7e-7, and rounded sums by 2e-7 more.
"""

Bools = NDArray[np.bool_]
Pairs = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]


@dataclass
class Agreement:
    """Samples whose spikes are equal, and of the others where rounding decided: (sample, step, neuron) of the first."""

    equal: list[int] = field(default_factory=list)
    parted: list[tuple[int, int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        ties = ", ".join(f"sample {s} at step {t}, neuron {j}" for s, t, j in self.parted) or "none"
        total = len(self.equal) + len(self.parted)
        return f"spikes and gradients equal on {len(self.equal)} of {total} samples; parted by rounding: {ties}"


def check_plain(prepared: Prepared, plain: PlainEngine | None = None) -> Agreement:
    """Hold our engine and the plain implementation to each other, and to the reference where their spikes differ.

    The first sample is held to the reference in any case: both might be wrong alike.

    Raises
    ------
    AssertionError
        With the sample, and the neuron and step or the projection, if one of them is wrong.
    """
    w, network = prepared.workload, prepared.network
    ours, plain = prepared.engine(), plain or PlainEngine(network, w.steps, w.max_slot)
    both: tuple[Trainable, Trainable] = (ours, plain)
    for engine in both:
        engine.set_parameters(flatten(network, "weight"), flatten(network, "delay"))
    result = Agreement()
    for sample in range(w.batch):
        trains = (_train(ours, prepared, sample), plain.trace(prepared.spikes, sample))
        found = [engine.gradients(prepared.spikes, prepared.labels, np.array([sample])) for engine in both]
        different = np.argwhere(trains[0] != trains[1])
        if different.size:
            result.parted.append((sample, int(different[0, 0]), int(different[0, 1])))
        else:
            result.equal.append(sample)
            assert found[0].guarded == found[1].guarded, f"sample {sample}: slopes below the floor"
            _assert_close(f"sample {sample}, engine and plain", *(_gradients(network, g) for g in found))
        if different.size or sample == 0:
            for name, train, gradient in zip(("engine", "plain"), trains, found, strict=True):
                judge(f"sample {sample}, {name}", prepared, sample, train, gradient)
    return result


def judge(what: str, prepared: Prepared, sample: int, train: Bools, gradient: BatchGradient) -> None:
    """Raise AssertionError if the reference, given these spikes, has reason for others or has another gradient.

    Parameters
    ----------
    what : the subject of the message
    train : (steps, n_hidden) spikes of the hidden neurons
    gradient : that of this sample
    """
    network = prepared.network
    state = reference.simulate(network, {"in": prepared.spikes.dense(sample).T}, imposed={"hidden": train})
    above = state.voltage["hidden"] / network["hidden"].threshold - 1
    wrong = np.argwhere((train != (above >= 0)) & (np.abs(above) > LEEWAY))
    if wrong.size:
        t, j = wrong[0]
        verb = "spikes" if train[t, j] else "does not spike"
        raise AssertionError(f"{what}: neuron {j} {verb} at step {t} with V / threshold - 1 = {above[t, j]:.3g}")
    counts = gradient.neuron_spikes[: train.shape[1]]
    assert np.array_equal(counts, train.sum(axis=0)), f"{what}: spike counts"
    assert gradient.guarded == 0, f"{what}: slopes below the floor, and the reference has none"
    expected = reference.gradients(network, state, int(prepared.labels[sample]))
    _assert_close(f"{what} and reference", expected, _gradients(network, gradient))


def _train(engine: Engine, prepared: Prepared, sample: int) -> Bools:
    """Spikes of the hidden neurons of our engine in a sample, (steps, n_hidden)."""
    times, units = engine.trace(prepared.spikes, sample).spikes["hidden"]
    train = np.zeros((prepared.workload.steps, prepared.workload.hidden), dtype=np.bool_)
    train[times, units] = True
    return train


def _gradients(network: Network, gradient: BatchGradient) -> Pairs:
    """Projection -> gradients of its weights and delays."""
    weight, delay = split_flat(network, gradient.weight), split_flat(network, gradient.delay)
    return {name: (weight[name], delay[name]) for name in weight}


def _assert_close(what: str, expected: Pairs, found: Pairs) -> None:
    for name, pair in expected.items():
        for kind, a, b in zip(("weight", "delay"), pair, found[name], strict=True):
            error = np.abs(a - b).max()
            assert error <= TOLERANCE * np.abs(a).max(), (
                f"{what}: {kind} gradients of {name} differ by {error:.3g} where the largest is {np.abs(a).max():.3g}"
            )
