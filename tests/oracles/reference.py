"""The step and its adjoint, written down a second time: float64, dense, one time loop, no event lists.

Nothing here is shared with the kernels: they go neuron by neuron through compressed tapes, this goes step
by step through full matrices. `test_golden_mlgenn` checks this code against mlGeNN's own numbers and `test_reference`
against the simulator that has no grid; the engine is then checked against this code on networks that neither covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.reference_losses import F64, output_of, push
from toolchain.network import Network, Population
from toolchain.objective import Objective


@dataclass
class State:
    """Courses of every population, (steps, size); arrivals are longer by the largest slot and one."""

    spikes: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    voltage: dict[str, F64] = field(default_factory=dict)
    slope: dict[str, F64] = field(default_factory=dict)
    arrivals: dict[str, F64] = field(default_factory=dict)
    current: dict[str, F64] = field(default_factory=dict)


def taus(population: Population) -> tuple[F64, F64]:
    """tau_mem and tau_syn, ms; of all neurons () or of each (size,)."""
    return np.asarray(population.tau_mem_ms, dtype=np.float64), np.asarray(population.tau_syn_ms, dtype=np.float64)


def constants(network: Network, name: str) -> tuple[F64, F64, F64]:
    """alpha, beta and gain * (1 - alpha) of a population, straight from the equations of the design."""
    dt, (tau_mem, tau_syn) = network.dt_ms, taus(network[name])
    alpha, beta = np.exp(-dt / tau_mem), np.exp(-dt / tau_syn)
    return alpha, beta, (1 - alpha) * tau_syn / dt * (1 - beta)


def simulate(
    network: Network,
    inputs: dict[str, NDArray[np.bool_]],
    before: State | None = None,
    mlgenn: bool = False,
    imposed: Mapping[str, NDArray[np.bool_]] | None = None,
) -> State:
    """Run one sample. `inputs`: spike source -> (steps, size).

    `imposed` : lif population -> (steps, size) spikes that it has, whatever its voltage; the voltages say which of
    them it would have had by itself.

    `mlgenn` reproduces what mlGeNN does at the ends of a sample: currents and delayed input are cleared at the
    start of the last step instead of between samples. What spikes of the last two steps deliver after that stays in the
    current and the buffers and leaks into the next sample, which is told so by `before`.
    """
    steps = next(iter(inputs.values())).shape[0]
    span = steps + network.max_slot + 2
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    state = State()
    factors = {p.name: constants(network, p.name) for p in simulated}
    current = {p.name: np.zeros(p.size) for p in simulated}
    voltage = {p.name: np.zeros(p.size) for p in simulated}
    for p in simulated:
        state.arrivals[p.name] = np.zeros((span, p.size))
        if before is not None:
            state.arrivals[p.name][: span - steps] += before.arrivals[p.name][steps:]
            current[p.name] = before.current[p.name].copy()
        state.voltage[p.name] = np.zeros((steps, p.size))
        state.slope[p.name] = np.zeros((steps, p.size))
        state.spikes[p.name] = np.zeros((steps, p.size), dtype=np.bool_)
    state.spikes.update(inputs)
    slots = {p.name: p.slots() for p in network.projections}
    for t in range(steps):
        if mlgenn and t == steps - 1:
            for p in simulated:
                current[p.name][:] = 0
                state.arrivals[p.name][t:] = 0
            _deliver(network, state, slots, t - 1)
        for p in simulated:
            alpha, beta, gain = factors[p.name]
            current[p.name] = beta * current[p.name] + state.arrivals[p.name][t]
            voltage[p.name] = alpha * voltage[p.name] + gain * current[p.name]
            state.voltage[p.name][t] = voltage[p.name]
            state.slope[p.name][t] = current[p.name] - voltage[p.name]
            if p.kind == "lif":
                fired = voltage[p.name] >= p.threshold
                if p.single_spike:
                    fired &= ~state.spikes[p.name].any(axis=0)
                if imposed is not None and p.name in imposed:
                    fired = imposed[p.name][t]
                state.spikes[p.name][t] = fired
                voltage[p.name] = np.where(fired, 0.0, voltage[p.name])
        _deliver(network, state, slots, t)
    state.current = current
    return state


def _deliver(network: Network, state: State, slots: dict[str, NDArray[np.int64]], t: int) -> None:
    """Add what the spikes of step t will bring to the arrivals of their targets."""
    for projection in network.projections:
        targets = np.arange(projection.weight.shape[1])
        for i in np.flatnonzero(state.spikes[projection.source][t]):
            j = targets if projection.mask is None else np.flatnonzero(projection.mask[i])
            state.arrivals[projection.target][t + 1 + slots[projection.name][i, j], j] += projection.weight[i, j]


def adjoints(
    network: Network,
    state: State,
    label: int,
    objective: Objective | None = None,
    *,
    target: F64 | None = None,
    probability: F64 | None = None,
    rates: Mapping[str, F64] | None = None,
) -> tuple[dict[str, F64], dict[str, F64]]:
    """lambda_I and lambda_V of each population, (span, size), those from the end of the sample on 0.

    `target` and `probability` are those of `reference_losses.push`. `rates` : population -> (size,) what the
    regulariser takes from lambda_V at each spike of a neuron, strength * (mean count - target).
    """
    output = output_of(network)
    steps = state.voltage[output.name].shape[0]
    pushed = push(
        objective or Objective(), state.voltage[output.name], state.spikes.get(output.name), label, network.dt_ms,
        target, probability,
    )  # fmt: skip
    span = steps + network.max_slot + 2
    simulated = [p for p in network.populations if p.kind != "spike_source"]
    lv = {p.name: np.zeros((span, p.size)) for p in simulated}
    li = {p.name: np.zeros((span, p.size)) for p in simulated}
    slots = {p.name: p.slots() for p in network.projections}
    decays = {p.name: constants(network, p.name)[:2] for p in simulated}
    for t in range(steps - 1, -1, -1):
        for p in simulated:
            alpha, beta = decays[p.name]
            tau_mem, tau_syn = taus(p)
            ratio = tau_mem / (tau_mem - tau_syn)
            u = pushed.drive[t] if p.name == output.name else 0.0
            v, i = lv[p.name][t + 1], li[p.name][t + 1]
            li[p.name][t] = u + (i - u) * beta + ratio * (v - u) * (alpha - beta)
            lv[p.name][t] = u + (v - u) * alpha
        if t == steps - 1:
            lv[output.name][t] += pushed.end
        for p in simulated:
            if p.kind != "lif":
                continue
            for n in np.flatnonzero(state.spikes[p.name][t]):
                total = pushed.kick[t, n] if p.name == output.name else 0.0
                for projection in network.projections:
                    if projection.source != p.name:
                        continue
                    at = t + 1 + slots[projection.name][n]
                    j = np.arange(at.size)
                    name = projection.target
                    total += float(projection.weight[n] @ (lv[name][at, j] - li[name][at, j]))
                lv[p.name][t, n] += (p.threshold * lv[p.name][t, n] + total) / state.slope[p.name][t, n]
                if rates is not None and p.name in rates:
                    lv[p.name][t, n] -= rates[p.name][n]
    return li, lv


def gradients(
    network: Network, state: State, label: int, objective: Objective | None = None, **options: Any
) -> dict[str, tuple[F64, F64]]:
    """Gradients of the loss of one sample: projection -> (weight, delay per slot), (pre, post) each.

    `options` are those of `adjoints`.
    """
    li, lv = adjoints(network, state, label, objective, **options)
    slots = {p.name: p.slots() for p in network.projections}
    found = {}
    for projection in network.projections:
        post = network[projection.target]
        dw, dd = np.zeros(projection.weight.shape), np.zeros(projection.weight.shape)
        j = np.arange(post.size)
        for t, i in np.argwhere(state.spikes[projection.source]):
            at = t + 1 + slots[projection.name][i]
            dw[i] -= taus(post)[1] / network.dt_ms * li[post.name][at, j]
            dd[i] -= projection.weight[i] * (li[post.name][at, j] - lv[post.name][at, j])
        if projection.mask is not None:
            dw, dd = dw * projection.mask, dd * projection.mask
        found[projection.name] = (dw, dd)
    return found
