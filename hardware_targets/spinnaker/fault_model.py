"""SpiNNaker's tick for diagnosis: from what a board reported of a tick, what it must report of the next.

A neuron has an excitatory and an inhibitory value. Where both were reported, each tick of each is a test of its own.
Their difference alone says what the membrane takes, so that v still is tested tick by tick, but how they came about is
computed from the start of the sample on. Without either, v says what the current was, but for
the rounding of the membrane.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hardware_targets.spinnaker.fixed_point import initialise
from hardware_targets.spinnaker.integer_network import (
    EXCITATORY,
    INHIBITORY,
    LARGEST_SHIFT,
    LARGEST_WEIGHT,
    NO_THRESHOLD,
    ONE,
    IntegerNetwork,
    IntegerPopulation,
)
from toolchain.diagnosis.model import (
    CURRENT,
    F64,
    I64,
    SPIKE,
    VOLTAGE,
    Cells,
    Chip,
    Constant,
    Flags,
    Model,
    Replayed,
    Reported,
    Synapses,
)

_LEAST, _MOST, _FRACTION = -(2**31), 2**31 - 1, 2**32 - 1
_ROUNDING = {0: "down", 1: "toward zero", 2: "to the nearest"}

CONSTANTS = (
    Constant("decay_e", CURRENT, "decay of the current", "decay of the excitatory current (decay)", 0, _FRACTION),
    Constant("decay_i", CURRENT, "decay of the current", "decay of the inhibitory current (decay)", 0, _FRACTION),
    Constant("init_e", CURRENT, "gain of the current", "gain of excitatory input (init)", 0, _FRACTION),
    Constant("init_i", CURRENT, "gain of the current", "gain of inhibitory input (init)", 0, _FRACTION),
    Constant("shift_e", CURRENT, "ring-buffer shift", "ring-buffer shift of excitatory input", 0, LARGEST_SHIFT,
             {s: str(s) for s in range(LARGEST_SHIFT + 1)}, True),
    Constant("shift_i", CURRENT, "ring-buffer shift", "ring-buffer shift of inhibitory input", 0, LARGEST_SHIFT,
             {s: str(s) for s in range(LARGEST_SHIFT + 1)}, True),
    Constant("ring_overflow", CURRENT, "saturated ring buffer", "ring-buffer entry beyond 16 bits", 0, 1,
             {0: "saturates", 1: "wraps"}, True),
    Constant("current_rounding", CURRENT, "rounded decay", "rounding of the decayed currents", 0, 2, _ROUNDING, True),
    Constant("resistance", VOLTAGE, "resistance", "resistance of the membrane (tau_m / cm)", _LEAST, _MOST),
    Constant("exp_tc", VOLTAGE, "decay of the voltage", "decay of the voltage (exp_tc)", 0, ONE - 1),
    Constant("v_rest", VOLTAGE, "resting voltage", "resting voltage (v_rest)", _LEAST, _MOST),
    Constant("i_offset", VOLTAGE, "offset current", "offset current (i_offset)", _LEAST, _MOST),
    Constant("v_reset", VOLTAGE, "reset", "voltage after a spike (v_reset)", _LEAST, _MOST),
    Constant("t_refract", VOLTAGE, "refractory period", "refractory period, ticks (t_refract)", 0, _MOST),
    Constant("reset", VOLTAGE, "reset", "voltage after a spike", 0, 2,
             {0: "is v_reset", 1: "stays as it is", 2: "is lowered by the threshold"}),
    Constant("voltage_rounding", VOLTAGE, "rounded decay", "rounding of the membrane's products", 0, 2, _ROUNDING,
             True),
    Constant("v_thresh", SPIKE, "threshold", "threshold (v_thresh)", _LEAST, _MOST),
    Constant("tie", SPIKE, "threshold tie", "voltage equal to the threshold", 0, 1,
             {0: "is a spike", 1: "is no spike"}, True),
    Constant("output", SPIKE, "output", "output", 0, 3,
             {0: "spikes at threshold", 1: "never spikes and is not reset (dead)",
              2: "is reset at threshold, but no spike leaves it (mute)", 3: "spikes at every tick (stuck)"}),
)  # fmt: skip
_AT = {c.name: i for i, c in enumerate(CONSTANTS)}


class SpinnakerArithmetic:
    """See `toolchain.diagnosis.model.Arithmetic`; an arrival counts in `excess` what it adds in s16.15."""

    channels = 2
    constants: Sequence[Constant] = CONSTANTS
    together: Sequence[tuple[str, str, int, str]] = (
        ("decay_e", "init_e", EXCITATORY, "time constant of the excitatory current (tau_syn_e)"),
        ("decay_i", "init_i", INHIBITORY, "time constant of the inhibitory current (tau_syn_i)"),
    )
    weights = (-LARGEST_WEIGHT, LARGEST_WEIGHT, 1)
    exponents = (0, 0)
    largest_slot = 143

    def run(self, constants: I64, arrivals: I64, reported: Reported) -> Replayed:
        """Take all ticks."""
        from hardware_targets.spinnaker.fault_kernel import replay

        shape = arrivals.shape[1:]
        none, no_flags = np.zeros((0, 0, 0), dtype=np.int64), np.zeros((0, 0, 0), dtype=np.bool_)
        u, v, spikes = np.empty(arrivals.shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.bool_)
        replay(
            constants, arrivals,
            0 if reported.currents is None else reported.currents.shape[0],
            none[np.newaxis] if reported.currents is None else reported.currents,
            reported.v is not None, none if reported.v is None else reported.v,
            reported.spikes is not None, no_flags if reported.spikes is None else reported.spikes,
            u, v, spikes,
        )  # fmt: skip
        return Replayed(u, v, spikes)

    def excess(self, constants: I64, arrivals: I64, reported: Reported) -> tuple[F64, Flags, F64]:
        """From both values, their difference, or v."""
        known = np.ones(arrivals.shape[1:], dtype=np.bool_)
        currents = reported.currents
        if currents is not None and len(currents) == 2:
            run = self.run(constants, arrivals, reported).currents
            more = (currents - run).astype(np.float64)
            return more[EXCITATORY] - more[INHIBITORY], known, np.full(constants.shape[1], 3.0)
        run = self.run(constants, arrivals, Reported(None, reported.v, reported.spikes)).currents
        expected = (run[EXCITATORY] - run[INHIBITORY]).astype(np.float64)
        tolerance = np.full(constants.shape[1], 4.0)
        if currents is not None:
            seen = currents[0].astype(np.float64)
        else:
            assert reported.v is not None, "without currents there is v"
            c = {name: constants[row].astype(np.float64) for name, row in _AT.items()}
            v = reported.v.astype(np.float64)
            before = np.concatenate((np.broadcast_to(c["v_rest"], v[:, :1].shape), v[:, :-1]), axis=1)
            kept = c["exp_tc"] / ONE
            steady = (v - kept * before) / np.maximum(1 - kept, 1e-9)
            gain = np.where(c["resistance"] == 0, 1.0, c["resistance"]) / ONE
            seen = (steady - c["v_rest"]) / gain - c["i_offset"]
            tolerance = 4 + 4 / np.maximum(1 - kept, 1e-9) / np.abs(gain)
            if reported.spikes is not None:
                known &= ~_silenced(reported.spikes, constants[_AT["t_refract"]])
        over = np.where(known, seen - expected, 0.0)
        known[:, 1:] &= known[:, :-1].copy()
        kept = constants[_AT["decay_e"]] / 2.0**32
        over[:, 1:] -= kept * over[:, :-1].copy()
        return np.where(known, over, 0.0), known, tolerance

    def charge(self, constants: I64, addend: I64) -> F64:
        """What it adds to its value, negative for the inhibitory one."""
        up = constants[_AT["init_e"]] / 2.0**32 * 2.0 ** constants[_AT["shift_e"]]
        down = constants[_AT["init_i"]] / 2.0**32 * 2.0 ** constants[_AT["shift_i"]]
        found: F64 = np.where(addend >= 0, addend * up, addend * down)
        return found

    def threshold(self, constants: Mapping[str, int]) -> int | None:
        """In s16.15; none of a readout."""
        return None if constants["v_thresh"] == NO_THRESHOLD else constants["v_thresh"]

    def meaning(self, constant: str, value: int, dt_ms: float) -> str:
        """Time constants in ms, voltages in mV, currents in nA."""
        if constant in ("decay_e", "decay_i", "exp_tc"):
            kept = value / (ONE if constant == "exp_tc" else 2.0**32)
            return f"a time constant of {-dt_ms / math.log(kept):.4g} ms" if 0 < kept < 1 else ""
        unit = {"v_rest": "mV", "v_reset": "mV", "v_thresh": "mV", "i_offset": "nA"}.get(constant)
        return f"{value / ONE:.6g} {unit}" if unit else ""


def make_chip(network: IntegerNetwork) -> Chip:
    """The network with what the chip computes from its parameters, for diagnosis."""
    cells = []
    for p in network.populations:
        named = {} if p.kind == "spike_source" else _constants(p, network.dt_ms)
        cells.append(Cells(p.name, p.size, named))
    synapses = tuple(
        # What stands where there is no synapse means nothing.
        Synapses(
            p.source,
            p.target,
            np.where(p.exists, p.weight, 0).astype(np.int64),
            np.where(p.exists, p.delay - 1, 0).astype(np.int64),
            p.exists,
        )
        for p in network.projections
    )
    return Chip(Model(network.dt_ms, tuple(cells), synapses), SpinnakerArithmetic())


def _constants(population: IntegerPopulation, dt_ms: float) -> dict[str, I64]:
    assert population.parameters is not None, "a simulated population has parameters"
    c = initialise(population.parameters, dt_ms)
    found = {name: np.zeros(population.size, dtype=np.int64) for name in _AT}
    for t, suffix in ((EXCITATORY, "e"), (INHIBITORY, "i")):
        found[f"decay_{suffix}"] = c.decay[t].astype(np.int64)
        found[f"init_{suffix}"] = c.init[t].astype(np.int64)
        found[f"shift_{suffix}"] += population.shifts[t]
    for name in ("resistance", "exp_tc", "v_rest", "i_offset", "v_reset", "v_thresh", "t_refract"):
        found[name] = getattr(c, name).astype(np.int64)
    return found


def _silenced(spikes: Flags, t_refract: I64) -> Flags:
    """Ticks at which v says nothing of the current: that of a spike, and those of the refractory period after it."""
    left = np.zeros(spikes[:, 0].shape, dtype=np.int64)
    found = np.zeros_like(spikes)
    for t in range(spikes.shape[1]):
        found[:, t] = spikes[:, t] | (left > 0)
        left = np.where(spikes[:, t], t_refract, np.maximum(left - 1, 0))
    return found
