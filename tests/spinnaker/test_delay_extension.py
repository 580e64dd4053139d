"""The delay extension core against the ARM code, packet for packet, and against one long delay of the emulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.spinnaker.delay_extension import DelayExtension, ExtensionParameters
from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.spinnaker.machine_code.delay_core import DelayCore
from tests.oracles.arm import needs_arm
from tests.spinnaker.neuron_states import make_parameters
from toolchain.spikes import bin_events

SOURCE, MASK, KEY, COLOURS = 0x4000, 0xFFFFF000, 0x20000, 16


def words(p: ExtensionParameters) -> tuple[int, ...]:
    """The region that the host writes: with a key, late packets kept."""
    stages = (p.n_atoms, p.n_stages, p.delay_per_stage)
    return (1, p.key, p.incoming_key, p.incoming_mask, *stages, 0, p.colour_bits)


def incoming(neuron: int, sent: int) -> int:
    """Key of a spike that was sent in this tick."""
    return SOURCE | neuron << 4 | sent % COLOURS


@needs_arm
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 8), st.sampled_from([1, 2, 3, 8, 16, 31, 32, 64]),
    st.floats(0, 0.4), st.integers(0, 2**32 - 1),
)  # fmt: skip
@example(8, 2, 1, 0.4, 1)  # so few slots that what is late lands among those about to be sent
@example(20, 8, 32, 0.1, 2)
def test_every_packet_equals_the_arm_code(n: int, n_stages: int, per_stage: int, late: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters = ExtensionParameters(KEY, SOURCE, MASK, n, n_stages, per_stage)
    ours, theirs = DelayExtension(parameters), DelayCore(words(parameters))
    assert parameters.n_slots == theirs.slots
    n_sent = 0
    for tick in range(min(3 * n_stages * per_stage + 40, 300)):
        mine, its = ours.tick(), theirs.tick()
        assert mine == its, f"tick {tick}"
        n_sent += len(mine)
        for _ in range(rng.poisson(2)):
            sent = tick - int(rng.integers(1, 16)) * (rng.random() < late)
            # Keys of neurons beyond the slice, of other sources, and of packets that stand for many spikes.
            key = incoming(int(rng.integers(0, n + 2)), sent) ^ (0x8000 if rng.random() < 0.1 else 0)
            spikes = int(rng.choice([0, 1, 2, 100, 200])) if rng.random() < 0.2 else 0
            for core in (ours, theirs):
                core.receive(key, spikes)
    assert n_sent > 0
    assert (ours.saturations, ours.strangers) == (theirs.saturations, theirs.strangers)


@needs_arm
def test_a_full_counter_loses_spikes_and_says_so() -> None:
    parameters = ExtensionParameters(KEY, SOURCE, MASK, 3, 2, 4)
    for core in (DelayExtension(parameters), DelayCore(words(parameters))):
        core.tick()
        for _ in range(3):
            core.receive(incoming(1, 0), 100)
        assert core.saturations == 3 * 100 - 255
        packets = [core.tick() for _ in range(12)]
        expected = {4: [(KEY | 1 << 4 | 4, 255)], 8: [(KEY + ((3 + 1) << 4) | 8, 255)]}
        assert packets == [expected.get(tick, []) for tick in range(1, 13)]


@pytest.mark.parametrize("lateness", [0, 1, 5, 15])
def test_lateness_is_added(lateness: int) -> None:
    """A spike of tick 20 that is handled late leaves as much later again."""
    core = DelayExtension(ExtensionParameters(KEY, SOURCE, MASK, 1, 3, 16))
    left = []
    for tick in range(120):
        left += [tick] * len(core.tick())
        if tick == 20 + lateness:
            core.receive(incoming(0, 20))
    assert left == [20 + 2 * lateness + 16 * stage for stage in (1, 2, 3)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.sampled_from([4, 8, 32]), st.integers(0, 2**32 - 1))
def test_a_stage_and_the_rest_are_one_long_delay(n_stages: int, per_stage: int, seed: int) -> None:
    """The same network twice: with long delays, and with those that are left of spikes sent again by an extension."""
    rng = np.random.default_rng(seed)
    n_in, n_out, n_ticks = 5, 4, 6 * per_stage + 30
    size = (n_in, n_out)
    delay = rng.integers(1, (n_stages + 1) * per_stage + 1, size).astype(np.int32)
    weight = rng.integers(1, 3000, size).astype(np.int32) * rng.choice([-1, 1], size).astype(np.int32)
    out = IntegerPopulation("out", "lif", n_out, make_parameters(rng, n_out), (6, 5))
    spikes = rng.random((n_ticks, n_in)) < 0.1

    stage = (delay - 1) // per_stage
    extension = DelayExtension(ExtensionParameters(KEY, SOURCE, MASK, n_in, n_stages, per_stage))
    again = np.zeros((n_ticks, (n_stages + 1) * n_in), dtype=np.bool_)
    again[:, :n_in] = spikes
    for tick in range(n_ticks):
        for key, count in extension.tick():
            assert count == 1
            again[tick, n_in + ((key - KEY) >> 4)] = True
        for neuron in np.flatnonzero(spikes[tick]):
            extension.receive(incoming(int(neuron), tick))

    def run(raster: NDArray[np.bool_], projection: IntegerProjection) -> list[object]:
        source = IntegerPopulation("in", "spike_source", raster.shape[1])
        network = IntegerNetwork(1.0, (source, out), (projection,))
        times, units = np.nonzero(raster)
        trains = bin_events([(times, units)], raster.shape[1], n_ticks)[0]
        result = emulate(network, trains, traces=True, threads=1)
        return [trace["out"].tolist() for trace in (result.v, result.exc, result.inh, result.spikes)]

    one_of = np.concatenate([stage == s for s in range(n_stages + 1)])
    rest = np.tile(delay - stage * per_stage, (n_stages + 1, 1))
    assert rest[one_of].max() <= per_stage
    split = IntegerProjection("in", "out", np.tile(weight, (n_stages + 1, 1)), rest, one_of)
    whole = IntegerProjection("in", "out", weight, delay, np.ones(size, dtype=np.bool_))
    assert run(again, split) == run(spikes, whole)
