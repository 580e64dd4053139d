"""Run the command in this process, as the console script does."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from toolchain.cli import main


@dataclass(frozen=True)
class Finished:
    """Exit code and both streams of a command."""

    code: int
    out: str
    err: str


def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Finished:
    """Call the command with these arguments."""
    monkeypatch.setattr(sys, "argv", ["delayline", *arguments])
    capsys.readouterr()
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    streams = capsys.readouterr()
    return Finished(code, streams.out, streams.err)
