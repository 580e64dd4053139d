"""Run a PyNN network on samples and read the class of each, or map it on a virtual board.

`network.py` beside this file builds the network and calls `main`. **Not executed on a board**: what follows a run was
tested with a stand-in for sPyNNaker that computes in the chip's integers; the mapping with sPyNNaker's virtual board.

Ticks. A spike source spikes in tick 0 of a sample where the sample has a spike in step 0. sPyNNaker records v before a
tick changes it: what it has for tick t is v at the end of tick t - 1. So a sample runs a tick longer than it has steps,
and its v is taken from tick 1 on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from class_reading import classify  # type: ignore[import-not-found]
from spynnaker_samples import BAD_INPUT, FAILED, MISSING, Samples, load, np, save, stop  # type: ignore[import-not-found]
from spynnaker_virtual import map_virtually, use_virtual_board  # type: ignore[import-not-found]

ONE = 1 << 15
"""1 mV in s16.15, the numbers of the chip."""
BETWEEN = "between samples"
"""Name of the source that brings all neurons back to rest."""


class Run:
    """One run of the network: some samples, each in its place on the time line.

    Attributes
    ----------
    about : what network.json says
    starts : first tick of each sample
    kicks : ticks at which `between samples` spikes; empty where a run has one sample
    ticks : length of the run
    populations : name -> PyNN population, filled by `build`
    """

    def __init__(self, about: dict[str, Any], samples: Samples, chosen: list[int], quiet: int) -> None:
        self.about, self.samples, self.chosen = about, samples, chosen
        self.dt_ms: float = about["dt_ms"]
        self.populations: dict[str, Any] = {}
        gap = quiet + about["clearing"]["settle"] if len(chosen) > 1 else 1
        period = samples.n_steps + gap
        self.starts = [i * period for i in range(len(chosen))]
        self.ticks = self.starts[-1] + samples.n_steps + 1
        self.kicks = [start + samples.n_steps + quiet for start in self.starts[:-1]]

    def spike_times(self, first: int, size: int) -> list[Any]:
        """Times in ms at which units `first` to `first + size - 1` spike, one list a unit."""
        ticks: list[list[int]] = [[] for _ in range(size)]
        for start, sample in zip(self.starts, self.chosen):  # noqa: B905
            for time, unit in zip(*self.samples.of(sample)):  # noqa: B905
                if first <= unit < first + size:
                    ticks[unit - first].append(start + int(time))
        return [[tick * self.dt_ms for tick in of] for of in ticks]

    def prepare(self, sim: Any, build: Callable[..., None], arrays: dict[str, Any]) -> None:
        """Build the network in a fresh simulator and say what is recorded."""
        sim.setup(self.dt_ms)
        build(sim, arrays, self)
        if self.kicks:
            times = [[tick * self.dt_ms for tick in self.kicks]]
            source = sim.Population(1, sim.SpikeSourceArray(spike_times=times), label=BETWEEN)
            for name, weight in self.about["clearing"]["nA"].items():
                rows = [[0, j, -weight, self.dt_ms] for j in range(self.about["simulated"][name])]
                sim.Projection(
                    source,
                    self.populations[name],
                    sim.FromListConnector(rows, column_names=["weight", "delay"]),
                    sim.StaticSynapse(),
                    receptor_type="inhibitory",
                )
        for name in self.about["simulated"]:
            self.populations[name].record(["spikes", "v"] if name in self.about["voltages"] else ["spikes"])

    def traces(self) -> list[dict[str, Any]]:
        """What was recorded of each sample: ``s/<name>`` (steps, n) bool, ``v/<name>`` (steps, n) int32 in s16.15."""
        n_steps = self.samples.n_steps
        found: list[dict[str, Any]] = [{} for _ in self.starts]
        for name, size in self.about["simulated"].items():
            population = self.populations[name]
            events = np.asarray(population.spinnaker_get_data("spikes"), dtype=np.float64).reshape(-1, 2)
            spikes = np.zeros((self.ticks, size), dtype=np.bool_)
            spikes[np.rint(events[:, 1] / self.dt_ms).astype(np.int64), events[:, 0].astype(np.int64)] = True
            self.check_silence(name, spikes)
            for one, start in zip(found, self.starts):  # noqa: B905
                one[f"s/{name}"] = spikes[start : start + n_steps]
            if name in self.about["voltages"]:
                v = np.asarray(population.spinnaker_get_data("v", as_matrix=True), dtype=np.float64) * ONE
                if v.shape != (self.ticks, size) or (v != np.rint(v)).any():
                    stop(f"v of {name} was read as {v.shape}, expected ({self.ticks}, {size}) in s16.15", FAILED)
                for one, start in zip(found, self.starts):  # noqa: B905
                    one[f"v/{name}"] = v[start + 1 : start + 1 + n_steps].astype(np.int32)
        return found

    def check_silence(self, name: str, spikes: Any) -> None:
        """End where a population spikes so late after a sample that the next one would not begin at rest."""
        watch = self.about["clearing"]["watch"] if self.kicks else 0
        for sample, kick in zip(self.chosen, self.kicks):  # noqa: B905
            late = np.flatnonzero(spikes[kick - watch : kick].any(axis=1))
            if late.size:
                stop(
                    f"--together: {name} still spikes {watch - int(late[-1])} ticks before sample {sample} is cleared, "
                    f"{watch} must be silent; raise --quiet, or leave out --together",
                    FAILED,
                )


def simulator() -> Any:
    """PyNN on SpiNNaker; ends with what is missing."""
    try:
        return importlib.import_module("pyNN.spiNNaker")
    except ImportError as error:
        stop(f"cannot import sPyNNaker: {error}; pip install 'sPyNNaker==1!7.4.1'", MISSING)


def run(options: argparse.Namespace, build: Callable[..., None], folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Run the samples on the board of the user's configuration and print what came of it; return the traces."""
    samples = Samples(options.data or folder / "samples.npz", about["n_sources"])
    n = samples.n if options.samples is None else options.samples
    if not 1 <= n <= samples.n:
        stop(f"--samples {n} is outside 1..{samples.n}")
    quiet = _quiet(options, about)
    arrays = load(folder / "arrays.npz")
    sim = simulator()
    found: list[dict[str, Any]] = []
    for chosen in [list(range(n))] if options.together else [[i] for i in range(n)]:
        one = Run(about, samples, chosen, quiet)
        one.prepare(sim, build, arrays)
        sim.run(one.ticks * one.dt_ms)
        found += one.traces()
        sim.end()
        print(f"sample {chosen[-1] + 1} of {n}", flush=True)
    traces = {key: np.array([one[key] for one in found]) for key in found[0]}
    report(traces, samples.labels, None if options.data else load(folder / "expected.npz"), about)
    return traces


def _quiet(options: argparse.Namespace, about: dict[str, Any]) -> int:
    """Ticks between the end of a sample and the kick; 0 where samples do not share a run."""
    if not options.together:
        return 0
    clearing = about["clearing"]
    if clearing is None:
        stop(f"--together: {about['not_clearable']}; leave it out")
    quiet: int = 2 * clearing["watch"] if options.quiet is None else options.quiet
    if quiet < clearing["watch"]:
        stop(f"--quiet {quiet} is below {clearing['watch']}, the ticks that must be silent")
    return quiet


def report(traces: dict[str, Any], labels: Any, expected: dict[str, Any] | None, about: dict[str, Any]) -> None:
    """Print classes and accuracy, the difference from the emulator where it is known, and a hash; add `prediction`."""
    keys = sorted(traces)
    n = len(traces[keys[0]])
    if about["readout"] is not None:
        prediction = classify(about["reading"], traces[about["readout"]]).astype(np.int64)
        for sample, found in enumerate(prediction.tolist()):
            known = "" if labels is None else f", label {labels[sample]}"
            print(f"sample {sample}: class {found}{known}", flush=True)
        if labels is not None:
            right = int(np.sum(prediction == labels[:n]))
            print(f"accuracy {right / n:.4f} ({right} of {n} right)", flush=True)
        traces["prediction"] = prediction
    if expected is not None:
        equal = np.all([(traces[k] == expected[k][:n]).all(axis=(1, 2)) for k in keys], axis=0)
        print(f"spikes and v equal the emulator's on {int(np.sum(equal))} of {n} samples", flush=True)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(traces[key]).tobytes() for key in keys))
    print(f"SHA-256 of spikes and v {digest.hexdigest()}", flush=True)


def main(build: Callable[..., None], folder: Path) -> None:
    """Read the command line, then run or map."""
    parser = argparse.ArgumentParser(prog="network.py", description="Run the network on samples; README.md says more.")
    parser.add_argument("--samples", type=int, metavar="N", help="how many, from the first; all if left out")
    parser.add_argument("--data", type=Path, metavar="FILE", help="npz of samples; samples.npz if left out")
    parser.add_argument("--out", type=Path, metavar="FILE", default=Path("traces.npz"), help="npz to write")
    parser.add_argument("--together", action="store_true", help="all samples in one run, brought to rest in between")
    parser.add_argument("--quiet", type=int, metavar="TICKS", help="empty ticks after a sample, with --together")
    parser.add_argument("--virtual", type=Path, metavar="FOLDER", help="map on a virtual board and leave its tables")
    options = parser.parse_args()
    if options.quiet is not None and not options.together:
        stop("--quiet goes with --together", BAD_INPUT)
    about = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    if options.virtual is None:
        traces = run(options, build, folder, about)
        save(options.out, traces)
        return
    if options.together:
        stop("--virtual maps what runs one sample at a time; leave out --together", BAD_INPUT)
    output = options.virtual.resolve()
    samples, arrays = Samples(folder / "samples.npz", about["n_sources"]), load(folder / "arrays.npz")
    home = use_virtual_board(about["boards"], about["board_version"])
    sim = simulator()
    one = Run(about, samples, [0], 0)
    one.prepare(sim, build, arrays)
    map_virtually(sim, one.ticks * one.dt_ms, home, output)
    print(f"tables of the virtual board are in {output}", flush=True)
