"""One tick of the emulator's kernel against the ARM code, from any state that a neuron can be in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.spinnaker.emulator_kernel import step_neurons
from hardware_targets.spinnaker.emulator_tables import N_COUNTS, SATURATIONS, WRAPS
from hardware_targets.spinnaker.machine_code import neuron_core as arm
from tests.oracles.arm import needs_arm
from tests.spinnaker.neuron_states import load, random_state, random_tables

N = 256
ROUNDS = 80

pytestmark = needs_arm


def entries(rng: np.random.Generator, n: int) -> NDArray[np.int32]:
    """Sums that arrive, (2, n): nothing, a few synapses, full entries, and what saturates."""
    few, full = rng.integers(1, 3000, (2, n)), rng.choice([0xFFFE, 0xFFFF, 0x10000, 300_000], (2, n))
    kind = rng.choice(3, (2, n), p=[0.3, 0.6, 0.1])
    return np.array(np.choose(kind, [np.zeros((2, n)), few, full]), dtype=np.int32)


@pytest.mark.parametrize("ordinary", [True, False])
def test_a_tick_of_20_000_random_neurons_equals_the_arm_code(ordinary: bool) -> None:
    """Ring transfer, membrane, threshold, reset, refractoriness and decay; every second case has no overflow at all."""
    spikes = refractory = overflows = 0
    for shift in range(ROUNDS // 2):
        rng = np.random.default_rng(shift)
        shifts = (shift % 17, int(rng.integers(0, 17)))
        tables, state, arriving = random_tables(rng, N, shifts), random_state(rng, N), entries(rng, N)
        if ordinary:
            shifts = (min(shifts[0], 8), min(shifts[1], 8))
            tables = tables._replace(
                shifts=np.array([shifts], dtype=np.int32), resistance=rng.integers(1, 1 << 18, N).astype(np.int32)
            )
            arriving = np.minimum(arriving, 0xFFFF)
            for words in (state.exc, state.inh, state.v, tables.v_rest, tables.i_offset):
                words[:] >>= 9
        core = arm.NeuronCore(N, shifts)
        load(core, tables, state)
        core.put_ring_slice(3, np.minimum(arriving, 0xFFFF).astype(np.uint16))
        core.transfer(3)
        ticked = core.update(3)
        refractory += int((state.timer > 0).sum())

        before = state.v.copy()
        counts, overflow = np.zeros(N_COUNTS, dtype=np.int64), np.zeros(5, dtype=np.int64)
        zero = np.uint64(0)
        n_spikes = step_neurons(arriving.ravel(), zero, state, zero, tables, 3, counts, overflow)
        assert np.flatnonzero(state.spiked).tolist() == ticked.spikes
        assert n_spikes == len(ticked.spikes)
        np.testing.assert_array_equal(ticked.v, before)  # recorded before the update
        np.testing.assert_array_equal(ticked.exc, state.used_exc)
        np.testing.assert_array_equal(ticked.inh, state.used_inh)
        np.testing.assert_array_equal(core.neurons[:, arm.V], state.v)
        np.testing.assert_array_equal(core.neurons[:, arm.TIMER], state.timer)
        np.testing.assert_array_equal(core.synapses[:, arm.VALUE_E], state.exc)
        np.testing.assert_array_equal(core.synapses[:, arm.VALUE_I], state.inh)
        assert not core.ring_slice(3).any()
        spikes += n_spikes
        overflows += int(counts[SATURATIONS] + counts[WRAPS])
    assert spikes > 1000
    assert refractory > 1000
    assert (overflows == 0) == ordinary
