"""What is passed on of the last words of a process."""

from __future__ import annotations

import sys
from pathlib import Path

from hardware_targets.vendor_process import run_session


def test_a_framed_message_is_its_words(tmp_path: Path) -> None:
    code = "import sys; print('****\\nname your board\\n******\\n', file=sys.stderr); sys.exit(3)"
    ended = run_session([sys.executable, "-c", code], tmp_path, 20.0)
    assert (ended.code, ended.said()) == (3, "failed with exit code 3: name your board")
