"""Ends a session of processes when whoever started it is gone, however that ended; run as a script, by path.

    python session_guard.py SESSION < pipe

The pipe comes from the process that started the session. A word on it: all is well, leave the session alone. Its end
without a word: that process died, and nothing of the session may go on working for nobody.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def end_session(session: int) -> None:
    """SIGKILL for every process of a session; without /proc for the group of its leader."""
    if not Path("/proc/self/stat").exists():
        os.killpg(session, signal.SIGKILL)
        return
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue


if __name__ == "__main__":
    if not sys.stdin.buffer.read():
        end_session(int(sys.argv[1]))
