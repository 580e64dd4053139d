"""Random networks of every shape on both chips: nothing is unexplained, and all numbers are those of the oracles."""

from __future__ import annotations

import numpy as np
import pytest

from hardware_targets.loihi import loihi2
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.quantiser import round_at
from hardware_targets.loihi.target import LoihiQuantised
from hardware_targets.spinnaker.quantised import SpinnakerQuantised
from hardware_targets.spinnaker.rounding import round_network
from tests.diagnosis.cases import explain
from tests.networks import SHAPES, random_network, random_spikes
from tests.oracles.reference import simulate
from toolchain.deployment.target import Quantised, Target, find_target
from toolchain.network import Network, Population, make_projection

STEPS = 60


def coarse(network: Network, chip: str) -> tuple[Target, Quantised]:
    """In steps so coarse that spikes change."""
    names = [p.name for p in network.populations if p.kind != "spike_source"]
    none = {p.name: 0 for p in network.projections}
    if chip == "loihi2":
        integers = round_at(network, dict.fromkeys(names, 300.0), read_limits("loihi2"))
        return loihi2, LoihiQuantised("loihi2", integers, network, none, none)
    rounded = network.with_arrays({p.name: (p.weight, np.rint(p.delay)) for p in network.projections})
    coarse = round_network(rounded, dict.fromkeys(names, 16.0), dict.fromkeys(names, (15, 15)))
    return find_target("spinnaker1"), SpinnakerQuantised(coarse, network, none, none, none)


@pytest.mark.parametrize("chip", ["loihi2", "spinnaker1"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_divergence_is_explained_by_the_oracles_own_voltage(shape: str, chip: str) -> None:
    rng = np.random.default_rng(SHAPES.index(shape))
    network = random_network(shape, rng, spiking_output=shape == "two_layers")
    spikes = random_spikes(rng, 12, 5, STEPS, 0.08)
    target, quantised = coarse(network, chip)
    found = explain(network, target, quantised, spikes)
    assert found, "in steps so coarse some spike differs"
    traces = target.emulate_traces(quantised, spikes)
    for attribution, both in found:
        population, neuron, step = attribution.population, attribution.neuron, attribution.step
        theta = network[population].threshold
        floating = {name: _raster(events, network[name].size) for name, events in both.floating.items()}
        course = simulate(network, {"in": spikes.dense(both.sample).T}, imposed=floating)
        assert attribution.float_margin == pytest.approx(
            (course.voltage[population][step, neuron] - theta) / theta, abs=1e-9
        )
        chip_rasters = {name: traces.spikes[name][both.sample] for name in floating if name != "in"}
        # The earliest of all, in the order that is promised.
        earliest = min(
            (int(t), rank, int(j), p.name)
            for rank, p in enumerate(network.populations)
            if p.kind == "lif"
            for t, j in np.argwhere(chip_rasters[p.name] != floating[p.name])
        )
        assert (step, neuron, population) == (earliest[0], earliest[2], earliest[3])
        by_chip = bool(chip_rasters[population][step, neuron])
        assert attribution.spiked == ("chip" if by_chip else "float")
        assert attribution.cause not in ("unexplained", "float_rounding")
        assert (attribution.float_margin >= 0, attribution.chip_margin >= 0) == (not by_chip, by_chip)
        total = sum(c.value for c in attribution.contributions)
        assert attribution.chip_margin - attribution.float_margin == pytest.approx(total, abs=1e-11)
        window = attribution.window
        assert window is not None
        shown = course.voltage[population][window.first_step : window.first_step + len(window.float_v), neuron]
        assert np.allclose(np.array(window.float_v, dtype=np.float64) * theta, shown, atol=1e-9)
        own = np.flatnonzero(chip_rasters[population][:, neuron])
        shown_steps = range(window.first_step, window.first_step + len(window.chip_v))
        assert window.chip_spikes == tuple(int(t) for t in own if t in shown_steps)


def _raster(events: tuple[np.ndarray, np.ndarray], size: int) -> np.ndarray:  # type: ignore[type-arg]
    raster = np.zeros((STEPS, size), dtype=np.bool_)
    raster[events] = True
    return raster


def test_neurons_with_time_constants_of_their_own_that_spike_once_are_explained_too() -> None:
    """SpiNNaker has both: constants of each neuron, and a refractory period without end."""
    rng = np.random.default_rng(4)
    n = 6
    taus = tuple(rng.uniform(8, 30, n)), tuple(rng.uniform(2, 7, n))
    network = Network(
        1.0,
        (
            Population("in", "spike_source", 5),
            Population("a", "lif", n, *taus, threshold=0.8, single_spike=True),
            Population("out", "leaky_readout", 3),
        ),
        (
            make_projection("in", "a", rng.normal(3, 1, (5, n)), rng.uniform(0, 9, (5, n))),
            make_projection("a", "out", rng.normal(0, 1, (n, 3))),
        ),
    )
    target, quantised = coarse(network, "spinnaker1")
    found = explain(network, target, quantised, random_spikes(rng, 20, 5, STEPS, 0.08))
    assert found
    for attribution, both in found:
        assert attribution.cause not in ("unexplained", "float_rounding")
        window = attribution.window
        assert window is not None
        spikes = both.floating["a"][0][both.floating["a"][1] == attribution.neuron]
        assert [v is None for v in window.float_v] == [
            spikes.size > 0 and window.first_step + i > spikes[0] for i in range(len(window.float_v))
        ]
