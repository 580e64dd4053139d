"""Loihi's step for diagnosis: from what a device reported of a step, what it must report of the next.

An arrival shows in u exactly: u[t] less the decayed u[t-1] is what arrived, times 64. Where u was not reported, v gives
it, u[t] being v[t] less the decayed v[t-1], unless the neuron spiked, when v says nothing, or v was clipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hardware_targets.loihi.integer_network import LAVA_SLOT_MAX, READOUT_VTH, IntegerNetwork
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

HALF = 2**23
_ROUNDING = {0: "toward zero", 1: "down", 2: "to the nearest"}

CONSTANTS = (
    Constant("du", CURRENT, "decay of the current", "decay of the current (du)", 0, 4095, shared=True),
    Constant("dv", VOLTAGE, "decay of the voltage", "decay of the voltage (dv)", 0, 4096, shared=True),
    Constant("vth", SPIKE, "threshold", "threshold (vth)", 0, READOUT_VTH, shared=True),
    Constant("current_rounding", CURRENT, "rounded decay", "rounding of the decayed current", 0, 2, _ROUNDING, True),
    Constant(
        "current_overflow", CURRENT, "wrapped current", "current beyond 24 bits", 0, 2,
        {0: "wraps", 1: "is clipped", 2: "is kept"}, True,
    ),
    Constant("voltage_rounding", VOLTAGE, "rounded decay", "rounding of the decayed voltage", 0, 2, _ROUNDING, True),
    Constant(
        "voltage_overflow", VOLTAGE, "clipped voltage", "voltage beyond 24 bits", 0, 1,
        {0: "is clipped", 1: "wraps"}, True,
    ),
    Constant(
        "reset", VOLTAGE, "reset", "voltage after a spike", 0, 2,
        {0: "is 0", 1: "stays as it is", 2: "is lowered by the threshold"},
    ),
    Constant(
        "tie", SPIKE, "threshold tie", "voltage equal to the threshold", 0, 1,
        {0: "is no spike", 1: "is a spike"}, True,
    ),
    Constant(
        "output", SPIKE, "output", "output", 0, 3,
        {
            0: "spikes above threshold",
            1: "never spikes and is not reset (dead)",
            2: "is reset above threshold, but no spike leaves it (mute)",
            3: "spikes at every step (stuck)",
        },
    ),
)  # fmt: skip


class LoihiArithmetic:
    """See `toolchain.diagnosis.model.Arithmetic`; an arrival counts in `excess` what it adds."""

    channels = 1
    constants: Sequence[Constant] = CONSTANTS
    together: Sequence[tuple[str, str, int, str]] = ()
    weights = (-256, 254, 2)
    exponents = (-1, 7)
    largest_slot = LAVA_SLOT_MAX

    def run(self, constants: I64, arrivals: I64, reported: Reported) -> Replayed:
        """Take all steps."""
        from hardware_targets.loihi.fault_kernel import replay

        shape = arrivals.shape[1:]
        none, no_flags = np.zeros((0, 0, 0), dtype=np.int64), np.zeros((0, 0, 0), dtype=np.bool_)
        u, v, spikes = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.bool_)
        replay(
            constants, arrivals[0],
            reported.currents is not None, none if reported.currents is None else reported.currents[0],
            reported.v is not None, none if reported.v is None else reported.v,
            reported.spikes is not None, no_flags if reported.spikes is None else reported.spikes,
            u, v, spikes,
        )  # fmt: skip
        return Replayed(u[np.newaxis], v, spikes)

    def excess(self, constants: I64, arrivals: I64, reported: Reported) -> tuple[F64, Flags, F64]:
        """From u where it was reported, from v otherwise."""
        if reported.currents is not None:
            u, known = reported.currents[0], np.ones(arrivals.shape[1:], dtype=np.bool_)
        else:
            assert reported.v is not None, "without u there is v"
            u = reported.v - _decayed(_before(reported.v), 4096 - constants[1])
            known = np.abs(reported.v) < HALF - 1
            if reported.spikes is not None:
                known &= ~reported.spikes
            known[:, 1:] &= known[:, :-1].copy()
        more = u - _decayed(_before(u), 4095 - constants[0]) - (arrivals[0] << 6)
        # u is known modulo 2^24 only.
        more = ((more + HALF) & (2 * HALF - 1)) - HALF
        return np.where(known, more / 64, 0.0), known, np.full(constants.shape[1], 0.25)

    def charge(self, constants: I64, addend: I64) -> F64:
        """What it adds."""
        return addend.astype(np.float64)

    def threshold(self, constants: Mapping[str, int]) -> int | None:
        """In units of v; none of a readout."""
        return None if constants["vth"] == READOUT_VTH else constants["vth"] << 6

    def meaning(self, constant: str, value: int, dt_ms: float) -> str:
        """Time constants in ms."""
        kept = {"du": 4095 - value, "dv": 4096 - value}.get(constant)
        if kept is None or not 0 < kept < 4096:
            return ""
        return f"a time constant of {-dt_ms / math.log(kept / 4096):.4g} ms"


def make_chip(network: IntegerNetwork) -> Chip:
    """What runs on the chip, relays included, for diagnosis."""
    cells = []
    for p in network.populations:
        values = {"du": p.du, "dv": p.dv, "vth": p.vth} if p.kind != "spike_source" else None
        named = {c.name: np.full(p.size, (values or {}).get(c.name, 0), dtype=np.int64) for c in CONSTANTS}
        cells.append(Cells(p.name, p.size, named if values is not None else {}))
    synapses = tuple(
        Synapses(p.source, p.target, p.weight.astype(np.int64), p.slots.astype(np.int64), p.exists, p.exponent)
        for p in network.projections
    )
    return Chip(Model(network.dt_ms, tuple(cells), synapses), LoihiArithmetic())


def _before(state: I64) -> I64:
    """The state of the step before, 0 before the first; (n_samples, n_steps, n)."""
    before = np.zeros_like(state)
    before[:, 1:] = state[:, :-1]
    return before


def _decayed(state: I64, keep: I64) -> I64:
    found: I64 = np.sign(state) * ((np.abs(state) * keep) >> 12)
    return found
