"""The devices of a target: ours, those that packages announce, and any that is named by its module.

A package announces a device under the entry-point group ``delayline.devices``: a callable that is given a target and
returns a `Device`, or None for a target that it cannot serve. ``module:attribute`` names such a callable directly: that
is how a laboratory's own set-up, or a test, is run without being installed. What follows a comma are settings, of a
device that takes any: ``mismatch,threshold=0.05,seed=3``.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import Any, cast

from toolchain.datasets import Samples
from toolchain.deployment.abilities import HardwareTarget, MappingTarget, MismatchTarget, StepGraphTarget
from toolchain.deployment.target import Target
from toolchain.devices.device import Deployed, Device, DeviceRun, SettableDevice, TableDevice
from toolchain.devices.mismatch import MismatchDevice
from toolchain.devices.onnx_device import OnnxDevice
from toolchain.devices.own import (
    STAGES,
    ChipDevice,
    EmulatorDevice,
    FloatDevice,
    MappingDevice,
    VendorDevice,
)
from toolchain.errors import DelaylineError, InputError, MissingDependencyError

GROUP = "delayline.devices"
CALLABLE = "name a callable that takes a target and returns a device (toolchain.devices.device), or None"


def devices_of(target: Target) -> dict[str, Device | TableDevice]:
    """Devices that can run what is deployed to a target, by name, in the order of the ladder."""
    found: list[Device | TableDevice] = [*(FloatDevice(name) for name in STAGES), EmulatorDevice()]
    if isinstance(target, MismatchTarget):
        found.append(MismatchDevice(target))
    if isinstance(target, StepGraphTarget):
        found.append(OnnxDevice(target))
    found.append(MappingDevice(target) if isinstance(target, MappingTarget) else VendorDevice(target))
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name):
        try:
            announced = _made(entry.load, target, entry.name)
        except DelaylineError as error:
            # One package that is broken keeps nobody from the other devices.
            announced = BrokenDevice(entry.name, str(error))
        if announced is not None:
            found.append(announced)
    if isinstance(target, HardwareTarget):
        found.append(ChipDevice(target))
    return {device.name: device for device in found}


def find_device(name: str, target: Target) -> Device | TableDevice:
    """The device called `name`, or made by the callable ``module:attribute``, with the settings after a comma.

    Raises
    ------
    InputError
        If there is none; the message has the nearest name. If it takes no settings, or not these.
    MissingDependencyError
        If its module cannot be imported.
    """
    name, comma, settings = name.partition(",")
    device = _found(name, target)
    if not comma:
        return device
    if not isinstance(device, SettableDevice):
        raise InputError(f"device {name}: takes no settings, but {settings!r} is given; leave them out")
    return device.with_settings(settings)


def _found(name: str, target: Target) -> Device | TableDevice:
    if ":" in name:
        module, _, attribute = name.partition(":")
        device = _made(lambda: getattr(importlib.import_module(module), attribute), target, name)
        if device is None:
            raise InputError(f"device {name!r} does not run what is deployed to {target.name}; give another")
        if device.name in devices_of(target):
            raise InputError(
                f"device {name}: calls itself {device.name}, which is another device; give it another name"
            )
        return device
    known = devices_of(target)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"device {name!r} does not exist for {target.name}; {hint}known: {', '.join(known)}")
    return known[name]


def _made(load: Any, target: Target, name: str) -> Device | TableDevice | None:
    """What a device's callable makes for a target."""
    try:
        make = load()
    except Exception as error:
        raise MissingDependencyError(
            f"device {name}: it cannot be loaded ({_one_line(error)}); install what is missing, or leave it out"
        ) from error
    try:
        device: Any = make(target)
    except DelaylineError:
        raise
    except Exception as error:
        raise InputError(f"device {name}: cannot be made for a target ({_one_line(error)}); {CALLABLE}") from error
    if device is None:
        return None
    if not all(hasattr(device, part) for part in ("name", "about", "missing")):
        raise InputError(f"device {name}: what it makes is {type(device).__name__}, no device; {CALLABLE}")
    if not isinstance(device.name, str) or not any(c.isalnum() for c in device.name):
        raise InputError(f"device {name}: its name is {device.name!r}, must be a word; results are kept under it")
    return cast("Device | TableDevice", device)


def what_is_missing(device: Device | TableDevice) -> str | None:
    """What a device lacks to run here, None where it lacks nothing; one that cannot even say so lacks that."""
    try:
        return device.missing()
    except Exception as error:
        return f"asking {device.name} what it lacks failed ({_one_line(error)}); correct its missing()"


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@dataclass(frozen=True)
class BrokenDevice:
    """A device that a package announces and that cannot be made: always absent."""

    name: str
    why: str
    about: str = "announced by a package, which is broken"
    at_once: int = 1
    costly: bool = True
    exact: bool = False

    def missing(self) -> str | None:
        """Why it cannot be made."""
        return self.why

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Refused."""
        raise MissingDependencyError(self.why)
