"""Run a device in a process of its own: limit its time, start it again when it dies, lose no finished sample.

A run that dies or hangs is tried again with half as many samples, down to one, and that one `TRIES` times: so a crash
that has nothing to do with the samples is overcome, and one that has names its sample.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain import __version__, errors
from toolchain.datasets import Samples
from toolchain.deployment.abilities import TableComparison
from toolchain.deployment.bundle import MANIFEST
from toolchain.deployment.target import Traces
from toolchain.devices import worker
from toolchain.devices.device import Device, TableDevice
from toolchain.devices.journal import Journal, Results, open_journal
from toolchain.devices.process import how_it_ended, started
from toolchain.devices.worker import ERROR, TABLES, TRACES, Job
from toolchain.errors import DelaylineError, UnansweredError

Say = Callable[[str], None]
TRIES = 3
START_S = 120.0
"""What a worker may take beyond the limit of a run: it imports, reads the bundle and loads the data."""
POLL_S = 0.05
HUNG = "gave no result within"


@dataclass(frozen=True)
class Work:
    """A bundle, the samples that devices run, and how long one run of a device may take.

    Attributes
    ----------
    bundle : its folder
    set_name, samples : which samples; the first ones are run
    timeout_s : wall time of one run of a device
    """

    bundle: Path
    set_name: str
    samples: Samples
    timeout_s: float

    def folder(self, device: str) -> Path:
        """Journal of a device; its name may hold anything."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in device)
        return self.bundle / "validation" / self.set_name / safe

    def about(self, device: Device | TableDevice, name: str) -> dict[str, Any]:
        """What results of a device that is found by this name belong to."""
        spikes, digest = self.samples.spikes, hashlib.sha256()
        for array in (spikes.times, spikes.units, spikes.offsets, self.samples.labels):
            digest.update(array.tobytes())
        return {
            "bundle": hashlib.sha256((self.bundle / MANIFEST).read_bytes()).hexdigest(),
            "device": name,
            "about": device.about,
            "version": __version__,
            "data": digest.hexdigest(),
        }


def run_device(work: Work, device: Device, name: str, n: int, say: Say, *, anew: bool = False) -> Results:
    """Results of the first `n` samples, those that the journal has included.

    Parameters
    ----------
    name : by which a worker finds the device
    anew : forget what the journal has

    Raises
    ------
    DelaylineError
        What the device raised, or UnansweredError if it died or hung again and again; what was finished stays.
    InputError
        If another process works on the same journal.
    """
    with open_journal(work.folder(device.name), work.about(device, name), anew=anew) as (journal, changed):
        if changed:
            say(f"{device.name}: forget earlier results, which belong to another {changed}")
        results = journal.read(n)
        if results.prediction.size:
            say(f"{device.name}: {results.prediction.size} of {n} samples are there already")
        while results.prediction.size < n:
            _finish(journal, work, device, name, n, say)
            results = journal.read(n)
    return results


def look_into(work: Work, device: Device, name: str, samples: list[int]) -> list[Traces]:
    """Traces of single samples; errors as `run_device`."""
    with open_journal(work.folder(device.name), work.about(device, name)) as (journal, _):
        wanted = [s for s in samples if not (journal.folder / TRACES.format(sample=s)).exists()]
        if wanted:
            _patiently(lambda: _one_worker(journal, work, name, [], wanted, lambda: None), device.name)
        return [worker.read_traces(journal.folder / TRACES.format(sample=s)) for s in samples]


def compare_tables(work: Work, device: TableDevice, name: str, *, anew: bool = False) -> TableComparison:
    """What a device that runs nothing makes of the bundle's tables; errors as `run_device`."""
    with open_journal(work.folder(device.name), work.about(device, name), anew=anew) as (journal, _):
        path = journal.folder / TABLES
        if not path.exists():
            _patiently(lambda: _one_worker(journal, work, name, [], [], lambda: None), device.name)
        return TableComparison(**json.loads(path.read_text(encoding="utf-8")))


def _finish(journal: Journal, work: Work, device: Device, name: str, n: int, say: Say) -> None:
    """Start workers until nothing is missing."""
    at_once, tries = device.at_once, 0
    while missing := journal.missing(n, at_once):
        before = journal.finished(n)

        def progress() -> None:
            say(f"{device.name}: {journal.finished(n)} of {n} samples")

        failure = _one_worker(journal, work, name, missing, [], progress)
        if failure is None:
            continue
        if journal.finished(n) > before:
            tries = 0
            say(f"{device.name}: {failure}; start it again")
            continue
        tries += at_once == 1
        if tries == TRIES:
            first, kept = missing[0][0], journal.finished(n)
            longer = f", or raise --vendor-timeout {work.timeout_s:g}" if failure.startswith(HUNG) else ""
            raise UnansweredError(
                f"{device.name}: on sample {first} of {work.set_name} it {failure}, {TRIES} times; {kept} finished "
                f"samples are kept; see to the device, or ask for fewer with --samples{longer}"
            )
        at_once = max(1, at_once // 2)
        say(f"{device.name}: {failure}; start it again, {at_once} samples at a time")


def _patiently(attempt: Callable[[], str | None], device: str) -> None:
    """Try again what dies."""
    failure: str | None = None
    for _ in range(TRIES):
        if (failure := attempt()) is None:
            return
    raise UnansweredError(f"{device}: it {failure}, {TRIES} times; `delayline doctor` says what is installed")


def _one_worker(
    journal: Journal,
    work: Work,
    name: str,
    ranges: list[tuple[int, int]],
    looked_into: list[int],
    progress: Callable[[], None],
) -> str | None:
    """Let one worker do as much as it can; returns how it failed, None if it did all.

    Raises
    ------
    DelaylineError
        What the worker gave as a reason, unless it is that something did not answer: that may be otherwise next time.
    """
    error_file = journal.folder / ERROR
    error_file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="delayline-worker-") as scratch:
        job = Path(scratch) / "job.json"
        folder = str(journal.folder.resolve())
        Job(
            str(work.bundle.resolve()), name, work.set_name, folder, ranges, looked_into, work.timeout_s, os.getpid()
        ).write(job)
        output = Path(scratch) / "output"
        with started(worker.__name__, [str(job)], output, [journal.lock]) as process:
            hung = not _watched(process, journal, work.timeout_s + START_S, progress)
            code = None if hung else process.returncode
        ended = "" if code is None else how_it_ended(code, output)
    if code is None:
        return f"{HUNG} {work.timeout_s:g} s"
    if code == 0:
        # A device can end its process: what it was started for must be there, too.
        return None if _all_there(journal, ranges, looked_into) else f"{ended} without a result"
    if not error_file.exists():
        return ended
    reason = json.loads(error_file.read_text(encoding="utf-8"))
    error_file.unlink()
    kind = getattr(errors, reason["type"], DelaylineError)
    if kind is UnansweredError:
        return f"failed ({reason['message']})"
    raise kind(reason["message"])


def _all_there(journal: Journal, ranges: list[tuple[int, int]], looked_into: list[int]) -> bool:
    """Whether a worker left what it was started for."""
    if ranges:
        return set(ranges) <= set(journal.ranges())
    wanted = [TRACES.format(sample=s) for s in looked_into] or [TABLES]
    return all((journal.folder / name).exists() for name in wanted)


def _watched(process: subprocess.Popen[bytes], journal: Journal, limit_s: float, progress: Callable[[], None]) -> bool:
    """Wait for the end of a process; False if it left nothing new for too long."""
    seen, since = len(journal.ranges()), time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_S)
        if (now := len(journal.ranges())) != seen:
            seen, since = now, time.monotonic()
            progress()
        if time.monotonic() - since > limit_s:
            return False
    return True
