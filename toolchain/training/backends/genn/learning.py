"""What an optimiser on the device holds, to and from the flat vectors of the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network
from toolchain.training.optimiser import EPSILON, Adam

F32 = NDArray[np.float32]
Learned = dict[str, dict[str, NDArray[Any]]]
"""Projection -> variable of its synapses or of their update -> values in canonical order."""


def _slices(network: Network) -> Iterator[tuple[str, str, slice, NDArray[np.bool_] | None]]:
    """Projections that have synapses: name, target, their part of the flat vectors, and mask."""
    offset = 0
    for projection in network.projections:
        here = slice(offset, offset + projection.n_synapses)
        offset += projection.n_synapses
        if projection.n_synapses:
            yield projection.name, projection.target, here, projection.mask


def learned_of(
    network: Network,
    tau_syn: Mapping[str, F32],
    buffers: int,
    weights: F32,
    delays: F32,
    optimisers: Mapping[str, Adam],
) -> Learned:
    """What the device goes on from.

    Parameters
    ----------
    tau_syn : population -> synaptic time constant of each neuron, steps
    buffers : slots of the delay buffers; 1 where there are no delays
    """
    shapes = {p.name: p.weight.shape for p in network.projections}
    found: Learned = {}
    for name, target, here, mask in _slices(network):
        tau = np.broadcast_to(tau_syn[target], shapes[name])
        found[name] = {"Weight": weights[here], "TauSyn": tau.ravel() if mask is None else tau[mask]}
        kinds = ("weight", "delay") if buffers > 1 else ("weight",)
        for kind in kinds:
            adam, title = optimisers[kind], kind.capitalize()
            found[name] |= {
                f"{title}Rate": adam.rate[here],
                f"{title}First": adam.first[here],
                f"{title}Second": adam.second[here],
            }
        if buffers > 1:
            slot = np.minimum(np.rint(delays[here]), buffers - 1)
            found[name] |= {"Delay": delays[here], "Slot": slot, "Clipped": np.zeros(slot.size, dtype=np.uint32)}
    return found


def write_back(network: Network, learned: Learned, weights: F32, delays: F32, optimisers: Mapping[str, Adam]) -> int:
    """Fill the host's vectors; returns how many delays were clipped."""
    clipped = 0
    for name, _, here, _ in _slices(network):
        values = learned[name]
        weights[here] = values["Weight"]
        for kind in ("weight", "delay"):
            title = kind.capitalize()
            if f"{title}First" in values:
                optimisers[kind].first[here] = values[f"{title}First"]
                optimisers[kind].second[here] = values[f"{title}Second"]
        if "Delay" in values:
            delays[here] = values["Delay"]
            clipped += int(values["Clipped"].sum())
    return clipped


def step_constants(adam: Adam, factors: tuple[float, float], batch: int) -> dict[str, float]:
    """Dynamic constants of the step that `adam` has just counted, for weights and delays alike (see `Adam.step`)."""
    rest = float(np.sqrt(1 - adam.beta_2**adam.steps))
    scales = [factor * rest / (1 - adam.beta_1**adam.steps) for factor in factors]
    return {"WeightScale": scales[0], "DelayScale": scales[1], "Epsilon": EPSILON * rest, "PerSample": 1 / batch}
