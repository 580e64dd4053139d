"""With PyGeNN: what it generates has the spikes and gradients of the CPU backend.

Runs on the GPU that GeNN was built for where there is one; DELAYLINE_GENN=cuda, hip or cpu insists.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import SHAPES, random_network, random_spikes
from tests.oracles import cases
from tests.training.genn.test_described import LABELS, assert_same
from tests.training.test_exactness import run_engine
from toolchain.errors import MissingDependencyError
from toolchain.event_graph import flatten
from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import bin_events
from toolchain.training.backends import Engine, GennOptions, LearningEngine, RateTarget, make_engine
from toolchain.training.backends.genn.describe import describe
from toolchain.training.backends.genn.installation import CODES, Installation, find_installation
from toolchain.training.backends.genn.program import to_pygenn
from toolchain.training.optimiser import Adam

STEPS = 80
ROOT = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
CODE: Any = os.environ.get("DELAYLINE_GENN", "auto")
assert CODE in CODES

Both = Callable[..., tuple[Engine, Engine]]


@pytest.fixture(scope="module")
def genn() -> Installation:
    """GeNN as it is installed here."""
    try:
        return find_installation(CODE)
    except MissingDependencyError as error:
        if CODE != "auto":
            raise
        pytest.skip(str(error))


@pytest.fixture
def both(genn: Installation, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Both:
    """Make the same engine of both backends; compiled models are kept for the session."""
    monkeypatch.setenv("DELAYLINE_CACHE", str(tmp_path_factory.getbasetemp() / "genn"))

    def make(network: Network, *, samples_at_once: int | None = None, **settings: Any) -> tuple[Engine, Engine]:
        at_once = samples_at_once if genn.gpu else None
        options = GennOptions(CODE, at_once, batch_size=len(LABELS))
        settings = {"max_slot": 9, **settings}
        ours = make_engine("cpu", network, STEPS, **settings)
        return ours, make_engine("genn", network, STEPS, genn=options, **settings)

    return make


@pytest.mark.parametrize("shape", SHAPES)
def test_spikes_and_gradients_are_those_of_the_cpu_backend(both: Both, shape: str) -> None:
    random = np.random.default_rng(3)
    spiking = shape in ("two_layers", "recurrent")
    network = random_network(shape, random, spiking_output=spiking)
    spikes = random_spikes(random, 5, 5, STEPS, 0.12)
    objective = Objective("first_spike") if spiking else Objective()
    ours, theirs = both(network, objective=objective, learn_tau=["a", "out"], rates={"a": RateTarget(4.0, 0.05)})
    expected = ours.gradients(spikes, LABELS, np.arange(5))
    assert expected.neuron_spikes.sum() > 200
    for _ in range(2):
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(5)))
    heard, answered = (engine.respond(spikes, LABELS) for engine in (ours, theirs))
    np.testing.assert_allclose(answered.loss, heard.loss, rtol=1e-5)
    np.testing.assert_array_equal(answered.prediction, heard.prediction)
    for sample in range(5):
        one, other = (engine.trace(spikes, sample) for engine in (ours, theirs))
        for name in one.spikes:
            for mine, yours in zip(one.spikes[name], other.spikes[name], strict=True):
                np.testing.assert_array_equal(yours, mine)


@pytest.mark.parametrize("samples_at_once", [None, 2])
def test_every_batch_is_whole(both: Both, samples_at_once: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rates samples follow each other directly, the tape grows on the way, and machines may be observed."""
    monkeypatch.setattr("toolchain.training.backends.genn.session.FIRST_ROOM", 1)
    random = np.random.default_rng(4)
    network = random_network("two_coupled", random)
    spikes = random_spikes(random, 5, 5, STEPS, 0.12)
    chip = replace(network, populations=tuple(replace(p, threshold=0.9 * p.threshold) for p in network.populations))
    machine = make_engine("cpu", chip, STEPS, max_slot=9)
    traces = [machine.trace(spikes, sample).spikes for sample in range(5)]
    seen = {name: bin_events([t[name] for t in traces], network[name].size, STEPS)[0] for name in ("a", "b")}
    ours, theirs = both(network, samples_at_once=samples_at_once)
    for observed in (None, Observed(seen)):
        expected = ours.gradients(spikes, LABELS, np.arange(5), observed)
        assert_same(expected, theirs.gradients(spikes, LABELS, np.arange(5), observed))
    one = np.array([3])
    assert_same(ours.gradients(spikes, LABELS, one), theirs.gradients(spikes, LABELS, one))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["average", "first_spike_cross_entropy"])
@pytest.mark.parametrize("shape", cases.EDGES)
def test_gradients_on_the_networks_of_the_exactness_tests(
    genn: Installation, shape: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of steps of 10 us: within 1e-4 of the largest gradient, at the same spikes."""
    monkeypatch.setenv("DELAYLINE_CACHE", str(tmp_path))
    objective = cases.OBJECTIVES[name]
    case = cases.case_of(shape, objective)
    _, ours = run_engine(case, 0.01, objective)
    _, theirs = run_engine(case, 0.01, objective, backend="genn")
    np.testing.assert_array_equal(theirs.neuron_spikes, ours.neuron_spikes)
    for kind in ("weight", "delay"):
        expected = getattr(ours, kind)
        np.testing.assert_allclose(getattr(theirs, kind), expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


@pytest.mark.slow
def test_memory_is_what_was_planned(genn: Installation, tmp_path: Path) -> None:
    """By what the process grows when a model of 400 MB is loaded; on a GPU its host copies, which are as large."""
    script = tmp_path / "script.py"
    script.write_text(
        "import resource, sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from toolchain.network import Network, Population, make_projection\n"
        "from toolchain.training.backends.genn.describe import describe\n"
        "from toolchain.training.backends.genn.installation import find_installation\n"
        "from toolchain.training.backends.genn.memory import device_bytes\n"
        "from toolchain.training.backends.genn.program import Program\n"
        "def network(n):\n"
        "    populations = (Population('in', 'spike_source', n), Population('h', 'lif', n),\n"
        "                   Population('out', 'leaky_readout', 20))\n"
        "    mask = np.random.default_rng(0).random((n, n)) < 0.1\n"
        "    dense = make_projection('in', 'h', np.ones((n, n)))\n"
        "    sparse = make_projection('h', 'h', np.ones((n, n)), 0.0, mask)\n"
        "    return Network(1.0, populations, (dense, sparse, make_projection('h', 'out', np.ones((n, 20)))))\n"
        "def load(n, slots):\n"
        "    model = describe(network(n), 2000, max_slot=62, min_slope=0.05, learn_tau=['h'], batch=1, slots=slots,\n"
        "                     room=500)\n"
        "    return Program(model, find_installation(sys.argv[2]), Path(sys.argv[1])), device_bytes(model)\n"
        "def resident():\n"
        "    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()\n"
        "load(10, 1)[0].close()\n"
        "network(3000)\n"
        "before = resident()\n"
        "program, planned = load(3000, 3)\n"
        "for part in program.description.populations:\n"
        "    for array in part.model.arrays:\n"
        "        program.take(part, array.name)\n"
        "print(resident() - before, planned)\n"
    )
    command = [sys.executable, str(script), str(tmp_path), CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ROOT})
    grown, planned = (int(word) for word in done.stdout.split())
    assert planned > 300e6
    assert 0.9 * planned < grown < 1.3 * planned


@pytest.mark.parametrize("shape", ["recurrent", "recurrent_masked"])
def test_steps_of_adam_on_the_device_are_those_of_the_host(both: Both, genn: Installation, shape: str) -> None:
    random = np.random.default_rng(3)
    network = random_network(shape, random)
    spikes = random_spikes(random, 5, 5, STEPS, 0.12)
    betas = (0.9, 0.98)
    ours, _ = both(network)
    options = GennOptions(CODE, batch_size=len(LABELS), adam="device", adam_betas=betas)
    theirs = make_engine("genn", network, STEPS, max_slot=9, genn=options)
    assert isinstance(theirs, LearningEngine)
    weights, delays = flatten(network, "weight"), flatten(network, "delay")
    rate = np.full(weights.size, 0.02, dtype=np.float32)
    hosts, devices = ({"weight": Adam(rate, *betas), "delay": Adam(np.float32(10) * rate, *betas)} for _ in range(2))
    there, after = weights.copy(), delays.copy()
    theirs.begin(there, after, devices)
    for chosen in (np.array([0, 1, 2]), np.array([4, 3])):
        ours.set_parameters(weights, delays)
        gradient = ours.gradients(spikes, LABELS, chosen)
        hosts["weight"].step(weights, gradient.weight, 1.0)
        hosts["delay"].step(delays, gradient.delay, 0.5)
        np.clip(delays, 0, 9, out=delays)
        learned = theirs.learn(spikes, LABELS, chosen, (1.0, 0.5))
        np.testing.assert_array_equal(learned.neuron_spikes, gradient.neuron_spikes)
    theirs.finish(there, after, devices)
    np.testing.assert_allclose(there, weights, atol=1e-3)
    np.testing.assert_allclose(after, delays, atol=5e-3)
    assert devices["weight"].steps == 2


@pytest.mark.parametrize("shape", ["recurrent", "recurrent_masked"])
def test_genn_takes_models_of_several_samples_at_once(genn: Installation, shape: str) -> None:
    """As far as it goes without generating code, which its code for processors refuses: every reference fits."""
    network = random_network(shape, np.random.default_rng(0))
    for betas in (None, (0.9, 0.99)):
        described = describe(
            network, 50, max_slot=9, min_slope=0.05, learn_tau=["a"], batch=4, slots=2, room=16, adam_betas=betas
        )
        model = to_pygenn(described, genn)
        model._finalise()
        assert model.batch_size == 4
        assert len(model.custom_updates) == len(network.projections) * (1 if betas is None else 2)
