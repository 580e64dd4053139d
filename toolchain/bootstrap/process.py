"""Run a command with a time limit, and say in one line why it failed.

Every command of the set-up runs here: in a process group of its own, so that a time limit or Ctrl-C
ends the whole of it, its children too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import Any, Mapping, NamedTuple, Sequence

EXIT_BAD_INPUT = 2
EXIT_MISSING = 4

TIMED_OUT = 124
NOT_STARTED = 126
REASON_LENGTH = 300


class SetupError(Exception):
    """What stops the set-up, in one line: object, value, limit, remedy.

    Parameters
    ----------
    message : the line, without the `set-up:` that goes before it
    exit_code : 2 for bad input, 4 for a missing dependency
    """

    def __init__(self, message: str, exit_code: int = EXIT_MISSING) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Result(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.returncode == 0

    def reason(self) -> str:
        """Return the line of the output that says what went wrong.

        pip says so in its last line. uv says what it was doing in its first `error:` line and why that
        failed in its last `cause:` line.
        """
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        telling = [line for line in lines if line.lower().startswith(("error:", "cause:"))]
        said = telling[:1] + telling[1:][-1:] or lines[-1:] or [f"exit status {self.returncode}"]
        text = "; ".join(line.partition(":")[2].strip() if line in telling else line for line in said)
        text = text.rstrip(".")
        return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 3] + "..."


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> Result:
    """Run a command to its end or to its time limit; never raise for what the command does.

    Parameters
    ----------
    argv : the command and its arguments
    timeout : seconds after which the command and its children are killed
    env : its environment; this process's own if None
    keep_open : file descriptors that the command inherits

    Returns
    -------
    Result
        With return code 124 where the time limit was reached, 126 where the command cannot be started.
    """
    held = _HeldSignals()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=None if env is None else dict(env),
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    except OSError as error:
        held.release()
        return Result(NOT_STARTED, "", str(error))
    except BaseException:
        held.release()
        raise
    with process:
        try:
            held.release()
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return Result(TIMED_OUT, "", f"no answer within {timeout:g} s")
        except BaseException:
            # Ctrl-C reaches this process alone, since the command has a group of its own.
            _kill_group(process)
            raise
    return Result(process.returncode, stdout, stderr)


class _HeldSignals:
    """From now on signals that end this process wait, so that none falls between a command and the code that ends it.

    The command itself does not inherit that. Only the main thread gets signals.
    """

    def __init__(self) -> None:
        self._arrived: list[int] = []
        self._before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, lambda arrived, frame: self._arrived.append(arrived))

    def release(self) -> None:
        """Deliver what has arrived, to those who waited for it before."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for arrived in self._arrived:
            signal.raise_signal(arrived)


def _kill_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        process.kill()
