"""Reading a class: the ladder, the training backend and the exported script agree, for every readout."""

from __future__ import annotations

import numpy as np
import pytest

from hardware_targets.class_reading import classify
from tests.networks import random_spikes
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective
from toolchain.readouts import READOUTS, ReadoutName, readout_values
from toolchain.training.backends import make_engine
from toolchain.validation.ladder import first_spikes_of, predict


@pytest.mark.parametrize("readout", READOUTS)
def test_prediction_from_voltages_is_that_of_the_backend(readout: ReadoutName) -> None:
    random = np.random.default_rng(2)
    network = Network(
        1.0,
        (Population("in", "spike_source", 5), Population("out", "leaky_readout", 3)),
        (make_projection("in", "out", random.normal(0, 1, (5, 3)), random.uniform(0, 9, (5, 3))),),
    )
    spikes = random_spikes(random, 20, 5, 50, 0.04)
    engine = make_engine("cpu", network, 50, max_slot=9, objective=Objective(readout))
    theirs = engine.respond(spikes, np.zeros(20, dtype=np.int64)).prediction
    voltage = np.stack([engine.trace(spikes, s).readout_v.T for s in range(20)])
    assert len(set(theirs.tolist())) > 1
    assert np.array_equal(predict(readout, voltage, np.zeros((20, 3), dtype=np.int64)), theirs)


@pytest.mark.parametrize("readout", READOUTS)
def test_scripts_of_bundles_read_like_the_ladder(readout: ReadoutName) -> None:
    voltage = np.random.default_rng(3).integers(-(2**23), 2**23, (30, 40, 5)).astype(np.int32)
    assert np.array_equal(classify(readout, voltage), predict(readout, voltage, np.zeros((20, 3), dtype=np.int64)))


def test_first_spikes_are_read_as_the_backend_and_the_script_read_them() -> None:
    """Ties go to the lower class, and a sample without a spike has no class at all."""
    random = np.random.default_rng(5)
    network = Network(
        1.0,
        (Population("in", "spike_source", 5), Population("out", "lif", 3, threshold=0.5)),
        (make_projection("in", "out", random.normal(2, 2, (5, 3)), random.uniform(0, 9, (5, 3))),),
    )
    spikes = random_spikes(random, 40, 5, 50, 0.02)
    engine = make_engine("cpu", network, 50, max_slot=9, objective=Objective("first_spike"))
    theirs = engine.respond(spikes, np.zeros(40, dtype=np.int64)).prediction
    fired = np.zeros((40, 50, 3), dtype=np.bool_)
    for sample in range(40):
        times, units = engine.trace(spikes, sample).spikes["out"]
        fired[sample, times, units] = True
    ours = predict("first_spike", np.zeros((40, 50, 0)), first_spikes_of(fired))
    assert set(theirs.tolist()) == {-1, 0, 1, 2}
    assert np.array_equal(ours, theirs)
    assert np.array_equal(classify("first_spike", fired), theirs)


def test_values_are_the_definitions() -> None:
    voltage = np.random.default_rng(4).normal(size=(3, 7, 2))
    weights = np.array([np.exp(-t / 7) / 7 for t in range(7)])
    expected = {
        "exp_weighted_average": np.array([(weights[:, None] * sample).sum(axis=0) for sample in voltage]),
        "average": voltage.mean(axis=1),
        "sum": voltage.sum(axis=1),
        "maximum": voltage.max(axis=1),
    }
    for readout in READOUTS:
        assert readout_values(readout, voltage) == pytest.approx(expected[readout])
