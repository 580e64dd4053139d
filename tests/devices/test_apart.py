"""A device in a process of its own: whatever it does, what asks it goes on, and nothing is left at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.devices.chips import FAULT, LOG
from tests.devices.test_supervisor import ended
from tests.validation.bundles import CHIPS
from tests.validation.bundles import deployed as bundle_of
from toolchain.datasets import Samples, load_dataset
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.devices import apart
from toolchain.devices.apart import ApartDevice, kept_apart
from toolchain.devices.device import Deployed, Device
from toolchain.devices.finding import find_device
from toolchain.devices.own import EmulatorDevice
from toolchain.errors import MissingDependencyError, UnansweredError
from toolchain.training.run_folder import RunFolder
from toolchain.tuning.machine import DeviceMachine


@pytest.fixture(scope="module")
def bundle(trained_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return read_bundle(bundle_of(trained_run, tmp_path_factory.mktemp("apart")))


@pytest.fixture(scope="module")
def samples(bundle: Bundle) -> Samples:
    test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
    return Samples(test.spikes.select(range(4)), test.labels[:4])


@pytest.fixture
def device(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The chip `odd`, apart; it is odd once."""
    monkeypatch.setenv(LOG, str(tmp_path / "done"))
    called = f"{CHIPS}:odd"
    found = find_device(called, bundle.target)
    with kept_apart(found, called, bundle.target, 60.0) as asked:  # type: ignore[arg-type]
        assert isinstance(asked, ApartDevice)
        yield asked


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("exit", r"odd: ended with exit code 0; start it again"),
        ("hang", r"odd: gave no answer within 1 s; start it again"),
        ("crash", r"odd: died of signal 11.*; start it again"),
        ("raise", r"odd: ended with exit code 1 \(ValueError: .*no frames from. the board\); start it again"),
    ],
)
def test_what_happens_to_it_is_said_and_it_is_started_again(
    device: Device, bundle: Bundle, samples: Samples, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setenv(FAULT, fault)
    monkeypatch.setattr(apart, "LATER_S", 0.0 if fault == "hang" else 60.0)
    heard: list[str] = []
    machine = DeviceMachine(device, bundle.target, bundle.recipe, 1.0 if fault == "hang" else 60.0, heard.append)

    def hear(text: str) -> None:
        """Once it is made anew, it has all the time that it needs."""
        heard.append(text)
        machine.timeout_s = 60.0

    machine.say = hear
    found = machine.predict(bundle.quantised, samples)
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe)
    expected = EmulatorDevice().run(deployed, samples, traces=False, timeout_s=1).prediction
    assert np.array_equal(found, expected)
    assert machine.restarts == 1
    assert re.fullmatch(said, heard[0]), heard
    assert all(c.isprintable() for c in heard[0])


def test_what_it_prints_is_not_ours_and_what_it_forked_ends_with_it(
    device: Device,
    bundle: Bundle,
    samples: Samples,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe)
    monkeypatch.setenv(FAULT, "print")
    device.run(deployed, samples, traces=False, timeout_s=60)
    assert capfd.readouterr().out == ""
    device.close()  # type: ignore[attr-defined]
    (tmp_path / "done").unlink()
    monkeypatch.setenv(FAULT, "fork")
    device.run(deployed, samples, traces=False, timeout_s=60)
    child = int((tmp_path / "done").read_text())
    assert not ended(child)
    device.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while not ended(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended(child)


def test_what_it_says_itself_comes_as_it_said_it(bundle: Bundle, samples: Samples) -> None:
    """A reason of the device is no crash: it is of the type that the device gave."""
    called = f"{CHIPS}:unplugged"
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe)
    with kept_apart(find_device(called, bundle.target), called, bundle.target, 60.0) as device:  # type: ignore[arg-type]
        with pytest.raises(MissingDependencyError, match="nothing answers at its address; plug it in") as caught:
            device.run(deployed, samples, traces=False, timeout_s=60)
        assert type(caught.value) is MissingDependencyError


def test_ours_need_no_process(bundle: Bundle) -> None:
    ours = EmulatorDevice()
    with kept_apart(ours, "emulator", bundle.target, 60.0) as device:
        assert device is ours


def test_one_that_cannot_be_made_there_says_why(bundle: Bundle, samples: Samples) -> None:
    gone = ApartDevice(EmulatorDevice(), "tests.devices.nobody:chip", bundle.target)
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe)
    for _ in range(2):
        with pytest.raises(MissingDependencyError, match="cannot be loaded") as caught:
            gone.run(deployed, samples, traces=False, timeout_s=60)
        assert not isinstance(caught.value, UnansweredError)
