"""The step between weights that a target states is the one that its weights have."""

from __future__ import annotations

import numpy as np
import pytest

from tests.networks import SHAPES, random_network, random_spikes
from toolchain.deployment.abilities import SteppedWeights
from toolchain.deployment.target import find_target


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["loihi2", "spinnaker1"])
def test_weights_are_whole_numbers_of_steps_and_none_coarser_would_do(name: str, shape: str) -> None:
    random = np.random.default_rng(SHAPES.index(shape))
    network, spikes = random_network(shape, random, max_slot=20), random_spikes(random, 30, 5, 60, 0.08)
    quantised = find_target(name).quantise(network, spikes, clip_delays=False)
    assert isinstance(quantised, SteppedWeights)
    assert set(quantised.weight_steps) == {p.name for p in network.projections}
    for projection in quantised.weighted.projections:
        weight = projection.weight.astype(np.float64)
        for sign, step in zip((-1, 1), quantised.weight_steps[projection.name], strict=True):
            multiples = np.abs(weight[np.sign(weight) == sign]) / step
            whole = np.rint(multiples).astype(np.int64)
            assert multiples == pytest.approx(whole, rel=1e-6)
            assert whole.size < 20 or np.gcd.reduce(whole) == 1
