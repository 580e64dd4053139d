"""The devices of a target: ours, those that packages announce, and any that is named by its module.

A package announces a device under the entry-point group ``delayline.devices``: a callable that is given a target and
returns a `Device`, or None for a target that it cannot serve. ``module:attribute`` names such a callable directly: that
is how a laboratory's own set-up, or a test, is run without being installed. What follows a comma are settings, of a
device that takes any: ``mismatch,threshold=0.05,seed=3``.
"""

from __future__ import annotations

import difflib
import importlib
from importlib import metadata
from typing import Any

from toolchain.deployment.abilities import HardwareTarget, MappingTarget, MismatchTarget
from toolchain.deployment.target import Target
from toolchain.devices.device import Device, SettableDevice, TableDevice
from toolchain.devices.mismatch import MismatchDevice
from toolchain.devices.own import (
    STAGES,
    ChipDevice,
    EmulatorDevice,
    FloatDevice,
    MappingDevice,
    VendorDevice,
)
from toolchain.errors import InputError, MissingDependencyError

GROUP = "delayline.devices"


def devices_of(target: Target) -> dict[str, Device | TableDevice]:
    """Devices that can run what is deployed to a target, by name, in the order of the ladder."""
    found: list[Device | TableDevice] = [*(FloatDevice(name) for name in STAGES), EmulatorDevice()]
    if isinstance(target, MismatchTarget):
        found.append(MismatchDevice(target))
    found.append(MappingDevice(target) if isinstance(target, MappingTarget) else VendorDevice(target))
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda e: e.name):
        if (announced := _made(entry.load, target, entry.name)) is not None:
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
        device: Device | TableDevice | None = load()(target)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f"device {name}: it cannot be loaded ({error}); install what is missing, or leave it out"
        ) from error
    return device
