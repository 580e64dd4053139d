"""Several samples in one run: what must lie between them so that each begins in the initial state, to the last bit.

Time alone does not lead back there. With nothing arriving, a synaptic value, which is never negative, decays by a floor
to exactly 0. A membrane decays by v <- v_rest - floor(c (v_rest - v)), c < 1: from below it reaches v_rest, from above
it stops k / 32768 mV short of it, for any k < 1 / (1 - c). So between two samples lie

    quiet ticks     in the last `watch` of which no neuron may spike: all that was sent has arrived, refractory times
                    are over, synaptic values are 0 and every v is in v_rest..v_rest + k
    a kick          one spike on an inhibitory synapse of each neuron, delay 1 tick, that takes every v below v_rest
    `settle` ticks  the kick has decayed to 0, and v has come back to v_rest, from below and so exactly

Why both are long enough: without spikes a tick is a monotone map of (v, exc, -inh), so whatever lies between two states
stays between what these become. `plan_clearing` follows, in the chip's integers, the highest and lowest states there
are until nothing changes any more, then the ends of v_rest..v_rest + k through the kick until both are v_rest. The
highest value of a synapse is that of a ring buffer that is full, or to which every source sends, in each tick, but at
most `HIGHEST`, 32768 mV: whoever exports samples refuses those in which it sees more.

That no neuron spikes before the kick cannot be known before a run: whoever runs it looks at the spikes and refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.fixed_point import NeuronConstants, decay, initialise
from hardware_targets.spinnaker.integer_network import (
    EXCITATORY,
    INHIBITORY,
    LARGEST_WEIGHT,
    ONE,
    IntegerNetwork,
    IntegerPopulation,
)

HIGHEST = 1 << 30
"""Largest synaptic value and distance of v from v_rest that is covered, s16.15."""
LONGEST = 200_000
"""Ticks after which following a state is given up."""
LARGEST_STATE = 2**31 - 1
KICK_TICKS = 1
"""Delay of the synapses of the kick."""
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Clearing:
    """What lies between two samples; `weights` is population -> stored weight of its inhibitory kick."""

    watch: int
    settle: int
    weights: dict[str, int]

    def to_json(self) -> dict[str, object]:
        """As JSON types."""
        return {"watch": self.watch, "settle": self.settle, "weights": dict(self.weights)}


class NotClearableError(Exception):
    """Why a network does not come back to its initial state between samples."""


def plan_clearing(network: IntegerNetwork) -> Clearing:
    """Find how long to wait and how hard to kick.

    Raises
    ------
    NotClearableError
        If a neuron does not rest without input, states could leave 32 bits on the way, or it takes too long.
    """
    longest = max((p.longest for p in network.projections), default=0)
    watch, settle, weights = 0, 0, {}
    for population in network.simulated:
        calm, back, weight = _clear_population(network, population)
        watch, settle, weights[population.name] = max(watch, calm), max(settle, back), weight
    return Clearing(longest + watch, KICK_TICKS + settle, weights)


def _clear_population(network: IntegerNetwork, population: IntegerPopulation) -> tuple[int, int, int]:
    """Ticks until it is calm, ticks from the kick's arrival until it is at rest, and the weight of the kick."""
    name, parameters = population.name, population.parameters
    assert parameters is not None, "checked with the network"
    constants = initialise(parameters, network.dt_ms)
    if parameters.i_offset.any():
        raise NotClearableError(f"population {name} has an i_offset, so its neurons do not stay at v_rest")
    if (constants.resistance < 0).any() or (constants.exp_tc >= ONE).any() or (constants.exp_tc < 0).any():
        raise NotClearableError(f"population {name}: a membrane does not decay")
    rest = constants.v_rest.astype(np.int64)
    highest = _highest_values(network, population, constants)
    swing = _mulk(highest, constants.resistance)
    if (swing > HIGHEST).any():
        raise NotClearableError(f"population {name}: a current could take v beyond the range that is covered")
    reset = constants.v_reset.astype(np.int64)
    none = np.zeros_like(rest)
    high = _State(np.maximum(np.maximum(rest, reset), rest + swing[EXCITATORY] + 1), highest[EXCITATORY], none)
    low = _State(np.minimum(np.minimum(rest, reset), rest - swing[INHIBITORY] - 1), none, highest[INHIBITORY])
    ends, ticks = _until_still([high, low], constants, name)
    residue = ends[0].v
    if (ends[1].v != rest).any() or (residue < rest).any():
        raise NotClearableError(f"population {name}: a membrane that is below v_rest does not come back to it")
    if (residue >= constants.v_thresh).any():
        raise NotClearableError(f"population {name} has neurons that spike without input")
    weight = 1
    largest = min(LARGEST_WEIGHT, HIGHEST >> population.shifts[INHIBITORY])
    while True:
        kick = _arriving(np.full_like(rest, weight), population.shifts[INHIBITORY], constants, INHIBITORY)
        kicked = [_State(v, none, kick) for v in (residue, rest)]
        ends, back = _until_still(kicked, constants, name)
        if all((end.v == rest).all() for end in ends):
            return ticks + int(constants.t_refract.max()), back, weight
        if weight == largest:
            raise NotClearableError(f"population {name}: no inhibitory weight is large enough to take v below v_rest")
        weight = min(4 * weight, largest)


@dataclass(frozen=True, eq=False)
class _State:
    """State of every neuron of a population, (n,) each, s16.15; the values as the membrane is about to take them."""

    v: I64
    exc: I64
    inh: I64

    def same(self, other: _State) -> bool:
        return all(np.array_equal(getattr(self, f), getattr(other, f)) for f in ("v", "exc", "inh"))


def _until_still(states: list[_State], constants: NeuronConstants, name: str) -> tuple[list[_State], int]:
    """Follow states without input and spikes until none changes; also how many ticks that takes."""
    for ticks in range(LONGEST):
        after = [_tick(state, constants, name) for state in states]
        if all(new.same(old) for new, old in zip(after, states, strict=True)):
            return states, ticks
        states = after
    raise NotClearableError(f"population {name} does not come to rest within {LONGEST} ticks")


def _tick(state: _State, constants: NeuronConstants, name: str) -> _State:
    """One tick of the law, without input and threshold."""
    rest = constants.v_rest.astype(np.int64)
    alpha = _mulk(state.exc - state.inh, constants.resistance) + rest
    if max(np.abs(alpha).max(initial=0), np.abs(alpha - state.v).max(initial=0)) > LARGEST_STATE:
        raise NotClearableError(f"population {name}: a state could leave 32 bits")
    v = alpha - _mulk(alpha - state.v, constants.exp_tc)
    exc, inh = (
        decay(value.astype(np.int32), constants.decay[kind]).astype(np.int64)
        for kind, value in ((EXCITATORY, state.exc), (INHIBITORY, state.inh))
    )
    return _State(v, exc, inh)


def _mulk(a: I64, b: NDArray[np.int32]) -> I64:
    """Product of s16.15, floor; nothing wraps where `a` is below 2^32."""
    product: I64 = (a * b.astype(np.int64)) >> 15
    return product


def _arriving(stored: I64, shift: int, constants: NeuronConstants, kind: int) -> I64:
    """What an entry of the ring buffer adds to the synaptic value."""
    return decay(np.minimum(stored << shift, LARGEST_STATE).astype(np.int32), constants.init[kind]).astype(np.int64)


def _highest_values(network: IntegerNetwork, population: IntegerPopulation, constants: NeuronConstants) -> I64:
    """Largest synaptic value of each type and neuron, (2, n): x <- floor(x u) + a never exceeds a / (1 - u) + a."""
    found = []
    for kind in (EXCITATORY, INHIBITORY):
        stored = np.zeros(population.size, dtype=np.int64)
        for p in network.incoming(population.name):
            stored += np.where(p.of_type(kind), np.abs(p.weight.astype(np.int64)), 0).sum(axis=0)
        added = _arriving(np.minimum(stored, LARGEST_WEIGHT), population.shifts[kind], constants, kind)
        kept = constants.decay[kind].astype(np.float64) / 2.0**32
        found.append(np.minimum(np.ceil(added / (1 - kept)) + 1, HIGHEST).astype(np.int64))
    return np.array(found)
