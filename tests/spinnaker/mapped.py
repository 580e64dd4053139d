"""Random integer networks for the mapper, golden ones, and our tables seen as the decoder sees any."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import (
    ONE,
    PARAMETERS,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    NeuronParameters,
)
from hardware_targets.spinnaker.limits import read_limits
from hardware_targets.spinnaker.plan import Plan, make_plan
from hardware_targets.spinnaker.problem import problem_of_network
from hardware_targets.spinnaker.tables import Tables
from tests.spinnaker.decoder import Receiver, Sender, Synapse, decode
from toolchain.errors import TargetLimitError

GOLDEN = Path(__file__).parent / "golden"
LIMITS = read_limits()
DELAYED = "_delayed"


def population(name: str, size: int, shifts: tuple[int, int] = (0, 0), kind: Any = "lif") -> IntegerPopulation:
    """A population with some parameters, which no table depends on."""
    if kind == "spike_source":
        return IntegerPopulation(name, kind, size)
    parameters = NeuronParameters(*(np.full(size, ONE, dtype=np.int32) for _ in PARAMETERS))
    return IntegerPopulation(name, kind, size, parameters, shifts, 1.0)


def projection(source: str, target: str, weight: NDArray[np.int64], delay: NDArray[np.int64]) -> IntegerProjection:
    """A projection with a synapse wherever the weight is not 0."""
    exists = weight != 0
    return IntegerProjection(
        source, target, weight.astype(np.int32), np.where(exists, delay, 0).astype(np.int32), exists
    )


def golden(name: str) -> tuple[IntegerNetwork, dict[str, int], dict[str, Any]]:
    """A network that sPyNNaker has mapped, neurons a core, and what it wrote."""
    found = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    sizes = {v["label"]: v["n_atoms"] for v in found["vertices"]}
    weight = np.zeros((sizes["src"], sizes["dst"]), dtype=np.int64)
    delay = np.zeros_like(weight)
    for pre, post, value, ms in found["exc"] + found["inh"]:
        assert weight[pre, post] == 0, "one synapse a pair"
        weight[pre, post], delay[pre, post] = np.rint(value * 2**15), ms
    populations = (population("src", sizes["src"], kind="spike_source"), population("dst", sizes["dst"]))
    neurons = {name: 1 + int(_slices(found, name)[0][1]) for name in ("src", "dst")}
    return IntegerNetwork(1.0, populations, (projection("src", "dst", weight, delay),)), neurons, found


def _slices(found: Mapping[str, Any], name: str) -> list[list[int]]:
    own = [p for p in found["placements"] if p[1].startswith(f"{name}(")]
    return [[int(n) for n in p[2].strip("()").split(":")] for p in own]


def plan_of(network: IntegerNetwork, neurons: Mapping[str, int] | None = None) -> Plan:
    """Our plan, on one board of version 5, also where sPyNNaker would put synapses into wrong rows."""
    return make_plan(problem_of_network(network), LIMITS, neurons=neurons, allow_misplaced=True)


def wanted(network: IntegerNetwork) -> Counter[Synapse]:
    """Every synapse of a network, as the decoder names them."""
    found: Counter[Synapse] = Counter()
    for p in network.projections:
        for pre, post in np.argwhere(p.exists).tolist():
            weight = int(p.weight[pre, post])
            found[p.source, pre, p.target, post, int(weight < 0), abs(weight), int(p.delay[pre, post])] += 1
    return found


def decoded(tables: Tables) -> Counter[Synapse]:
    """Every synapse that our tables lead to."""
    senders = [
        Sender(c.core.vertex, tables.keys[c.core.vertex].core_keys[c.core.index], c.core.first, c.core.size)
        for c in tables.cores
        if not c.core.extension and c.core.vertex in tables.keys
    ]
    receivers = [Receiver(c.core.vertex, c.core.first, c.regions) for c in tables.cores if "PopTable" in c.regions]
    extensions = [c.regions["delay_params"] for c in tables.cores if "delay_params" in c.regions]
    return decode(senders, receivers, extensions)


def random_network(
    rng: np.random.Generator, *, longest: int, shape: str, sizes: Mapping[str, int], dt_ms: float = 1.0
) -> IntegerNetwork:
    """A network of one of the shapes of `EDGES`, of both signs, with weights and delays up to the largest there are."""
    edges = EDGES[shape]
    projections = []
    for source, target in edges:
        extent = (sizes[source], sizes[target])
        there = rng.random(extent) < rng.choice([0.15, 0.5, 1.0])
        magnitude = rng.integers(1, 0x10000, extent)
        sign = rng.choice([[-1, 1], [1, 1], [-1, -1]][rng.choice(3, p=[0.7, 0.15, 0.15])], extent)
        there.flat[rng.integers(there.size)] = True
        delay = rng.integers(1, 1 + (longest if rng.random() < 0.7 else max(1, longest // 4)), extent)
        projections.append(projection(source, target, np.where(there, sign * magnitude, 0), delay))
    kinds = {"in": "spike_source", "two": "spike_source", "out": "leaky_readout"}
    used = [name for name in sizes if any(name in edge for edge in edges)]
    populations = [
        population(name, sizes[name], (int(rng.integers(0, 17)), int(rng.integers(0, 17))), kinds.get(name, "lif"))
        for name in rng.permutation(used).tolist()
    ]
    return IntegerNetwork(dt_ms, tuple(populations), tuple(projections[i] for i in rng.permutation(len(edges))))


EDGES = {
    "feedforward": (("in", "hidden"), ("hidden", "out")),
    "recurrent": (("in", "hidden"), ("hidden", "hidden"), ("hidden", "out")),
    "two sources": (("in", "hidden"), ("two", "hidden"), ("two", "out"), ("hidden", "out")),
    "feedback": (("in", "hidden"), ("hidden", "out"), ("out", "hidden"), ("in", "out")),
}


def random_case(seed: int) -> tuple[IntegerNetwork, dict[str, int]]:
    """A network and neurons a core with 0, 1 or 2 extension stages by turns, that sPyNNaker itself gets right."""
    rng = np.random.default_rng(seed)
    stages = seed % 3
    shape = list(EDGES)[seed // 3 % len(EDGES)]
    while True:
        if stages < 2:
            sizes = {name: int(rng.integers(1, 150)) for name in ("in", "two", "hidden", "out")}
            neurons = {name: int(rng.integers(max(1, size // 3), size + 1)) for name, size in sizes.items()}
        else:
            each = int(rng.choice([24, 33, 64, 100]))
            sizes = {name: each * int(rng.integers(1, 4)) for name in ("in", "two", "hidden", "out")}
            neurons = dict.fromkeys(sizes, each)
        fullest = max(neurons.values())
        slots = 2 ** (13 - max(1, (fullest - 1).bit_length()))
        longest = int(rng.integers(stages * slots + 1, (stages + 1) * slots + 1))
        network = random_network(rng, longest=min(longest, 2000), shape=shape, sizes=sizes, dt_ms=[1.0, 0.1][seed % 2])
        neurons = {p.name: neurons[p.name] for p in network.populations}
        try:
            plan = plan_of(network, neurons)
        except TargetLimitError:
            # Two targets of one source with different slots: sPyNNaker refuses them as well.
            continue
        if not plan.misplaced and max(plan.layout.stages.values(), default=0) == stages:
            return network, neurons
