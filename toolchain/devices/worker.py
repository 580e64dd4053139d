"""The process that runs a device; whatever happens to it, what it has finished stays.

`supervisor` writes the job and starts it. For every range of samples it leaves a file in the journal. If it fails for a
reason that has a name, ``error.json`` has it. It ends when the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Dataset, Samples, load_dataset
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.target import Traces
from toolchain.devices.answer import checked
from toolchain.devices.device import Deployed, Device, DeviceRun, TableDevice
from toolchain.devices.finding import find_device
from toolchain.devices.fingerprint import QUANTITIES, fingerprints
from toolchain.devices.journal import Journal, Results
from toolchain.devices.process import end_group
from toolchain.errors import DelaylineError, InputError
from toolchain.storage import load_arrays, save_arrays, write_json

ERROR, TABLES, TRACES = "error.json", "tables.json", "traces-{sample}.safetensors"
KEPT = (*QUANTITIES, "currents")
SETS = ("test", "valid", "train")
NOTHING = Traces({}, {}, {})
WATCHED_EVERY_S = 0.5


@dataclass(frozen=True)
class Job:
    """What a worker has to do.

    Attributes
    ----------
    bundle, device, set : which bundle on which device with which samples
    journal : folder to leave results in
    ranges : first and end of each run of samples
    looked_into : samples whose traces are wanted, each in a file of its own; nothing else is done then
    timeout_s : wall time of one run
    parent : process that waits for the results
    """

    bundle: str
    device: str
    set: str
    journal: str
    ranges: list[tuple[int, int]]
    looked_into: list[int]
    timeout_s: float
    parent: int

    def write(self, path: Path) -> None:
        """Write it for `main`."""
        write_json(path, asdict(self))


def samples_of(dataset: Dataset, name: str) -> Samples:
    """One of the sets of a dataset; InputError if it is empty."""
    if name not in SETS:
        raise InputError(f"--set {name}: is none of {', '.join(SETS)}; give one of them")
    chosen: Samples = getattr(dataset, name)
    if chosen.labels.size == 0:
        raise InputError(f"--set {name}: this dataset has no such samples; give another")
    return chosen


def main(job_file: Path) -> int:
    """Do a job; returns the exit code."""
    entries = json.loads(job_file.read_text(encoding="utf-8"))
    job = Job(**{**entries, "ranges": [(int(a), int(b)) for a, b in entries["ranges"]]})
    end_with(job.parent)
    try:
        bundle = read_bundle(Path(job.bundle))
        device = find_device(job.device, bundle.target)
        _work(job, bundle, device)
    except DelaylineError as error:
        write_json(Path(job.journal) / ERROR, {"type": type(error).__name__, "message": str(error)})
        return error.exit_code
    return 0


def _work(job: Job, bundle: Bundle, device: Device | TableDevice) -> None:
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe, bundle.request)
    folder = Path(job.journal)
    if isinstance(device, TableDevice):
        compared = device.compare(deployed, bundle.path / bundle.target.vendor, timeout_s=job.timeout_s)
        write_json(folder / TABLES, asdict(compared))
        return
    recipe = bundle.recipe
    chosen = samples_of(load_dataset(recipe.dataset.task, recipe.dataset.options), job.set)

    def asked(first: int, end: int, traces: bool) -> DeviceRun:
        part = _part(chosen, first, end)
        run = device.run(deployed, part, traces=traces, timeout_s=job.timeout_s)
        return checked(run, deployed, part, device.name, first=first)

    for sample in job.looked_into:
        write_traces(folder / TRACES.format(sample=sample), asked(sample, sample + 1, True).traces or NOTHING)
    journal = Journal(folder)
    for first, end in job.ranges:
        started = time.monotonic()
        run = asked(first, end, device.exact)
        seconds = time.monotonic() - started
        prints = {} if run.traces is None else fingerprints(run.traces)
        journal.keep(first, Results(run.prediction, prints, run.overflows, seconds, end - first, _peak_bytes()))


def _peak_bytes() -> int:
    """Most memory that this process has had, of which the system counts kilobytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _part(samples: Samples, first: int, end: int) -> Samples:
    return Samples(samples.spikes.select(range(first, end)), samples.labels[first:end])


def write_traces(path: Path, traces: Traces) -> None:
    """Keep traces; `read_traces` reads them back."""
    save_arrays(path, {f"{kind}/{name}": a for kind in KEPT for name, a in getattr(traces, kind).items()}, {})


def read_traces(path: Path) -> Traces:
    """What `write_traces` wrote."""
    kinds: dict[str, dict[str, NDArray[Any]]] = {kind: {} for kind in KEPT}
    for key, values in load_arrays(path, what="traces")[0].items():
        kind, _, name = key.partition("/")
        kinds[kind][name] = values
    return Traces(**kinds)


def together(parts: Sequence[Traces]) -> Traces:
    """Traces of several runs as of one."""

    def joined(kind: str, axis: int) -> dict[str, NDArray[Any]]:
        of = [getattr(part, kind) for part in parts]
        return {name: np.concatenate([p[name] for p in of], axis=axis) for name in of[0]}

    return Traces(joined("u", 0), joined("v", 0), joined("spikes", 0), joined("currents", 1))


def end_with(parent: int, end: Callable[[], None] | None = None) -> None:
    """End this process and what it has forked once the one that waits for it is gone: nobody else may go on by then."""
    end = end or (lambda: end_group(os.getpid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCHED_EVERY_S)
        end()

    threading.Thread(target=watch, daemon=True).start()


def run() -> None:
    """Do the job that is named on the command line, and end."""
    raise SystemExit(main(Path(sys.argv[1])))
