"""Length of a step by SANA-FE's simple timing model and by ours, on networks that both run with the same spikes.

Usage: python -m tests.benchmarks.sanafe_steps       needs SANA-FE, see docs/cost.md
"""

from __future__ import annotations

import contextlib
import io

import numpy as np

from hardware_targets.loihi.cost import read_constants, step_times
from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.workload import build_workload
from tests.cost.test_sanafe import Rasters, cores_of, recurrent
from tests.loihi.mapped_networks import LOIHI1, limited, make_network, random_projection
from tests.loihi.random_networks import random_spikes
from tests.oracles.sanafe_chip import run_sanafe, sanafe_is_missing
from toolchain.cost.counting import source_rasters
from toolchain.deployment.target import Placement


def compare(name: str, network: IntegerNetwork, limits: ChipLimits, rasters: Rasters) -> None:
    """Print one line."""
    cores = cores_of(network, limits)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = run_sanafe(network, cores, limits, rasters)
    batch = {n: r[np.newaxis] for n, r in rasters.items()}
    workload, placement = build_workload(network, cores, limits), Placement(tuple(cores), ())
    ours = step_times(workload, batch, placement, limits, read_constants("loihi1"))
    step = theirs.time_s / rasters["in"].shape[0]
    print(
        f"{name}: {len(cores)} cores, {theirs.events} events, SANA-FE {1e6 * step:.2f} us a step, ours "
        f"{1e6 * ours.value:.2f} us ({1e6 * ours.low:.2f} to {1e6 * ours.high:.2f}), "
        f"{100 * (1 - step / ours.value):.0f} % less"
    )


def main() -> None:
    """Three random recurrent networks, and 64-32-10 with the spikes of our emulator."""
    if (missing := sanafe_is_missing()) is not None:
        raise SystemExit(missing)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sizes = {"in": int(rng.integers(1, 12)), "a": int(rng.integers(5, 50)), "out": int(rng.integers(1, 6))}
        limits = limited(LOIHI1, neurons_per_core=int(rng.integers(2, 9)))
        rasters = {n: rng.random((12, s)) < 0.25 for n, s in sizes.items()}
        compare(f"random {seed}", recurrent(seed, sizes), limits, rasters)
    rng, sizes = np.random.default_rng(7), {"in": 64, "a": 32, "out": 10}
    edges = (("in", "a"), ("a", "out"))
    network = make_network(sizes, [random_projection(rng, sizes, *e, sign=1) for e in edges])
    spikes = random_spikes(rng, network, 1, 40)
    traces = {**source_rasters(spikes, [("in", 64)]), **emulate(network, spikes, traces=True).spikes}
    compare("64-32-10", network, limited(LOIHI1, neurons_per_core=8), {n: r[0] for n, r in traces.items()})


if __name__ == "__main__":
    main()
