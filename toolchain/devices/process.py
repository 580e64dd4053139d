"""Processes that devices run in: started in a session of their own, ended with all that they have started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CODE = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {module} import run; run()"
"""A process finds modules where we do. PYTHONPATH would say so as well, and to a vendor's interpreter too."""


@contextmanager
def started(
    module: str, arguments: Sequence[str], output: Path, pass_fds: Sequence[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that calls ``run`` of a module; it and what it has forked are gone at the end.

    Parameters
    ----------
    arguments : its command line
    output : file for all that it prints
    pass_fds : descriptors that it inherits
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE.format(module=module), json.dumps(sys.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
        try:
            yield process
        finally:
            end_group(process.pid)
            process.wait()


def end_group(leader: int) -> None:
    """SIGKILL for a process that leads a session, and for all that it has forked there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def how_it_ended(code: int, output: Path) -> str:
    """An exit code or signal, and the last line that was printed: ``died of signal 9 (...)``."""
    how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
    lines = [line.strip() for line in output.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line]
    # A progress bar leaves control characters, which neither a terminal nor a JUnit file should get.
    last = "".join(c if c.isprintable() else " " for c in said[-1])[:300] if said else ""
    return f"{how} ({last})" if last else how
