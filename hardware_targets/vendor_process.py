"""A vendor's code in a process of its own: a session with a time limit, of which nothing is left at the end.

Vendor code may hang, fork, or die; none of it runs inside our process. Output goes to files, not pipes: a forked
process that outlives its parent would keep a pipe open.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hardware_targets import session_guard

GRACE_S = 5.0
_WORD = re.compile(r"\w")
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b")


@dataclass(frozen=True)
class Ended:
    """How a session ended.

    Attributes
    ----------
    code : exit code, negative for a signal; None if it ran past its limit
    last : last line on standard error, or of an exception or progress where it ran past its limit; may be empty
    """

    code: int | None
    last: str

    def said(self) -> str:
        """How it failed and its last words, for a message."""
        code = self.code or 0
        how = f"died of signal {-code}" if code < 0 else f"failed with exit code {code}"
        return f"{how}: {self.last or 'no message'}"


def run_session(
    command: list[str], scratch: Path, timeout_s: float, *, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run a command in a session of its own and leave no process of it behind, not even if ours is killed.

    Parameters
    ----------
    scratch : folder in which it runs and its output is kept
    timeout_s : limit on the wall time, seconds
    environment : that of the process; ours if left out

    Raises
    ------
    OSError
        If the command cannot be started.
    """
    with (scratch / "stdout").open("w+b") as stdout, (scratch / "stderr").open("w+b") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=scratch,
            env=environment,
            start_new_session=True,
        )
        guard = _guard(process.pid)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # A script that failed may still wait for the processes it forked: its error says more.
            error_line, progress = _last_line(stderr), _last_line(stdout)
            return Ended(None, error_line if _EXCEPTION.match(error_line) else progress)
        finally:
            reason = _last_line(stderr)
            _end_session(process)
            guard.communicate(b"ended")
        return Ended(code, reason)


def _guard(session: int) -> subprocess.Popen[bytes]:
    """A process that ends a session should ours be killed."""
    # Without site packages it starts in a hundredth of a second.
    command = [sys.executable, "-IS", session_guard.__file__, str(session)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def version_in(python: str, package: str) -> str | None:
    """Version of a package in an interpreter, None where it is absent; imports nothing of it.

    Raises
    ------
    OSError, subprocess.TimeoutExpired
        If another interpreter than ours does not start or does not answer.
    """
    if python == sys.executable:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None
    question = [python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]
    answer = subprocess.run(question, capture_output=True, text=True, timeout=20, check=False)
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Stop what is left of a session: SIGTERM, a grace period, SIGKILL.

    Python's resource tracker lives in the session too. It ignores SIGTERM, removes the shared memory of
    the others once they are gone and then ends by itself, so it is given time before it is killed.
    """
    session = process.pid
    if process.poll() is not None and _wait_until_gone(session, process, 1.0):
        return
    _signal_all(session, signal.SIGTERM, _members(session))
    if not _wait_until_gone(session, process, GRACE_S):
        others = [pid for pid in _members(session) if not _is_resource_tracker(pid)]
        _signal_all(session, signal.SIGKILL, others)
        if not _wait_until_gone(session, process, GRACE_S):
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
    # Python's resource tracker has the last word in any process that dies with shared memory, and a frame of asterisks
    # around a message says nothing.
    said = [line.strip() for line in lines if _WORD.search(line) and "resource_tracker" not in line]
    return "".join(c if c.isprintable() else " " for c in said[-1])[:300] if said else ""
