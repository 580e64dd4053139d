"""Tune a bundle on a device: run, learn from what it reported, put that on the device again; then deploy the result.

The loop is that of training (`toolchain.training.trainer`), with the device where the engine's forward pass would be:
weights are rounded to the bundle's number format, delays to its slots, and fine values learn. It is validated on the
device too, and what was best there is deployed. The bundle that it began with is never changed.

What of a chip's deviation the gradient knows: the spikes that were, so that it is taken where the chip is and not
where its emulator would be. Membranes are computed again between these spikes, with a reset at each; the slope I - V at
a spike is that of the membrane which did spike, at the neuron's own threshold, whatever that is. A dead neuron has no
spikes: nothing is learned through it, and its outgoing weights stay, which do nothing either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Dataset, Samples
from toolchain.deployment.abilities import TunableTarget
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.deploy import deploy
from toolchain.deployment.options import Options
from toolchain.deployment.target import Quantised, Target
from toolchain.devices.apart import kept_apart
from toolchain.devices.device import Device, TableDevice
from toolchain.devices.finding import find_device, what_is_missing
from toolchain.errors import InputError, MissingDependencyError, UnansweredError
from toolchain.network_builder import generator
from toolchain.recipe import Recipe
from toolchain.report.content import Rung
from toolchain.spikes import SpikeTrains
from toolchain.training.checkpoints import load_best
from toolchain.training.chip import ChipNumbers
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import Listener, Task, TrainingResult, prepare, train
from toolchain.tuning.beginning import Settings, first_network, tuned_recipe
from toolchain.tuning.machine import DeviceMachine
from toolchain.tuning.record import Record, manifest_hash, read_record
from toolchain.validation.ladder import predict
from toolchain.validation.statistics import climb

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to tune on, and how.

    Parameters
    ----------
    device : name, as of `find_device`
    settings : how to tune
    timeout_s : wall time of one run of the device
    valid_samples, test_samples : run only the first so many of either set on the device; None for all
    """

    device: str
    settings: Settings = field(default_factory=Settings)
    timeout_s: float = 300.0
    valid_samples: int | None = None
    test_samples: int | None = None


@dataclass(frozen=True)
class Tuned:
    """What tuning came to.

    Attributes
    ----------
    run, bundle : the new ones
    first : the bundle that it began with
    device : name
    result : of training
    ladder : test accuracy of the emulator and the device before, then of the device and the emulator after
    restarts : runs of the device that had to be repeated
    redeployed : whether deployment kept every integer that was tuned; the accuracies are those of the new bundle
    """

    run: Path
    bundle: Path
    first: Path
    device: str
    result: TrainingResult
    ladder: Sequence[Rung]
    restarts: int
    redeployed: bool

    @property
    def regained(self) -> float | None:
        """Share of what the device loses against the emulator that it has back; None where it loses nothing."""
        emulator, before, after = (rung.accuracy for rung in self.ladder[:3])
        return (after - before) / (emulator - before) if emulator > before else None

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        return {
            "run": str(self.run),
            "bundle": str(self.bundle),
            "first_bundle": str(self.first),
            "device": self.device,
            "best_epoch": self.result.best_epoch,
            "valid_accuracy": self.result.valid_accuracy,
            "ended": self.result.ended,
            "ladder": [asdict(rung) for rung in self.ladder],
            "regained": self.regained,
            "restarts": self.restarts,
            "redeployed": self.redeployed,
        }


def begin(path: Path, request: Request, runs: Path, say: Say) -> RunFolder:
    """Make the run folder of a bundle that is to be tuned, with what its device makes of the test set before.

    Raises
    ------
    BundleError, InputError
        If the bundle is damaged, or cannot be tuned on such a device.
    MissingDependencyError
        If the device is not here.
    """
    bundle = read_bundle(path)
    device = _device(request.device, bundle.target)
    digest = manifest_hash(path)
    about = f"Tuned on {device.name}, from bundle {path.name} of {path.resolve().parent.name} (SHA-256 {digest[:16]})."
    recipe = tuned_recipe(bundle, request.settings, about)
    first_network(bundle, recipe)  # whether it can be tuned at all
    dataset = prepare(recipe).dataset
    test = _first(dataset.test, request.test_samples, "--test-samples")
    _first(dataset.valid, request.valid_samples, "--valid-samples")
    say(f"{device.name}: run {test.labels.size} test samples before tuning")
    with kept_apart(device, request.device, bundle.target, request.timeout_s) as asked:
        machine = DeviceMachine(asked, bundle.target, recipe, request.timeout_s, say, bundle.request)
        before = machine.predict(bundle.quantised, test)
    run = create_run_folder(runs, recipe)
    Record(
        str(path.resolve()),
        digest,
        request.device,
        request.timeout_s,
        request.valid_samples,
        request.test_samples,
        before.tolist(),
    ).write(run.path)
    return run


def tune(
    run: RunFolder,
    say: Say,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    threads: int | None = None,
    vendor: bool = True,
) -> Tuned:
    """Tune in a run folder that `begin` made, to the end, and deploy what was learned to the same target.

    Parameters
    ----------
    resume : go on from the last checkpoint
    threads : of the backward pass; the result does not depend on it
    vendor : whether the vendor's code is run for the new bundle, where it is there

    Raises
    ------
    BundleError
        If the bundle that tuning began with is gone.
    UnansweredError
        If the device died again and again; what was learned up to the last epoch is kept.
    """
    record = read_record(run.path)
    record.check_bundle()
    bundle, recipe = read_bundle(Path(record.bundle)), run.recipe()
    target = bundle.target
    dataset = _cut(prepare(recipe).dataset, record)
    device = _device(record.device, target)
    try:
        with kept_apart(device, record.device, target, record.timeout_s) as ours:
            machine = DeviceMachine(ours, target, recipe, record.timeout_s, say, bundle.request)
            result = train_on(run, bundle, dataset, machine, resume=resume, listener=listener, threads=threads)
            folder, _ = deploy(run, target, _options(bundle, vendor), say)
            again = read_bundle(folder)
            kept = same_integers(target, again.quantised, machine.quantised(result.network, _hint(run)))
            after = result.test_prediction if kept else machine.predict(again.quantised, dataset.test)
    except UnansweredError as error:
        done = len(run.metrics())
        raise UnansweredError(
            f"{error}; {done} epochs are kept in {run.path}, go on with: delayline tune --resume {run.path}"
        ) from error
    test = dataset.test
    emulated = [_emulated(target, b.quantised, recipe, test) for b in (bundle, again)]
    predictions = [
        ("emulator before", emulated[0]),
        ("device before", np.array(record.before, dtype=np.int64)),
        ("device after", after),
        ("emulator after", emulated[1]),
    ]
    ladder = climb(predictions, test.labels, dataset.n_classes)
    return Tuned(run.path, folder, Path(record.bundle), device.name, result, ladder, machine.restarts, kept)


def _options(bundle: Bundle, vendor: bool) -> Options:
    """To deploy what was tuned as the bundle was deployed."""
    asked = bundle.request
    samples = None if vendor and bundle.target.vendor_present() else 0
    return Options(vendor_samples=samples, chips=asked.chips, neurons_per_core=asked.neurons_per_core)


def train_on(
    run: RunFolder,
    bundle: Bundle,
    dataset: Dataset,
    machine: DeviceMachine,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    threads: int | None = None,
) -> TrainingResult:
    """The loop alone: train the network of a bundle on a device, in the format that it is deployed in."""
    recipe = run.recipe()
    network, number_format = first_network(bundle, recipe)
    chip = ChipNumbers(bundle.target, _calibration(dataset, recipe), 0, machine, number_format)
    task = Task(recipe, dataset, network)
    return train(run, task, resume=resume, listener=listener, threads=threads, chip=chip)


def same_integers(target: Target, one: Quantised, other: Quantised) -> bool:
    """Whether two networks are the same on the chip: their scales, and what weights and slots stand for."""
    assert isinstance(target, TunableTarget), "checked by `machine`"
    simulated = [p.name for p in one.trained.populations if p.kind != "spike_source"]
    return all(target.v_scale(one, name) == target.v_scale(other, name) for name in simulated) and all(
        np.array_equal(a.weight, b.weight) and np.array_equal(a.slots(), b.slots())
        for a, b in zip(one.weighted.projections, other.weighted.projections, strict=True)
    )


def _device(name: str, target: Target) -> Device:
    """A device that is here and runs something."""
    device = find_device(name, target)
    if isinstance(device, TableDevice):
        raise InputError(f"device {name}: lays a network out and runs nothing; give one that runs it")
    if (absent := what_is_missing(device)) is not None:
        raise MissingDependencyError(f"device {name} is absent: {absent}")
    return device


def _hint(run: RunFolder) -> Mapping[str, Any]:
    _, number_format = load_best(run.checkpoint("best"))
    assert number_format is not None, "tuning has one from the beginning"
    hint: Mapping[str, Any] = number_format["hint"]
    return hint


def _calibration(dataset: Dataset, recipe: Recipe) -> SpikeTrains:
    """Training samples on which a format is chosen anew, should a weight outgrow that of the bundle."""
    n, count = dataset.train.labels.size, recipe.deployment.calibration_samples
    chosen = np.sort(generator(recipe.training.seed, "calibration").permutation(n)[:count])
    return dataset.train.spikes.select(chosen)


def _cut(dataset: Dataset, record: Record) -> Dataset:
    """Only the samples that are run on the device."""
    valid = _first(dataset.valid, record.valid_samples, "--valid-samples")
    return replace(dataset, valid=valid, test=_first(dataset.test, record.test_samples, "--test-samples"))


def _first(samples: Samples, count: int | None, option: str) -> Samples:
    if count is None:
        return samples
    if not 1 <= count <= samples.labels.size:
        raise InputError(f"{option} {count}: this set allows 1..{samples.labels.size}")
    return Samples(samples.spikes.select(range(count)), samples.labels[:count])


def _emulated(target: Target, quantised: Quantised, recipe: Recipe, samples: Samples) -> NDArray[np.int64]:
    found = target.emulate(quantised, samples.spikes)
    return predict(recipe.training.readout, found.readout_v, found.first_spikes)
