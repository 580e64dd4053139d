"""What the peers' scripts share: the workload from a file, one core, the readout and the loss, times and memory.

Runs in `.venv-peers`, so it imports nothing of delayline. The loss is ours: cross-entropy of the exponentially
weighted average of leaky readouts. A readout without threshold is a linear filter; as one product with the triangular
matrix of its impulse response over all steps it costs the peers next to nothing.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

TAU_MEM, TAU_SYN = 20.0, 5.0
ALPHA, BETA = float(np.exp(-1 / TAU_MEM)), float(np.exp(-1 / TAU_SYN))
GAIN = (1 - ALPHA) * TAU_SYN * (1 - BETA)


class Problem(NamedTuple):
    """The workload of the file that the benchmark wrote.

    `dense` (steps, batch, inputs) holds 1 where there is a spike; `weights` projection -> (pre, post).
    """

    dense: Any
    labels: Any
    weights: dict[str, Any]

    @property
    def steps(self) -> int:
        """Length of a sample."""
        return int(self.dense.shape[0])


def load() -> Problem:
    """Read the file that the command line names, and keep this process on one core with one thread."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with np.load(sys.argv[1], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    offsets = arrays["offsets"]
    inputs, steps = (int(n) for n in arrays["size"])
    dense = np.zeros((steps, offsets.size - 1, inputs), dtype=np.float32)
    sample = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    dense[arrays["times"], sample, arrays["units"]] = 1
    weights = {
        name.removesuffix(".weight"): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.endswith(".weight")
    }
    return Problem(torch.from_numpy(dense), torch.from_numpy(arrays["labels"]), weights)


def readout_filter(steps: int) -> Any:
    """(steps, steps) matrix that turns spikes into the voltage of a leaky readout, where they arrive a step later."""
    impulse = np.zeros(steps)
    current = voltage = 0.0
    for t in range(1, steps):
        current = BETA * current + (t == 1)
        voltage = ALPHA * voltage + GAIN * current
        impulse[t] = voltage
    lag = np.arange(steps)[:, None] - np.arange(steps)
    return torch.from_numpy(np.where(lag >= 0, impulse[lag], 0.0).astype(np.float32))


def loss_of(spikes: Any, weight: Any, response: Any, labels: Any) -> Any:
    """Cross-entropy of the readouts that `spikes` (steps, batch, hidden) drive."""
    steps, batch, _ = spikes.shape
    arriving = (spikes @ weight).reshape(steps, -1)
    voltage = (response @ arriving).reshape(steps, batch, -1)
    time_weight = torch.exp(-torch.arange(steps) / steps) / steps
    value = torch.tensordot(time_weight, voltage, dims=([0], [0]))
    return torch.nn.functional.cross_entropy(value, labels)


def measure(step: Callable[[int], float], batch: int, repeats: int) -> dict[str, float]:
    """Time `step(n)`, a training step on the first n samples that returns spikes a hidden neuron and sample.

    Processor times, as of ours; there is one thread. The step on one sample goes first: as a warm-up, and so
    that memory that does not grow with the batch is not counted to its samples.
    """
    step(1)
    started = time.process_time()
    step(1)
    single = time.process_time() - started
    peak = _peak_mib()
    times = []
    rate = 0.0
    for _ in range(repeats):
        started = time.process_time()
        rate = step(batch)
        times.append(time.process_time() - started)
    return {
        "ms_per_sample": 1e3 * statistics.median(times) / batch,
        "ms_alone": 1e3 * single,
        "mib_per_sample": (_peak_mib() - peak) / (batch - 1),
        "batch": batch,
        "rate": rate,
    }


def _peak_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
