"""What a listener of `toolchain.datasets.making` shows: a bar on a terminal, on anything else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from toolchain.cli.output import say

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def shown_making() -> Iterator[None]:
    """Show what is made inside, on standard error."""
    from toolchain.datasets.making import listening

    if not sys.stderr.isatty():
        with listening(_lines()):
            yield
        return
    bars = _Bars()
    try:
        with listening(bars):
            yield
    finally:
        bars.close()


def _lines() -> Callable[[str, int, int], None]:
    """First and last, and in between one every half minute."""
    last = -SECONDS_BETWEEN_LINES

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done == total:
            say(f"  making {what}: {done} of {total}")
            last = now

    return show


class _Bars:
    """One bar for each thing that is made; nothing of it is loaded until something is."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("making {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)

    def close(self) -> None:
        """Take the bars away."""
        if self._progress is not None:
            self._progress.stop()
