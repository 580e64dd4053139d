"""Validate a bundle again, on any of its devices, from what lies on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.datasets import load_dataset
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.errors import InputError
from toolchain.report.content import Divergence
from toolchain.storage import write_json
from toolchain.validation.divergence import first_divergence
from toolchain.validation.ladder import accuracy, predict, predict_traces


@dataclass(frozen=True)
class ValidationResult:
    """What a device did with a bundle; `equal` is None where there is nothing to be equal to."""

    device: str
    samples: int
    accuracy: float
    equal: bool | None
    first_divergence: Divergence | None

    def to_json(self) -> dict[str, Any]:
        """For ``validation-<device>.json``."""
        return asdict(self)


def validate(
    path: Path, device: str, *, samples: int | None, timeout_s: float, strict: bool = False
) -> ValidationResult:
    """Run a bundle on a device and compare it with the emulator.

    Parameters
    ----------
    path : a bundle
    device : ``emulator`` (scores the test set) or the target's vendor, as ``lava``
    samples : how many test samples; None for all on the emulator, all that the bundle carries for the vendor
    timeout_s : time limit of a vendor run
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
    vendor = bundle.target.vendor
    if device not in ("emulator", vendor):
        raise InputError(f"device {device!r} does not exist for {bundle.target.name}; known: emulator, {vendor}")
    run = _on_emulator if device == "emulator" else _on_vendor
    result = run(bundle, device, samples, timeout_s, strict)
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


def _on_vendor(bundle: Bundle, device: str, samples: int | None, timeout_s: float, strict: bool) -> ValidationResult:
    carried = bundle.manifest["vendor_samples"]
    n = _limited(samples, carried, "deploy with a larger --vendor-samples; this bundle carries")
    test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
    shown = test.spikes.select(range(n))
    if strict:
        bundle.target.emulate(bundle.quantised, shown, strict=True)
    theirs = bundle.target.run_vendor(bundle.path / device, samples=n, timeout_s=timeout_s)
    ours = bundle.target.emulate_traces(bundle.quantised, shown)
    divergence = first_divergence(ours, theirs, list(ours.v))
    readout = bundle.quantised.rounded.readout.name
    return ValidationResult(
        device,
        n,
        accuracy(predict_traces(bundle.recipe.training.readout, theirs, readout), test.labels[:n]),
        divergence is None,
        divergence,
    )
