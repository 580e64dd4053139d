"""`make bench-genn`: the GeNN backend beside the CPU backend and mlGeNN, one workload, one run.

Time of a whole training step (`tests.benchmarks.workload.TrainingStep`), ms a sample, on one core in processor time, or
in wall time where GeNN runs on a GPU. On a processor mlGeNN trains one sample a step, so its optimiser runs with each
sample (about 5 % of its time), and its forward pass of one sample and backward pass of the one before share a run
through time; its weights move with a step size of 0, as ours do. What GeNN generates is compiled with -O3 -ffast-math
for both (`optimize_code`). Without PyGeNN there is nothing to measure; without mlGeNN its row is left out.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.rows import Row, smaller_is_better, table
from tests.benchmarks.workload import (
    Prepared,
    TrainingStep,
    Workload,
    busy,
    cpu_seconds,
    on_one_core,
    prepare,
    wall_seconds,
)
from toolchain.errors import MissingDependencyError
from toolchain.training.backends import Engine, GennOptions, make_engine
from toolchain.training.backends.genn.installation import Installation, find_installation

REPEATS = 5
LARGEST_DIFFERENCE = 1e-4
"""Of the gradients of the two backends, of the largest, where they have the same spikes."""


def main() -> int:
    """Measure and print."""
    if warning := busy():
        print(warning)
    try:
        genn = find_installation()
    except MissingDependencyError as error:
        print(error)
        return 1
    for recurrent in (True, False):
        prepared = prepare(Workload(recurrent=recurrent))
        w = prepared.workload
        print(
            f"{'recurrent' if recurrent else 'feedforward'}, {w.inputs}-{w.hidden}-{w.outputs}, {w.steps} steps, slots "
            f"0 to {w.max_slot}, batch {w.batch}, {w.input_spikes} input spikes a sample, {prepared.rate:.2f} spikes a "
            f"hidden neuron and sample; GeNN {genn.version}, {genn.code}, on {genn.where}"
        )
        with on_one_core():
            print(table(measure(prepared, genn)))
    return 0


def measure(prepared: Prepared, genn: Installation) -> list[Row]:
    """Rows of ours on GeNN, against the CPU backend and mlGeNN; raises RuntimeError if gradients differ."""
    w = prepared.workload
    clock = wall_seconds if genn.gpu else cpu_seconds
    engine = make_engine("genn", prepared.network, w.steps, max_slot=w.max_slot, genn=GennOptions(batch_size=w.batch))
    expected = prepared.engine()
    print(f"spikes and gradients: {_agreement(prepared, expected, engine)}")
    ours = TrainingStep(prepared, engine)
    peers: dict[str, Callable[[], object]] = {"backend cpu, one thread": TrainingStep(prepared, expected)}
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        if importlib.util.find_spec("ml_genn") is not None:
            peers[f"mlGeNN {metadata.version('ml_genn')}"] = stack.enter_context(MlGenn(prepared))
        else:
            print("mlGeNN is not installed here: its row is left out")
        for _ in range(REPEATS):
            steps: dict[str, Callable[[], object]] = {"": ours, **peers}
            for name, step in steps.items():
                step()
                times.setdefault(name, []).append(clock(step))
    medians = {name: 1e3 * statistics.median(found) / w.batch for name, found in times.items()}
    return [smaller_is_better("train_genn", medians[""], medians[name], "ms a sample", name) for name in peers]


def _agreement(prepared: Prepared, cpu: Engine, ours: Engine) -> str:
    """Compare sample by sample: a voltage that meets the threshold within rounding may spike a step apart.

    Raises
    ------
    ArithmeticError
        If more than a tenth of the samples have other spikes, or one with the same spikes has another gradient.
    """
    spikes, labels = prepared.spikes, prepared.labels
    off, same = [0.0], 0
    for sample in range(spikes.n_samples):
        one, other = (engine.trace(spikes, sample).spikes["hidden"] for engine in (cpu, ours))
        if not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)):
            continue
        same += 1
        mine, theirs = (engine.gradients(spikes, labels, np.array([sample])) for engine in (cpu, ours))
        for a, b in ((mine.weight, theirs.weight), (mine.delay, theirs.delay)):
            off.append(float(np.abs(a - b).max() / np.abs(a).max()))
    if same < 0.9 * spikes.n_samples or max(off) > LARGEST_DIFFERENCE:
        raise ArithmeticError(
            f"{same} of {spikes.n_samples} samples have equal spikes, gradients within {max(off):.2g}"
        )
    return f"{same} of {spikes.n_samples} samples have equal spikes, and gradients within {max(off):.1g} of the largest"


class MlGenn:
    """The same network and data trained by mlGeNN; a call takes each sample of the batch once."""

    def __init__(self, prepared: Prepared) -> None:
        from ml_genn import Connection, Network, Population
        from ml_genn.compilers import EventPropCompiler
        from ml_genn.compilers.event_prop_compiler import default_params
        from ml_genn.connectivity import Dense
        from ml_genn.neurons import LeakyIntegrate, LeakyIntegrateFire, SpikeInput
        from ml_genn.optimisers import Adam
        from ml_genn.synapses import Exponential
        from ml_genn.utils.data import preprocess_spikes

        w, network = prepared.workload, Network(default_params)
        self._populations: dict[str, Any] = {}
        with network:
            for population in prepared.network.populations:
                neuron: Any = SpikeInput(max_spikes=w.input_spikes)
                if population.kind == "lif":
                    neuron = LeakyIntegrateFire(v_thresh=1.0, tau_mem=20.0, tau_refrac=None)
                elif population.kind == "leaky_readout":
                    neuron = LeakyIntegrate(tau_mem=20.0, readout="avg_var_exp_weight")
                self._populations[population.name] = Population(neuron, population.size)
            delayed = []
            for p in prepared.network.projections:
                ends = (self._populations[p.source], self._populations[p.target])
                if p.delay.any():
                    dense = Dense(p.weight, p.delay)
                    delayed.append(Connection(*ends, dense, Exponential(5.0), max_delay_steps=w.max_slot))
                else:
                    Connection(*ends, Dense(p.weight), Exponential(5.0))
        compiler = EventPropCompiler(
            example_timesteps=w.steps,
            losses="sparse_categorical_crossentropy",
            optimiser=Adam(0.0),
            delay_optimiser=Adam(0.0),
            delay_learn_conns=delayed,
            max_spikes=1500,
            batch_size=1,
            backend="single_threaded_cpu",
            optimize_code=True,
        )
        spikes = prepared.spikes
        self._labels = prepared.labels
        self._spikes = [
            preprocess_spikes(spikes.times[a:b].astype(float), spikes.units[a:b], spikes.n_units)
            for a, b in zip(spikes.offsets[:-1], spikes.offsets[1:], strict=True)
        ]
        self._folder = tempfile.TemporaryDirectory(prefix="delayline-mlgenn-")
        # It writes what it generates into the current folder.
        before = Path.cwd()
        os.chdir(self._folder.name)
        try:
            self._compiled = compiler.compile(network, "mlgenn")
            self._compiled.__enter__()
        finally:
            os.chdir(before)

    def __enter__(self) -> MlGenn:
        return self

    def __exit__(self, *error: object) -> None:
        self._compiled.__exit__(*error)

    def __call__(self) -> None:
        """Train on the batch, one sample after another."""
        self._compiled.train(
            {self._populations["in"]: self._spikes},
            {self._populations["out"]: self._labels},
            num_epochs=1,
            shuffle=False,
            callbacks=[],
        )


if __name__ == "__main__":
    sys.exit(main())
