"""Devices for tests, named to `find_device` as ``tests.devices.chips:<name>``; workers import them too.

What they do wrong is in environment variables, which workers inherit.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.datasets import Samples
from toolchain.deployment.abilities import TableComparison
from toolchain.deployment.target import Target, Traces
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.devices.own import EmulatorDevice
from toolchain.errors import MissingDependencyError

FAULT, LOG, FRAGILE, PACE, WEIGHT = "CHIP_FAULT", "CHIP_LOG", "CHIP_FRAGILE", "CHIP_PACE_S", "CHIP_WEIGHT"
Change = Callable[[Samples, Traces], Traces]


@dataclass(frozen=True)
class Chip:
    """The emulator with something done to what it reports."""

    name: str
    change: Change
    lacks: str | None = None
    at_once: int = 4
    costly: bool = False
    exact: bool = True
    about: str = "for tests"
    rewire: bool = False

    def missing(self) -> str | None:
        """What the test says."""
        return self.lacks

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Emulate, then change it."""
        deployed = _rewired(deployed) if self.rewire else deployed
        found = EmulatorDevice().run(deployed, samples, traces=True, timeout_s=timeout_s)
        assert found.traces is not None
        return DeviceRun(found.prediction, self.change(samples, found.traces), found.overflows)


def _rewired(deployed: Deployed) -> Deployed:
    """The network with the weight that `WEIGHT` asks for."""
    pre, post, wrong = map(int, os.environ[WEIGHT].split())
    quantised: Any = deployed.quantised
    first, *others = quantised.integers.projections
    weight = first.weight.copy()
    weight[pre, post] = wrong
    integers = replace(quantised.integers, projections=(replace(first, weight=weight), *others))
    return replace(deployed, quantised=replace(quantised, integers=integers))


def faithful(target: Target) -> Chip:
    """A chip that does what its emulator does."""
    return Chip("faithful", lambda samples, traces: traces)


def outputs(target: Target) -> Chip:
    """A chip of which v of the readout alone is read."""
    return Chip("outputs", lambda samples, traces: Traces({}, {"output": traces.v["output"]}, {}))


def deaf(target: Target) -> Chip:
    """A chip that is not here."""
    return Chip("deaf", lambda samples, traces: traces, "nothing answers at its address; plug it in")


def unplugged(target: Target) -> Chip:
    """A chip that is found not to be here when it is asked."""

    def ask(samples: Samples, traces: Traces) -> Traces:
        raise MissingDependencyError("unplugged: nothing answers at its address; plug it in")

    return Chip("unplugged", ask)


def wrong(target: Target) -> Chip:
    """A chip that reports v of a neuron one too high: ``CHIP_FAULT=<spikes of the sample> <neuron> <step>``."""

    def change(samples: Samples, traces: Traces) -> Traces:
        n_spikes, neuron, step = map(int, os.environ[FAULT].split())
        v = {name: values.copy() for name, values in traces.v.items()}
        for sample in range(samples.labels.size):
            if np.diff(samples.spikes.offsets)[sample] == n_spikes:
                v["hidden"][sample, step, neuron] += 1
        return Traces(traces.u, v, traces.spikes)

    return Chip("wrong", change)


def miswired(target: Target) -> Chip:
    """A chip with one weight that is another: ``CHIP_WEIGHT=<source> <target> <weight>`` of the first projection."""
    return Chip("miswired", lambda samples, traces: traces, rewire=True)


def fragile(target: Target) -> Chip:
    """A chip that dies of some samples, as ``CHIP_FRAGILE`` says.

    ``once``: of the first sample that it is given, but not again (``CHIP_LOG`` is the file that it remembers it in);
    a number: of every sample with so many spikes; ``hang <number>``: it never comes back from such a sample.
    """

    def change(samples: Samples, traces: Traces) -> Traces:
        how = os.environ[FRAGILE]
        if how == "once":
            if not Path(os.environ[LOG]).exists():
                Path(os.environ[LOG]).touch()
                os.kill(os.getpid(), signal.SIGSEGV)
            return traces
        if int(how.split()[-1]) in np.diff(samples.spikes.offsets):
            if how.startswith("hang"):
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGKILL)
        return traces

    return Chip("fragile", change)


def slow(target: Target) -> Chip:
    """A chip that takes its time, and writes down every run that it has begun."""

    def change(samples: Samples, traces: Traces) -> Traces:
        with Path(os.environ[LOG]).open("a") as log:
            log.write(f"{samples.labels.size}\n")
        time.sleep(float(os.environ[PACE]))
        return traces

    return Chip("slow", change)


@dataclass(frozen=True)
class OtherTables:
    """Tools of a vendor that lay networks out in another way."""

    name: str = "other_tables"
    about: str = "for tests"

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def compare(self, deployed: Deployed, exported: Path, *, timeout_s: float) -> TableComparison:
        """Find a difference."""
        return TableComparison(False, 100, 10, "core 3, PopTable, word 4: theirs 00000001, ours 00000000")


def other_tables(target: Target) -> OtherTables:
    """See `OtherTables`."""
    return OtherTables()


def odd(target: Target) -> Chip:
    """A chip that does what ``CHIP_FAULT`` says, once for each new file ``CHIP_LOG``, for ever without one.

    ``exit``: it ends its process with code 0; ``fork``: it leaves a process behind, whose id is then in the log;
    ``hang`` (at once), ``crash``, ``raise``: as they say; ``print``: it prints.
    """

    def change(samples: Samples, traces: Traces) -> Traces:
        fault, log = os.environ[FAULT], os.environ.get(LOG)
        if log is not None and Path(log).exists():
            return traces
        if fault == "fork":
            child = os.fork()
            if child == 0:
                time.sleep(1000)
            Path(os.environ[LOG]).write_text(str(child))
            return traces
        if log is not None:
            Path(log).touch()
        if fault == "print":
            print("\x1b[31mhello from the board")
        elif fault == "exit":
            os._exit(0)
        elif fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fault == "raise":
            raise ValueError("\x1b[31mno frames from\x00 the board")
        return traces

    return Odd("odd", change)


class Odd(Chip):
    """See `odd`."""

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Hang, or emulate and do something else."""
        log = Path(os.environ.get(LOG, "/nowhere"))
        if os.environ[FAULT] == "hang" and not log.exists():
            log.touch()
            time.sleep(1000)
        return super().run(deployed, samples, traces=traces, timeout_s=timeout_s)


def no_word(target: Target) -> Chip:
    """A chip whose name is none."""
    return Chip("..", lambda samples, traces: traces)


def not_the_emulator(target: Target) -> Chip:
    """A chip that is called as another device."""
    return Chip("emulator", lambda samples, traces: traces)


def twin(target: Target) -> Chip:
    """Another chip that is called `faithful`."""
    return Chip("faithful", lambda samples, traces: traces)


def unmakeable(target: Target) -> Chip:
    """It cannot be made, and says so in two lines."""
    raise RuntimeError("no licence\nfor this board")


class Dumb(Chip):
    """It cannot say what it lacks."""

    def missing(self) -> str | None:
        """Fail."""
        raise OSError("no such bus")


def dumb(target: Target) -> Chip:
    """See `Dumb`."""
    return Dumb("dumb", lambda samples, traces: traces)
