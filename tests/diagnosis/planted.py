"""Devices with a fault: the slow references of the tests, neuron by neuron, doing one thing otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi import fault_model as loihi_faults
from hardware_targets.loihi import integer_network as loihi
from hardware_targets.spinnaker import fault_model as spinnaker_faults
from hardware_targets.spinnaker import integer_network as spinnaker
from tests.loihi import lava_step
from tests.spinnaker import reference
from toolchain.deployment.target import Quantised, Target, Traces
from toolchain.diagnosis.diagnose import diagnose
from toolchain.diagnosis.findings import Diagnosis
from toolchain.diagnosis.model import Chip
from toolchain.spikes import SpikeTrains

Unit = tuple[str, int]


@dataclass(frozen=True)
class Faults:
    """What a device does otherwise.

    `constants` : (population, neuron) -> fields of its constants; `dead`, `no_reset` : neurons; `late` : projection ->
    steps; `lost` : (projection, sample, step, source neuron); `report_late` : population whose u, v and spikes are all
    recorded a step late.
    """

    constants: Mapping[Unit, Mapping[str, int]] = field(default_factory=dict)
    dead: frozenset[Unit] = frozenset()
    no_reset: frozenset[Unit] = frozenset()
    late: Mapping[str, int] = field(default_factory=dict)
    lost: frozenset[tuple[str, int, int, int]] = frozenset()
    report_late: str = ""


NONE = Faults()


class Rows:
    """What neurons did, step by step, of all samples."""

    def __init__(self, network: Any, spikes: SpikeTrains, channels: int) -> None:
        shape = spikes.n_samples, spikes.n_steps
        self.u = {p.name: np.zeros((channels, *shape, p.size), dtype=np.int64) for p in network.simulated}
        self.v = {p.name: np.zeros((*shape, p.size), dtype=np.int64) for p in network.simulated}
        self.rest = {p.name: getattr(getattr(p, "parameters", None), "v_rest", 0) for p in network.simulated}
        self.spikes = {p.name: np.zeros((*shape, p.size), dtype=np.bool_) for p in network.simulated}

    def traces(self, faults: Faults) -> Traces:
        for name in [faults.report_late] if faults.report_late else []:
            for arrays in (self.u, self.v, self.spikes):
                array: NDArray[Any] = cast(Any, arrays)[name]
                array[..., 1:, :] = array[..., :-1, :].copy()
                array[..., 0, :] = self.rest[name] if arrays is self.v else 0
        if next(iter(self.u.values())).shape[0] == 1:
            return Traces({k: a[0] for k, a in self.u.items()}, self.v, self.spikes)
        return Traces({k: a[0] - a[1] for k, a in self.u.items()}, self.v, self.spikes, self.u)


def sources(network: Any) -> list[Unit]:
    return [(p.name, n) for p in network.populations if p.kind == "spike_source" for n in range(p.size)]


def run_loihi(network: loihi.IntegerNetwork, spikes: SpikeTrains, faults: Faults = NONE) -> Traces:
    """Lava's step, line by line (`tests.loihi.lava_step`), for every neuron."""
    rows, units = Rows(network, spikes, 1), sources(network)
    for sample in range(spikes.n_samples):
        arriving: dict[tuple[int, str, int], int] = defaultdict(int)
        state = {(p.name, n): (0, 0) for p in network.simulated for n in range(p.size)}
        for t in range(spikes.n_steps):
            here = slice(spikes.offsets[sample], spikes.offsets[sample + 1])
            fired = [units[u] for u in spikes.units[here][spikes.times[here] == t]]
            for p in network.simulated:
                for n in range(p.size):
                    c = {"du": p.du, "dv": p.dv, "vth": p.vth, **faults.constants.get((p.name, n), {})}
                    neuron = lava_step.Neuron(*state[p.name, n], arriving[t, p.name, n])
                    after = lava_step.lava_step(neuron, c["du"], c["dv"])
                    spike = after.v > 64 * c["vth"] and (p.name, n) not in faults.dead
                    v = 0 if spike and (p.name, n) not in faults.no_reset else after.v
                    state[p.name, n] = after.u, v
                    rows.u[p.name][0, sample, t, n], rows.v[p.name][sample, t, n] = after.u, v
                    rows.spikes[p.name][sample, t, n] = spike
                    fired += [(p.name, n)] if spike else []
            for name, pre in fired:
                for q in (q for q in network.projections if q.source == name):
                    if (q.name, sample, t, pre) in faults.lost:
                        continue
                    for post in np.flatnonzero(q.exists[pre]).tolist():
                        at = t + 1 + int(q.slots[pre, post]) + faults.late.get(q.name, 0)
                        arriving[at, q.target, post] += int(q.addend[pre, post])
    return rows.traces(faults)


def run_spinnaker(network: spinnaker.IntegerNetwork, spikes: SpikeTrains, faults: Faults = NONE) -> Traces:
    """The law of a tick in whole numbers (`tests.spinnaker.reference`), for every neuron."""
    rows = Rows(network, spikes, 2)
    targets: dict[Unit, list[tuple[spinnaker.IntegerProjection, int]]] = defaultdict(list)
    for q in network.projections:
        for pre, post in np.argwhere(q.exists).tolist():
            targets[q.source, pre].append((q, post))
    for sample in range(spikes.n_samples):
        ring: dict[tuple[int, str, int, int], int] = defaultdict(int)
        neurons = reference.make_neurons(network)
        for (name, n), changed in faults.constants.items():
            neurons[name][n] = replace(neurons[name][n], **cast(Any, changed))
            neurons[name][n].v = neurons[name][n].v_rest
        inputs = reference.inputs_of(network, spikes, sample)
        for t in range(spikes.n_steps):
            fired = list(inputs[t])
            for name, members in neurons.items():
                for n, neuron in enumerate(members):
                    entries = [ring[t, name, n, kind] for kind in range(2)]
                    used, spike, v = reference.faulty_step(
                        neuron, entries, dead=(name, n) in faults.dead, resets=(name, n) not in faults.no_reset
                    )
                    rows.u[name][:, sample, t, n] = used
                    rows.v[name][sample, t, n], rows.spikes[name][sample, t, n] = v, spike
                    fired += [(name, n)] if spike else []
            for unit in fired:
                for q, post in targets[unit]:
                    if (q.name, sample, t, unit[1]) in faults.lost:
                        continue
                    weight = int(q.weight[unit[1], post])
                    at = t + int(q.delay[unit[1], post]) + faults.late.get(q.name, 0)
                    ring[at, q.target, post, int(weight < 0)] += abs(weight)
    return rows.traces(faults)


class Integers:
    """A target that has integers alone, no trained network."""

    name = "integers"

    def __init__(self, emulate: Callable[[Any, SpikeTrains], Traces]) -> None:
        self._emulate = emulate

    def chip_model(self, quantised: Any) -> Chip:
        if isinstance(quantised, loihi.IntegerNetwork):
            return loihi_faults.make_chip(quantised)
        return spinnaker_faults.make_chip(quantised)

    def emulate_traces(self, quantised: Any, spikes: SpikeTrains) -> Traces:
        return self._emulate(quantised, spikes)


def diagnose_integers(network: Any, spikes: SpikeTrains, observed: Traces) -> Diagnosis:
    """What is wrong in traces, by a network in integers."""
    run = run_loihi if isinstance(network, loihi.IntegerNetwork) else run_spinnaker
    return diagnose(cast(Target, Integers(cast(Any, run))), cast(Quantised, network), spikes, observed)


def changed_projection(network: Any, name: str, **arrays: Any) -> Any:
    """The network with other arrays in one projection."""
    return replace(
        network, projections=tuple(replace(p, **arrays) if p.name == name else p for p in network.projections)
    )


def changed_population(network: Any, name: str, **fields: Any) -> Any:
    """The network with other fields of one population."""
    return replace(
        network, populations=tuple(replace(p, **fields) if p.name == name else p for p in network.populations)
    )


def without(traces: Traces, *what: str) -> Traces:
    """Traces of a device that does not record some of u, v, spikes and currents."""
    return replace(traces, **cast(Any, {key: {} for key in what}))
