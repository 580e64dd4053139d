"""Trained networks as ONNX, on real samples: the emulators' spikes, u and v, and the float spikes of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interchange.running import float_spikes
from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.deploy import prepare as quantise
from toolchain.deployment.options import Options
from toolchain.deployment.target import find_target
from toolchain.interchange.onnx.assemble import assemble
from toolchain.interchange.onnx.float_step import float_graph
from toolchain.interchange.onnx.running import OnnxSession
from toolchain.network import NeuronConstants
from toolchain.recipe import read_recipe
from toolchain.training.checkpoints import load_best
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train

pytestmark = pytest.mark.slow

SPEECH = Path(__file__).parents[3] / "shared" / "data" / "fsdd"
RECIPES = {
    "yin_yang": ["training.epochs=20"],
    "digits": ["training.epochs=4"],
    "fsdd": ["training.epochs=2", "training.quantise.from_epoch=1", f"dataset.options.path={SPEECH}"],
}
SAMPLES = 100


@pytest.fixture(scope="module", params=RECIPES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Any]:
    """A run, and the first test samples of its data."""
    if request.param == "fsdd" and not SPEECH.is_dir():
        pytest.skip(f"no recordings of speech in {SPEECH}; yin_yang and digits are compared without them")
    recipe = read_recipe(Path("models") / f"{request.param}.yaml", RECIPES[request.param])
    task = prepare(recipe)
    run = create_run_folder(tmp_path_factory.mktemp("runs"), task.recipe)
    train(run, task)
    return run, task.dataset.test.spikes.select(range(SAMPLES))


@pytest.mark.parametrize("target_name", ["loihi2", "spinnaker1"])
def test_onnxruntime_equals_the_emulator_on_a_trained_network(trained: tuple[RunFolder, Any], target_name: str) -> None:
    run, spikes = trained
    target = find_target(target_name)
    assert isinstance(target, StepGraphTarget)
    quantised = quantise(run, target, Options(extend_delays=True), lambda text: None).quantised
    session = OnnxSession(assemble(target.step_graph(quantised), states=True))
    found = target.step_traces(session.run(spikes, session.outputs))
    expected = target.emulate_traces(quantised, spikes)
    hidden = [p.name for p in quantised.trained.of_kind("lif")]
    assert sum(int(expected.spikes[name].sum()) for name in hidden) > 1000
    for quantity in ("u", "v", "spikes"):
        for population in quantised.trained.populations:
            if population.kind != "spike_source":
                ours, theirs = getattr(expected, quantity)[population.name], getattr(found, quantity)[population.name]
                assert np.array_equal(ours, theirs), f"{quantity} of {population.name}"


def test_onnxruntime_has_the_float_spikes_of_a_trained_network(trained: tuple[RunFolder, Any]) -> None:
    """But for a voltage that meets the threshold within the rounding of float32: sums are taken in another order."""
    run, spikes = trained
    network, _ = load_best(run.checkpoint("best"))
    session = OnnxSession(assemble(float_graph(network), states=True))
    found = session.run(spikes, session.outputs)
    expected = float_spikes(network, spikes)
    assert sum(int(raster.sum()) for raster in expected.values()) > 1000
    differing = 0
    for sample in range(SAMPLES):
        # Later differences follow from the first.
        firsts = [
            (int(step), name, int(neuron))
            for name, raster in expected.items()
            for step, neuron in np.argwhere(raster[sample] != found[f"{name}/spikes"][sample])[:1]
        ]
        if firsts:
            differing += 1
            step, name, neuron = min(firsts)
            constants = NeuronConstants.of(network[name], network.dt_ms)
            alpha, gain = (np.broadcast_to(c, network[name].size)[neuron] for c in (constants.alpha, constants.gain))
            before = found[f"{name}/V"][sample, step - 1, neuron]
            reached = alpha * before + gain * found[f"{name}/I"][sample, step, neuron]
            assert abs(reached / constants.threshold - 1) < 1e-5, f"sample {sample}, {name} {neuron}, step {step}"
    print(f"{run.path.name}: {differing} of {SAMPLES} samples differ in a spike, at the threshold within 1e-5")
    assert differing <= SAMPLES // 20
