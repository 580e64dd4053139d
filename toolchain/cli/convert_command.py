"""`delayline data convert`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from toolchain.cli.output import say

SECONDS_BETWEEN_LINES = 10.0
NAMED = 10


def run(
    folder: Path, out: Path, labels: str, causal: bool, seed: int, jobs: int | None, skip_broken: bool,
    synthetic: bool, json: bool,
) -> Any:  # fmt: skip
    """Convert a folder of WAV files to a spike file and say what was done."""
    from toolchain.datasets.cochlea.conversion import Settings, convert_folder
    from toolchain.training.backends.cpu.engine import available_cores

    started = time.monotonic()
    with _Progress() as progress:
        done = convert_folder(
            folder, out, labels=labels, settings=Settings(seed, causal), jobs=jobs or available_cores(),
            skip_broken=skip_broken, real=not synthetic, progress=progress,
        )  # fmt: skip
    listing = done.listing
    found = {
        "file": str(done.path),
        "samples": done.n_samples,
        "spikes": done.n_spikes,
        "seconds_of_sound": round(done.seconds, 3),
        "labels": list(listing.label_names),
        "labels_by": listing.scheme,
        "speakers": list(listing.speaker_names),
        "real": not synthetic,
        "seed": seed,
        "causal": causal,
        "from_cache": done.reused,
        "cache": str(done.cache),
        "skipped": [{"file": str(path), "reason": reason} for path, reason in done.skipped],
        "left_out": listing.left_out,
        "mixed_to_one_channel": done.mixed,
        "rates_hz": {str(rate): n for rate, n in done.rates_hz.items()},
        "channels_above_lowest_rate": done.channels_without_sound,
        "notes": [{"file": str(path), "note": note} for path, note in done.notes],
        "wall_seconds": round(time.monotonic() - started, 2),
    }
    return found if json else "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> list[str]:
    kind = "real recordings" if found["real"] else "synthetic"
    lines = [
        f"{found['file']}: {found['samples']} samples ({kind}), {found['spikes']} spikes, "
        f"{found['seconds_of_sound']:.1f} s of sound in {found['wall_seconds']:.1f} s",
        f"  labels      {len(found['labels'])} by {found['labels_by']}: {_some(found['labels'])}",
        f"  speakers    {len(found['speakers']) or 'not known'}{': ' if found['speakers'] else ''}"
        f"{_some(found['speakers'])}",
        f"  cache       {found['cache']}: {found['from_cache']} recordings were there, it may be deleted",
    ]
    if found["channels_above_lowest_rate"]:
        lines.append(
            f"  rate        {min(map(int, found['rates_hz']))} Hz holds nothing for the highest "
            f"{found['channels_above_lowest_rate']} of 700 channels: they hear the skirts of what is below, and fire "
            "at rest"
        )
    if found["mixed_to_one_channel"]:
        lines.append(f"  mixed       {found['mixed_to_one_channel']} recordings with several channels: their mean")
    if found["left_out"]:
        lines.append(f"  left out    {found['left_out']} files below names that start with a dot or an underscore")
    lines += [f"  SKIPPED     {entry['reason']}" for entry in found["skipped"]]
    lines += [f"  note        {entry['file']}: {entry['note']}" for entry in found["notes"][:NAMED]]
    if len(found["notes"]) > NAMED:
        lines.append(f"  note        and {len(found['notes']) - NAMED} more; --json lists all")
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


class _Progress:
    """Recordings done: a bar on a terminal, a line every ten seconds elsewhere; both on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("recordings"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn(),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            say(f"  {done}/{total} recordings")
