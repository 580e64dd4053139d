"""NIR's neurons as populations of the law here: time constants, threshold, and what weights are multiplied with.

NIR's CubaLIF,   tau_syn I' = -I + w_in S,   tau_mem v' = (v_leak - v) + R I,   with v_leak = 0 is in steps

    I[t] = b I[t-1] + c w_in sum W S        v[t] = a v[t-1] + (1 - a) R I[t]

    exponential:  b = exp(-dt/tau_syn),  a = exp(-dt/tau_mem)      euler:  b = 1 - dt/tau_syn,  a = 1 - dt/tau_mem
    pulse:  c = 1 - b                                              jump:  c = 1

The law here has the same two lines with I scaled, and its decays are exp(-dt/tau'): tau' = tau, or -dt/ln(1 - dt/tau)
for euler. Its gain is g = (tau_syn'/dt)(1 - b), so V = v in every step if

    w = W R w_in c / g        that is  W R w_in dt/tau_syn'  for pulse

LIF and LI have no current that lasts: tau_syn' = dt/32 has the decay exp(-32) = 1e-14, nothing beside 32 bits and 0
in the integers of any chip, and a gain of 2^-5 but for that, so that w = 32 W R. A longer tau_syn would last; a shorter
one costs SpiNNaker, which has 15 bits behind the point for it (dt/128 is 2.3 % off at steps of 0.1 ms) and currents
below 2^16.

Source: nir 1.0.8, ``ir/neuron.py``; design, law 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolchain.interchange.nir.assumptions import NirAssumptions
from toolchain.interchange.nir.graph_file import F64, Node
from toolchain.network import TimeConstant

NO_SYNAPSE = 32.0
"""Steps are this many synaptic time constants long where a neuron has no synaptic current."""
SCALED_THRESHOLD = 1.0
"""Threshold of a population whose neurons have different ones in the file."""


@dataclass(frozen=True)
class Neurons:
    """A population as the file means it.

    Attributes
    ----------
    kind : ``lif`` or ``leaky_readout``
    tau_mem_ms, tau_syn_ms : (n,) ms, such that the decays here are those of the tool
    threshold : one number for all
    factor : (n,) what the weights onto each neuron are multiplied with
    scaled : neurons whose V is another multiple of the file's v than 1
    """

    kind: Literal["lif", "leaky_readout"]
    tau_mem_ms: F64
    tau_syn_ms: F64
    threshold: float
    factor: F64
    scaled: int


def read_neurons(node: Node, size: int, dt_s: float, dt_ms: float, assume: NirAssumptions) -> Neurons:
    """Parameters of a CubaLIF, CubaLI, LIF or LI as the law here has them.

    Raises
    ------
    InterchangeError
        If a parameter has another number of values than the node has units, v_leak or v_reset is not 0, or a time
        constant or threshold is not above 0, or with ``euler`` a step is no shorter than a time constant.
    """
    cuba = node.kind.startswith("Cuba")
    for name in ("v_leak", *(["v_reset"] if node.kind.endswith("LIF") else [])):
        values = _values(node, name, size, default=0.0 if name == "v_reset" else None)
        if np.any(values != 0):
            raise node.refuse(
                f"has a {name} of {values[np.argmax(np.abs(values))]:g}; only 0 can be meant here: shift voltages"
            )
    tau_mem = _decaying(node, "tau_mem" if cuba else "tau", size, dt_s, dt_ms, assume)
    factor = _values(node, "r", size)
    if cuba:
        tau_syn = _decaying(node, "tau_syn", size, dt_s, dt_ms, assume)
        factor = factor * _values(node, "w_in", size, default=1.0)
        if assume.synapse == "pulse":
            factor = factor * (dt_ms / tau_syn)
        else:
            factor = factor / (-np.expm1(-dt_ms / tau_syn) * tau_syn / dt_ms)
    else:
        tau_syn = np.full(size, dt_ms / NO_SYNAPSE)
        factor = factor * NO_SYNAPSE
    if not node.kind.endswith("LIF"):
        return Neurons("leaky_readout", tau_mem, tau_syn, 1.0, factor, 0)
    thresholds = _values(node, "v_threshold", size)
    if thresholds.min() <= 0:
        raise node.refuse(f"has a v_threshold of {thresholds.min():g}; must be above 0, the voltage at rest")
    if np.all(thresholds == thresholds[0]):
        return Neurons("lif", tau_mem, tau_syn, float(thresholds[0]), factor, 0)
    scaled = int(np.count_nonzero(thresholds != SCALED_THRESHOLD))
    return Neurons("lif", tau_mem, tau_syn, SCALED_THRESHOLD, factor * (SCALED_THRESHOLD / thresholds), scaled)


def one_or_each(values: F64) -> TimeConstant:
    """One number where all are equal, else one for each neuron."""
    return float(values[0]) if np.all(values == values[0]) else tuple(values.tolist())


def step_from_parameters(node: Node) -> float | None:
    """The step, s, that an exporter seems to have folded into w_in = tau_syn/dt or r = tau/dt; only a hint."""
    tau, by = ("tau_syn", "w_in") if node.kind.startswith("Cuba") else ("tau", "r")
    tau_s, factor = node.parameter(tau), node.parameter(by, default=1.0)
    if factor.size == 0 or tau_s.size == 0 or np.any(factor == 0) or np.all(factor == 1):
        return None
    steps = np.ravel(tau_s)[:1] / np.ravel(factor)[:1]
    return float(f"{steps[0]:.6g}") if steps[0] > 0 else None


def milliseconds(seconds: F64) -> F64:
    """Seconds as ms, the number with 15 digits where it is the same number of seconds."""
    found = seconds * 1000.0
    short = np.array([float(f"{value:.15g}") for value in found.ravel().tolist()]).reshape(found.shape)
    same: F64 = np.where(short / 1000.0 == seconds, short, found)
    return same


def _values(node: Node, name: str, size: int, default: float | None = None) -> F64:
    values = node.parameter(name, default).ravel()
    if values.size not in (1, size):
        raise node.refuse(f"has {values.size} values of {name} for {size} units; give one for each")
    return np.broadcast_to(values, (size,)).copy()


def _decaying(node: Node, name: str, size: int, dt_s: float, dt_ms: float, assume: NirAssumptions) -> F64:
    """Time constants, ms, whose decay here is that of the tool."""
    seconds = _values(node, name, size)
    worst = int(np.argmin(seconds))
    if seconds[worst] <= 0:
        raise node.refuse(f"has a {name} of {seconds[worst]:g} s; must be above 0")
    if assume.discretisation == "exponential":
        return milliseconds(seconds)
    if dt_s >= seconds[worst]:
        looks = step_from_parameters(node)
        remedy = (
            "give the tool's own step with --dt-ms, or --discretisation exponential"
            if looks is None
            else f"w_in or r look like a step of {looks * 1000:.6g} ms: give the tool's own with --dt-ms"
        )
        raise node.refuse(
            f"has a {name} of {seconds[worst]:g} s, no longer than a step of {dt_s:g} s, so 1 - dt/tau is no decay; "
            + remedy
        )
    found: F64 = -dt_ms / np.log1p(-dt_s / seconds)
    return found
