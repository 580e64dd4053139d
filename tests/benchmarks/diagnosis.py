"""How long a diagnosis takes: one fault after the other in a busy recurrent network of 700-280-20 neurons.

python -m tests.benchmarks.diagnosis [SAMPLES]
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from tests.diagnosis.planted import changed_population, changed_projection, diagnose_integers, without
from toolchain.deployment.target import Traces
from toolchain.spikes import SpikeTrains, bin_events

STEPS = 1000


def make_network(rng: np.random.Generator) -> IntegerNetwork:
    def projection(
        source: str, target: str, shape: tuple[int, int], low: int, high: int, slots: int
    ) -> IntegerProjection:
        weight = (2 * rng.integers(low, high, shape)).astype(np.int32)
        return IntegerProjection(source, target, weight, 0, rng.integers(0, slots, shape).astype(np.int64))

    populations = (
        IntegerPopulation("in", "spike_source", 700),
        IntegerPopulation("hidden", "lif", 280, 400, 200, 900),
        IntegerPopulation("out", "leaky_readout", 20, 400, 100, READOUT_VTH),
    )
    projections = (
        projection("in", "hidden", (700, 280), -20, 24, 62),
        projection("hidden", "hidden", (280, 280), -30, 28, 30),
        projection("hidden", "out", (280, 20), -60, 60, 1),
    )
    return IntegerNetwork(1.0, populations, projections)


def run(network: IntegerNetwork, spikes: SpikeTrains) -> Traces:
    done = emulate(network, spikes, traces=True)
    u, v = ({name: a.astype(np.int64) for name, a in traces.items()} for traces in (done.u, done.v))
    return Traces(u, v, done.spikes)


def main(samples: int) -> None:
    rng = np.random.default_rng(0)
    network = make_network(rng)
    events = (np.nonzero(rng.random((STEPS, 700)) < 0.012) for _ in range(samples))
    spikes, _ = bin_events([(times, units) for times, units in events], 700, STEPS)
    weight, slots = network.projections[1].weight.copy(), network.projections[0].slots.copy()
    weight[17, 42] ^= 32
    slots[17, 42] = (slots[17, 42] + 7) % 62
    late = network.projections[1].slots + 1
    devices = {
        "none": network,
        "weight": changed_projection(network, "hidden->hidden", weight=weight),
        "slot": changed_projection(network, "in->hidden", slots=slots),
        "du": changed_population(network, "hidden", du=401),
        "threshold": changed_population(network, "hidden", vth=901),
        "late": changed_projection(network, "hidden->hidden", slots=late),
    }
    for name, device in devices.items():
        traces = run(device, spikes)
        for missing in ((), ("u",), ("u", "v")):
            start = time.perf_counter()
            found = diagnose_integers(network, spikes, without(traces, *missing))
            seconds = time.perf_counter() - start
            print(
                f"{name}, without {', '.join(missing) or 'nothing'}: {seconds:.1f} s; {'; '.join(found.causes)[:160]}"
            )
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
