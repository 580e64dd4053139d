"""Mapping a large network, and the whole command that answers from a recipe, against the goals that were set for them.

The network is 700-1024-1024-20, the second layer recurrent, with slots 0 to 62 and 8-bit weights as after training: the
mapper looks at every synapse. For SpiNNaker it is 700-1024-20, the hidden layer recurrent, with delays to 250 ticks,
planned and packed into the words of every core. The command is a process of its own, its start included. All in
processor time, which on a machine with a free core is the time that a person waits.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits, read_limits
from hardware_targets.loihi.mapping import place_network
from hardware_targets.spinnaker.integer_network import IntegerNetwork as SpinnakerNetwork
from hardware_targets.spinnaker.limits import read_limits as read_spinnaker_limits
from hardware_targets.spinnaker.plan import make_plan
from hardware_targets.spinnaker.problem import problem_of_network
from hardware_targets.spinnaker.tables import build_tables
from tests.benchmarks.rows import Row, smaller_is_better
from tests.spinnaker.mapped import population as spinnaker_population
from tests.spinnaker.mapped import projection as spinnaker_projection

ROOT = Path(__file__).parents[2]
SIZES = {"in": 700, "first": 1024, "second": 1024, "out": 20}
EDGES = (("in", "first"), ("first", "second"), ("second", "second"), ("second", "out"))
REPEATS = 5
GOAL_MAP_S, GOAL_DRY_RUN_S, GOAL_PACK_S = 2.0, 1.0, 5.0
LONGEST_TICKS = 250
DRY_RUN = ("-m", "toolchain.cli", "deploy", "shd_loihi", "--dry-run", "--target", "loihi2", "--json")


def measure() -> list[Row]:
    """A row for each chip, and one for the command."""
    network = large_network()
    rows = []
    for chip in ("loihi1", "loihi2"):
        limits = read_limits(chip)
        seconds = statistics.median(_mapping_seconds(network, limits) for _ in range(REPEATS))
        rows.append(smaller_is_better(f"map_network_{chip}", seconds, GOAL_MAP_S, "s", "goal"))
    seconds = statistics.median(_packing_seconds() for _ in range(REPEATS))
    rows.append(smaller_is_better("plan_and_pack_spinnaker", seconds, GOAL_PACK_S, "s", "goal"))
    seconds = statistics.median(_dry_run_seconds() for _ in range(REPEATS))
    return [*rows, smaller_is_better("dry_run", seconds, GOAL_DRY_RUN_S, "s", "goal")]


def large_network() -> IntegerNetwork:
    """Random weights and slots of the full range."""
    random = np.random.default_rng(0)

    def projection(source: str, target: str) -> IntegerProjection:
        shape = (SIZES[source], SIZES[target])
        weight = 2 * np.clip(np.rint(random.normal(0, 40, shape)), -128, 127)
        return IntegerProjection(source, target, weight.astype(np.int32), 0, random.integers(0, 63, shape))

    populations = (
        IntegerPopulation("in", "spike_source", SIZES["in"]),
        IntegerPopulation("first", "lif", SIZES["first"], 741, 200, 4000, 1.0),
        IntegerPopulation("second", "lif", SIZES["second"], 741, 200, 4000, 1.0),
        IntegerPopulation("out", "leaky_readout", SIZES["out"], 741, 200, READOUT_VTH, 1.0),
    )
    return IntegerNetwork(1.0, populations, tuple(projection(*edge) for edge in EDGES))


def _mapping_seconds(network: IntegerNetwork, limits: ChipLimits) -> float:
    started = time.process_time()
    place_network(network, limits)
    return time.process_time() - started


def _packing_seconds() -> float:
    sizes = {"in": 700, "hidden": 1024, "out": 20}
    random = np.random.default_rng(0)
    projections = []
    for source, target in (("in", "hidden"), ("hidden", "hidden"), ("hidden", "out")):
        shape = (sizes[source], sizes[target])
        weight = random.integers(1, 0x10000, shape) * random.choice([-1, 1], shape)
        projections.append(spinnaker_projection(source, target, weight, random.integers(1, LONGEST_TICKS + 1, shape)))
    populations = (
        spinnaker_population("in", sizes["in"], kind="spike_source"),
        spinnaker_population("hidden", sizes["hidden"]),
        spinnaker_population("out", sizes["out"], kind="leaky_readout"),
    )
    network = SpinnakerNetwork(1.0, populations, tuple(projections))
    started = time.process_time()
    build_tables(network, make_plan(problem_of_network(network), read_spinnaker_limits()))
    return time.process_time() - started


def _dry_run_seconds() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *DRY_RUN], cwd=ROOT, check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
