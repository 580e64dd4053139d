"""Random neurons and parameters for both our emulator and the ARM code, ordinary ones and extreme ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator_kernel import State, make_state
from hardware_targets.spinnaker.emulator_tables import Tables
from hardware_targets.spinnaker.integer_network import ONE, NeuronParameters
from hardware_targets.spinnaker.machine_code import neuron_core as arm

I32 = NDArray[np.int32]


def make_parameters(rng: np.random.Generator, n: int, dt_ms: float = 1.0) -> NeuronParameters:
    """Parameters of n neurons, each another, that the chip can compute with at this time step."""

    def ms(low: float, high: float) -> I32:
        found: I32 = np.maximum(1, np.rint(ONE * np.exp(rng.uniform(np.log(low), np.log(high), n)))).astype(np.int32)
        return found

    def mv(low: float, high: float) -> I32:
        found: I32 = np.rint(ONE * rng.uniform(low, high, n)).astype(np.int32)
        return found

    tau_m = ms(dt_ms / 20, 500 * dt_ms)
    return NeuronParameters(
        tau_m=tau_m,
        cm=np.where(rng.random(n) < 0.5, tau_m, ms(0.1, 50)).astype(np.int32),
        tau_syn_e=ms(dt_ms / 20, 500 * dt_ms),
        tau_syn_i=ms(dt_ms / 20, 500 * dt_ms),
        v_rest=mv(-80, 10),
        v_reset=mv(-80, 10),
        v_thresh=mv(-60, 60),
        i_offset=np.where(rng.random(n) < 0.5, 0, mv(-5, 5)).astype(np.int32),
        tau_refrac=np.where(rng.random(n) < 0.5, 0, mv(0, 6 * dt_ms)).astype(np.int32),
    )


def random_words(rng: np.random.Generator, n: int, small_bits: int) -> I32:
    """Signed words: most of so many bits, some of any size, some at the very ends."""
    small = rng.integers(-(1 << small_bits), 1 << small_bits, n)
    large = rng.integers(-(2**31), 2**31, n) >> rng.integers(0, 20, n)
    ends = rng.choice([-(2**31), 2**31 - 1, 0, -1], n)
    found: I32 = np.choose(rng.choice(3, n, p=[0.7, 0.25, 0.05]), [small, large, ends]).astype(np.int32)
    return found


def random_tables(rng: np.random.Generator, n: int, shifts: tuple[int, int]) -> Tables:
    """One population without synapses, its constants anything that the tables may hold."""

    def unsigned() -> NDArray[np.uint32]:
        return rng.integers(0, 2**32, n, dtype=np.uint32)

    v_thresh = np.where(rng.random(n) < 0.1, 2**31 - 1, random_words(rng, n, 20)).astype(np.int32)
    return Tables(
        np.zeros(n + 1, dtype=np.uint64), np.zeros(0, dtype=np.int64), np.array([0, n], dtype=np.uint64),
        np.array([shifts], dtype=np.int32),
        resistance=np.abs(np.maximum(random_words(rng, n, 20), -(2**31) + 1)),
        exp_tc=rng.integers(0, ONE, n).astype(np.int32),
        v_rest=random_words(rng, n, 20), i_offset=random_words(rng, n, 16), v_reset=random_words(rng, n, 20),
        v_thresh=v_thresh, t_refract=rng.integers(0, 6, n).astype(np.int32),
        decay_e=unsigned(), decay_i=unsigned(), init_e=unsigned(), init_i=unsigned(), n_sources=0, n_rows=1,
    )  # fmt: skip


def random_state(rng: np.random.Generator, n: int) -> State:
    """A state before a tick."""
    state = make_state(n)
    for field, bits in (("exc", 20), ("inh", 20), ("v", 21)):
        getattr(state, field)[:] = random_words(rng, n, bits)
    state.timer[:] = rng.choice([0, 0, 0, -1, 1, 3], n)
    return state


def load(core: arm.NeuronCore, tables: Tables, state: State) -> None:
    """Give a core of the ARM code these constants and this state."""
    core.neurons = np.stack(
        [
            *(state.v, tables.v_rest, tables.resistance, tables.exp_tc, tables.i_offset, state.timer),
            *(tables.v_reset, tables.t_refract),
        ],
        axis=1,
    )
    core.synapses = np.stack(
        [
            *(tables.decay_e.view(np.int32), tables.init_e.view(np.int32), state.exc),
            *(tables.decay_i.view(np.int32), tables.init_i.view(np.int32), state.inh),
        ],
        axis=1,
    )
    core.thresholds = tables.v_thresh
