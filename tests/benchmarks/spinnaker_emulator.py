"""SpiNNaker's integer emulator on 700-1024-20, recurrent, delays of 1 to 250 ticks of 1 ms: against time, and Brian 2.

`spinnaker_emulator_vs_realtime`: computing for each millisecond of the network, of which the chip needs one.
`spinnaker_emulator_vs_brian2`: the same network in floating point, as a user would simulate it first; the script of the
peer says how. Both on one core, in processor time, without start-up; hidden neurons spike about ten times a second. The
numbers of hidden spikes are compared before any time is reported.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import Emulator
from hardware_targets.spinnaker.integer_network import (
    NO_THRESHOLD,
    ONE,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
)
from tests.benchmarks.peer_rows import LIMIT_S, ONE_THREAD
from tests.benchmarks.peers.environment import ROOT, SIMULATORS, PeersMissingError, peers_python
from tests.benchmarks.rows import Row, smaller_is_better
from toolchain.bootstrap.process import run
from toolchain.network import Kind
from toolchain.spikes import SpikeTrains, bin_events

INPUTS, HIDDEN, OUTPUTS, TICKS, LONGEST = 700, 1024, 20, 1000, 250
INPUT_HZ, THRESHOLD, TAU_MEM_MS, TAU_SYN_MS = 20.0, 10.0, 20.0, 5.0
SHIFT = 4
RATES_HZ = (8.0, 12.0)
"""Hidden spikes a neuron and second that the workload is meant to have."""
CLOSE = 0.03
"""Largest relative difference of the numbers of hidden spikes."""
REPEATS = 7


@dataclass(frozen=True)
class _Case:
    network: IntegerNetwork
    spikes: SpikeTrains


def measure_realtime() -> list[Row]:
    """The row spinnaker_emulator_vs_realtime."""
    ours, rate = _ours()
    print(f"spinnaker_emulator_vs_realtime: {rate:.1f} spikes a hidden neuron and second, one thread")
    return [smaller_is_better("spinnaker_emulator_vs_realtime", ours, 1.0, "ms a ms", "real time, as on the chip")]


def measure_brian() -> list[Row]:
    """The row spinnaker_emulator_vs_brian2, or none and a line that says why."""
    try:
        theirs = _brian()
    except PeersMissingError as error:
        print(f"spinnaker_emulator_vs_brian2: left out, {error}")
        return []
    ours, rate = _ours()
    hidden_spikes = round(rate * HIDDEN * TICKS / 1e3)
    print(f"spinnaker_emulator_vs_brian2: {hidden_spikes} hidden spikes, {theirs['hidden_spikes']} in {theirs['name']}")
    difference = abs(theirs["hidden_spikes"] / hidden_spikes - 1)
    assert difference < CLOSE, f"a time is worth nothing if the results differ by {difference:.1%}"
    return [smaller_is_better("spinnaker_emulator_vs_brian2", ours, theirs["ms_per_step"], "ms a ms", theirs["name"])]


@cache
def _ours() -> tuple[float, float]:
    """Processor milliseconds for one of the network, and spikes a hidden neuron and second."""
    case = _case()
    emulator = Emulator(case.network)
    result = emulator.run(case.spikes, threads=1, strict=True)
    rate = float(result.spike_counts["hidden"].sum()) / (HIDDEN * TICKS / 1e3)
    assert RATES_HZ[0] < rate < RATES_HZ[1], f"{rate} spikes a second are not the activity that was meant"
    return statistics.median(_timed(emulator, case.spikes) for _ in range(REPEATS)) * 1e3 / TICKS, rate


def _timed(emulator: Emulator, spikes: SpikeTrains) -> float:
    started = time.process_time()
    emulator.run(spikes, threads=1)
    return time.process_time() - started


def _brian() -> dict[str, Any]:
    """What Brian measured."""
    python, case = peers_python(environment=SIMULATORS), _case()
    arrays: dict[str, NDArray[Any]] = {
        "inputs": np.array(INPUTS), "hidden": np.array(HIDDEN), "out": np.array(OUTPUTS), "steps": np.array(TICKS),
        "tau_mem_ms": np.array(TAU_MEM_MS), "tau_syn_ms": np.array(TAU_SYN_MS), "threshold": np.array(THRESHOLD),
        "times": case.spikes.times, "units": case.spikes.units,
    }  # fmt: skip
    for projection in case.network.projections:
        arrays[f"{projection.name}.weight"] = projection.weight * (2.0**SHIFT / ONE)
        arrays[f"{projection.name}.delay"] = projection.delay
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(path, **arrays)
        command = [str(python), "-m", "tests.benchmarks.peers.brian2_run", str(path)]
        result = run(command, timeout=LIMIT_S, env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)})
    if not result.ok:
        raise PeersMissingError(f"Brian 2 failed: {result.reason()}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


@cache
def _case() -> _Case:
    """Weights of either sign: their means carry a neuron most of the way to its threshold, their spread the rest."""
    random = np.random.default_rng(0)
    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("in", "spike_source", INPUTS),
            _population("hidden", "lif", HIDDEN),
            _population("out", "leaky_readout", OUTPUTS),
        ),
        (
            _projection(random, "in", "hidden", (INPUTS, HIDDEN), 0.11, 1.0),
            _projection(random, "hidden", "hidden", (HIDDEN, HIDDEN), 0.0, 0.7),
            _projection(random, "hidden", "out", (HIDDEN, OUTPUTS), 0.0, 0.1),
        ),
    )
    units, times = np.nonzero(random.random((INPUTS, TICKS)) < INPUT_HZ / 1e3)
    return _Case(network, bin_events([(times, units)], INPUTS, TICKS)[0])


def _population(name: str, kind: Kind, n: int) -> IntegerPopulation:
    """Neurons at rest at 0, with a resistance of 1."""

    def full(value: float) -> NDArray[np.int32]:
        return np.full(n, round(value * ONE), dtype=np.int32)

    mem, syn, zero = full(TAU_MEM_MS), full(TAU_SYN_MS), full(0)
    threshold = np.full(n, NO_THRESHOLD, dtype=np.int32) if kind == "leaky_readout" else full(THRESHOLD)
    parameters = NeuronParameters(mem, mem, syn, syn, zero, zero, threshold, zero, zero)
    return IntegerPopulation(name, kind, n, parameters, (SHIFT, SHIFT), 1.0)


def _projection(
    random: np.random.Generator, source: str, target: str, shape: tuple[int, int], mean: float, spread: float
) -> IntegerProjection:
    """Weights in mV, on the grid of the ring buffer."""
    weight = np.rint(random.normal(mean, spread, shape) * ONE / 2**SHIFT).astype(np.int32)
    return IntegerProjection(
        source, target, weight, random.integers(1, LONGEST + 1, shape).astype(np.int32), weight != 0
    )
