"""The GeNN backend without GeNN: its models, run by `tests.oracles.genn_machine`, do what the CPU backend does."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.networks import SHAPES, random_network, random_spikes
from tests.oracles.genn_machine import Machine
from toolchain.errors import InputError, NetworkError
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains, bin_events
from toolchain.training.backends import BatchGradient, RateTarget, make_engine
from toolchain.training.backends.genn.engine import GennEngine

STEPS = 24
LABELS = np.array([0, 1, 2, 0, 1])


def both(network: Network, *, batch: int = 1, steps: int = STEPS, **options: Any) -> tuple[Any, GennEngine]:
    settings = {"max_slot": 9, "objective": Objective(), **options}
    return make_engine("cpu", network, steps, **settings), GennEngine(
        network, steps, load=Machine, batch=batch, **settings
    )


def assert_same(ours: BatchGradient, theirs: BatchGradient) -> None:
    """Spikes equal, gradients within 1e-5 of the largest."""
    assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)
    assert (theirs.correct, theirs.guarded) == (ours.correct, ours.guarded)
    np.testing.assert_array_equal(theirs.neuron_spikes, ours.neuron_spikes)
    for name in ("weight", "delay", "tau_mem", "tau_syn"):
        expected, found = getattr(ours, name), getattr(theirs, name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max(initial=0)))


def case(shape: str, seed: int = 3, samples: int = 3, **options: Any) -> tuple[Network, SpikeTrains]:
    random = np.random.default_rng(seed)
    return random_network(shape, random, **options), random_spikes(random, samples, 5, STEPS, 0.2)


@pytest.mark.parametrize("spiking", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_the_cpu_backend(shape: str, spiking: bool) -> None:
    network, spikes = case(shape, spiking_output=spiking)
    ours, theirs = both(network, objective=Objective("first_spike") if spiking else Objective())
    samples = np.array([0, 2, 1])
    expected = ours.gradients(spikes, LABELS, samples)
    assert expected.neuron_spikes.sum() > 30
    assert np.abs(expected.delay).max() > 0
    for _ in range(2):  # nothing of a batch reaches the next
        assert_same(expected, theirs.gradients(spikes, LABELS, samples))


@pytest.mark.parametrize("batch", [2, 4])
def test_gradient_does_not_depend_on_how_many_samples_run_at_once(batch: int) -> None:
    """Two at once leave one for a second round, four are more than there are."""
    network, spikes = case("recurrent")
    ours, theirs = both(network, batch=batch)
    assert_same(ours.gradients(spikes, LABELS, np.arange(3)), theirs.gradients(spikes, LABELS, np.arange(3)))
    one = np.array([1])
    assert_same(ours.gradients(spikes, LABELS, one), theirs.gradients(spikes, LABELS, one))


@pytest.mark.parametrize("batch", [1, 2])
def test_rates_are_of_the_whole_batch(batch: int) -> None:
    """All samples run forward before the first runs back, each kept in a slot of its own."""
    network, spikes = case("recurrent", samples=5)
    rates = {"a": RateTarget(4.0, 0.05)}
    without = both(network)[0].gradients(spikes, LABELS, np.arange(5))
    ours, theirs = both(network, batch=batch, rates=rates)
    expected = ours.gradients(spikes, LABELS, np.arange(5))
    assert np.abs(expected.weight - without.weight).max() > 0.01 * np.abs(expected.weight).max()
    for _ in range(2):
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(5)))
    fewer = np.array([4, 0])
    assert_same(ours.gradients(spikes, LABELS, fewer), theirs.gradients(spikes, LABELS, fewer))


@pytest.mark.parametrize("spiking", [False, True])
def test_time_constants_learn_alike(spiking: bool) -> None:
    network, spikes = case("two_coupled", spiking_output=spiking)
    learns = ["a", "out"]
    objective = Objective("first_spike") if spiking else Objective()
    ours, theirs = both(network, batch=2, learn_tau=learns, objective=objective)
    expected = ours.gradients(spikes, LABELS, np.arange(3))
    assert np.count_nonzero(expected.tau_mem) > 3
    for _ in range(2):
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3)))


@pytest.mark.parametrize("name", ["average", "sum", "maximum", "trace", "relative_mse"])
def test_every_loss_is_there(name: str) -> None:
    spiking = name == "relative_mse"
    network, spikes = case("skip", spiking_output=spiking)
    targets = np.random.default_rng(1).normal(size=(3, 3, STEPS)).astype(np.float32) if name == "trace" else None
    objectives: dict[str, Objective] = {
        "trace": Objective("trace", "mse"),
        "relative_mse": Objective("first_spike", "relative_mse"),
    }
    reading: Any = name
    ours, theirs = both(network, objective=objectives.get(name) or Objective(reading), targets=targets)
    assert_same(ours.gradients(spikes, LABELS, np.arange(3)), theirs.gradients(spikes, LABELS, np.arange(3)))


@pytest.mark.parametrize("max_slot", [0, 12, STEPS - 1, STEPS, 300])
def test_delays_of_any_length(max_slot: int) -> None:
    """None at all, and some that take every spike past the end of the sample."""
    random = np.random.default_rng(5)
    network = random_network("recurrent", random, max_slot)
    spikes = random_spikes(random, 3, 5, STEPS, 0.3)
    ours, theirs = both(network, max_slot=max_slot)
    expected = ours.gradients(spikes, LABELS, np.arange(3))
    for _ in range(2):
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3)))


def test_tapes_grow_until_no_spike_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolchain.training.backends.genn.session.FIRST_ROOM", 1)
    network, spikes = case("recurrent")
    for rates in (None, {"a": RateTarget(4.0, 0.05)}):
        ours, theirs = both(network, batch=2, rates=rates)
        expected = ours.gradients(spikes, LABELS, np.arange(3))
        assert expected.neuron_spikes.max() > 6
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3)))
    responses = theirs.respond(spikes, LABELS[:3])
    np.testing.assert_array_equal(responses.neuron_spikes, expected.neuron_spikes)


@pytest.mark.parametrize("rates", [None, {"a": RateTarget(4.0, 0.05)}])
def test_tapes_that_grow_late_keep_what_was_added_up(rates: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The busiest sample comes last: gradients and counts of those before it stay."""
    monkeypatch.setattr("toolchain.training.backends.genn.session.FIRST_ROOM", 1)
    random = np.random.default_rng(3)
    network = random_network("recurrent", random)
    rasters = [np.nonzero(random.random((5, STEPS)) < rate) for rate in (0.05, 0.1, 0.3)]
    spikes, _ = bin_events([(times, units) for units, times in rasters], 5, STEPS)
    ours, theirs = both(network, rates=rates, learn_tau=["a"], min_slope=5.0)
    most = [int(ours.gradients(spikes, LABELS, np.array([n])).neuron_spikes.max()) for n in range(3)]
    assert 1 < most[0] <= 8 < most[2]
    assert ours.gradients(spikes, LABELS, np.array([0])).guarded > 0
    expected = ours.gradients(spikes, LABELS, np.arange(3))
    assert expected.guarded > 0
    assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3)))


@pytest.mark.parametrize("with_voltage", [False, True])
@pytest.mark.parametrize("room", [1, 128])
def test_spikes_that_a_machine_reported_are_replayed(
    with_voltage: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chip with other thresholds: the gradient is taken at its spikes."""
    monkeypatch.setattr("toolchain.training.backends.genn.session.FIRST_ROOM", room)
    network, spikes = case("two_coupled")
    chip = replace(network, populations=tuple(replace(p, threshold=0.9 * p.threshold) for p in network.populations))
    machine = make_engine("cpu", chip, STEPS, max_slot=9)
    traces = [machine.trace(spikes, sample) for sample in range(3)]
    seen = {
        name: bin_events([trace.spikes[name] for trace in traces], network[name].size, STEPS)[0] for name in ("a", "b")
    }
    observed = Observed(seen, np.stack([t.readout_v for t in traces]) * 1.1 if with_voltage else None)
    ours, theirs = both(network, batch=2)
    expected = ours.gradients(spikes, LABELS, np.arange(3), observed)
    assert (expected.neuron_spikes != ours.gradients(spikes, LABELS, np.arange(3)).neuron_spikes).any()
    assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3), observed))
    heard, answered = (e.respond(spikes, LABELS[:3], observed) for e in (ours, theirs))
    np.testing.assert_allclose(answered.loss, heard.loss, rtol=1e-5)
    # And its own spikes again afterwards.
    assert_same(ours.gradients(spikes, LABELS, np.arange(3)), theirs.gradients(spikes, LABELS, np.arange(3)))


def test_neurons_that_spike_once_and_guarded_slopes() -> None:
    network, spikes = case("two_layers")
    once = tuple(replace(p, single_spike=p.kind == "lif") for p in network.populations)
    for changed in (network, replace(network, populations=once)):
        ours, theirs = both(changed, min_slope=5.0)
        expected = ours.gradients(spikes, LABELS, np.arange(3))
        assert expected.guarded > 0
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(3)))


def test_responses_and_traces_are_those_of_the_cpu_backend() -> None:
    for shape, spiking in (("skip", False), ("recurrent", True)):
        network, spikes = case(shape, spiking_output=spiking)
        ours, theirs = both(network, batch=2, objective=Objective("first_spike") if spiking else Objective())
        heard, answered = (e.respond(spikes, LABELS[:3]) for e in (ours, theirs))
        np.testing.assert_allclose(answered.loss, heard.loss, rtol=1e-5)
        np.testing.assert_array_equal(answered.prediction, heard.prediction)
        for sample in range(3):
            one, other = (e.trace(spikes, sample) for e in (ours, theirs))
            np.testing.assert_allclose(other.readout_v, one.readout_v, atol=1e-5)
            for name in one.spikes:
                for mine, yours in zip(one.spikes[name], other.spikes[name], strict=True):
                    np.testing.assert_array_equal(yours, mine)


def test_parameters_and_constants_are_those_set_last() -> None:
    network, spikes = case("recurrent_masked")
    ours, theirs = both(network)
    random = np.random.default_rng(9)
    n = ours.graph.n_synapses
    weights, delays = random.normal(1.5, 1, n).astype(np.float32), random.uniform(0, 9, n).astype(np.float32)
    delays[::2] = np.floor(delays[::2]) + np.float32(0.5) * (delays[::2] < 9)  # half a slot is rounded to even
    constants = {"a": NeuronConstants(0.9, np.linspace(0.6, 0.9, network["a"].size), 0.05, 0.6)}
    for engine in (ours, theirs):
        engine.set_parameters(weights, delays)
        engine.set_constants(constants)
    assert_same(ours.gradients(spikes, LABELS, np.arange(3)), theirs.gradients(spikes, LABELS, np.arange(3)))
    for engine in (ours, theirs):
        engine.set_constants({})
    assert_same(ours.gradients(spikes, LABELS, np.arange(3)), theirs.gradients(spikes, LABELS, np.arange(3)))


def test_a_voltage_that_just_reaches_the_threshold_spikes() -> None:
    """In numbers that floating point holds exactly: I = 1, V = 1/2, threshold 1/2."""
    layers = (Population("in", "spike_source", 1), Population("h", "lif", 1), Population("out", "leaky_readout", 2))
    ends = (("in", "h", (1, 1)), ("h", "out", (1, 2)))
    network = Network(1.0, layers, tuple(make_projection(a, b, np.ones(size)) for a, b, size in ends))
    constants = {"h": NeuronConstants(0.5, 0.25, 0.5, 0.5)}
    spikes, _ = bin_events([(np.array([3, 9]), np.array([0, 0]))], 1, STEPS)
    for engine in both(network, constants=constants):
        times, _ = engine.trace(spikes, 0).spikes["h"]
        np.testing.assert_array_equal(times, [4, 10])


def test_several_sources_and_a_projection_without_synapses() -> None:
    random = np.random.default_rng(2)
    populations = (
        Population("left", "spike_source", 32),
        Population("right", "spike_source", 40),
        Population("h", "lif", 4, (10.0, 15.0, 20.0, 25.0), 5.0, 0.7),
        Population("out", "leaky_readout", 2),
    )
    none = np.zeros((4, 4), dtype=np.bool_)
    network = Network(
        0.5,
        populations,
        (
            make_projection("left", "h", random.normal(1, 1, (32, 4)), random.uniform(0, 9, (32, 4))),
            make_projection("h", "h", np.zeros((4, 4)), 0.0, none),
            make_projection("right", "h", random.normal(1, 1, (40, 4)), 3.0, random.random((40, 4)) < 0.3),
            make_projection("h", "out", random.normal(1, 1, (4, 2)), random.uniform(0, 9, (4, 2))),
        ),
    )
    spikes = random_spikes(random, 2, 72, STEPS, 0.1)
    ours, theirs = both(network)
    assert_same(ours.gradients(spikes, LABELS, np.arange(2)), theirs.gradients(spikes, LABELS, np.arange(2)))


def test_what_does_not_fit_is_refused_in_the_words_of_the_cpu_backend() -> None:
    network, _ = case("feedforward")
    ours, theirs = both(network)
    n = ours.graph.n_synapses
    for delay in (-1.0, 9.6, np.nan):
        messages = []
        for engine in (ours, theirs):
            with pytest.raises(NetworkError) as caught:
                engine.set_parameters(np.zeros(n, np.float32), np.full(n, delay, np.float32))
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    for delay in (-0.4, 9.4):
        for engine in (ours, theirs):
            engine.set_parameters(np.zeros(n, np.float32), np.full(n, delay, np.float32))
    short = random_spikes(np.random.default_rng(0), 1, 5, STEPS - 1, 0.1)
    for engine in (ours, theirs):
        with pytest.raises(NetworkError, match=r"over 23 steps do not fit .* 24 steps"):
            engine.respond(short, np.zeros(1, dtype=np.int64))
    with pytest.raises(InputError, match="readout first_spike is of a lif"):
        both(network, objective=Objective("first_spike"))
    with pytest.raises(InputError, match="population nobody"):
        GennEngine(network, STEPS, load=Machine, batch=1, max_slot=9, objective=Objective(), learn_tau=["nobody"])


def test_what_is_dropped_is_freed_at_once() -> None:
    """Not when Python looks for cycles: a sweep loads one engine after the other into one GPU."""
    network, spikes = case("recurrent")
    gc.disable()
    try:
        engine = both(network, batch=2)[1]
        engine.gradients(spikes, LABELS, np.arange(3))
        seen: list[weakref.ref[Any]] = [
            weakref.ref(engine),
            weakref.ref(engine._session),
            weakref.ref(engine._session._program),
        ]
        del engine
        assert [one() for one in seen] == [None, None, None]
    finally:
        gc.enable()
