"""What a validation found: device by device, and as a ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from toolchain.deployment.abilities import TableComparison
from toolchain.diagnosis.findings import Diagnosis
from toolchain.report.content import Divergence, Rung

LISTED = 100
"""Samples that are listed by number; all are counted."""


@dataclass(frozen=True)
class DeviceResult:
    """What one device did.

    Attributes
    ----------
    device, about : name, and what it is
    absent : what it lacks to run here, with the remedy; nothing else is known of it then
    failed : how it died or hung, again and again; what it had finished is kept, for the next time
    samples : how many it ran; 0 of a device that lays the network out and runs nothing
    equal : whether all that it reported equals the emulator; None where nothing is to be equal
    compared : what was compared with the emulator, in words; empty where nothing was
    different : how many of its samples differ
    differing : the first of them, by number
    first_divergence : the first difference of the first of them
    diagnosis : why it differs, where its target can say that
    tables : of a device that lays the network out
    overflows : population -> event -> count, of `overflow_samples` samples
    seconds : that runs took, without their start, and those of earlier runs that are counted in
    peak_bytes : most memory that a process of it had taken
    """

    device: str
    about: str
    absent: str | None = None
    failed: str | None = None
    samples: int = 0
    equal: bool | None = None
    compared: str = ""
    different: int = 0
    differing: Sequence[int] = ()
    first_divergence: Divergence | None = None
    diagnosis: Diagnosis | None = None
    tables: TableComparison | None = None
    overflows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    overflow_samples: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def causes(self) -> list[str]:
        """Why it differs, each cause a sentence."""
        return list(self.diagnosis.causes) if self.diagnosis is not None else []

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        diagnosis = self.diagnosis.to_json() if self.diagnosis is not None else None
        return {**asdict(replace(self, diagnosis=None)), "diagnosis": diagnosis}


@dataclass(frozen=True)
class Loss:
    """Points of accuracy that a rung loses against another, on the first so many samples, which both have."""

    against: str
    points: float
    samples: int


@dataclass(frozen=True)
class Check:
    """One condition that was asked for: its name, whether it holds, and why in a sentence."""

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Validation:
    """A bundle on its devices.

    Attributes
    ----------
    name, target : of the bundle
    set_name, set_size : which samples there were
    devices : in the order in which they were asked for
    ladder : devices that read classes, each compared with the one before
    losses : every rung but the first -> its loss against the first
    checks : conditions that were asked for
    """

    name: str
    target: str
    set_name: str
    set_size: int
    devices: Sequence[DeviceResult]
    ladder: Sequence[Rung]
    losses: Mapping[str, Loss]
    checks: Sequence[Check] = ()

    @property
    def passed(self) -> bool:
        """Whether every condition holds, nothing differs that has to be equal, and no device failed."""
        sound = all(d.equal is not False and d.failed is None for d in self.devices)
        return sound and all(c.passed for c in self.checks)

    @property
    def absent(self) -> list[DeviceResult]:
        """Devices that were asked for and are not here."""
        return [d for d in self.devices if d.absent is not None]

    def of(self, device: str) -> DeviceResult:
        """The result of a device; KeyError if it was not asked for."""
        found = next((d for d in self.devices if d.device == device), None)
        if found is None:
            raise KeyError(device)
        return found

    def rung(self, device: str) -> Rung | None:
        """The rung of a device; None where it read no class."""
        return next((r for r in self.ladder if r.rung == device), None)

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON types."""
        devices = [device.to_json() for device in self.devices]
        return {**asdict(replace(self, devices=())), "devices": devices, "passed": self.passed}
