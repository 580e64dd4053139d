"""Our training step on one core and on two, against a plain implementation, and against what the machine can do.

`train_sample`: a whole training step (`tests.benchmarks.workload.TrainingStep`) of a batch of 32, ms a sample, on one
core; the peer is `tests.benchmarks.plain_numba` in the same step, timed in turns with ours after both were checked to
be right (`tests.benchmarks.agreement`). `train_two_threads`: the same step on two threads and on one, in turns.
Times on one core are processor times, so that other work on the machine enters less; those of two threads wall times.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from tests.benchmarks import machine_limits
from tests.benchmarks.agreement import check_plain
from tests.benchmarks.plain_numba import PlainEngine
from tests.benchmarks.rows import Row, smaller_is_better
from tests.benchmarks.workload import Prepared, TrainingStep, Workload, cpu_seconds, on_one_core, prepare, wall_seconds
from toolchain.training.backends.cpu.engine import available_cores

REPEATS = 9
RECORDED = (
    "recorded, not measured here: mlGeNN 2.3.1 on GeNN 5.4.0, single-threaded CPU back end with -O3, same shape, "
    "12 to 30 spikes a hidden neuron, 76 ms a sample (47 to 97), on another machine (2-core Intel Xeon), November 2026"
)


@cache
def default_workload() -> Prepared:
    """The workload of all training rows."""
    return prepare(Workload())


@cache
def our_ms_per_sample(recurrent: bool) -> float:
    """Training step of ours on one core, median, ms a sample."""
    prepared = default_workload() if recurrent else prepare(Workload(recurrent=False))
    with on_one_core():
        step = TrainingStep(prepared, prepared.engine())
        step()
        return 1e3 * statistics.median(cpu_seconds(step) for _ in range(REPEATS)) / prepared.workload.batch


def measure() -> list[Row]:
    """The rows train_sample and train_two_threads; prints rates and limits."""
    prepared = default_workload()
    w = prepared.workload
    print(
        f"training workload: {w.inputs}-{w.hidden}-{w.outputs}, {w.steps} steps, slots 0 to {w.max_slot}, batch "
        f"{w.batch}, {w.input_spikes} input spikes a sample, {prepared.rate:.2f} spikes a hidden neuron and sample"
    )
    print(f"engine and plain numba: {check_plain(prepared)}")
    with on_one_core():
        rows = [_against_plain(prepared)]
    rows += _two_threads(prepared)
    print(RECORDED)
    return rows


def _against_plain(prepared: Prepared) -> Row:
    w = prepared.workload
    engine = prepared.engine()
    ours, plain = (TrainingStep(prepared, e) for e in (engine, PlainEngine(prepared.network, w.steps, w.max_slot)))
    gradient = ours()
    parts: list[Callable[[], object]] = [
        lambda: engine.respond(prepared.spikes, prepared.labels),
        lambda: engine.gradients(prepared.spikes, prepared.labels, ours.samples),
        lambda: ours.update(gradient),
    ]
    # Part by part, and before the plain one: in turns with it, each part would begin with what that left in the caches.
    forward, gradients, update = (statistics.median(cpu_seconds(p) for _ in range(REPEATS)) / w.batch for p in parts)
    times = []
    for _ in range(REPEATS):
        # Each is timed at its second call in a row: the first finds the caches full of the other's numbers.
        ours()
        mine = cpu_seconds(ours)
        plain()
        times.append((mine, cpu_seconds(plain)))
    step, peer = (statistics.median(column) / w.batch for column in zip(*times, strict=True))
    _print_rates(prepared, forward, gradients - forward, update, step)
    return smaller_is_better("train_sample", 1e3 * step, 1e3 * peer, "ms a sample", "plain numba, one thread")


def _print_rates(prepared: Prepared, forward: float, backward: float, update: float, step: float) -> None:
    """Where the time of a training step goes, s a sample, its synaptic events a second, and the machine's limits."""
    events = prepared.events
    print(
        f"one core, ms a sample: forward {1e3 * forward:.2f}, backward {1e3 * backward:.2f}, parameters and Adam "
        f"{1e3 * update:.2f} (once a batch)"
    )
    print(
        f"synaptic events: {events / 1e6:.2f} M a sample and direction; forward {events / forward / 1e6:.0f} M/s, "
        f"backward {events / backward / 1e6:.0f} M/s, a training step {2 * events / step / 1e6:.0f} M/s "
        f"({1e9 * step / (2 * events):.2f} ns an event)"
    )
    print("\n".join(machine_limits.measure().lines("a training step", 2 * events / step)))


def _two_threads(prepared: Prepared) -> list[Row]:
    if available_cores() < 2:
        print("train_two_threads: left out, this process may use one core only")
        return []
    one, two = (TrainingStep(prepared, prepared.engine(threads)) for threads in (1, 2))
    one()
    two()
    times = [(wall_seconds(one), wall_seconds(two)) for _ in range(REPEATS)]
    single, double = (1e3 * statistics.median(column) / prepared.workload.batch for column in zip(*times, strict=True))
    most = _side_by_side(prepared)
    print(f"two engines of one thread each, at once, do {most:.2f} times the work of one: what two cores give here")
    return [smaller_is_better("train_two_threads", double, single, "ms a sample", "one thread")]


def _side_by_side(prepared: Prepared) -> float:
    """Throughput of two engines that share nothing, against one: the most that two threads can gain on this machine."""
    steps = [TrainingStep(prepared, prepared.engine()) for _ in range(2)]
    for step in steps:
        step()
    alone = statistics.median(wall_seconds(steps[0]) for _ in range(REPEATS))
    with ThreadPoolExecutor(2) as pool:
        both = [wall_seconds(lambda: list(pool.map(lambda step: step(), steps))) for _ in range(REPEATS)]
    return 2 * alone / statistics.median(both)
