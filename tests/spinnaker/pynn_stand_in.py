"""A stand-in for `pyNN.spiNNaker` that runs what it is given on our emulator and is read as sPyNNaker is read.

`write_stand_in` makes a folder that, on the path of Python, is imported in sPyNNaker's place. It takes what a script
says in nA, ms and mV back to the chip's integers, as sPyNNaker's host does, and records v before it is updated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator import Emulation, emulate
from hardware_targets.spinnaker.integer_network import (
    ONE,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
)
from toolchain.spikes import bin_events

CELL = ("tau_m", "cm", "tau_syn_E", "tau_syn_I", "v_rest", "v_reset", "v_thresh", "i_offset", "tau_refrac")


def write_stand_in(folder: Path) -> Path:
    """A folder with the package `pyNN`; its parent of ours must be on the path too."""
    package = folder / "pyNN"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "spiNNaker.py").write_text("from tests.spinnaker.pynn_stand_in import *\n")
    return folder


class Simulator:
    """What PyNN keeps for a whole module."""

    dt_ms = 1.0
    populations: list[Population]
    projections: list[Projection]
    result: Emulation
    runs = 0


STATE = Simulator()


def setup(timestep: float) -> None:
    STATE.dt_ms, STATE.populations, STATE.projections = timestep, [], []


def end() -> None:
    STATE.populations = []


class SpikeSourceArray:
    def __init__(self, spike_times: list[list[float]]) -> None:
        self.spike_times = spike_times


class IF_curr_exp:  # noqa: N801 (PyNN's name)
    def __init__(self, **parameters: Any) -> None:
        assert set(parameters) == set(CELL)
        self.parameters = parameters


class StaticSynapse:
    pass


class FromListConnector:
    def __init__(self, rows: Any, column_names: list[str]) -> None:
        assert column_names == ["weight", "delay"]
        self.rows = np.asarray(rows, dtype=np.float64)
        assert (np.diff(self.rows[:, 0]) >= 0).all(), "sPyNNaker loses synapses of lists that are not sorted"


class Population:
    def __init__(self, size: int, cell: Any, *, label: str, additional_parameters: Any = None) -> None:
        self.size, self.cell, self.label, self.v = size, cell, label, np.zeros(size, dtype=np.int64)
        self.recorded: list[str] = []
        self.shifts = (0, 0)
        if isinstance(cell, IF_curr_exp):
            expected = additional_parameters["max_expected_summed_weight"]
            excitatory, inhibitory = (max(0, int(np.floor(np.log2(w))) + 1) for w in expected)
            self.shifts = (excitatory, inhibitory)
        STATE.populations.append(self)

    def initialize(self, v: Any) -> None:
        self.v = integers(v, self.size).astype(np.int64)

    def record(self, what: list[str]) -> None:
        self.recorded = what

    def spinnaker_get_data(self, what: str, as_matrix: bool = False) -> NDArray[np.float64]:
        assert what in self.recorded
        if what == "spikes":
            ticks, neurons = np.nonzero(STATE.result.spikes[self.label][0])
            return np.column_stack([neurons, ticks * STATE.dt_ms])
        assert as_matrix
        before = STATE.result.v[self.label][0][:-1]
        recorded: NDArray[np.float64] = np.concatenate([self.v[None], before]) / ONE
        return recorded

    def as_integers(self) -> IntegerPopulation:
        if isinstance(self.cell, SpikeSourceArray):
            return IntegerPopulation(self.label, "spike_source", self.size)
        parameters = NeuronParameters(*(integers(self.cell.parameters[name], self.size) for name in CELL))
        np.testing.assert_array_equal(self.v, parameters.v_rest)
        return IntegerPopulation(self.label, "lif", self.size, parameters, self.shifts, 1.0)


class Projection:
    def __init__(
        self, source: Population, target: Population, connector: FromListConnector, synapse: Any, *, receptor_type: str
    ) -> None:
        self.source, self.target = source, target
        self.rows, self.kind = connector.rows, ("excitatory", "inhibitory").index(receptor_type)
        STATE.projections.append(self)


def run(duration_ms: float) -> None:
    STATE.runs += 1
    ticks = round(duration_ms / STATE.dt_ms)
    projections = [_as_integers(p) for p in STATE.projections]
    network = IntegerNetwork(STATE.dt_ms, tuple(p.as_integers() for p in STATE.populations), tuple(projections))
    times: list[int] = []
    units: list[int] = []
    first = 0
    for population in STATE.populations:
        if isinstance(population.cell, SpikeSourceArray):
            for unit, of in enumerate(population.cell.spike_times):
                times += [round(time / STATE.dt_ms) for time in of]
                units += [first + unit] * len(of)
            first += population.size
    order = np.argsort(times, kind="stable")
    spikes, _ = bin_events(
        [(np.array(times, dtype=np.int64)[order], np.array(units, dtype=np.int64)[order])], first, ticks
    )
    STATE.result = emulate(network, spikes, traces=True, threads=1)


def _as_integers(projection: Projection) -> IntegerProjection:
    shape = (projection.source.size, projection.target.size)
    weight, delay = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    pre, post = projection.rows[:, 0].astype(int), projection.rows[:, 1].astype(int)
    assert (np.sign(projection.rows[:, 2]) == (-1 if projection.kind else 1)).all()
    weight[pre, post] = np.rint(projection.rows[:, 2] * 2.0 ** (15 - projection.target.shifts[projection.kind]))
    delay[pre, post] = np.rint(projection.rows[:, 3] / STATE.dt_ms)
    return IntegerProjection(projection.source.label, projection.target.label, weight, delay, weight != 0)


def integers(value: Any, size: int) -> NDArray[np.int32]:
    """A parameter in s16.15, which it must be a multiple of."""
    exact = np.broadcast_to(np.asarray(value, dtype=np.float64), (size,)) * ONE
    found: NDArray[np.int32] = np.rint(exact).astype(np.int32)
    np.testing.assert_array_equal(found, exact)
    return found
