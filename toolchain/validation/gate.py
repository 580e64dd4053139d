"""Conditions on a validation, for a build that must not get worse."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from toolchain.errors import InputError
from toolchain.validation.result import Check

if TYPE_CHECKING:
    from toolchain.report.content import Rung
    from toolchain.validation.result import DeviceResult, Loss, Validation

_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 does not allow."""
ROUNDING = 1e-9
"""Accuracies are quotients of small integers: their difference in points carries a rounding of 1e-14."""


@dataclass(frozen=True)
class Gate:
    """What has to hold.

    Parameters
    ----------
    max_loss : points that any device may lose against the first rung, on the samples that both have
    min_accuracy : percent that every device must reach
    require_equal : devices that must be here and equal the emulator

    Raises
    ------
    InputError
        If a figure is out of range.
    """

    max_loss: float | None = None
    min_accuracy: float | None = None
    require_equal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for option, value in (("--max-loss", self.max_loss), ("--min-accuracy", self.min_accuracy)):
            if value is not None and not (math.isfinite(value) and 0 <= value <= 100):
                raise InputError(f"{option} {value:g}: must be 0 to 100 points of accuracy")

    def check_devices(self, devices: Sequence[str]) -> None:
        """Refuse to require what is not run; InputError."""
        for name in self.require_equal:
            if name not in devices:
                raise InputError(
                    f"--require-equal {name}: it is not among the devices {', '.join(devices)}; add --on {name}"
                )

    def checks(self, found: Validation) -> list[Check]:
        """Every condition, and whether it holds."""
        checks = []
        if self.max_loss is not None:
            checks += [self._loss(device, loss) for device, loss in found.losses.items()]
        if self.min_accuracy is not None:
            checks += [self._accuracy(rung) for rung in found.ladder]
        return checks + [_equal(found.of(name)) for name in self.require_equal]

    def _loss(self, device: str, loss: Loss) -> Check:
        assert self.max_loss is not None
        text = f"{loss.points:.2f} points on {loss.samples} samples, {self.max_loss:g} are allowed"
        return Check(f"loss from {loss.against} to {device}", loss.points <= self.max_loss + ROUNDING, text)

    def _accuracy(self, rung: Rung) -> Check:
        assert self.min_accuracy is not None
        reached = 100 * rung.accuracy
        text = f"{reached:.2f} % of {rung.samples} samples, {self.min_accuracy:g} % are asked for"
        return Check(f"accuracy of {rung.rung}", reached >= self.min_accuracy - ROUNDING, text)


def _equal(device: DeviceResult) -> Check:
    name = f"{device.device} equals the emulator"
    if device.absent is not None:
        return Check(name, False, f"{device.device} is absent: {device.absent}")
    if device.failed is not None:
        return Check(name, False, device.failed)
    if device.equal is None:
        return Check(name, False, f"{device.device} has nothing that could be compared")
    if device.equal:
        on = f" on {device.samples} samples" if device.samples else ""
        return Check(name, True, f"{device.compared}{on}")
    if device.tables is not None:
        return Check(name, False, str(device.tables.difference))
    return Check(name, False, f"{device.different} of {device.samples} samples differ")


def junit(found: Validation) -> bytes:
    """The checks and devices as JUnit XML, which continuous integration shows as tests.

    A device that is absent is a skipped test, one that died an error; one that differs and a condition that does not
    hold are failures.
    """
    suite = ElementTree.Element("testsuite", name=f"delayline.{found.name}.{found.target}")
    failures = broken = skipped = 0
    for device in found.devices:
        case = _case(suite, found, f"device {device.device}", device.seconds)
        if device.absent is not None:
            ElementTree.SubElement(case, "skipped", message=device.absent)
            skipped += 1
        elif device.failed is not None:
            ElementTree.SubElement(case, "error", message=device.failed)
            broken += 1
        elif device.equal is False:
            ElementTree.SubElement(case, "failure", message=_equal(device).reason)
            failures += 1
        rung = found.rung(device.device)
        if rung is not None:
            out = ElementTree.SubElement(case, "system-out")
            out.text = f"{100 * rung.accuracy:.2f} % of {rung.samples} samples"
    for check in found.checks:
        case = _case(suite, found, check.name, 0.0)
        if not check.passed:
            ElementTree.SubElement(case, "failure", message=check.reason)
            failures += 1
    counts = {
        "tests": len(found.devices) + len(found.checks),
        "failures": failures,
        "errors": broken,
        "skipped": skipped,
    }
    for name, count in counts.items():
        suite.set(name, str(count))
    for element in suite.iter():
        # What a device is called or said may hold anything; XML has no control characters, not even as entities.
        element.attrib.update({key: _FORBIDDEN.sub("?", value) for key, value in element.attrib.items()})
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: ElementTree.Element, found: Validation, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", name=name, classname=f"{found.name}.{found.target}.{found.set_name}", time=f"{seconds:.3f}"
    )
