"""Run an exported Lava folder in its own process, with a time limit, and read the traces it leaves.

`run_lava` simulates it on the CPU, `run_on_chip` runs it on Loihi 2. Not executed: the second has been run with
stand-ins for lava-loihi only.

Lava forks one process of the operating system for each process of the network, and an exception in one
of them makes the caller hang for ever without a word. So Lava never runs inside our process: it gets a
session of its own, a limit, and whatever is left of it at the end is stopped. The interpreter may be
another one than ours (`DELAYLINE_LAVA_PYTHON`), because lava-nc is published for Python 3.10 only.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import UNREADABLE, read_traces
from hardware_targets.sample_file import steps_of_samples
from hardware_targets.vendor_python import MISSING, VendorPython
from toolchain.errors import BundleError, MissingDependencyError, UnansweredError

INTERPRETER_VARIABLE = "DELAYLINE_LAVA_PYTHON"
REMEDY = (
    f"`pip install lava-nc==0.10.0` into a Python 3.10 and set {INTERPRETER_VARIABLE} to it, or deploy with --no-vendor"
)
LAVA = VendorPython(
    "lava",
    "lava-nc",
    INTERPRETER_VARIABLE,
    REMEDY,
    when_slow="raise it with --vendor-timeout or run fewer samples",
)
CHIP = "loihi2"


@dataclass(frozen=True)
class LavaTraces:
    """What Lava computed, at the end of every step.

    Attributes
    ----------
    u, v : population -> (n_samples, n_steps, n) int32, v after the reset
    spikes : population -> (n_samples, n_steps, n) bool
    seconds : wall time of the run, start-up included
    """

    u: dict[str, NDArray[np.int32]]
    v: dict[str, NDArray[np.int32]]
    spikes: dict[str, NDArray[np.bool_]]
    seconds: float


@dataclass(frozen=True)
class ChipOutputs:
    """What a chip was read of: v or spikes of the populations that project to no other.

    Attributes
    ----------
    v : readout -> (n_samples, n_steps, n) int32, after the reset
    spikes : spiking output -> (n_samples, n_steps, n) bool
    """

    v: dict[str, NDArray[np.int32]]
    spikes: dict[str, NDArray[np.bool_]]


def run_lava(folder: Path, *, samples: int, timeout_s: float, python: str | None = None) -> LavaTraces:
    """Simulate the first `samples` samples of a folder that `write_lava_folder` wrote.

    Parameters
    ----------
    folder : with ``network.py``, ``arrays.npz`` and ``samples.npz``
    samples : >= 1
    timeout_s : limit on the wall time of the whole run, seconds
    python : interpreter; None is ``$DELAYLINE_LAVA_PYTHON``, or the one that runs this

    Raises
    ------
    MissingDependencyError
        If lava-nc or the interpreter is missing, does not answer in time or dies.
    BundleError
        If the folder is incomplete or the traces are not what such a run leaves.
    InputError
        If `samples` or `timeout_s` is out of range.
    """
    start = time.monotonic()
    kinds = _run_script(folder, samples, timeout_s, python, "cpu")
    sizes = [{name: trace.shape for name, trace in kinds[kind].items()} for kind in "uvs"]
    if not sizes[0] or sizes[0] != sizes[1] or sizes[0] != sizes[2]:
        raise BundleError(
            "lava: the traces of the run are not usable: u, v and s are not of the same populations and sizes; "
            "run it again"
        )
    return LavaTraces(kinds["u"], kinds["v"], kinds["s"], time.monotonic() - start)


def run_on_chip(folder: Path, *, samples: int, timeout_s: float, python: str | None = None) -> ChipOutputs:
    """Run the first `samples` samples of such a folder on a Loihi 2 chip; parameters and errors as `run_lava`.

    Not executed on a chip. MissingDependencyError also says where lava-loihi is absent.
    """
    kinds = _run_script(folder, samples, timeout_s, python, CHIP)
    if kinds["u"] or not (kinds["v"] or kinds["s"]):
        raise BundleError(f"{CHIP}: the outputs of the run are not usable: v or s of outputs expected; run it again")
    return ChipOutputs(kinds["v"], kinds["s"])


def _run_script(
    folder: Path, samples: int, timeout_s: float, python: str | None, machine: str
) -> dict[str, dict[str, NDArray[Any]]]:
    """Run the script on a machine and read what it leaves: u, v, s -> population -> trace."""
    n_steps = steps_of_samples(folder, samples, LAVA.vendor)
    with tempfile.TemporaryDirectory(prefix="delayline-lava-") as scratch:
        output = Path(scratch) / "traces.npz"
        arguments = ["--samples", str(samples), "--out", str(output), "--on", machine]
        ended = LAVA.run(folder, arguments, Path(scratch), timeout_s, python=python)
        reason = ended.last or "no message"
        if ended.code == MISSING and machine == CHIP and "lava-nc" not in reason:
            raise MissingDependencyError(f"{CHIP}: {reason.removeprefix('network.py: ')}")
        if ended.code == MISSING:
            raise MissingDependencyError(f"lava: {LAVA.interpreter(python)} cannot import lava-nc; {REMEDY}")
        if ended.code != 0:
            raise UnansweredError(
                f"lava: the run {ended.said()}; deploy with --no-vendor and run lava/network.py of the bundle"
            )
        return read_lava_traces(output, samples, n_steps)


def read_lava_traces(path: Path, n_samples: int, n_steps: int) -> dict[str, dict[str, NDArray[Any]]]:
    """Read what the script leaves: u, v, s -> population -> (n_samples, n_steps, n); BundleError if it is not that."""
    try:
        return read_traces(path, {"u": np.int32, "v": np.int32, "s": np.bool_}, n_samples, n_steps)
    except UNREADABLE as error:
        raise BundleError(f"lava: the traces of the run are not usable: {error}; run it again") from error
