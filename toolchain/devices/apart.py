"""A device in a process of its own that lives from run to run: for tuning, which asks thousands of times.

What others have written may hang, crash, or print where our results go. So a device that is not ours is made in another
process and asked over a pipe. If it gives no answer in time, or its process ends, all of that is ended and what was
asked is `UnansweredError`; the next question starts a new process. An exception of the device ends its process too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from subprocess import Popen
from typing import Any, cast

from toolchain import errors
from toolchain.datasets import Samples
from toolchain.deployment.target import Target, find_target
from toolchain.devices.device import Deployed, Device, DeviceRun, ObservingDevice
from toolchain.devices.finding import find_device
from toolchain.devices.mismatch import MismatchDevice
from toolchain.devices.onnx_device import OnnxDevice
from toolchain.devices.own import ChipDevice, EmulatorDevice, FloatDevice, VendorDevice
from toolchain.devices.process import how_it_ended, started
from toolchain.devices.worker import end_with
from toolchain.errors import DelaylineError, UnansweredError
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains

OURS = (FloatDevice, EmulatorDevice, MismatchDevice, OnnxDevice, VendorDevice, ChipDevice)
"""These have nothing that could hang; what a vendor's code or a board does, they run in a session with a limit."""
START_S = 120.0
"""Wall time in which a device must have been made."""
LATER_S = 5.0
"""What a device may take beyond the limit of a run: one that minds it says itself what happened."""
POLL_S = 0.2
READY, ANSWER, REASON = "ready", "answer", "reason"


class ApartDevice:
    """A device that runs in a process of its own.

    Parameters
    ----------
    device : the same, made here: for what it is called and how many samples it takes at once
    called : by which the other process finds it
    target : that it is made for
    """

    def __init__(self, device: Device, called: str, target: Target) -> None:
        self._device, self._called, self._target = device, called, target
        self.name, self.about, self.at_once = device.name, device.about, device.at_once
        self.costly, self.exact = device.costly, device.exact
        self._running: tuple[ExitStack, Popen[bytes], Connection, Path] | None = None

    def missing(self) -> str | None:
        """What it lacks to run here."""
        return self._device.missing()

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """See `Device.run`; UnansweredError too if its process died, or did not answer in time."""
        return cast("DeviceRun", self._ask("run", deployed, samples, traces, timeout_s))

    def close(self) -> None:
        """End its process, if there is one."""
        if self._running is not None:
            stack, self._running = self._running[0], None
            stack.close()

    def _ask(self, what: str, deployed: Deployed, samples: Any, traces: bool, timeout_s: float) -> Any:
        network = (deployed.quantised, deployed.recipe, deployed.request)
        try:
            found = self._start() if self._running is None else None
            if found is None:
                found = self._answer((what, network, samples, traces, timeout_s), timeout_s)
        except (EOFError, OSError) as error:
            # Its end of the pipe is gone: so is the process, or it has closed what it must not.
            raise UnansweredError(self._end_it("closed its pipe")) from error
        except BaseException:
            # Whatever interrupted the answer, a later question must not get it.
            self.close()
            raise
        if isinstance(found, DelaylineError):
            raise found
        return found

    def _start(self) -> DelaylineError | None:
        """Start its process; returns why the device cannot be made, if it cannot."""
        stack = ExitStack()
        output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="delayline-device-"))) / "output"
        ours, theirs = Pipe()
        stack.callback(ours.close)
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), self._target.name, self._called]
            process = stack.enter_context(started(__name__, arguments, output, [theirs.fileno()]))
        self._running = (stack, process, ours, output)
        refused: DelaylineError | None = self._reply(START_S, f"was not made within {START_S:g} s")
        if refused is not None:
            self.close()
        return refused

    def _answer(self, question: Any, timeout_s: float) -> Any:
        assert self._running is not None
        self._running[2].send(question)
        return self._reply(timeout_s + LATER_S, f"gave no answer within {timeout_s:g} s")

    def _reply(self, limit_s: float, late: str) -> Any:
        """What the process sends, within a time; an error where that is what the device itself gave as a reason."""
        assert self._running is not None
        _, process, connection, _ = self._running
        deadline = time.monotonic() + limit_s
        # A child that it forked may keep the pipe open: look whether the process itself is still there.
        while not connection.poll(POLL_S):
            if process.poll() is not None and not connection.poll():
                raise UnansweredError(self._end_it(late))
            if time.monotonic() > deadline:
                self.close()
                raise UnansweredError(late)
        kind, content = connection.recv()
        if kind == REASON:
            return getattr(errors, content[0], DelaylineError)(content[1])
        return content

    def _end_it(self, otherwise: str) -> str:
        """How its process ended, after whatever is left of it."""
        assert self._running is not None
        _, process, _, output = self._running
        deadline = time.monotonic() + 1.0
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        how = otherwise if process.returncode is None else how_it_ended(process.returncode, output)
        self.close()
        return how


class ApartObservingDevice(ApartDevice):
    """One that can say what training needs without traces of every step.

    Parameters
    ----------
    timeout_s : wall time of one `observe`
    """

    def __init__(self, device: Device, called: str, target: Target, timeout_s: float) -> None:
        super().__init__(device, called, target)
        self._timeout_s = timeout_s

    def observe(self, deployed: Deployed, spikes: SpikeTrains) -> Observed:
        """See `ObservingDevice`."""
        return cast("Observed", self._ask("observe", deployed, spikes, False, self._timeout_s))


@contextmanager
def kept_apart(device: Device, called: str, target: Target, timeout_s: float) -> Iterator[Device]:
    """A device as it is if it is ours, else in a process of its own, which is gone at the end.

    Parameters
    ----------
    called : by which `find_device` finds it
    timeout_s : wall time of one run
    """
    if isinstance(device, OURS):
        yield device
        return
    observing = isinstance(device, ObservingDevice)
    apart = (
        ApartObservingDevice(device, called, target, timeout_s) if observing else ApartDevice(device, called, target)
    )
    try:
        yield apart
    finally:
        apart.close()


def serve(connection: Connection, target: Target, device: Any) -> None:
    """Answer what is asked until nobody asks any more."""
    connection.send((READY, None))
    while True:
        try:
            what, (quantised, recipe, request), samples, traces, timeout_s = connection.recv()
        except EOFError:
            return
        deployed = Deployed(target, quantised, recipe, request)
        try:
            if what == "observe":
                found = device.observe(deployed, samples)
            else:
                found = device.run(deployed, samples, traces=traces, timeout_s=timeout_s)
        except DelaylineError as error:
            connection.send((REASON, (type(error).__name__, str(error))))
        else:
            connection.send((ANSWER, found))


def run() -> None:
    """Make the device that is named on the command line and serve it."""
    descriptor, parent, target_name, called = sys.argv[1:]
    end_with(int(parent))
    connection = Connection(int(descriptor))
    target = find_target(target_name)
    try:
        device = find_device(called, target)
    except DelaylineError as error:
        connection.send((REASON, (type(error).__name__, str(error))))
        return
    serve(connection, target, device)
