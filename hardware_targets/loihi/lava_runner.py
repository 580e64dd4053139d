"""Run an exported Lava folder in its own process, with a time limit, and read the traces it leaves.

`run_lava` simulates it on the CPU, `run_on_chip` runs it on Loihi 2. Not executed: the second has been run with
stand-ins for lava-loihi only.

Lava forks one process of the operating system for each process of the network, and an exception in one
of them makes the caller hang for ever without a word. So Lava never runs inside our process: it gets a
session of its own, a limit, and whatever is left of it at the end is stopped. The interpreter may be
another one than ours (`DELAYLINE_LAVA_PYTHON`), because lava-nc is published for Python 3.10 only.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import BundleError, InputError, MissingDependencyError

INTERPRETER_VARIABLE = "DELAYLINE_LAVA_PYTHON"
REMEDY = (
    f"`pip install lava-nc==0.10.0` into a Python 3.10 and set {INTERPRETER_VARIABLE} to it, or deploy with --no-vendor"
)
_MISSING = 4  # exit code of the exported script
CHIP = "loihi2"
_GRACE_S = 5.0
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b")
_UNREADABLE = (OSError, KeyError, ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile)


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
    python = _interpreter(python)
    script = folder.resolve() / "network.py"
    if not script.is_file():
        raise BundleError(f"bundle {folder}: network.py is missing; deploy again")
    n_samples, n_steps = _read_extent(folder / "samples.npz")
    if not 1 <= samples <= n_samples:
        raise InputError(f"lava: {samples} samples asked for, the folder has {n_samples}; ask for 1..{n_samples}")
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise InputError(f"lava: --vendor-timeout {timeout_s} must be finite and above 0 s")
    with tempfile.TemporaryDirectory(prefix="delayline-lava-") as scratch:
        output = Path(scratch) / "traces.npz"
        command = [python, str(script), "--samples", str(samples), "--out", str(output), "--on", machine]
        _run_session(command, Path(scratch), timeout_s)
        return _read_traces(output, samples, n_steps)


def lava_version() -> str | None:
    """Version of lava-nc where it would run, or None; imports nothing of Lava."""
    return _find_version(_interpreter(None))[0]


def lava_status() -> str:
    """One line for `doctor`: the version and the interpreter, or what is missing and the remedy."""
    python = _interpreter(None)
    version, problem = _find_version(python)
    return f"lava-nc {version} in {python}" if version else problem


def _find_version(python: str) -> tuple[str | None, str]:
    """Version of lava-nc in an interpreter, or None and why not."""
    missing = f"lava-nc is not installed in {python}; {REMEDY}"
    if python == sys.executable:
        try:
            return importlib.metadata.version("lava-nc"), ""
        except importlib.metadata.PackageNotFoundError:
            return None, missing
    question = [python, "-c", "import importlib.metadata as m; print(m.version('lava-nc'))"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        name = type(error).__name__
        return None, f"{INTERPRETER_VARIABLE}={python} does not run ({name}); name a Python interpreter"
    version = answer.stdout.strip()
    return (version, "") if answer.returncode == 0 and version else (None, missing)


def _interpreter(python: str | None) -> str:
    return python or os.environ.get(INTERPRETER_VARIABLE) or sys.executable


def _run_session(command: list[str], scratch: Path, timeout_s: float) -> None:
    """Run a command in a session of its own and leave no process of it behind, whatever happens."""
    # Files, not pipes: a forked process that outlives the script would keep a pipe open.
    with (scratch / "stdout").open("w+b") as stdout, (scratch / "stderr").open("w+b") as stderr:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=scratch,
                start_new_session=True,
            )
        except OSError as error:
            raise MissingDependencyError(
                f"lava: interpreter {command[0]} does not start ({error.strerror}); {REMEDY}"
            ) from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # A script that failed may still wait for the processes it forked: its error says more.
            error_line, progress = _last_line(stderr), _last_line(stdout)
            last = error_line if _EXCEPTION.match(error_line) else progress
            raise MissingDependencyError(
                f"lava: no result after the limit of {timeout_s:g} s{f' (last: {last})' if last else ''}; "
                "raise it with --vendor-timeout or run fewer samples"
            ) from None
        finally:
            reason = _last_line(stderr) or "no message"
            _end_session(process)
        if code == _MISSING and CHIP in command and "lava-nc" not in reason:
            raise MissingDependencyError(f"{CHIP}: {reason.removeprefix('network.py: ')}")
        if code == _MISSING:
            raise MissingDependencyError(f"lava: {command[0]} cannot import lava-nc; {REMEDY}")
        if code != 0:
            how = f"died of signal {-code}" if code < 0 else f"failed with exit code {code}"
            raise MissingDependencyError(
                f"lava: the run {how}: {reason}; deploy with --no-vendor and run lava/network.py of the bundle"
            )


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Stop what is left of a session: SIGTERM, a grace period, SIGKILL.

    Python's resource tracker lives in the session too. It ignores SIGTERM, removes the shared memory of
    the others once they are gone and then ends by itself, so it is given time before it is killed.
    """
    session = process.pid
    if process.poll() is not None and _wait_until_gone(session, process, 1.0):
        return
    _signal_all(session, signal.SIGTERM, _members(session))
    if not _wait_until_gone(session, process, _GRACE_S):
        others = [pid for pid in _members(session) if not _is_resource_tracker(pid)]
        _signal_all(session, signal.SIGKILL, others)
        if not _wait_until_gone(session, process, _GRACE_S):
            _signal_all(session, signal.SIGKILL, _members(session))
            _wait_until_gone(session, process, 1.0)
    process.poll()


def _members(session: int) -> list[int]:
    """Processes of a session that still run; zombies are done. Without /proc: the leader's group."""
    members = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # The name of the program stands in brackets and may hold anything; what follows is fixed.
            state, _, _, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(sid) == session and state not in "ZX":
            members.append(int(entry.name))
    return members


def _is_resource_tracker(pid: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _signal_all(session: int, number: signal.Signals, members: list[int]) -> None:
    if Path("/proc/self/stat").exists():
        for pid in members:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
    else:
        try:
            os.killpg(session, number)
        except (ProcessLookupError, PermissionError):
            return


def _wait_until_gone(session: int, process: subprocess.Popen[bytes], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    has_proc = Path("/proc/self/stat").exists()
    while True:
        process.poll()  # reaps the leader
        if has_proc:
            gone = not _members(session)
        else:
            try:
                os.killpg(session, 0)
                gone = False
            except (ProcessLookupError, PermissionError):
                gone = True
        if gone or time.monotonic() > deadline:
            return gone
        time.sleep(0.02)


def _last_line(file: IO[bytes]) -> str:
    """Last line of a stream that says something, cut to what fits a message."""
    file.flush()
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8192))
    lines = file.read().decode("utf-8", "replace").splitlines()
    # Python's resource tracker has the last word in any process that dies with shared memory.
    said = [line.strip() for line in lines if line.strip() and "resource_tracker" not in line]
    return "".join(c if c.isprintable() else " " for c in said[-1])[:300] if said else ""


def _read_extent(path: Path) -> tuple[int, int]:
    """Number of samples and of steps of ``samples.npz``."""
    try:
        with zipfile.ZipFile(path) as archive:
            n_steps = _read_entry(archive, archive.getinfo("n_steps.npy"))
            offsets = _read_entry(archive, archive.getinfo("offsets.npy"))
    except _UNREADABLE as error:
        raise BundleError(f"bundle {path}: not usable: {error}; deploy again") from error
    if n_steps.shape != () or n_steps.dtype.kind not in "iu" or n_steps < 1 or offsets.ndim != 1 or offsets.size < 2:
        raise BundleError(f"bundle {path}: n_steps or offsets are not those of a set of samples; deploy again")
    return offsets.size - 1, int(n_steps)


def _read_traces(path: Path, n_samples: int, n_steps: int) -> dict[str, dict[str, NDArray[Any]]]:
    """Read what there is of u, v and s and check types and shapes."""
    kinds: dict[str, dict[str, NDArray[Any]]] = {"u": {}, "v": {}, "s": {}}
    types = {"u": np.dtype(np.int32), "v": np.dtype(np.int32), "s": np.dtype(np.bool_)}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                kind, _, name = entry.filename.removesuffix(".npy").partition("/")
                if kind == "prediction" and not name:
                    continue  # the same is worked out from the traces
                if kind not in kinds or not name:
                    raise ValueError(f"unexpected entry {entry.filename!r}")
                trace = _read_entry(archive, entry)
                if trace.dtype != types[kind] or trace.ndim != 3 or trace.shape[:2] != (n_samples, n_steps):
                    raise ValueError(
                        f"entry {entry.filename!r} is {trace.dtype} of shape {trace.shape}, "
                        f"expected {types[kind]} of ({n_samples}, {n_steps}, neurons)"
                    )
                kinds[kind][name] = trace
    except _UNREADABLE as error:
        raise BundleError(f"lava: the traces of the run are not usable: {error}; run it again") from error
    return kinds


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """One array of an uncompressed archive; allocates no more than the file really holds."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"entry {entry.filename!r} is compressed")
    npy: Any = np.lib.format  # without types before numpy 2
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"entry {entry.filename!r} has format {version}")
        shape, fortran, dtype = npy.read_array_header_1_0(file)
        if dtype.hasobject or fortran:
            raise ValueError(f"entry {entry.filename!r} is {dtype}, must be plain numbers row by row")
        size = math.prod(shape) * dtype.itemsize
        data = file.read(size + 1) if size <= entry.file_size else b""
        if len(data) != size:
            raise ValueError(f"entry {entry.filename!r} does not hold what its shape {shape} says")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
