"""Validate a bundle again, on any of its devices, from what lies on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.datasets import Samples, load_dataset
from toolchain.deployment.abilities import HardwareTarget, MappingTarget, TableComparison
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.target import Traces
from toolchain.diagnosis.explain import explain_difference
from toolchain.diagnosis.findings import Diagnosis
from toolchain.errors import InputError
from toolchain.report.content import Divergence
from toolchain.storage import write_json
from toolchain.validation.divergence import first_divergence
from toolchain.validation.ladder import accuracy, first_spikes_of, predict, predict_traces


@dataclass(frozen=True)
class ValidationResult:
    """What a device did with a bundle.

    Attributes
    ----------
    accuracy : None of a device that computes no spikes
    equal : None where there is nothing to be equal to
    compared : what was compared with the emulator, in words; empty where nothing was
    diagnosis : why the device differs from the emulator, where it does
    """

    device: str
    samples: int
    accuracy: float | None
    equal: bool | None
    first_divergence: Divergence | None
    compared: str = ""
    tables: TableComparison | None = None
    diagnosis: Diagnosis | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``validation-<device>.json``."""
        return {**asdict(self), "diagnosis": self.diagnosis.to_json() if self.diagnosis else None}


def validate(
    path: Path, device: str, *, samples: int | None, timeout_s: float, strict: bool = False
) -> ValidationResult:
    """Run a bundle on a device and compare it with the emulator.

    Parameters
    ----------
    path : a bundle
    device : ``emulator`` (scores the test set), the target's vendor, as ``lava``, or its chip, as ``loihi2``
    samples : how many test samples; None for all on the emulator, all that the bundle carries on other devices
    timeout_s : time limit of a run on another device than the emulator
    strict : refuse samples on which a state overflows in the emulator, before any other device runs them

    Raises
    ------
    BundleError
        If the bundle is damaged.
    InputError
        If the target has no such device, or more samples are asked for than there are.
    MissingDependencyError
        If the device is absent or does not answer.
    TargetLimitError
        If `strict` and a state overflows.
    """
    bundle = read_bundle(path)
    by_tables = isinstance(bundle.target, MappingTarget)
    devices = {"emulator": _on_emulator, bundle.target.vendor: _by_tables if by_tables else _on_vendor}
    if isinstance(bundle.target, HardwareTarget):
        devices[bundle.target.hardware] = _on_hardware
    if device not in devices:
        raise InputError(f"device {device!r} does not exist for {bundle.target.name}; known: {', '.join(devices)}")
    result = devices[device](bundle, device, samples, timeout_s, strict)
    write_json(path / f"validation-{device}.json", result.to_json())
    return result


def _limited(asked: int | None, there: int, what: str) -> int:
    if asked is not None and not 1 <= asked <= there:
        raise InputError(f"--samples {asked}: {what} 1..{there}")
    return there if asked is None else asked


def _on_emulator(bundle: Bundle, device: str, samples: int | None, timeout_s: float, strict: bool) -> ValidationResult:
    test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
    n = _limited(samples, test.labels.size, "the test set allows")
    emulated = bundle.target.emulate(bundle.quantised, test.spikes.select(range(n)), strict=strict)
    return ValidationResult(
        device,
        n,
        accuracy(predict(bundle.recipe.training.readout, emulated.readout_v, emulated.first_spikes), test.labels[:n]),
        None,
        None,
    )


def _carried(bundle: Bundle, samples: int | None, strict: bool) -> tuple[Samples, Traces]:
    """The first samples that the bundle carries and what the emulator does with them."""
    carried = bundle.manifest["vendor_samples"]
    n = _limited(samples, carried, "deploy with a larger --vendor-samples; this bundle carries")
    test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
    shown = Samples(test.spikes.select(range(n)), test.labels[:n])
    if strict:
        bundle.target.emulate(bundle.quantised, shown.spikes, strict=True)
    return shown, bundle.target.emulate_traces(bundle.quantised, shown.spikes)


def _on_vendor(bundle: Bundle, device: str, samples: int | None, timeout_s: float, strict: bool) -> ValidationResult:
    shown, ours = _carried(bundle, samples, strict)
    n = shown.labels.size
    theirs = bundle.target.run_vendor(bundle.path / device, samples=n, timeout_s=timeout_s)
    divergence = first_divergence(ours, theirs, list(ours.v))
    readout = bundle.quantised.rounded.readout.name
    right = accuracy(predict_traces(bundle.recipe.training.readout, theirs, readout), shown.labels)
    why = explain_difference(bundle, shown.spikes, theirs, ours) if divergence else None
    return ValidationResult(device, n, right, divergence is None, divergence, "every spike, u and v", diagnosis=why)


def _by_tables(bundle: Bundle, device: str, samples: int | None, timeout_s: float, strict: bool) -> ValidationResult:
    """Let the vendor's tools lay the bundle out: no sample runs."""
    assert isinstance(bundle.target, MappingTarget)
    if samples is not None or strict:
        given = "--strict" if samples is None else f"--samples {samples}"
        raise InputError(f"{given}: {device} lays a network out and runs no sample here; leave it out")
    tables = bundle.target.compare_tables(bundle.quantised, bundle.path / device, timeout_s=timeout_s)
    words = f"every one of {tables.words} words of its tables"
    return ValidationResult(device, 0, None, tables.equal, None, words, tables)


def _on_hardware(bundle: Bundle, device: str, samples: int | None, timeout_s: float, strict: bool) -> ValidationResult:
    """Run on a chip, of which only outputs are read: v of a readout, or the spikes of spiking outputs."""
    assert isinstance(bundle.target, HardwareTarget)
    shown, ours = _carried(bundle, samples, strict)
    n = shown.labels.size
    theirs = bundle.target.run_hardware(bundle.path / bundle.target.vendor, samples=n, timeout_s=timeout_s)
    of_v = first_divergence(ours, theirs, list(theirs.v), ("v",))
    divergence = of_v or first_divergence(ours, theirs, list(theirs.spikes), ("spikes",))
    readout, reading = bundle.quantised.rounded.readout.name, bundle.recipe.training.readout
    # Of the one population that is read there is v or there are spikes, as the reading needs.
    spikes = theirs.spikes.get(readout, np.zeros(ours.v[readout].shape, dtype=np.bool_))
    prediction = predict(reading, theirs.v.get(readout, spikes), first_spikes_of(spikes))
    right = accuracy(prediction, shown.labels)
    why = explain_difference(bundle, shown.spikes, theirs, ours) if divergence else None
    return ValidationResult(device, n, right, divergence is None, divergence, "every output", diagnosis=why)
