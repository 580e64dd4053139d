"""The benchmark's workload, and the plain implementation that the engine is timed against, on a small scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.plain_numba import PlainEngine
from tests.benchmarks.training import check_plain
from tests.benchmarks.workload import TrainingStep, Workload, load, prepare, save
from toolchain.event_graph import flatten

SMALL = Workload(inputs=20, hidden=12, outputs=3, steps=120, input_spikes=200, max_slot=9, batch=6, rate=5.0)


@pytest.mark.parametrize("recurrent", [True, False])
def test_the_plain_implementation_has_the_spikes_and_gradients_of_the_engine(recurrent: bool) -> None:
    prepared = prepare(Workload(**{**vars(SMALL), "recurrent": recurrent}))
    assert check_plain(prepared) == SMALL.batch
    engines = (prepared.engine(), PlainEngine(prepared.network, SMALL.steps, SMALL.max_slot))
    ours, plain = (TrainingStep(prepared, engine)() for engine in engines)
    assert plain.loss == pytest.approx(ours.loss, rel=1e-5)
    assert (plain.correct, plain.guarded) == (ours.correct, ours.guarded)
    for field in ("weight", "delay"):
        expected = getattr(ours, field)
        assert np.abs(getattr(plain, field) - expected).max() < 1e-4 * np.abs(expected).max()


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
