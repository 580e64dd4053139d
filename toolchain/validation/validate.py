"""Validate a bundle again, on any of its devices, from what lies on disk.

Every device runs in a process of its own and its results are kept in the bundle (`toolchain.devices`); the accuracies
are those of a ladder in the order of the devices. What a device must have in common with the emulator is compared by
fingerprints of every sample; the first sample that differs is run once more on both and looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import load_dataset
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.target import Traces
from toolchain.devices.device import Device, TableDevice
from toolchain.devices.finding import devices_of, find_device, what_is_missing
from toolchain.devices.fingerprint import QUANTITIES, differing
from toolchain.devices.journal import Results
from toolchain.devices.supervisor import Work, compare_tables, look_into, run_device
from toolchain.devices.worker import samples_of, together
from toolchain.diagnosis.explain import explain_difference
from toolchain.errors import BundleError, InputError, MissingDependencyError, UnansweredError
from toolchain.report.content import Divergence
from toolchain.report.validation_page import validation_page
from toolchain.storage import write_atomically, write_json
from toolchain.validation.divergence import first_divergence
from toolchain.validation.gate import Gate
from toolchain.validation.result import LISTED, DeviceResult, Loss, Validation
from toolchain.validation.statistics import climb

Say = Callable[[str], None]
EMULATOR, FLOAT = "emulator", "float"
LOOKED_INTO = 8
"""Samples that differ of which every state is looked at, to find out why."""


@dataclass(frozen=True)
class Request:
    """What to validate on.

    Parameters
    ----------
    devices : names, in the order of the ladder; empty for the emulator and the vendor's code where it is there
    samples : how many; None for all, and on costly devices for those that the bundle carries
    set_name : test, valid or train
    timeout_s : wall time of one run of a device
    strict : refuse samples on which a state overflows in the emulator, before any device runs them
    anew : forget results that are there
    gate : conditions
    """

    devices: Sequence[str] = ()
    samples: int | None = None
    set_name: str = "test"
    timeout_s: float = 300.0
    strict: bool = False
    anew: bool = False
    gate: Gate = field(default_factory=Gate)


def validate(path: Path, request: Request, say: Say) -> Validation:
    """Run a bundle on devices and compare them.

    Returns
    -------
    what was found, which is also written to ``validation/<set>.json`` in the bundle, and for people to
    ``validation/<set>.html``; a device that is absent, dies or hangs is in it with what it said

    Raises
    ------
    BundleError
        If the bundle is damaged.
    InputError
        If the target has no such device, or more samples are asked for than there are.
    TargetLimitError
        If `strict` and a state overflows.
    """
    bundle = read_bundle(path)
    names = _names(bundle, request)
    devices = {name: find_device(name, bundle.target) for name in names}
    _check_names(devices)
    # A device of a module is required by the name that it is given by, or by its own.
    required = tuple(devices[n].name if n in devices else n for n in request.gate.require_equal)
    gate = replace(request.gate, require_equal=required)
    gate.check_devices([d.name for d in devices.values()])
    if request.samples is not None and all(isinstance(d, TableDevice) for d in devices.values()):
        raise InputError(f"--samples {request.samples}: {names[0]} lays a network out and runs no sample; leave it out")
    recipe = bundle.recipe
    dataset = load_dataset(recipe.dataset.task, recipe.dataset.options)
    samples = samples_of(dataset, request.set_name)
    size = int(samples.labels.size)
    _check_carried(bundle, int(dataset.test.labels.size))
    if request.samples is not None and not 1 <= request.samples <= size:
        raise InputError(f"--samples {request.samples}: the {request.set_name} set allows 1..{size}")
    if request.strict:
        first = samples.spikes.select(range(request.samples or size))
        bundle.target.emulate(bundle.quantised, first, strict=True)
    work = Work(path, request.set_name, samples, request.timeout_s)
    runs = _Runs(bundle, work, request, say)
    found = [runs.result(name, device) for name, device in devices.items()]
    predictions = [(d.device, runs.results[d.device].prediction) for d in found if d.device in runs.results]
    ladder = climb(predictions, samples.labels, dataset.n_classes)
    losses = _losses(predictions, samples.labels)
    validation = Validation(recipe.name, bundle.target.name, request.set_name, size, found, ladder, losses)
    validation = replace(validation, checks=gate.checks(validation))
    write_json(path / "validation" / f"{request.set_name}.json", validation.to_json())
    write_atomically(page_file(path, request.set_name), validation_page(validation).encode())
    return validation


def page_file(bundle: Path, set_name: str) -> Path:
    """Where the page of a validation lies."""
    return bundle / "validation" / f"{set_name}.html"


def _names(bundle: Bundle, request: Request) -> list[str]:
    """Devices in the order of the ladder, with the one that a loss is counted from in front."""
    names = list(dict.fromkeys(request.devices))
    if not names:
        names = [EMULATOR]
        vendor = devices_of(bundle.target)[bundle.target.vendor]
        if what_is_missing(vendor) is None:
            names.append(vendor.name)
    if request.gate.max_loss is not None and FLOAT not in names:
        names.insert(0, FLOAT)
    return names


def _check_names(devices: Mapping[str, Device | TableDevice]) -> None:
    """Refuse two devices of one name: results are kept, and rungs are found, under it."""
    seen: dict[str, str] = {}
    for given, device in devices.items():
        if device.name in seen:
            raise InputError(
                f"--on {given}: is called {device.name}, as is --on {seen[device.name]}; leave one out, or give it "
                "another name"
            )
        seen[device.name] = given


def _check_carried(bundle: Bundle, size: int) -> None:
    """Refuse a manifest whose number of samples cannot be."""
    carried = bundle.manifest["vendor_samples"]
    if not 1 <= carried <= size:
        raise BundleError(
            f"bundle {bundle.path}: its manifest says that it carries {carried} samples, the test set has {size}; "
            "deploy again"
        )


def _losses(predictions: Sequence[tuple[str, NDArray[np.int64]]], labels: NDArray[np.int64]) -> dict[str, Loss]:
    """Loss of every rung against the first, on the samples that both have."""
    losses = {}
    for name, prediction in predictions[1:]:
        first, before = predictions[0]
        n = min(prediction.size, before.size)
        right = [np.count_nonzero(p[:n] == labels[:n]) for p in (before, prediction)]
        losses[name] = Loss(first, 100 * (int(right[0]) - int(right[1])) / n, n)
    return losses


class _Runs:
    """Results of the devices of one validation, the emulator's among them where another must equal it."""

    def __init__(self, bundle: Bundle, work: Work, request: Request, say: Say) -> None:
        self.bundle, self.work, self.request, self.say = bundle, work, request, say
        self.results: dict[str, Results] = {}

    def result(self, name: str, device: Device | TableDevice) -> DeviceResult:
        """Run a device, or say why it cannot be."""
        found = DeviceResult(device.name, device.about)
        if (absent := what_is_missing(device)) is not None:
            return replace(found, absent=absent)
        try:
            return self._ran(found, name, device)
        except UnansweredError as error:
            self.say(f"{device.name}: {error}")
            return replace(found, failed=str(error))
        except MissingDependencyError as error:
            return replace(found, absent=str(error))

    def _ran(self, found: DeviceResult, name: str, device: Device | TableDevice) -> DeviceResult:
        if isinstance(device, TableDevice):
            self.say(f"{device.name}: lay the network out")
            tables = compare_tables(self.work, device, name, anew=self.request.anew)
            words = f"every one of {tables.words} words of its tables"
            return replace(found, equal=tables.equal, tables=tables, compared=words)
        results = self._run(name, device)
        found = replace(
            found,
            samples=int(results.prediction.size),
            overflows=results.overflows,
            overflow_samples=results.covered if results.overflows else 0,
            seconds=results.seconds,
            peak_bytes=results.peak_bytes,
        )
        return self._compared(found, name, device) if device.exact and device.name != EMULATOR else found

    def _run(self, name: str, device: Device) -> Results:
        n = self._count(device)
        if device.name not in self.results or self.results[device.name].prediction.size < n:
            self.results[device.name] = run_device(self.work, device, name, n, self.say, anew=self._anew(device))
        return self.results[device.name]

    def _anew(self, device: Device) -> bool:
        return self.request.anew and device.name not in self.results

    def _count(self, device: Device) -> int:
        size = int(self.work.samples.labels.size)
        carried = self.bundle.manifest["vendor_samples"]
        return self.request.samples or (min(carried, size) if device.costly else size)

    def _compared(self, found: DeviceResult, name: str, device: Device) -> DeviceResult:
        """Compare a device with the emulator, sample by sample."""
        emulator = find_device(EMULATOR, self.bundle.target)
        assert not isinstance(emulator, TableDevice)
        theirs = self.results[device.name]
        ours = self.results.get(EMULATOR)
        if ours is None or ours.prediction.size < found.samples:
            ours = run_device(self.work, emulator, EMULATOR, found.samples, self.say, anew=self._anew(emulator))
        unequal, compared = differing(ours.fingerprints, theirs.fingerprints)
        if not compared:
            return replace(found, compared="nothing: it reports no state")
        found = replace(
            found,
            equal=unequal.size == 0,
            compared=_in_words(compared),
            different=int(unequal.size),
            differing=tuple(unequal[:LISTED].tolist()),
        )
        if not unequal.size:
            return found
        looked = unequal[:LOOKED_INTO].tolist()
        self.say(f"{device.name}: find out why {found.different} samples differ")
        mine, other = (
            together(look_into(self.work, d, called, looked)) for d, called in ((emulator, EMULATOR), (device, name))
        )
        spikes = self.work.samples.spikes.select(looked)
        diagnosis = explain_difference(self.bundle, spikes, other, mine, numbers=looked)
        return replace(found, first_divergence=_first(mine, other, looked), diagnosis=diagnosis)


def _in_words(compared: Sequence[str]) -> str:
    """What was compared: ``v, spikes of hidden; v of output``."""
    of: dict[str, list[str]] = {}
    for quantity in QUANTITIES:
        for name in compared:
            if name.startswith(f"{quantity}/"):
                of.setdefault(name.partition("/")[2], []).append(quantity)
    return "every " + "; every ".join(f"{', '.join(quantities)} of {name}" for name, quantities in of.items())


def _first(ours: Traces, theirs: Traces, samples: Sequence[int]) -> Divergence | None:
    """First difference of the first sample that has one, of everything that both report."""
    found: list[tuple[tuple[int, int, int, int], Divergence]] = []
    for order, quantity in enumerate(QUANTITIES):
        mine: dict[str, NDArray[np.generic]] = dict(getattr(ours, quantity))
        for rank, name in enumerate(mine):
            if name in getattr(theirs, quantity):
                divergence = first_divergence(ours, theirs, [name], (quantity,))
                if divergence is not None:
                    key = (divergence.sample, divergence.step, rank, order)
                    found.append((key, replace(divergence, sample=samples[divergence.sample])))
    return min(found, key=lambda f: f[0])[1] if found else None
