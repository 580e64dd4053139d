"""A strict run refuses the first overflow, and says where it is, what it was and what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import Emulation, emulate
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation
from tests.loihi.lava_step import Neuron, int32, lava_step
from tests.loihi.random_networks import assert_equal_traces, random_network
from tests.loihi.small_networks import READOUT, projection, trains, wide_network
from toolchain.errors import TargetLimitError
from toolchain.spikes import SpikeTrains, bin_events


def driven(population: IntegerPopulation, total: int, exponent: int = 7) -> IntegerNetwork:
    """A network in which `total` << exponent arrives at neuron 1 of the population in the step after every input."""
    step = 254 if total > 0 else -256
    weights = [step] * (total // step) + ([total % step] if total % step else [])
    weight = [[0, w] for w in weights]
    others = () if population.kind == "leaky_readout" else (READOUT,)
    return IntegerNetwork(
        1.0,
        (IntegerPopulation("in", "spike_source", len(weight)), population, *others),
        (projection("in", population.name, weight, exponent=exponent),),
    )


def beats(network: IntegerNetwork, steps: list[int]) -> SpikeTrains:
    """All inputs at these steps of twenty."""
    raster = np.zeros((20, network.populations[0].size), dtype=np.bool_)
    raster[steps] = True
    return trains(raster)


LIF = IntegerPopulation("lif", "lif", 2, 4095, 0, READOUT_VTH)


@pytest.mark.parametrize(
    ("network", "steps", "message"),
    [
        (driven(LIF, 1270), [4], "step 5, the current 10403840 is outside -8388607..8388608 and wraps; "),
        (driven(LIF, -1024), [4], "step 5, the current -8388608 is outside -8388607..8388608 and wraps; "),
        (
            driven(LIF, 254 * 1100),
            [0],
            "step 1, the current 2288844800 is outside -2147483648..2147483647, the 32 bits of its sum, and wraps; ",
        ),
        (driven(LIF, 1016), [2, 9], "step 10, the voltage 16646144 is outside -8388607..8388607 and is clipped; "),
        (driven(LIF, -1022), [2, 3], "step 4, the voltage -16744448 is outside -8388607..8388607 and is clipped; "),
        # 131040 * 64 stays in u and v; a step later u has become 131040 * 64 / 4096 and lifts v over the threshold.
        (
            driven(replace(READOUT, size=2, du=4094, dv=0), 8190, exponent=4),
            [6],
            "step 8, the voltage 8388607 exceeds 8388544, so that the readout spikes and loses it; ",
        ),
    ],
)
def test_the_first_overflow_is_an_error(network: IntegerNetwork, steps: list[int], message: str) -> None:
    spikes = beats(network, steps)
    result = emulate(network, spikes)
    assert sum(result.wraps.values()) + sum(result.clips.values()) + sum(result.readout_spikes.values()) > 0
    with pytest.raises(TargetLimitError) as caught:
        emulate(network, spikes, strict=True)
    name = network.populations[1].name
    assert str(caught.value).startswith(f"population {name}: in sample 0, neuron 1, {message}")
    assert "deployment.calibration_samples" in str(caught.value)


@pytest.mark.parametrize("network", [driven(LIF, 1016), driven(replace(LIF, vth=1000), 1016)])
def test_what_just_fits_is_no_error(network: IntegerNetwork) -> None:
    """1016 << 13 is the most that a single sum of full weights leaves in 24 bits; spikes of a lif are no overflow."""
    assert emulate(network, beats(network, [3]), strict=True).voltage_peaks["lif"] == 1016 << 13


def test_a_current_of_two_to_the_23_is_no_overflow() -> None:
    network = driven(replace(LIF, vth=0, dv=4096), 1024)
    with pytest.raises(TargetLimitError, match="the voltage 8388608 is outside"):
        emulate(network, beats(network, [3]), strict=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_of_several_samples_the_first_is_named(threads: int) -> None:
    network = driven(LIF, 1270)
    units = np.arange(network.populations[0].size)
    quiet, late, early = (units[:0], units[:0]), (np.full_like(units, 15), units), (np.full_like(units, 2), units)
    spikes = bin_events([quiet, quiet, late, early, quiet, early], units.size, 20)[0]
    with pytest.raises(TargetLimitError, match="in sample 2, neuron 1, step 16, the current"):
        emulate(network, spikes, strict=True, threads=threads)


def arrivals(
    network: IntegerNetwork, spikes: SpikeTrains, result: Emulation, sample: int
) -> dict[str, NDArray[np.int64]]:
    """Population -> (n_steps, n), the sums that arrive, from the spikes of a run."""
    fired = {name: raster[sample] for name, raster in result.spikes.items()}
    first = 0
    for population in network.populations:
        if population.kind == "spike_source":
            fired[population.name] = spikes.dense(sample).T[:, first : first + population.size]
            first += population.size
    found = {p.name: np.zeros((spikes.n_steps + 64, p.size), dtype=np.int64) for p in network.simulated}
    for p in network.projections:
        for step, pre in np.argwhere(fired[p.source]):
            for post in np.flatnonzero(p.exists[pre]):
                found[p.target][step + 1 + p.slots[pre, post], post] += int(p.addend[pre, post])
    return found


def first_overflow(network: IntegerNetwork, spikes: SpikeTrains, result: Emulation) -> str | None:
    """Sample, population, neuron, step and value of the first overflow, from u and v of each step before it."""
    for sample in range(spikes.n_samples):
        arriving = arrivals(network, spikes, result, sample)
        for step in range(spikes.n_steps):
            for p in network.simulated:
                u, v = (t[p.name][sample, step - 1] if step else np.zeros(p.size, int) for t in (result.u, result.v))
                for neuron in range(p.size):
                    before = Neuron(int(u[neuron]), int(v[neuron]), int(arriving[p.name][step, neuron]))
                    after = lava_step(before, p.du, p.dv)
                    where = f"population {p.name}: in sample {sample}, neuron {neuron}, step {step}, the "
                    if after.current != int32(after.current):
                        return where + f"current {after.current} is outside -2147483648"
                    if after.current != after.u:
                        return where + f"current {after.current} is outside -8388607"
                    if after.voltage != after.v:
                        return where + f"voltage {after.voltage} is outside -8388607"
                    if p.kind == "leaky_readout" and after.v > READOUT_VTH << 6:
                        return where + f"voltage {after.v} exceeds 8388544"
    return None


def test_random_networks_overflow_first_where_their_states_say() -> None:
    refused = 0
    for network, spikes in [*(random_network(seed) for seed in range(60)), wide_network()]:
        result = emulate(network, spikes, traces=True)
        expected = first_overflow(network, spikes, result)
        if expected is None:
            assert_equal_traces(emulate(network, spikes, traces=True, strict=True), result)
        else:
            with pytest.raises(TargetLimitError) as caught:
                emulate(network, spikes, strict=True)
            assert str(caught.value).startswith(expected)
            refused += 1
    assert 10 < refused < 50
