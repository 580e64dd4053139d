"""What is passed on of the last words of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hardware_targets.vendor_process import run_session


def test_a_framed_message_is_its_words(tmp_path: Path) -> None:
    code = "import sys; print('****\\nname your board\\n******\\n', file=sys.stderr); sys.exit(3)"
    ended = run_session([sys.executable, "-c", code], tmp_path, 20.0)
    assert (ended.code, ended.said()) == (3, "failed with exit code 3: name your board")


def test_a_session_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Killed outright, it can end nothing itself: a guard does, and the session has forked by then."""
    started = "import os, sys, time; os.fork(); open(sys.argv[1] + str(os.getpid()), 'w').close(); time.sleep(100)"
    ours = (
        "import sys; from pathlib import Path; from hardware_targets.vendor_process import run_session; "
        "run_session([sys.executable, '-c', sys.argv[1], sys.argv[2] + '/pid-'], Path(sys.argv[2]), 100)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen([sys.executable, "-c", ours, started, str(tmp_path)], env=environment)
    deadline = time.monotonic() + 30
    while len(pids := [int(p.name[4:]) for p in tmp_path.glob("pid-*")]) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(pids) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()

    def running(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(running, pids))
