"""What a device reports is what training sees: the same spikes, the same voltage, the same gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tuning.devices import BROKEN, Plain, classes_only
from toolchain.datasets import Samples, load_dataset
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.target import Traces
from toolchain.devices.device import Deployed, Device, DeviceRun
from toolchain.devices.finding import find_device
from toolchain.devices.mismatch import MismatchDevice
from toolchain.devices.own import EmulatorDevice
from toolchain.errors import InputError, UnansweredError
from toolchain.event_graph import flatten, unflatten
from toolchain.training.engines import training_engine
from toolchain.training.straight_through import StraightThrough
from toolchain.training.trainer import prepare
from toolchain.tuning.beginning import Settings, first_network, tuned_recipe
from toolchain.tuning.machine import DeviceMachine
from toolchain.tuning.observation import observed

TARGETS = ("loihi2", "spinnaker1")


def machine(bundle: Bundle, device: Device) -> DeviceMachine:
    return DeviceMachine(device, bundle.target, bundle.recipe, 60.0, lambda text: None)


def some(bundle: Bundle, n: int = 45) -> Samples:
    test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
    return Samples(test.spikes.select(range(n)), test.labels[:n])


@pytest.mark.parametrize("name", TARGETS)
def test_gradient_on_the_emulator_is_that_of_training_with_the_emulator(bundles: dict[str, Path], name: str) -> None:
    """A device that reports traces, asked part by part, against `training.quantise.forward: emulator`: to the bit."""
    bundle = read_bundle(bundles[name])
    recipe = tuned_recipe(bundle, Settings(), "")
    network, number_format = first_network(bundle, recipe)
    dataset = prepare(recipe).dataset
    batch = Samples(dataset.train.spikes.select(range(32)), dataset.train.labels[:32])
    grid = StraightThrough.over(network, number_format)
    weights, delays = grid.round(flatten(network, "weight"))[0], flatten(network, "delay")
    held = unflatten(network, weights, delays)
    engine = training_engine(recipe, dataset, network, 1)
    engine.set_constants(number_format.constants)
    engine.set_parameters(weights, delays)
    found = []
    for seen in (
        bundle.target.observe(held, number_format.hint, batch.spikes),
        machine(bundle, EmulatorDevice()).observe(held, number_format, batch),
        machine(bundle, Plain(EmulatorDevice())).observe(held, number_format, batch),
    ):
        found.append(engine.gradients(batch.spikes, batch.labels, np.arange(32), seen))
    assert np.any(found[0].weight)
    assert np.any(found[0].delay)
    for other in found[1:]:
        assert np.array_equal(found[0].weight, other.weight)
        assert np.array_equal(found[0].delay, other.delay)
        assert (found[0].loss, found[0].correct) == (other.loss, other.correct)


@pytest.mark.parametrize("name", TARGETS)
def test_learning_begins_with_the_integers_of_the_bundle(bundles: dict[str, Path], name: str) -> None:
    """The first network, on the grid, is what lies in the bundle: every class that is read is the same."""
    bundle = read_bundle(bundles[name])
    recipe = tuned_recipe(bundle, Settings(), "")
    network, number_format = first_network(bundle, recipe)
    grid = StraightThrough.over(network, number_format)
    weights, clipped = grid.round(flatten(network, "weight"))
    assert clipped == 0
    # SpiNNaker has a shift for each sign, tuning one for both: half of the coarser step is the most that moves.
    most = 1e-6 if name == "loihi2" else 0.5 + 1e-3
    assert (np.abs(weights - flatten(network, "weight")) / grid.unit).max() <= most
    device = machine(bundle, EmulatorDevice())
    again = device.quantised(unflatten(network, weights, flatten(network, "delay")), number_format.hint)
    samples = some(bundle, 100)
    before, after = device.predict(bundle.quantised, samples), device.predict(again, samples)
    assert np.count_nonzero(before != after) <= (0 if name == "loihi2" else 1)
    for ours, theirs in zip(again.rounded.projections, bundle.quantised.rounded.projections, strict=True):
        assert np.array_equal(ours.slots(), theirs.slots())


@pytest.mark.parametrize("name", TARGETS)
def test_spikes_and_voltage_are_those_that_the_device_had(bundles: dict[str, Path], name: str) -> None:
    bundle = read_bundle(bundles[name])
    samples = some(bundle)
    device = MismatchDevice(bundle.target, BROKEN)  # type: ignore[arg-type]
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe)
    traces = device.run(deployed, samples, traces=True, timeout_s=1).traces
    assert traces is not None
    seen = machine(bundle, Plain(device)).observe_quantised(bundle.quantised, samples)
    fast = machine(bundle, device).observe_quantised(bundle.quantised, samples)
    scale = bundle.target.v_scale(bundle.quantised, "output")  # type: ignore[attr-defined]
    for sample in range(45):
        assert np.array_equal(seen.spikes["hidden"].dense(sample).T, traces.spikes["hidden"][sample])
    assert seen.readout_v is not None
    assert fast.readout_v is not None
    assert np.array_equal(seen.readout_v, fast.readout_v)
    assert np.array_equal(seen.spikes["hidden"].units, fast.spikes["hidden"].units)
    assert np.allclose(seen.readout_v * scale, traces.v["output"].transpose(0, 2, 1), rtol=1e-6)


def test_what_is_not_reported_is_the_emulators(bundles: dict[str, Path]) -> None:
    """A chip that is read at its outputs: its own voltage, the emulator's hidden spikes, and it is said once."""
    bundle, said = read_bundle(bundles["loihi2"]), list[str]()
    device = MismatchDevice(bundle.target, BROKEN)  # type: ignore[arg-type]
    samples = some(bundle)
    half = DeviceMachine(Plain(device, lost=("hidden",)), bundle.target, bundle.recipe, 1, said.append)
    seen = half.observe_quantised(bundle.quantised, samples)
    chip = machine(bundle, device).observe_quantised(bundle.quantised, samples)
    emulated = machine(bundle, EmulatorDevice()).observe_quantised(bundle.quantised, samples)
    assert np.array_equal(seen.spikes["hidden"].units, emulated.spikes["hidden"].units)
    assert seen.spikes["hidden"].units.size != chip.spikes["hidden"].units.size
    assert seen.readout_v is not None
    assert chip.readout_v is not None
    assert np.array_equal(seen.readout_v, chip.readout_v)
    assert len(said) == 1
    assert "reports no spikes of hidden; those of the emulator take their place" in said[0]


def test_a_device_without_voltages_is_replayed(bundles: dict[str, Path]) -> None:
    """The float stage reports spikes alone: the readout follows from them."""
    bundle = read_bundle(bundles["loihi2"])
    device = find_device("quantised_constants", bundle.target)
    seen = machine(bundle, device).observe_quantised(bundle.quantised, some(bundle))  # type: ignore[arg-type]
    assert seen.readout_v is None
    assert seen.spikes["hidden"].units.size


def test_what_cannot_be_learned_from_is_refused(bundles: dict[str, Path]) -> None:
    bundle = read_bundle(bundles["loihi2"])
    deployed, samples = Deployed(bundle.target, bundle.quantised, bundle.recipe), some(bundle, 3)
    with pytest.raises(InputError, match=r"reports neither the voltage of output nor the spikes of hidden"):
        machine(bundle, classes_only(bundle.target)).observe_quantised(bundle.quantised, samples)
    whole = EmulatorDevice().run(deployed, samples, traces=True, timeout_s=1).traces
    assert whole is not None
    short = Traces({}, whole.v, {k: a[:, :-1] for k, a in whole.spikes.items()})
    with pytest.raises(InputError, match=r"spikes of hidden are \(3, \d+, 24\), must be \(samples, steps, neurons\)"):
        observed(short, deployed, samples.spikes)
    few = Traces({}, {"output": whole.v["output"][:2]}, whole.spikes)
    with pytest.raises(InputError, match=r"v of output are \(2, "):
        observed(few, deployed, samples.spikes)


class Dying(Plain):
    """Dies on its first two runs of every three."""

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        self.runs += 1
        if self.runs % 3:
            raise UnansweredError("no answer")
        return self.inner.run(deployed, samples, traces=traces, timeout_s=timeout_s)


def test_what_died_is_asked_again_and_given_up_after_three_times(bundles: dict[str, Path]) -> None:
    bundle = read_bundle(bundles["loihi2"])
    samples = some(bundle)
    patient = machine(bundle, Dying(EmulatorDevice()))
    seen = patient.observe_quantised(bundle.quantised, samples)
    whole = machine(bundle, EmulatorDevice()).observe_quantised(bundle.quantised, samples)
    assert np.array_equal(seen.spikes["hidden"].times, whole.spikes["hidden"].times)
    assert patient.restarts == 6
    with pytest.raises(UnansweredError, match=r"laboratory: failed 3 times in a row, last: the board fell silent"):
        machine(bundle, Plain(EmulatorDevice(), dies=1)).observe_quantised(bundle.quantised, samples)
