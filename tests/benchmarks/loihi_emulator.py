"""The integer emulator against Lava's own simulation of the same bundle: 700-128-20, delays everywhere, one core each.

No start-up is counted: ours builds its tables before, and the time of a Lava run of one sample is taken from that of a
run of several. Both are checked to give the same voltages before any time is reported.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from hardware_targets.loihi.emulator import Emulator
from hardware_targets.loihi.integer_network import (
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
)
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import LAVA, run_lava
from tests.benchmarks.rows import Row, smaller_is_better
from tests.loihi.unchanged_lava import use_models_of_lava
from toolchain.spikes import SpikeTrains, bin_events

INPUTS, HIDDEN, OUTPUTS, STEPS, RATE = 700, 128, 20, 100, 0.02
SAMPLES, OUR_SAMPLES, REPEATS = 4, 200, 5


def measure() -> list[Row]:
    """One row, or none where Lava is absent."""
    version = LAVA.version()
    if version is None:
        print("loihi_emulator_vs_lava: left out, lava-nc is absent (`delayline doctor` says how to get it)")
        return []
    network, spikes = _workload()
    emulator = Emulator(network)
    expected = emulator.run(spikes, traces=True, threads=1)
    many = spikes.select(np.arange(OUR_SAMPLES) % SAMPLES)
    ours = statistics.median(_timed(emulator, many) for _ in range(REPEATS)) / OUR_SAMPLES
    with tempfile.TemporaryDirectory() as folder:
        write_lava_folder(network, spikes, None, Path(folder))
        use_models_of_lava(Path(folder))
        one = run_lava(Path(folder), samples=1, timeout_s=600).seconds
        all_samples = run_lava(Path(folder), samples=SAMPLES, timeout_s=600)
    for name, voltage in all_samples.v.items():
        assert np.array_equal(voltage, expected.v[name]), "a time is worth nothing if the results differ"
    theirs = (all_samples.seconds - one) / (SAMPLES - 1)
    return [smaller_is_better("loihi_emulator_vs_lava", 1e3 * ours, 1e3 * theirs, "ms a sample", f"lava-nc {version}")]


def _timed(emulator: Emulator, spikes: SpikeTrains) -> float:
    started = time.perf_counter()
    emulator.run(spikes, threads=1)
    return time.perf_counter() - started


def _workload() -> tuple[IntegerNetwork, SpikeTrains]:
    random = np.random.default_rng(0)

    def projection(source: str, target: str, n: int, m: int) -> IntegerProjection:
        weight = 2 * random.integers(-60, 68, (n, m))
        return IntegerProjection(source, target, weight.astype(np.int32), 0, random.integers(0, 63, (n, m)))

    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("in", "spike_source", INPUTS),
            IntegerPopulation("hidden", "lif", HIDDEN, 741, 200, 4000, 1.0),
            IntegerPopulation("out", "leaky_readout", OUTPUTS, 741, 200, READOUT_VTH, 1.0),
        ),
        (
            projection("in", "hidden", INPUTS, HIDDEN),
            projection("hidden", "hidden", HIDDEN, HIDDEN),
            projection("hidden", "out", HIDDEN, OUTPUTS),
        ),
    )
    samples = []
    for _ in range(SAMPLES):
        units, times = np.nonzero(random.random((INPUTS, STEPS)) < RATE)
        samples.append((times, units))
    return network, bin_events(samples, INPUTS, STEPS)[0]
