"""Devices by name: ours, those of packages, and those of a module; what is none of them is said in one line."""

from __future__ import annotations

from importlib import metadata

import pytest

from toolchain.deployment.target import find_target
from toolchain.devices.finding import GROUP, devices_of, find_device
from toolchain.errors import DelaylineError, InputError, MissingDependencyError

LOIHI2 = find_target("loihi2")


def test_a_device_is_found_by_its_module() -> None:
    assert find_device("tests.devices.chips:faithful", LOIHI2).name == "faithful"


@pytest.mark.parametrize(
    ("name", "kind", "named"),
    [
        ("tests.devices.nobody:chip", MissingDependencyError, "cannot be loaded .*nobody"),
        ("tests.devices.chips:nobody", MissingDependencyError, "cannot be loaded .*nobody"),
        (":chip", MissingDependencyError, "cannot be loaded"),
        ("os:getcwd", InputError, "cannot be made for a target .*; name a callable that takes a target"),
        ("builtins:str", InputError, "what it makes is str, no device; name a callable"),
        ("tests.devices.chips:FAULT", InputError, "cannot be made for a target"),
        ("tests.devices.chips:unmakeable", InputError, "RuntimeError: no licence for this board"),
        ("tests.devices.chips:no_word", InputError, r"its name is '\.\.', must be a word"),
        ("tests.devices.chips:not_the_emulator", InputError, "calls itself emulator, which is another device"),
    ],
)
def test_what_is_no_device_is_said(name: str, kind: type[DelaylineError], named: str) -> None:
    with pytest.raises(kind, match=named) as caught:
        find_device(name, LOIHI2)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_broken_keeps_nobody_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = metadata.EntryPoint("theirs", "tests.devices.nobody:chip", GROUP)
    unlicensed = metadata.EntryPoint("unlicensed", "tests.devices.chips:unmakeable", GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [broken, unlicensed])
    found = devices_of(LOIHI2)
    assert "no licence" in str(found["unlicensed"].missing())
    assert {"float", "emulator", "lava", "loihi2"} <= set(found)
    said = found["theirs"].missing()
    assert said is not None
    assert "cannot be loaded" in said


def test_the_arm_code_is_a_device_of_spinnaker_alone() -> None:
    assert "arm" in devices_of(find_target("spinnaker1"))
    assert "arm" not in devices_of(LOIHI2)
