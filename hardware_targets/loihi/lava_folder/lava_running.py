"""Run a network of Lava processes on samples, one by one from zero, and read the class of each.

`network.py` beside this file builds the network and calls `main`; `lava_machines.py` says what differs
between this computer and a chip.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Lava and numpy through here only: it says what is missing, and on Python 3.11 and later makes Lava importable.
from lava_machines import (
    BAD_INPUT,
    FAILED,
    MACHINES,
    RECORDS,
    Injector,
    Recorded,
    RunSteps,
    Spikes,
    np,
    shared_zeros,
    stop,
)
from lava_reading import classify

LONGEST_GAP = 30
"""Chunks of empty steps after a sample; spikes that then still circulate are an error."""


@dataclass
class Stream:
    """Where spikes of one population of sources enter: unit 0 is unit `first` of the samples."""

    first: int
    injector: Any
    s_out: Any


@dataclass
class Network:
    """The Lava processes of a network and what is known about it.

    Attributes
    ----------
    n_sources : units of the samples
    outputs : population -> what is read of it, "v" of a readout or "s", the spikes
    readout, reading : population and way in which the class is read; readout is None if there are several outputs
    longest_slot : of all delays; a spike of step t arrives at step t + 1 + slot
    depth : chunks of empty steps after which nothing is in flight, see `Session.clear`
    cyclic : populations that can excite themselves, directly or through others
    start_from : one population of each part of the network that nothing links to the others
    """

    n_sources: int
    outputs: dict[str, str]
    readout: str | None
    reading: str
    longest_slot: int
    depth: int
    cyclic: list[str]
    start_from: list[str]
    machine: Any = None
    buffer: int = 0
    neurons: dict[str, Any] = field(default_factory=dict)
    synapses: list[Any] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    def stream(self, first: int, size: int) -> Stream:
        """Let spikes of units `first` to `first + size - 1` in."""
        injector = Injector(shape=(size,), buffer_size=self.buffer)
        self.streams.append(Stream(first, injector, self.machine.enter(injector)))
        return self.streams[-1]


class Samples:
    """Spikes in event form, as samples.npz and --data hold them; there is a raster of one sample at a time.

    times, units : (n_events,) integers, step and unit of each spike
    offsets : (n_samples + 1,) events of sample s are offsets[s]:offsets[s + 1]
    n_units, n_steps : integers; labels : (n_samples,) integers, optional
    """

    def __init__(self, path: Path, n_sources: int) -> None:
        arrays = load(path)
        try:
            self.times, self.units, self.offsets = (arrays[key] for key in ("times", "units", "offsets"))
            self.n_units, self.n_steps = int(arrays["n_units"]), int(arrays["n_steps"])
            self.labels = arrays.get("labels")
        except (KeyError, TypeError, ValueError) as error:
            stop(f"{path}: {error}; it needs times, units, offsets, n_units and n_steps (README.md)")
        self.n = self.offsets.size - 1
        events = (self.times, self.units)
        if self.n_units != n_sources or self.n_steps < 1:
            stop(f"{path}: {self.n_units} units, {self.n_steps} steps; the network has {n_sources} sources, steps >= 1")
        if any(a.ndim != 1 or a.dtype.kind not in "iu" for a in (*events, self.offsets)) or self.n < 1:
            stop(f"{path}: times, units and offsets must be flat arrays of integers, offsets one longer than samples")
        ends = (int(self.offsets[0]), int(self.offsets[-1]))
        if ends != (0, self.times.size) or self.units.size != self.times.size or (np.diff(self.offsets) < 0).any():
            stop(f"{path}: offsets must rise from 0 to the number of events, {self.times.size} times")
        for values, limit, what in ((self.times, self.n_steps, "step"), (self.units, self.n_units, "unit")):
            if values.size and not 0 <= int(values.min()) <= int(values.max()) < limit:
                stop(f"{path}: {what}s {values.min()} to {values.max()} are outside 0..{limit - 1}")
        if self.labels is not None and (self.labels.shape != (self.n,) or self.labels.dtype.kind not in "iu"):
            stop(f"{path}: labels must be {self.n} integers, one a sample")

    def raster(self, sample: int, steps: int) -> Any:
        """(steps, units) int32, 1 where a source spikes; steps beyond those of the sample are empty."""
        raster = np.zeros((steps, self.n_units), dtype=np.int32)
        events = slice(self.offsets[sample], self.offsets[sample + 1])
        raster[self.times[events], self.units[events]] = 1
        return raster


def load(path: Path) -> dict[str, Any]:
    """Arrays of an npz file, none of which is pickled."""
    arrays: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays.update({key: archive[key] for key in archive.files})
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        stop(f"{path}: cannot be read ({error}); it must be an npz file as README.md describes it")
    return arrays


class Session:
    """A network that stays up while samples pass through it."""

    def __init__(self, network: Network, record: str, reset: str) -> None:
        """Attach readers, which by name are ``v/<population>`` and the like, and start Lava."""
        self.network, machine, buffer = network, network.machine, network.buffer
        self.readers: dict[str, Any] = {}
        if record == "full":
            for name, lif in network.neurons.items():
                RECORDS[name] = tuple(shared_zeros((buffer, *lif.v.shape), t) for t in (np.int32, np.int32, np.bool_))
                for quantity, kind in enumerate("uvs"):
                    self.readers[f"{kind}/{name}"] = Recorded(name, quantity, buffer)
        else:
            for name, kind in network.outputs.items():
                lif = network.neurons[name]
                read_v = kind == "v"
                self.readers[f"{kind}/{name}"] = (
                    machine.voltage(lif, buffer) if read_v else Spikes(machine.leave(lif), buffer)
                )
        self.wanted = list(self.readers)
        self.watched = [f"s/{name}" for name in network.cyclic] if reset == "gap" else []
        for name, key in zip(network.cyclic, self.watched):  # noqa: B905
            if key not in self.readers:
                self.readers[key] = Spikes(machine.leave(network.neurons[name]), buffer)
        self.reset, self.steps, self.up = reset, 0, True
        self.configuration = machine.configuration()
        for name in network.start_from:
            network.neurons[name].create_runtime(self.configuration)

    def advance(self, raster: Any) -> dict[str, Any]:
        """Let a raster (steps, units) in and run so many steps; return what readers took."""
        for stream in self.network.streams:
            size = stream.injector.out_port.shape[0]
            for frame in raster[:, stream.first : stream.first + size]:
                stream.injector.send(frame)
        for name in self.network.start_from:
            self.network.neurons[name].run(condition=RunSteps(num_steps=len(raster)), run_cfg=self.configuration)
        self.steps += len(raster)
        return {key: reader.take(len(raster)) for key, reader in self.readers.items()}

    def clear(self) -> None:
        """Bring everything to zero after a sample: u, v and the spikes that are still on their way.

        ``vars``: also what waits in the delay buffers is set to zero. Only a simulation allows that.

        ``gap``: works everywhere. Empty steps are run in chunks of `longest_slot` + 1, and u and v of all
        neurons set to zero after each. What was on its way when a chunk begins has arrived when it ends. So
        a population to which nothing came during a chunk is silent from its end on, since a neuron at zero
        without input never spikes; and the population after it, one chunk later. `depth` chunks are enough
        where populations are not linked in circles. A population that can excite itself may go on: its
        spikes are watched, and `depth` chunks in a row must pass in which none of these spiked. One that
        excites itself for ever is no case for this: ``restart`` builds the network anew for every sample.
        """
        self._rest()
        if self.reset == "vars":
            for synapses in self.network.synapses:
                synapses.a_buff.set(np.zeros(synapses.a_buff.shape))
            return
        # One more on a chip with watched populations: their last spikes are reported some steps late.
        needed = self.network.depth + (1 if self.watched and self.network.machine.latency else 0)
        quiet = 0
        for _ in range(LONGEST_GAP):
            if quiet == needed:
                return
            taken = self.advance(np.zeros((self.network.longest_slot + 1, self.network.n_sources), dtype=np.int32))
            self._rest()
            quiet = 0 if any(taken[key].any() for key in self.watched) else quiet + 1
        if quiet < needed:
            steps = LONGEST_GAP * (self.network.longest_slot + 1)
            stop(
                f"--reset gap: {', '.join(self.network.cyclic)} still spike {steps} empty steps after a sample: these "
                "excite themselves for ever; use --reset restart, or --reset vars, which a simulation has",
                FAILED,
            )

    def _rest(self) -> None:
        for lif in self.network.neurons.values():
            lif.u.set(np.zeros(lif.u.shape))
            lif.v.set(np.zeros(lif.v.shape))

    def close(self) -> dict[str, Any]:
        """Frames of all steps of the readers that were asked for, then the end of Lava."""
        frames = {key: self.readers[key].frames() for key in self.wanted}
        self.stop()
        return frames

    def stop(self) -> None:
        """End Lava's processes; a script that leaves one behind never ends."""
        for name in self.network.start_from if self.up else []:
            self.network.neurons[name].stop()
        self.up = False


def find_latency(frames: Any, expected: Any, limit: int) -> int:
    """Steps by which output is late: where the first sample is most like what the emulator says it is."""
    n = len(expected)
    differences = [np.count_nonzero(frames[late : late + n] != expected) for late in range(limit + 1)]
    return int(np.argmin(differences))


def run(options: argparse.Namespace, build: Callable[..., None], folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Run the samples and print what came of it; return the arrays to write."""
    own = Samples(folder / "samples.npz", about["n_sources"])
    samples = Samples(options.data, about["n_sources"]) if options.data else own
    expected = load(folder / "expected.npz")
    n = samples.n if options.samples is None else options.samples
    if not 1 <= n <= samples.n:
        stop(f"--samples {n} is outside 1..{samples.n}")
    record = options.record or ("full" if options.on == "cpu" else "outputs")
    machine = MACHINES[options.on]
    reset = options.reset or machine.reset
    limit = machine.latency if options.latency is None else options.latency
    arrays = load(folder / "arrays.npz")

    def begin() -> Session:
        network = Network(**about, machine=machine(record))
        network.buffer = max(samples.n_steps + limit, own.n_steps + limit, network.longest_slot + 1)
        build(network, arrays)
        return Session(network, record, reset)

    session = begin()
    ended: list[tuple[dict[str, Any], list[int]]] = []  # frames of a session, first steps of its samples
    starts: list[int] = []

    def next_sample() -> None:
        nonlocal session, starts
        if reset == "restart":
            ended.append((session.close(), starts))
            session, starts = begin(), []
        else:
            session.clear()

    # Inputs that come late make outputs late, and change nothing else: without input a network stays at zero.
    measure = machine.latency > 0 and options.latency is None
    try:
        if measure:
            session.advance(own.raster(0, own.n_steps + limit))
            next_sample()
        for sample in range(n):
            starts.append(session.steps)
            session.advance(samples.raster(sample, samples.n_steps + limit))
            print(f"sample {sample + 1} of {n}", flush=True)
            if sample + 1 < n:
                next_sample()
        ended.append((session.close(), starts))
    finally:
        session.stop()
    late = dict.fromkeys(session.wanted, limit)
    if measure:
        late = {key: find_latency(ended[0][0][key], expected[key][0], limit) for key in session.wanted}
        print("outputs are late by " + ", ".join(f"{late[key]} steps ({key})" for key in late), flush=True)
    traces = {
        key: np.array([f[key][start + late[key] :][: samples.n_steps] for f, starts in ended for start in starts])
        for key in session.wanted
    }
    outputs = {key: traces[key] for key in sorted(f"{kind}/{name}" for name, kind in about["outputs"].items())}
    if about["readout"] is not None:
        (values,) = outputs.values()
        traces["prediction"] = classify(about["reading"], values).astype(np.int64)
    report(traces, outputs, samples.labels, None if options.data else expected)
    return traces


def report(traces: dict[str, Any], outputs: dict[str, Any], labels: Any, expected: dict[str, Any] | None) -> None:
    """Print accuracy where there are labels, the difference from the emulator where it is known, and a hash."""
    n = len(next(iter(outputs.values()))) if outputs else 0
    if labels is not None and "prediction" in traces:
        right = int(np.sum(traces["prediction"] == labels[:n]))
        print(f"accuracy {right / n:.4f} ({right} of {n} right)", flush=True)
    if expected is not None:
        equal = np.all([(outputs[k] == expected[k][:n]).all(axis=(1, 2)) for k in outputs], axis=0)
        print(f"outputs equal the emulator's on {int(np.sum(equal))} of {n} samples", flush=True)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in outputs.values()))
    print(f"SHA-256 of the outputs {digest.hexdigest()}", flush=True)


def main(build: Callable[..., None], folder: Path, chip: str, **about: Any) -> None:
    """Read the command line, run, and write the result.

    folder : with the arrays
    chip : that the network was made for
    about : attributes of `Network`
    """
    offered = [name for name in MACHINES if name in ("cpu", chip)]
    parser = argparse.ArgumentParser(prog="network.py", description="Run the network on samples; README.md says more.")
    parser.add_argument("--on", metavar="{" + ",".join(offered) + "}", default="cpu", help="cpu is this computer")
    parser.add_argument("--samples", type=int, metavar="N", help="how many, from the first; all if left out")
    parser.add_argument("--data", type=Path, metavar="FILE", help="npz of samples; samples.npz if left out")
    parser.add_argument("--out", type=Path, metavar="FILE", default=Path("traces.npz"), help="npz to write")
    parser.add_argument("--record", choices=["full", "outputs"], help="full on cpu if left out, outputs on a chip")
    parser.add_argument("--reset", choices=["vars", "gap", "restart"], help="vars on cpu if left out, gap on a chip")
    parser.add_argument("--latency", type=int, metavar="STEPS", help="of input to output; measured on a chip")
    options = parser.parse_args()
    if options.on not in offered:
        why = f"this network was made for {chip}" if options.on in MACHINES else "there is no such machine"
        stop(f"--on {options.on}: {why}; it runs on {' or '.join(offered)} (README.md)", BAD_INPUT)
    if options.latency is not None and options.latency < 0:
        stop(f"--latency {options.latency} is below 0", BAD_INPUT)
    traces = run(options, build, folder, about)
    # Under the final name there is never half a file.
    temporary = options.out.with_name(options.out.name + ".part")
    with temporary.open("wb") as file:
        np.savez(file, **traces)
    os.replace(temporary, options.out)
