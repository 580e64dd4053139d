"""Listeners that show how training goes."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from toolchain.cli.output import say

SECONDS_BETWEEN_LINES = 10.0


class Bar:
    """A bar over all epochs with loss, accuracy and the time left; on a terminal only."""

    def __init__(self, epochs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._epochs = epochs
        self._valid = ""
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  train {task.fields[train]:.1%}{task.fields[valid]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(
            "", total=float(epochs), epoch=0, epochs=epochs, loss=float("nan"), train=0.0, valid=""
        )

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def batch(self, epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
        """Move the bar."""
        self._progress.update(
            self._task, completed=epoch - 1 + done / total, epoch=epoch, loss=loss, train=accuracy, valid=self._valid
        )

    def epoch(self, line: dict[str, Any]) -> None:
        """Remember the validation accuracy."""
        self._valid = f"  valid {line['valid_accuracy']:.1%}"


class Lines:
    """A line at most every ten seconds and after the last epoch, for logs."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._last = time.monotonic()
        self._started = self._last
        self._first_epoch: int | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        pass

    def batch(self, epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
        """Nothing within an epoch."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Say so if it is time."""
        now = time.monotonic()
        epoch = line["epoch"]
        self._first_epoch = epoch if self._first_epoch is None else self._first_epoch
        if now - self._last < SECONDS_BETWEEN_LINES and epoch != self._epochs:
            return
        self._last = now
        left = (now - self._started) / (epoch - self._first_epoch + 1) * (self._epochs - epoch)
        say(
            f"  epoch {epoch}/{self._epochs}  loss {line['train_loss']:.4f}  train {line['train_accuracy']:.1%}  "
            f"valid {line['valid_accuracy']:.1%}  {left:.0f} s left"
        )
