"""What a command leaves behind when the one that runs it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from toolchain.bootstrap import process


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_between_the_start_of_a_command_and_its_watch_ends_it(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, raised: type[BaseException]
) -> None:
    started: list[subprocess.Popen[str]] = []

    class InterruptedPopen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), number)

    def stop(arrived: int, frame: object) -> None:
        raise SystemExit(128 + arrived)

    monkeypatch.setattr(subprocess, "Popen", InterruptedPopen)
    handler = signal.default_int_handler if number == signal.SIGINT else stop
    before = signal.signal(number, handler)
    try:
        with pytest.raises(raised):
            process.run(["sleep", "60"], timeout=50)
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)
    assert started[0].returncode == -signal.SIGKILL


def test_handlers_are_as_before_after_a_command_and_after_one_that_does_not_exist() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert process.run(["true"], timeout=10).ok
    assert process.run(["/nowhere/no-such-command"], timeout=10).returncode == process.NOT_STARTED
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
