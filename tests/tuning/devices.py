"""Devices that a laboratory could have: named as ``tests.tuning.devices:NAME`` they are found in any process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from toolchain.datasets import Samples
from toolchain.deployment.target import Target, Traces
from toolchain.devices.device import Deployed, Device, DeviceRun
from toolchain.devices.mismatch import Mismatch, MismatchDevice
from toolchain.devices.own import EmulatorDevice
from toolchain.errors import UnansweredError


@dataclass
class Plain:
    """Another device, of which nothing is known but what every device has.

    `dies` at each so many runs, 0 for never; `lost` populations of which no spikes are reported.
    """

    inner: Device
    dies: int = 0
    lost: tuple[str, ...] = ()
    states: bool = True
    absent: str | None = None
    name: str = "laboratory"
    about: str = "a chip on a desk"
    at_once: int = 20
    costly: bool = False
    exact: bool = False
    runs: int = field(default=0)

    def missing(self) -> str | None:
        return self.absent

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        assert samples.labels.size <= self.at_once
        self.runs += 1
        if self.dies and self.runs % self.dies == 0:
            raise UnansweredError("the board fell silent")
        found = self.inner.run(deployed, samples, traces=traces, timeout_s=timeout_s)
        if found.traces is None:
            return found
        if not self.states:
            return replace(found, traces=None)
        spikes = {name: a for name, a in found.traces.spikes.items() if name not in self.lost}
        return replace(found, traces=Traces({}, found.traces.v, spikes))


BROKEN = Mismatch(threshold=0.3, dead=0.1, seed=2)


def desk(target: Target) -> Plain:
    """A chip that is not as it should be, and reports every spike."""
    return Plain(MismatchDevice(target, BROKEN))  # type: ignore[arg-type]


def weary(target: Target) -> Plain:
    """The same, and it dies at every seventh run."""
    return Plain(MismatchDevice(target, BROKEN), dies=7)  # type: ignore[arg-type]


def fallen(target: Target) -> Plain:
    """It runs the test set, and after some batches nothing more."""
    return Lasting(MismatchDevice(target, BROKEN))  # type: ignore[arg-type]


class Lasting(Plain):
    """Answers so many runs, then never again."""

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        if self.runs >= 30:
            raise UnansweredError("the board fell silent")
        return super().run(deployed, samples, traces=traces, timeout_s=timeout_s)


def outputs_only(target: Target) -> Plain:
    """The same chip, read at its outputs alone."""
    return Plain(MismatchDevice(target, BROKEN), lost=("hidden",))  # type: ignore[arg-type]


def classes_only(target: Target) -> Plain:
    """It says which class it read, and no more."""
    return Plain(EmulatorDevice(), states=False)


def absent(target: Target) -> Plain:
    """It is not plugged in."""
    return Plain(EmulatorDevice(), absent="no board on this desk; plug one in")
