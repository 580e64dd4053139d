"""Networks of one neuron on either chip in which one thing differs from training, and the step that finds out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi import loihi2
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.quantised import LoihiQuantised
from hardware_targets.loihi.rounding import dequantised_weights
from toolchain.attribution.divergence import Attribution
from toolchain.attribution.engines import Both, first_divergent_spike, run_both
from toolchain.attribution.explainer import Explainer
from toolchain.deployment.abilities import ReplayingTarget
from toolchain.deployment.target import Quantised, Target
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Objective, Reading
from toolchain.spikes import SpikeTrains, bin_events
from toolchain.training.backends import make_engine

STEPS = 150
DU, DV = 741, 200
"""beta = 3354 / 4096, alpha = 3896 / 4096: what a tau of 5 ms and one of 20 ms round to."""


def tau_of(decay: float) -> float:
    """Time constant, ms, whose decay in a step of 1 ms this is, to the last bits of float64."""
    return -1.0 / float(np.log(decay))


class LoihiCase:
    """Inputs onto one neuron, in integers; as trained it is exactly what the integers stand for.

    What differs is told to `trained`: then integers and training differ in that alone.
    """

    def __init__(
        self,
        weights: NDArray[np.int32],
        slots: NDArray[np.int64],
        vth: int,
        *,
        exponent: int = 0,
        du: int = DU,
        dv: int = DV,
        tau_mem_ms: float = tau_of((4096 - DV) / 4096),
        tau_syn_ms: float = tau_of((4095 - DU) / 4096),
    ) -> None:
        n = weights.size
        self.exponent, self.n = exponent, n
        self.integers = IntegerNetwork(
            1.0,
            (
                IntegerPopulation("in", "spike_source", n),
                IntegerPopulation("h", "lif", 1, du, dv, vth, float(vth)),
                IntegerPopulation("out", "leaky_readout", 1, du, dv, READOUT_VTH, 1000.0),
            ),
            (
                IntegerProjection("in", "h", weights.reshape(-1, 1).astype(np.int32), exponent, slots.reshape(-1, 1)),
                IntegerProjection("h", "out", np.array([[100]], np.int32), 0, np.zeros((1, 1), np.int64)),
            ),
        )
        self._taus: dict[str, Any] = {"tau_mem_ms": tau_mem_ms, "tau_syn_ms": tau_syn_ms}

    def network(self, **population: Any) -> Network:
        """What the integers stand for, with other constants of the neuron if asked for."""
        shape = Network(
            1.0,
            (
                Population("in", "spike_source", self.n),
                replace(Population("h", "lif", 1, **self._taus), **population),
                Population("out", "leaky_readout", 1, **self._taus),
            ),
            (
                make_projection("in", "h", np.zeros((self.n, 1))),
                make_projection("h", "out", np.zeros((1, 1))),
            ),
        )
        return dequantised_weights(self.integers, shape)

    def trained(
        self,
        weight: Mapping[int, float] | None = None,
        slot: Mapping[int, float] | None = None,
        **population: Any,
    ) -> Network:
        """The same with other weights (in units of the integers), slots or constants."""
        network = self.network(**population)
        first = network.projections[0]
        unit = float(first.weight[0, 0]) / float(self.integers.projections[0].addend[0, 0])
        weights, delays = first.weight.copy(), first.delay.copy()
        for i, w in (weight or {}).items():
            weights[i, 0] = w * unit
        for i, k in (slot or {}).items():
            delays[i, 0] = k
        return replace(network, projections=(replace(first, weight=weights, delay=delays), network.projections[1]))

    def explain(
        self, trained: Network, times: NDArray[np.int64], deployed: Network | None = None
    ) -> list[tuple[Attribution, Both]]:
        """The first divergence where input i spikes at times[i]; empty if all spikes are the same.

        `deployed` is what pruning left of the trained network.
        """
        none = {p.name: 0 for p in trained.projections}
        quantised = LoihiQuantised("loihi2", self.integers, deployed or trained, none, none)
        spikes = bin_events([(times, np.arange(times.size))], times.size, STEPS)[0]
        return explain(trained, loihi2, quantised, spikes)


def explain(
    trained: Network, target: Target, quantised: Quantised, spikes: SpikeTrains
) -> list[tuple[Attribution, Both]]:
    """Every sample that diverges, explained."""
    reading: Reading = "first_spike" if trained.readout.kind == "lif" else "sum"
    engine = make_engine("cpu", trained, spikes.n_steps, max_slot=trained.max_slot, objective=Objective(reading))
    assert isinstance(target, ReplayingTarget)
    explainer = Explainer(trained, target, quantised, target.largest_slot())
    found = []
    for both in run_both(engine, target, quantised, trained, spikes):
        divergent = first_divergent_spike(trained, both.floating, both.chip)
        if divergent is not None:
            found.append((explainer.explain(both, divergent, shown=True), both))
    return found


def voltage(
    weights: NDArray[np.float64],
    slots: NDArray[np.int64],
    spikes: list[tuple[int, int]],
    constants: tuple[float, float, float],
    step: int,
    resets: tuple[int, ...] = (),
) -> float:
    """V of one neuron at a step, straight from law 2: the oracle. `spikes` are (step, synapse)."""
    alpha, beta, gain = constants
    current = v = 0.0
    for t in range(step + 1):
        current = beta * current + sum(weights[i] for s, i in spikes if s + 1 + slots[i] == t)
        v = alpha * v + gain * current
        if t in resets and t < step:
            v = 0.0
    return v
