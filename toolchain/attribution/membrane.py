"""The membrane of one neuron in float64, as trained and with any part of what quantisation changed.

Up to the first spike in which two engines differ, all spikes are the same in both. So the input of each neuron is, and
its voltage is a function of its own synapses and constants: with spikes s of the sources i, weights w, slots k and the
last own spike at step r,

    V[t] = gain * sum over i, s of w_i K[s + 1 + k_i]
    K[a] = sum for n = max(a, r + 1) .. t of alpha^(t-n) beta^(n-a)

which is law 2 of the design, solved. What quantisation changed are parts of w, of k, alpha, beta and the gain. Each
part gets its Shapley value: what it changes V by when it is applied after some of the others, averaged over all orders
in which they can be applied. These values add up to the whole change, whatever the order.

Source: Shapley, "A value for n-person games" (1953).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.abilities import ReplayingTarget
from toolchain.deployment.target import Quantised
from toolchain.network import Network, NeuronConstants

F64 = NDArray[np.float64]
Events = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(times, units) of the spikes of a population in one sample."""

Change = Literal[
    "pruned_synapses",
    "clipped_delay",
    "moved_delay",
    "rounded_weight",
    "clipped_weight",
    "zeroed_weight",
    "rounded_voltage_decay",
    "rounded_current_decay",
    "rounded_gain",
]
CHANGES: tuple[Change, ...] = get_args(Change)
WEIGHT_PARTS = ("pruned_synapses", "rounded_weight", "clipped_weight", "zeroed_weight")
DELAY_PARTS = ("clipped_delay", "moved_delay")


@dataclass(frozen=True)
class Constants:
    """Constants of one neuron; see `toolchain.network.NeuronConstants`."""

    alpha: float
    beta: float
    gain: float
    threshold: float

    @classmethod
    def of(cls, constants: NeuronConstants, neuron: int) -> Constants:
        """Those of a neuron of a population."""
        alpha, beta, gain = (
            float(value if np.ndim(value) == 0 else np.asarray(value)[neuron])
            for value in (constants.alpha, constants.beta, constants.gain)
        )
        return cls(alpha, beta, gain, constants.threshold)


@dataclass(frozen=True)
class Neuron:
    """A neuron with its synapses as trained and on the chip, one after the other, projection by projection.

    Attributes
    ----------
    sources : of each projection the population, the first of its synapses and how many there are
    weight : as trained (n_synapses,); 0 where there is no synapse
    parts : name of `WEIGHT_PARTS` -> what it adds to the weights; with all of them they are those of the chip
    slot, chip_slot : delay slots; the same where the chip has no weight
    clipped : which of those that differ lie at the target's largest slot
    """

    population: str
    neuron: int
    sources: tuple[tuple[str, int, int], ...]
    weight: F64
    parts: Mapping[str, F64]
    slot: NDArray[np.int64]
    chip_slot: NDArray[np.int64]
    clipped: NDArray[np.bool_]
    trained: Constants
    chip: Constants
    single_spike: bool

    @property
    def chip_weight(self) -> F64:
        """What the integers stand for."""
        total: F64 = self.weight + sum(self.parts.values())
        return total

    def arrivals(self, spikes: Mapping[str, Events]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(times, synapses) of all spikes that the synapses get, arrival excluded: that is time + 1 + slot."""
        times = [np.zeros(0, dtype=np.int64), *(spikes[source][0] for source, _, _ in self.sources)]
        synapses = [np.zeros(0, dtype=np.int64), *(spikes[source][1] + first for source, first, _ in self.sources)]
        return np.concatenate(times), np.concatenate(synapses)

    def own(self, spikes: Mapping[str, Events]) -> NDArray[np.int64]:
        """Steps of its own spikes, in order."""
        times, units = spikes[self.population]
        return np.sort(times[units == self.neuron])


class Changes:
    """A trained network beside its quantised form, ready to be looked at neuron by neuron.

    Parameters
    ----------
    trained : the network of the float engine, before any pruning
    target : with the abilities of `ReplayingTarget`
    largest_slot : of the target
    """

    def __init__(self, trained: Network, quantised: Quantised, target: ReplayingTarget, largest_slot: int) -> None:
        self.trained, self._constants, self._largest = trained, quantised.constants, largest_slot
        self._rounded = {p.name: p for p in quantised.rounded.projections}
        self._chip = {p.name: target.weights_on_chip(quantised, p.name) for p in trained.projections}

    def neuron(self, population: str, neuron: int) -> Neuron:
        """One neuron with all its synapses."""
        incoming = self.trained.incoming(population)
        sizes = [self.trained[p.source].size for p in incoming]
        firsts = np.cumsum([0, *sizes])[:-1].tolist()
        rounded = [self._rounded[p.name] for p in incoming]

        def column(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
            """The synapses of the neuron from one array (pre, post) of each projection."""
            return np.concatenate([np.zeros(0), *(a[:, neuron] for a in arrays)])

        weight, deployed = column([p.weight for p in incoming]), column([p.weight for p in rounded])
        chip = column([self._chip[p.name].weight for p in incoming])
        beyond = column([self._chip[p.name].clipped for p in incoming]) > 0
        zeroed = (chip == 0) & (deployed != 0) & ~beyond
        parts = {
            "pruned_synapses": deployed - weight,
            "rounded_weight": np.where(zeroed | beyond, 0.0, chip - deployed),
            "clipped_weight": np.where(beyond, chip - deployed, 0.0),
            "zeroed_weight": np.where(zeroed, chip - deployed, 0.0),
        }
        # Half to even, as `Projection.slots`. A synapse that was pruned has no delay any more: its arrivals are not
        # what changed.
        slot = np.rint(column([p.delay for p in incoming])).astype(np.int64)
        kept = np.rint(column([p.delay for p in rounded])).astype(np.int64)
        there = np.where(deployed != 0, kept, slot)
        return Neuron(
            population,
            neuron,
            tuple((p.source, first, size) for p, first, size in zip(incoming, firsts, sizes, strict=True)),
            weight,
            parts,
            slot,
            there,
            (there < slot) & (there == self._largest),
            Constants.of(NeuronConstants.of(self.trained[population], self.trained.dt_ms), neuron),
            Constants.of(self._constants[population], neuron),
            self.trained[population].single_spike,
        )


@dataclass(frozen=True)
class Decomposition:
    """What changes of quantisation do to the voltage of a neuron at one step; units of V.

    Attributes
    ----------
    trained, quantised : V with none and with all of them, in float64
    shapley : change -> its mean over all orders; those that do nothing are left out, the sum is quantised - trained
    alone : change -> what it does to the trained neuron by itself
    by_synapse : (n_synapses,) what the change of its weight and delay does at the trained constants
    """

    trained: float
    quantised: float
    shapley: Mapping[Change, float]
    alone: Mapping[Change, float]
    by_synapse: F64


def kernel(alpha: float, beta: float, step: int, reset: int) -> F64:
    """K of the module: what an arrival of 1 at each step has added to V / gain at `step`, (step + 1,).

    Parameters
    ----------
    reset : last step before `step` at which the voltage was set to 0; -1 without one
    """
    start = reset + 1
    course, value, power = np.empty(step - start + 1), 0.0, 1.0
    for n in range(course.size):
        value = alpha * value + power
        power *= beta
        course[n] = value
    before = course[-1] * beta ** np.arange(start, 0, -1, dtype=np.float64)
    return np.concatenate([before, course[::-1]])


def decompose(neuron: Neuron, spikes: Mapping[str, Events], step: int) -> Decomposition:
    """Attribute the change of V at `step`, before any reset of that step.

    Parameters
    ----------
    spikes : population -> spikes, of which only those before `step` matter
    """
    times, synapses = neuron.arrivals(spikes)
    own = neuron.own(spikes)
    reset = int(max(own[own < step], default=-1))
    arrived, chip_arrived = (times + 1 + slots[synapses] for slots in (neuron.slot, neuron.chip_slot))
    table, effect = np.zeros((4, 1 + len(WEIGHT_PARTS), 3)), np.zeros(neuron.weight.size)
    weights = np.stack([neuron.weight, *(neuron.parts[name] for name in WEIGHT_PARTS)])
    for index in range(4):
        alpha = (neuron.chip if index & 1 else neuron.trained).alpha
        beta = (neuron.chip if index & 2 else neuron.trained).beta
        # What arrives later counts nothing.
        k = np.concatenate([kernel(alpha, beta, step, reset), [0.0]])
        seen, shifted = (
            np.bincount(synapses, k[np.minimum(at, step + 1)], minlength=neuron.weight.size)
            for at in (arrived, chip_arrived)
        )
        later = np.where(neuron.clipped, shifted - seen, 0.0)
        table[index] = weights @ np.stack([seen, later, shifted - seen - later], axis=1)
        if index == 0:
            effect = neuron.trained.gain * (neuron.chip_weight * shifted - neuron.weight * seen)
    active = _active(neuron, table)
    values = _values(neuron, table, active)
    n = len(active)
    shapley, alone = {}, {}
    sizes = np.array([bin(subset).count("1") for subset in range(1 << n)])
    share = np.array([math.factorial(s) * math.factorial(n - s - 1) / math.factorial(n) for s in range(n)])
    for bit, name in enumerate(active):
        without = np.flatnonzero(~(np.arange(1 << n) >> bit) & 1)
        shapley[name] = float(np.sum(share[sizes[without]] * (values[without | (1 << bit)] - values[without])))
        alone[name] = float(values[1 << bit] - values[0])
    return Decomposition(float(values[0]), float(values[-1]), shapley, alone, effect)


def _active(neuron: Neuron, table: F64) -> tuple[Change, ...]:
    """Changes that can do anything here; the others would only double the number of orders."""
    trained, chip = neuron.trained, neuron.chip
    found = {name: bool(table[:, 1 + i].any()) for i, name in enumerate(WEIGHT_PARTS)}
    found |= {name: bool(table[:, :, 1 + i].any()) for i, name in enumerate(DELAY_PARTS)}
    found["rounded_voltage_decay"] = trained.alpha != chip.alpha
    found["rounded_current_decay"] = trained.beta != chip.beta
    found["rounded_gain"] = trained.gain != chip.gain
    return tuple(name for name in CHANGES if found[name])


def _values(neuron: Neuron, table: F64, active: tuple[Change, ...]) -> F64:
    """V with every subset of the active changes, (2^n,); bit i of the index is change i."""
    trained, chip = neuron.trained, neuron.chip
    subsets = np.arange(1 << len(active))
    none = np.zeros(subsets.size, dtype=np.bool_)
    has = {name: (subsets >> active.index(name)) & 1 == 1 if name in active else none for name in CHANGES}
    parts = np.stack([~none, *(has[name] for name in WEIGHT_PARTS)], axis=1).astype(np.float64)  # type: ignore[index]
    delays = np.stack([~none, *(has[name] for name in DELAY_PARTS)], axis=1).astype(np.float64)  # type: ignore[index]
    decays = has["rounded_voltage_decay"] + 2 * has["rounded_current_decay"].astype(np.int64)
    gain = np.full(subsets.size, trained.gain)
    if "rounded_gain" in active:
        # In the law the gain is (1 - alpha) (1 - beta) tau_syn / dt. A chip whose gain is another computes it from its
        # own decays: those factors belong to the decays. Where it is folded into the weights it stays as trained.
        alpha = np.where(has["rounded_voltage_decay"], chip.alpha, trained.alpha)
        beta = np.where(has["rounded_current_decay"], chip.beta, trained.beta)
        rest = [c.gain / ((1 - c.alpha) * (1 - c.beta)) for c in (trained, chip)]
        gain = np.where(has["rounded_gain"], rest[1], rest[0]) * (1 - alpha) * (1 - beta)
    values: F64 = gain * np.einsum("mi,mij,mj->m", parts, table[decays], delays)
    return values


def course(neuron: Neuron, spikes: Mapping[str, Events], n_steps: int) -> tuple[F64, F64]:
    """V of each step before its reset and the sum that arrives, as trained, (n_steps,) each.

    `spikes` of the neuron itself say when it is reset. One that spikes once has no voltage after that: NaN.
    """
    times, synapses = neuron.arrivals(spikes)
    at = times + 1 + neuron.slot[synapses]
    inside = at < n_steps
    arriving: F64 = np.bincount(at[inside], neuron.weight[synapses[inside]], minlength=n_steps).astype(np.float64)
    resets, constants = set(neuron.own(spikes).tolist()), neuron.trained
    voltages, current, voltage = np.empty(n_steps), 0.0, 0.0
    for step, added in enumerate(arriving.tolist()):
        current = constants.beta * current + added
        voltage = constants.alpha * voltage + constants.gain * current
        voltages[step] = voltage
        if step in resets:
            voltage = math.nan if neuron.single_spike else 0.0
    return voltages, arriving
