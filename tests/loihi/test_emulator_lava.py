"""The emulator against lava-nc: spikes, u and v at every step of every sample."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import LAVA, LavaTraces, read_lava_traces
from hardware_targets.vendor_process import run_session
from tests.loihi.random_networks import assert_equal_traces, has_delayed_self_projection, random_network
from tests.loihi.small_networks import wide_network
from tests.loihi.unchanged_lava import use_models_of_lava
from toolchain.spikes import SpikeTrains

# One process of the operating system imports Lava once and runs the exported scripts one by one.
BATCH = """
import pathlib, runpy, sys

if __name__ == "__main__":
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        sys.argv[1:] = ["--out", str(folder / "traces.npz")]
        runpy.run_path(str(folder / "network.py"), run_name="__main__")
"""


N_NETWORKS, N_ALL = 40, 500

Run = tuple[IntegerNetwork, SpikeTrains, LavaTraces]


def run_in_lava(networks: list[tuple[IntegerNetwork, SpikeTrains]], folder: Path, timeout_s: float) -> list[Run]:
    """The networks with what Lava computed for each, with its own models of synapses."""
    exported = folder / "exported"
    for i, (network, spikes) in enumerate(networks):
        write_lava_folder(network, spikes, None, exported / f"net_{i:02d}")
        use_models_of_lava(exported / f"net_{i:02d}")
    script = folder / "batch.py"
    script.write_text(textwrap.dedent(BATCH))
    ended = run_session([LAVA.interpreter(), str(script), str(exported)], folder, timeout_s)
    assert ended.code == 0, ended
    return [(network, spikes, read(exported / f"net_{i:02d}", spikes)) for i, (network, spikes) in enumerate(networks)]


def read(folder: Path, spikes: SpikeTrains) -> LavaTraces:
    kinds = read_lava_traces(folder / "traces.npz", spikes.n_samples, spikes.n_steps)
    return LavaTraces(kinds["u"], kinds["v"], kinds["s"], 0.0)


@pytest.fixture(scope="module")
def lava_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The random networks of every test run, and the wide one."""
    networks = [*(random_network(seed) for seed in range(N_NETWORKS)), wide_network()]
    return run_in_lava(networks, tmp_path_factory.mktemp("lava"), timeout_s=500)


@pytest.mark.lava
@pytest.mark.parametrize("index", range(N_NETWORKS + 1))
def test_emulator_equals_lava(lava_runs: list[Run], index: int) -> None:
    """Spikes, u and v equal Lava's fixed_pt processes at every step of every sample."""
    network, spikes, theirs = lava_runs[index]
    assert_equal_traces(emulate(network, spikes, traces=True), theirs)


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.parametrize("first", range(N_NETWORKS, N_ALL, N_NETWORKS))
def test_emulator_equals_lava_on_many_more(first: int, tmp_path: Path) -> None:
    networks = [random_network(seed) for seed in range(first, min(first + N_NETWORKS, N_ALL))]
    for network, spikes, theirs in run_in_lava(networks, tmp_path, timeout_s=500):
        assert_equal_traces(emulate(network, spikes, traces=True), theirs)


@pytest.mark.lava
def test_the_networks_reached_the_corners(
    lava_runs: list[Run],
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
    assert {p.exponent for p in projections} >= {-1, 0, 1, 2, 5, 6, 7}
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
@pytest.mark.parametrize("by", [1, -1])
def test_one_slot_off_by_one_is_found(lava_runs: list[Run], by: int) -> None:
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
