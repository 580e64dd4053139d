"""The benchmark's workload, and the plain implementation that the engine is timed against, on a small scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmarks.agreement import LEEWAY, Agreement, check_plain
from tests.benchmarks.plain_numba import PlainEngine
from tests.benchmarks.workload import Prepared, TrainingStep, Workload, load, prepare, save
from tests.oracles import reference
from toolchain.event_graph import flatten
from toolchain.network import Network
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import BatchGradient

SMALL = Workload(inputs=20, hidden=12, outputs=3, steps=120, input_spikes=200, max_slot=9, batch=6, rate=5.0)


@pytest.mark.parametrize("recurrent", [True, False])
def test_the_plain_implementation_has_the_spikes_and_gradients_of_the_engine(recurrent: bool) -> None:
    prepared = prepare(Workload(**{**vars(SMALL), "recurrent": recurrent}))
    assert check_plain(prepared) == Agreement(equal=list(range(SMALL.batch)))
    engines = (prepared.engine(), PlainEngine(prepared.network, SMALL.steps, SMALL.max_slot))
    ours, plain = (TrainingStep(prepared, engine)() for engine in engines)
    assert plain.loss == pytest.approx(ours.loss, rel=1e-5)
    assert (plain.correct, plain.guarded) == (ours.correct, ours.guarded)
    for field in ("weight", "delay"):
        expected = getattr(ours, field)
        assert np.abs(getattr(plain, field) - expected).max() < 1e-4 * np.abs(expected).max()


def with_threshold(prepared: Prepared, threshold: float) -> Prepared:
    """The same workload, its hidden neurons with another threshold."""
    network = prepared.network
    hidden = replace(network["hidden"], threshold=threshold)
    populations = tuple(hidden if p.name == "hidden" else p for p in network.populations)
    return replace(prepared, network=Network(network.dt_ms, populations, network.projections))


def test_spikes_may_part_where_rounding_decides_and_nowhere_else() -> None:
    """The highest voltage as the threshold, a trace lower for the engine and a trace higher for the other one."""
    one = prepare(replace(SMALL, batch=1))
    silent = np.zeros((SMALL.steps, SMALL.hidden), dtype=np.bool_)
    state = reference.simulate(one.network, {"in": one.spikes.dense(0).T}, imposed={"hidden": silent})
    peak = state.voltage["hidden"].max()
    t, j = (int(n) for n in np.argwhere(state.voltage["hidden"] == peak)[0])

    def check(part: float) -> Agreement:
        low, high = (with_threshold(one, peak * (1 + sign * part)) for sign in (-1, 1))
        return check_plain(low, PlainEngine(high.network, SMALL.steps, SMALL.max_slot))

    assert check(0.75 * LEEWAY) == Agreement(parted=[(0, t, j)])
    with pytest.raises(AssertionError, match=f"sample 0, plain: neuron {j} does not spike at step {t} with V"):
        check(1.5 * LEEWAY)


class Faulty(PlainEngine):
    """The plain implementation with a mistake in the spikes or the gradients of sample 2 that keeps their number."""

    late = False
    projection = -1

    def trace(self, spikes: SpikeTrains, sample: int) -> NDArray[np.bool_]:
        train = super().trace(spikes, sample)
        if sample == 2 and self.late:
            t, j = np.argwhere(train[:-1])[-1]
            train[[t, t + 1], j] = False, True
        return train

    def gradients(self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64]) -> BatchGradient:
        found = super().gradients(spikes, labels, samples)
        if self.projection >= 0 and list(samples) == [2]:
            ends = np.cumsum([0, *(rows * columns for rows, columns in self.shapes)])
            part = found.weight[ends[self.projection] : ends[self.projection + 1]]
            part[np.abs(part).argmax()] *= 1.001
        return found


def test_a_spike_one_step_late_is_found() -> None:
    prepared = prepare(SMALL)
    plain = Faulty(prepared.network, SMALL.steps, SMALL.max_slot)
    plain.late = True
    with pytest.raises(AssertionError, match=r"sample 2, plain: neuron \d+ does not spike at step \d+ with V"):
        check_plain(prepared, plain)


@pytest.mark.parametrize("projection", [0, 1, 2])
def test_a_wrong_gradient_is_found_in_every_projection(projection: int) -> None:
    """Those of the readout are a hundred times as large as those of the inputs, and must not hide them."""
    prepared = prepare(SMALL)
    plain = Faulty(prepared.network, SMALL.steps, SMALL.max_slot)
    plain.projection = projection
    name = prepared.network.projections[projection].name
    with pytest.raises(AssertionError, match=f"sample 2, engine and plain: weight gradients of {name} differ"):
        check_plain(prepared, plain)


def test_a_workload_has_the_spikes_that_it_asks_for() -> None:
    prepared = prepare(SMALL)
    assert np.all(np.diff(prepared.spikes.offsets) == SMALL.input_spikes)
    assert prepared.rate == pytest.approx(SMALL.rate, rel=0.15)
    hidden_spikes = prepared.rate * SMALL.hidden
    assert prepared.events == pytest.approx(200 * 12 + hidden_spikes * (12 + 3))


def test_a_training_step_changes_no_parameter() -> None:
    prepared = prepare(SMALL)
    step = TrainingStep(prepared, prepared.engine())
    step()
    assert np.array_equal(step.weights, flatten(prepared.network, "weight"))
    assert np.array_equal(step.delays, flatten(prepared.network, "delay"))


def test_another_process_reads_the_workload_as_it_was(tmp_path: Path) -> None:
    prepared = prepare(SMALL)
    save(prepared, tmp_path / "workload.npz")
    again = load(tmp_path / "workload.npz", SMALL)
    first, second = (TrainingStep(p, p.engine())() for p in (prepared, again))
    assert np.array_equal(first.weight, second.weight)
    assert np.array_equal(first.delay, second.delay)
