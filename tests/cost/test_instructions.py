"""Instructions of the shipped ARM code, counted while it runs, are those that the load of a core is reckoned with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hardware_targets.spinnaker.cost import read_constants
from hardware_targets.spinnaker.integer_network import ONE
from hardware_targets.spinnaker.machine_code.neuron_core import NeuronCore
from tests.oracles.arm import needs_arm

pytestmark = needs_arm
CONSTANTS = read_constants("spinnaker1")


def low(name: str) -> float:
    found = CONSTANTS[name].low
    assert found is not None
    return found


def make_core(n: int, *, fire: bool = False) -> NeuronCore:
    """Neurons at rest, with a threshold far above, or below so that each spikes in the next tick."""
    core = NeuronCore(n, (2, 2))
    neurons = np.tile(np.array([0, 0, 20 * ONE, 20 * ONE, 0, 0, 0, 0, ONE], dtype=np.int32), (n, 1))
    synapses = np.tile(np.array([5 * ONE, 0, 5 * ONE, 0, ONE], dtype=np.int32), (n, 1))
    core.initialise(neurons, np.full(n, -ONE if fire else 10 * ONE, dtype=np.int32), synapses)
    return core


def instructions(core: NeuronCore, run: Callable[[], Any]) -> int:
    """How many a call executes; code that has run before is not seen, so each core is asked once for each function."""
    unicorn: Any = importlib.import_module("unicorn")
    counted = [0]

    def one(*_: object) -> None:
        counted[0] += 1

    hook = core._machine._uc.hook_add(unicorn.UC_HOOK_CODE, one)
    run()
    core._machine._uc.hook_del(hook)
    return counted[0]


def of_update(n: int, *, fire: bool = False) -> int:
    core = make_core(n, fire=fire)
    return instructions(core, lambda: core.update(1))


def of_transfer(n: int, *, full: bool = False) -> int:
    core = make_core(n)
    if full:
        core.put_ring_slice(1, np.ones((2, n), dtype=np.uint16))
    return instructions(core, lambda: core.transfer(1))


def of_row(synapses: int) -> int:
    core = make_core(64)
    row = core.row([(5, 3, i % 2, i) for i in range(synapses)])
    return instructions(core, lambda: core.add_row(3, row))


def test_a_neuron_takes_so_many_instructions_a_tick() -> None:
    update, transfer = of_update(128) - of_update(64), of_transfer(128) - of_transfer(64)
    assert (update + transfer) / 64 == low("instructions_per_neuron")


def test_input_of_both_types_makes_that_of_a_neuron_no_larger_than_the_high_end() -> None:
    update, transfer = of_update(128) - of_update(64), of_transfer(128, full=True) - of_transfer(64, full=True)
    high = CONSTANTS["instructions_per_neuron"].high
    assert high is not None
    assert high - 1 < (update + transfer) / 64 <= high


def test_a_spike_takes_so_many_more() -> None:
    silent, firing = of_update(128) - of_update(64), of_update(128, fire=True) - of_update(64, fire=True)
    assert (firing - silent) / 64 == low("instructions_per_spike")


def test_a_synapse_and_a_row_take_so_many() -> None:
    ten, twenty, fifty = of_row(10), of_row(20), of_row(50)
    assert (fifty - twenty) / 30 == (twenty - ten) / 10 == low("instructions_per_synapse")
    assert ten - 10 * low("instructions_per_synapse") == low("instructions_per_row")
