"""The emulator against arithmetic written here, and against lava-nc at every step."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import (
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import INTERPRETER_VARIABLE, LavaTraces, _read_traces, _run_session
from tests.loihi import needs_lava
from tests.loihi.random_networks import (
    assert_equal_traces,
    has_delayed_self_projection,
    random_network,
)
from toolchain.errors import InputError, NetworkError
from toolchain.spikes import SpikeTrains, bin_events

N_NETWORKS = 50


def int32(value: int) -> int:
    """What is left of an integer in 32 bits."""
    return (value + 2**31) % 2**32 - 2**31


def decayed(value: int, keep: int) -> int:
    """Decay toward zero: int() cuts, and the quotient of 4096 is exact in a Python integer."""
    magnitude = abs(value) * keep // 4096
    return magnitude if value >= 0 else -magnitude


def reference(inputs: list[int], population: IntegerPopulation) -> tuple[list[tuple[int, int, bool]], int, int]:
    """u, v and spike of one neuron after each step, and how often u wrapped and v was clipped."""
    u = v = wraps = clips = 0
    states = []
    for a in inputs:
        exact = decayed(u, 4096 - (population.du + 1)) + 64 * a
        u = int32(exact)
        if u > 2**23:
            u -= 2**24
        elif u <= -(2**23):
            u += 2**24
        wraps += u != exact
        exact = decayed(v, 4096 - population.dv) + u
        v = min(max(int32(exact), -(2**23) + 1), 2**23 - 1)
        clips += v != exact
        spike = v > 64 * population.vth
        v = 0 if spike else v
        states.append((u, v, spike))
    return states, wraps, clips


def trains(raster: NDArray[np.bool_]) -> SpikeTrains:
    """One sample from a raster (n_steps, n_units)."""
    times, units = np.nonzero(raster)
    return bin_events([(times, units)], raster.shape[1], raster.shape[0])[0]


def projection(
    source: str,
    target: str,
    weight: list[list[int]],
    slots: int | list[list[int]] = 0,
    exponent: int = 0,
    mask: NDArray[np.bool_] | None = None,
) -> IntegerProjection:
    array = np.array(weight, dtype=np.int32)
    full = np.broadcast_to(np.array(slots, dtype=np.int64), array.shape).copy()
    return IntegerProjection(source, target, array, exponent, full, mask)


READOUT = IntegerPopulation("out", "leaky_readout", 1, 0, 100, READOUT_VTH)


# Each neuron gets any sum of up to three terms: a crowd that fires as one, and two single synapses.
even = st.integers(-128, 127).map(lambda half: 2 * half)


@settings(max_examples=150, deadline=None)
@given(
    du=st.one_of(st.sampled_from([0, 4095]), st.integers(0, 4095)),
    dv=st.one_of(st.sampled_from([0, 4095, 4096]), st.integers(0, 4096)),
    vth=st.one_of(st.sampled_from([0, READOUT_VTH]), st.integers(0, READOUT_VTH)),
    crowd=st.sampled_from([1, 5, 250, 4096]),
    crowd_weight=st.one_of(st.sampled_from([-256, 254]), even),
    exponent=st.integers(0, 7),
    single=st.tuples(even, even),
    raster=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=30),
)
def test_neuron_equals_reference(
    du: int,
    dv: int,
    vth: int,
    crowd: int,
    crowd_weight: int,
    exponent: int,
    single: tuple[int, int],
    raster: list[tuple[bool, bool, bool]],
) -> None:
    neuron = IntegerPopulation("lif", "lif", 1, du, dv, vth)
    network = IntegerNetwork(
        1.0,
        (
            IntegerPopulation("crowd", "spike_source", crowd),
            IntegerPopulation("single", "spike_source", 2),
            neuron,
            READOUT,
        ),
        (
            projection("crowd", "lif", [[crowd_weight]] * crowd, exponent=exponent),
            projection("single", "lif", [[single[0]], [single[1]]]),
        ),
    )
    fires = np.array(raster, dtype=np.bool_)
    columns = np.concatenate((np.repeat(fires[:, :1], crowd, axis=1), fires[:, 1:]), axis=1)
    result = emulate(network, trains(columns), traces=True)
    # What is sent at step t arrives at step t + 1.
    sent = [a * crowd * (crowd_weight << exponent) + b * single[0] + c * single[1] for a, b, c in raster]
    expected, wraps, clips = reference([0, *sent[:-1]], neuron)
    found = list(zip(*(trace["lif"][0, :, 0].tolist() for trace in (result.u, result.v, result.spikes)), strict=True))
    assert found == expected
    assert (result.wraps["lif"], result.clips["lif"]) == (wraps, clips)
    assert result.spike_counts["lif"].tolist() == [sum(state[2] for state in expected)]
    assert result.spike_counts["crowd"].tolist() == [crowd * int(fires[:, 0].sum())]


def test_a_spike_of_step_t_on_slot_k_arrives_at_t_plus_1_plus_k() -> None:
    slots = np.arange(63, dtype=np.int64)[np.newaxis]
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 1), replace(READOUT, size=63, du=4095, dv=4096)),
        (IntegerProjection("in", "out", np.full((1, 63), 2, dtype=np.int32), 3, slots),),
    )
    raster = np.zeros((80, 1), dtype=np.bool_)
    raster[5] = True
    voltage = emulate(network, trains(raster)).readout_v[0]
    # With full decay the voltage shows the arriving sum and nothing else.
    expected = np.zeros((80, 63), dtype=np.int32)
    expected[5 + 1 + slots[0], np.arange(63)] = 2 * 2**3 * 64
    np.testing.assert_array_equal(voltage, expected)


def test_a_saturated_readout_spikes_and_is_counted() -> None:
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 4), READOUT),
        (projection("in", "out", [[254]] * 4, exponent=7),),
    )
    result = emulate(network, trains(np.ones((4, 4), dtype=np.bool_)))
    # Step 1 leaves v at 4 * 254 * 2^13 = 8323072, below the clip; the sum of step 2 wraps u to below zero.
    expected, wraps, clips = reference([0, *[4 * 254 * 2**7] * 3], READOUT)
    assert result.readout_v[0, :, 0].tolist() == [v for _, v, _ in expected]
    assert (result.wraps["out"], result.clips["out"]) == (wraps, clips) != (0, 0)
    assert result.readout_spikes == {"out": sum(s for _, _, s in expected)}
    network = replace(network, projections=(projection("in", "out", [[254]] * 4, exponent=6),))
    assert emulate(network, trains(np.ones((4, 4), dtype=np.bool_))).readout_spikes["out"] > 0


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_and_traces_change_nothing(threads: int) -> None:
    network, spikes = random_network(7)
    spikes = spikes.select([0, 1, 1, 0, 1, 0, 0, 1, 1, 0])
    plain = emulate(network, spikes, threads=1)
    other = emulate(network, spikes, threads=threads, traces=True)
    np.testing.assert_array_equal(plain.readout_v, other.readout_v)
    np.testing.assert_array_equal(other.v["out"], other.readout_v)
    assert (plain.wraps, plain.clips) == (other.wraps, other.clips)
    assert not plain.u
    for name, count in plain.spike_counts.items():
        np.testing.assert_array_equal(count, other.spike_counts[name])
        if name in other.spikes:
            np.testing.assert_array_equal(count, other.spikes[name].sum(axis=(1, 2)))


def test_each_sample_starts_from_zero() -> None:
    """A sample gives the same alone as after others, whose last spikes are still under way."""
    network, spikes = random_network(7)
    together = emulate(network, spikes, traces=True, threads=1)
    for sample in range(spikes.n_samples):
        alone = emulate(network, spikes.select([sample]), traces=True)
        for name, u in alone.u.items():
            np.testing.assert_array_equal(u[0], together.u[name][sample])


def test_order_of_populations_and_masked_values_mean_nothing() -> None:
    network, spikes = random_network(13)
    shuffled = replace(
        network,
        populations=network.populations[::-1],
        projections=tuple(
            # What a mask excludes is no synapse, whatever stands in the arrays.
            p if p.mask is None else replace(p, weight=np.where(p.mask, p.weight, 254).astype(np.int32))
            for p in network.projections[::-1]
        ),
    )
    assert any(p.mask is not None for p in network.projections)
    assert_equal_traces(emulate(network, spikes, traces=True), emulate(shuffled, spikes, traces=True))


def test_no_samples() -> None:
    network, spikes = random_network(1)
    result = emulate(network, spikes.select([]))
    assert result.readout_v.shape[0] == 0
    assert result.spike_counts["h0"].shape == (0,)


def change(field: str, value: Any) -> Callable[[IntegerNetwork], IntegerNetwork]:
    """Replace a field of the first projection."""
    return lambda n: replace(
        n, projections=(replace(n.projections[0], **cast(Any, {field: value})), *n.projections[1:])
    )


def retune(name: str, **fields: int) -> Callable[[IntegerNetwork], IntegerNetwork]:
    return lambda n: replace(
        n, populations=tuple(replace(p, **cast(Any, fields)) if p.name == name else p for p in n.populations)
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("weight", np.array([[3]], dtype=np.int32)), "weight 3 is not an even number in -256..254"),
        (change("weight", np.array([[256]], dtype=np.int32)), "weight 256 is not an even"),
        (change("weight", np.array([[-258]], dtype=np.int32)), "weight -258 is not an even"),
        (change("exponent", 8), "exponent 8 is not an integer in 0..7"),
        (change("exponent", -1), "exponent -1 is not an integer in 0..7"),
        (change("slots", np.array([[64]])), "delay slot 64 exceeds 63"),
        (change("slots", np.array([[-1]])), "delay -1 of synapse"),
        (change("slots", np.array([0])), "slots have shape"),
        (retune("out", vth=5), "vth 5 of a leaky_readout must be 131071"),
        (retune("lif", vth=131072), "vth 131072 is not an integer in 0..131071"),
        (retune("lif", du=4096), "du 4096 is not an integer in 0..4095"),
        (retune("lif", dv=-1), "dv -1 is not an integer in 0..4096"),
    ],
)
def test_integers_out_of_range_are_refused(spoil: Callable[[IntegerNetwork], IntegerNetwork], message: str) -> None:
    network = IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", 1), IntegerPopulation("lif", "lif", 1), READOUT),
        (projection("in", "lif", [[2]]),),
    )
    check_integers(network)
    with pytest.raises(NetworkError, match=message):
        check_integers(spoil(network))


def test_misfits_are_refused() -> None:
    network, spikes = random_network(0)
    with pytest.raises(NetworkError, match="2 leaky_readout populations, must be at most 1"):
        emulate(replace(network, populations=(*network.populations, replace(READOUT, name="o2"))), spikes)
    with pytest.raises(InputError, match="units, but the spike sources"):
        emulate(network, replace(spikes, n_units=spikes.n_units + 1))
    with pytest.raises(InputError, match="threads 0 is below 1"):
        emulate(network, spikes, threads=0)


# --- against lava-nc -------------------------------------------------------------------------------

# One process of the operating system imports Lava once and runs the exported scripts one by one.
BATCH = """
import importlib.util, pathlib, sys
import numpy as np

def module(folder):
    spec = importlib.util.spec_from_file_location(folder.name, folder / "network.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script

if __name__ == "__main__":
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        np.savez(folder / "traces.npz", **module(folder).run())
"""


def wide_network() -> tuple[IntegerNetwork, SpikeTrains]:
    """Enough synapses that fire at once to leave 32 bits, through each of Lava's four kinds of projection."""
    n = 2200
    weight = np.full((n, 2), 254, dtype=np.int32)
    weight[:, 1] = -256
    slots, mask = np.zeros((n, 2), dtype=np.int64), np.ones((n, 2), dtype=np.bool_)
    slots[::2] = 3
    mask[5] = False
    kinds = {
        "dense": (slots * 0, None),
        "delayed": (slots, None),
        "sparse": (slots * 0, mask),
        "both": (slots, mask),
    }
    populations = [IntegerPopulation("in", "spike_source", n), READOUT]
    populations += [IntegerPopulation(name, "lif", 2, 300, 200, 100) for name in kinds]
    projections = [IntegerProjection("in", name, weight, 7, k, m) for name, (k, m) in kinds.items()]
    projections.append(projection("dense", "out", [[20], [30]]))
    raster = np.zeros((12, n), dtype=np.bool_)
    raster[[1, 2, 6]] = True
    return IntegerNetwork(1.0, tuple(populations), tuple(projections)), trains(raster)


@pytest.fixture(scope="module")
def lava_runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> list[tuple[IntegerNetwork, SpikeTrains, LavaTraces]]:
    """The random networks and the wide one, with what Lava computed for each."""
    root = tmp_path_factory.mktemp("lava")
    networks = [*(random_network(seed) for seed in range(N_NETWORKS)), wide_network()]
    for i, (network, spikes) in enumerate(networks):
        write_lava_folder(network, spikes, None, root / f"net_{i:02d}")
    script = tmp_path_factory.mktemp("batch") / "batch.py"
    script.write_text(textwrap.dedent(BATCH))
    python = os.environ.get(INTERPRETER_VARIABLE, sys.executable)
    _run_session([python, str(script), str(root)], script.parent, timeout_s=500)
    return [(network, spikes, read(root / f"net_{i:02d}", spikes)) for i, (network, spikes) in enumerate(networks)]


def read(folder: Path, spikes: SpikeTrains) -> LavaTraces:
    return _read_traces(folder / "traces.npz", spikes.n_samples, spikes.n_steps, 0.0)


@pytest.mark.lava
@needs_lava
@pytest.mark.parametrize("index", range(N_NETWORKS + 1))
def test_emulator_equals_lava(lava_runs: list[tuple[IntegerNetwork, SpikeTrains, LavaTraces]], index: int) -> None:
    """Spikes, u and v equal Lava's fixed_pt processes at every step of every sample."""
    network, spikes, theirs = lava_runs[index]
    assert_equal_traces(emulate(network, spikes, traces=True), theirs)


@pytest.mark.lava
@needs_lava
def test_the_networks_reached_the_corners(
    lava_runs: list[tuple[IntegerNetwork, SpikeTrains, LavaTraces]],
) -> None:
    results = [emulate(network, spikes, traces=True) for network, spikes, _ in lava_runs]

    def total(field: Callable[[Emulation], dict[str, int]]) -> int:
        return sum(sum(field(result).values()) for result in results)

    assert total(lambda r: r.wraps) > 100
    assert total(lambda r: r.clips) > 100
    assert total(lambda r: r.readout_spikes) > 10
    networks = [network for network, _, _ in lava_runs]
    projections = [p for network in networks for p in network.projections]
    assert sum(p.mask is not None for p in projections) > 20
    assert sum(p.mask is not None and bool(p.slots.max() > 20) for p in projections) > 2
    assert sum(has_delayed_self_projection(network) for network in networks) > 5
    assert max(int(p.slots.max()) for p in projections) == 62
    assert {p.exponent for p in projections} >= {0, 1, 2, 5, 6, 7}
    assert min(p.weight.min() for p in projections) == -256
    assert max(p.weight.max() for p in projections) == 254
    # The wide network left 32 bits, not 24 only: one wrap of 2^24 does not bring such a current back.
    assert max(np.abs(u.astype(np.int64)).max() for u in results[-1].u.values()) > 2**23
    # Spikes were under way at the ends of samples: run on without a reset, later samples differ.
    leaking = 0
    for (network, spikes, _), result in zip(lava_runs, results, strict=True):
        if spikes.n_samples > 1:
            sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
            times = (spikes.times + sample * spikes.n_steps).astype(np.int32)
            ends = np.array([0, times.size])
            n_steps = spikes.n_samples * spikes.n_steps
            joined = SpikeTrains(times, spikes.units, ends, spikes.n_units, n_steps)
            leaking += not np.array_equal(emulate(network, joined).readout_v.ravel(), result.readout_v.ravel())
    assert leaking > 15


@pytest.mark.lava
@needs_lava
@pytest.mark.parametrize("by", [1, -1])
def test_one_slot_off_by_one_is_found(lava_runs: list[tuple[IntegerNetwork, SpikeTrains, LavaTraces]], by: int) -> None:
    planted = 0
    for network, spikes, theirs in lava_runs[:10]:
        first = next(p for p in network.projections if network[p.source].kind == "spike_source")
        # Every source spikes; take a synapse whose slot leaves room on both sides.
        usable = np.argwhere((first.weight != 0) & (first.slots >= 1) & (first.slots < 30))
        if not usable.size:
            continue
        slots = first.slots.copy()
        slots[tuple(usable[0])] += by
        wrong = replace(
            network,
            projections=tuple(replace(p, slots=slots) if p is first else p for p in network.projections),
        )
        with pytest.raises(AssertionError, match=rf"first difference: .*{first.target}.*step \d+, sample \d+"):
            assert_equal_traces(emulate(wrong, spikes, traces=True), theirs)
        planted += 1
    assert planted >= 3
