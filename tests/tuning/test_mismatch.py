"""Chips that are not alike: the pattern that is drawn, and what the emulators make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.mismatch import mismatched as on_loihi
from hardware_targets.spinnaker.integer_network import NO_THRESHOLD, ONE
from hardware_targets.spinnaker.mismatch import mismatched as on_spinnaker
from tests.cli.runner import run_cli
from tests.networks import random_network, random_spikes
from toolchain.deployment.imperfections import Imperfections
from toolchain.deployment.target import find_target
from toolchain.devices.finding import find_device
from toolchain.devices.mismatch import Mismatch
from toolchain.errors import InputError, NetworkError
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains

pytestmark = pytest.mark.usefixtures("without_pictures")

TARGETS = ("loihi2", "spinnaker1")


def wide(hidden: int = 8000) -> Network:
    lif = Population("a", "lif", hidden)
    populations = (Population("in", "spike_source", 2), lif, Population("out", "leaky_readout", 3))
    shapes = (("in", "a", (2, hidden)), ("a", "out", (hidden, 3)))
    return Network(1.0, populations, tuple(make_projection(s, t, np.ones(shape)) for s, t, shape in shapes))


def test_pattern_has_the_figures_that_were_asked_for() -> None:
    """Of 8000 neurons: deviations within four standard errors, dead neurons to the number."""
    drawn = Mismatch(threshold=0.05, dead=0.02, weight=0.1, delay=2.0).draw(wide())
    factors = drawn.threshold["a"]
    assert np.count_nonzero(np.isinf(factors)) == 160
    alive = factors[np.isfinite(factors)]
    assert abs(alive.mean() - 1) < 4 * 0.05 / np.sqrt(alive.size)
    assert abs(alive.std() - 0.05) < 4 * 0.05 / np.sqrt(2 * alive.size)
    assert set(drawn.weight) == set(drawn.delay) == {"in->a", "a->out"}
    assert abs(drawn.weight["a->out"].std() - 0.1) < 4 * 0.1 / np.sqrt(2 * 24000)
    # Rounding to whole slots adds a twelfth to the variance.
    assert abs(drawn.delay["in->a"].std() - np.sqrt(4 + 1 / 12)) < 4 * 2 / np.sqrt(2 * 16000)


def test_pattern_belongs_to_the_seed_and_not_to_the_weights() -> None:
    network = wide(50)
    trained = network.with_arrays({p.name: (p.weight + 1, p.delay + 2) for p in network.projections})
    usual = Mismatch(threshold=0.05, dead=0.1, weight=0.1, delay=1.0, seed=4)
    ours, again, other = usual.draw(network), usual.draw(trained), replace(usual, seed=5).draw(network)
    for kind in ("threshold", "weight", "delay"):
        one, two, three = (getattr(d, kind) for d in (ours, again, other))
        assert all(np.array_equal(one[name], two[name]) for name in one)
        assert not any(np.array_equal(one[name], three[name]) for name in one)


@given(
    st.builds(
        Mismatch,
        threshold=st.floats(0, 1),
        dead=st.floats(0, 1),
        weight=st.floats(0, 1),
        delay=st.floats(0, 1000),
        seed=st.integers(0, 2**31),
    )
)
def test_settings_are_read_as_they_are_written(mismatch: Mismatch) -> None:
    assert Mismatch.parse(str(mismatch)) == mismatch


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mismatch,treshold=0.1", "did you mean 'threshold'"),
        ("mismatch,threshold", "is no setting key=value"),
        ("mismatch,dead=2", r"dead 2 is outside 0\.\.1"),
        ("mismatch,dead=nan", r"dead nan is outside"),
        ("mismatch,seed=1.5", r"seed='1.5' is no number"),
        ("mismatch,", "is no setting"),
        ("emulator,dead=0.1", "takes no settings"),
    ],
)
def test_settings_that_are_none_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_device(name, find_target("loihi2"))


def loihi_network(random: np.random.Generator, vth: list[int], *, apart: bool) -> IntegerNetwork:
    """Five recurrent neurons with these thresholds; `apart`: each a population of its own, as Lava would have it."""
    n = len(vth)
    inner, own = 2 * random.integers(-20, 40, (n, n)), 2 * random.integers(10, 100, (3, n))
    out, slots = 2 * random.integers(-60, 60, (n, 2)), random.integers(0, 9, (n, n))

    def projection(source: str, target: str, weight: np.ndarray, slots: np.ndarray) -> IntegerProjection:  # type: ignore[type-arg]
        return IntegerProjection(source, target, weight.astype(np.int32), 0, slots.astype(np.int64))

    names = [f"n{i}" for i in range(n)] if apart else ["n"]
    parts = [slice(i, i + 1) for i in range(n)] if apart else [slice(0, n)]
    lif = [
        IntegerPopulation(name, "lif", part.stop - part.start, 500, 200, vth[part.start] if apart else 40)
        for name, part in zip(names, parts, strict=True)
    ]
    projections = []
    for name, part in zip(names, parts, strict=True):
        projections.append(projection("in", name, own[:, part], np.zeros_like(own[:, part])))
        projections.append(projection(name, "out", out[part], np.zeros_like(out[part])))
        for source, rows in zip(names, parts, strict=True):
            projections.append(projection(source, name, inner[rows, part], slots[rows, part]))
    readout = IntegerPopulation("out", "leaky_readout", 2, 500, 200, READOUT_VTH)
    thresholds = {} if apart else {"n": 64 * np.array(vth, dtype=np.int32)}
    populations = (IntegerPopulation("in", "spike_source", 3), *lif, readout)
    return IntegerNetwork(1.0, populations, tuple(projections), thresholds)


@pytest.mark.parametrize("seed", range(4))
def test_a_threshold_of_each_neuron_is_that_of_a_population_of_one(seed: int) -> None:
    """The emulator of populations with one threshold, which equals Lava, says what neurons with their own must do."""
    vth = [30, 50, 41, 90, 120_000]
    spikes = random_spikes(np.random.default_rng(seed), 5, 3, 60, 0.3)
    ours = emulate(loihi_network(np.random.default_rng(seed), vth, apart=False), spikes, traces=True)
    theirs = emulate(loihi_network(np.random.default_rng(seed), vth, apart=True), spikes, traces=True)
    assert np.array_equal(ours.readout_v, theirs.readout_v)
    for i in range(5):
        assert np.array_equal(ours.v["n"][:, :, i], theirs.v[f"n{i}"][:, :, 0])
    counts = ours.neuron_counts["n"].sum(axis=0)
    assert counts[:4].min() > 0
    assert counts[4] == 0


def test_thresholds_of_another_size_are_refused() -> None:
    network = loihi_network(np.random.default_rng(0), [30, 40], apart=False)
    for wrong in (np.full(3, 64, np.int32), np.full(2, 64), np.full(2, -1, np.int32)):
        with pytest.raises(NetworkError, match="population n: thresholds are"):
            emulate(replace(network, thresholds={"n": wrong}), random_spikes(np.random.default_rng(0), 1, 3, 5, 0.5))


def quantised(name: str, seed: int = 3) -> tuple[Network, SpikeTrains, object]:
    random = np.random.default_rng(seed)
    network, spikes = random_network("two_layers", random), random_spikes(random, 12, 5, 60, 0.15)
    return network, spikes, find_target(name).quantise(network, spikes, clip_delays=False)


def test_integers_on_loihi_are_the_nearest_that_the_chip_can_have() -> None:
    network, _, found = quantised("loihi2")
    before = found.integers  # type: ignore[attr-defined]
    factors = {"a": np.linspace(0.9, 1.1, network["a"].size)}
    shape = before.projections[0].weight.shape
    wrong = Imperfections(factors, {"in->a": np.full(shape, 1.1)}, {"in->a": np.full(shape, -2)})
    after = on_loihi(before, wrong)
    assert after.thresholds["a"].tolist() == [round(64 * before["a"].vth * f) for f in factors["a"]]
    weights = before.projections[0].weight
    assert np.abs(after.projections[0].weight - np.clip(1.1 * weights, -256, 254)).max() <= 1
    assert not (after.projections[0].weight % 2).any()
    assert np.array_equal(after.projections[0].slots, np.maximum(before.projections[0].slots - 2, 0))
    assert all(
        np.array_equal(a.weight, b.weight) and np.array_equal(a.slots, b.slots)
        for a, b in zip(after.projections[1:], before.projections[1:], strict=True)
    )


def test_integers_on_spinnaker_are_the_nearest_that_the_chip_can_have() -> None:
    network, _, found = quantised("spinnaker1")
    before = found.integers  # type: ignore[attr-defined]
    factors = np.linspace(0.9, 1.1, network["a"].size)
    factors[0] = np.inf
    shape = before.projections[0].weight.shape
    wrong = Imperfections({"a": factors}, {"in->a": np.full(shape, 1.1)}, {"in->a": np.full(shape, -2)})
    after = on_spinnaker(before, wrong)
    parameters = after["a"].parameters
    assert parameters is not None
    thresholds = parameters.v_thresh
    assert thresholds[0] == NO_THRESHOLD
    assert np.abs(thresholds[1:] / ONE - factors[1:] * before["a"].scale * network["a"].threshold).max() <= 1 / ONE
    there = before.projections[0].exists
    assert np.array_equal(after.projections[0].exists, there)
    assert np.abs(after.projections[0].weight - np.clip(1.1 * before.projections[0].weight, -65535, 65535)).max() <= 0.5
    expected = np.where(there, np.maximum(before.projections[0].delay - 2, 1), 0)
    assert np.array_equal(after.projections[0].delay, expected)


@pytest.mark.parametrize("name", TARGETS)
def test_dead_neurons_never_spike_and_a_chip_without_faults_is_the_emulator(name: str) -> None:
    network, spikes, found = quantised(name)
    target = find_target(name)
    ours = target.emulate_traces(found, spikes)  # type: ignore[arg-type]
    same = target.emulate_traces(target.mismatched(found, Mismatch().draw(network)), spikes)  # type: ignore[attr-defined]
    for population in ("a", "b", "out"):
        assert np.array_equal(ours.v[population], same.v[population])
        assert np.array_equal(ours.spikes[population], same.spikes[population])
    wrong = Mismatch(dead=0.5, seed=1).draw(network)
    broken = target.emulate_traces(target.mismatched(found, wrong), spikes)  # type: ignore[attr-defined]
    for population in ("a", "b"):
        dead = np.isinf(wrong.threshold[population])
        assert not broken.spikes[population][:, :, dead].any()
    dead = np.isinf(wrong.threshold["a"])
    assert ours.spikes["a"][:, :, dead].any()
    # Those that live in the first layer get what they got, and do what they did.
    assert np.array_equal(broken.spikes["a"][:, :, ~dead], ours.spikes["a"][:, :, ~dead])


def test_validation_knows_the_device_in_its_own_process(
    bundles: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mismatch,threshold=0.3,dead=0.1,seed=2"
    found = run_cli(capsys, monkeypatch, "validate", str(bundles["loihi2"]), "--on", name, "--samples", "60")
    assert found.code == 0, found.err
    assert name in found.out
