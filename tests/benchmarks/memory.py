"""Memory of a sample in flight: how much the largest resident size grows with each lane of the engine, MiB.

    python -m tests.benchmarks.memory WORKLOAD.npz

A process of its own reads the workload, takes the gradient of one sample, which needs one lane, then that of the whole
batch, which needs all of them; the growth between is divided by the lanes that were added. What does not grow, the
network and the sums of a batch, is counted to neither.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.workload import Workload, load
from toolchain.training.backends.cpu.engine import LANES


def main() -> None:
    prepared = load(Path(sys.argv[1]), Workload())
    engine = prepared.engine(threads=LANES)  # as many samples in flight as there can be
    engine.gradients(prepared.spikes, prepared.labels, np.array([0]))
    one = peak_mib()
    engine.gradients(prepared.spikes, prepared.labels, np.arange(prepared.workload.batch))
    print(json.dumps({"lanes": LANES, "mib_per_lane": (peak_mib() - one) / (LANES - 1)}))


def peak_mib() -> float:
    """Largest resident size of this process so far, MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None, "the kernel does not tell the peak of memory"
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
