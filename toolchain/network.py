"""Populations, projections and the network: the immutable description every stage shares.

A network is *what* is computed, never *how*: no chip, no optimiser, no file format. Arrays are
``(pre, post)``. The step that every engine computes is law 2 of the design:

    A_j[t] = sum of w_ij over all spikes of i at step s with s + 1 + k_ij = t
    I_j[t] = beta * I_j[t-1] + A_j[t]                    beta  = exp(-dt/tau_syn)
    V_j[t] = alpha * V_j[t-1] + (1-alpha) * g * I_j[t]   alpha = exp(-dt/tau_mem),  g = (tau_syn/dt)(1-beta)
    spike if V_j[t] >= threshold; then V_j[t] := 0

A ``leaky_readout`` computes the same two lines without threshold and reset.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import NetworkError

Kind = Literal["spike_source", "lif", "leaky_readout"]
KINDS: tuple[str, ...] = get_args(Kind)
TimeConstant = float | tuple[float, ...]
"""Of all neurons of a population, or one for each; ms."""
TIME_CONSTANTS = ("tau_mem_ms", "tau_syn_ms")


@dataclass(frozen=True)
class Population:
    """A named group of neurons of one kind.

    Parameters
    ----------
    name : unique in its network
    kind : ``spike_source``, ``lif`` or ``leaky_readout``
    size : number of neurons, > 0
    tau_mem_ms, tau_syn_ms : membrane and synaptic time constant, ms, > 0 (unused by ``spike_source``); a number,
        or a tuple of `size` numbers, one for each neuron
    threshold : of ``lif``, in units of V, > 0
    single_spike : of ``lif``: a neuron spikes at most once a sample, as after a refractory period without end

    Raises
    ------
    NetworkError
        If a value is out of its range.
    """

    name: str
    kind: Kind
    size: int
    tau_mem_ms: TimeConstant = 20.0
    tau_syn_ms: TimeConstant = 5.0
    threshold: float = 1.0
    single_spike: bool = False

    def __post_init__(self) -> None:
        # The name becomes part of array names, file names and one-line messages; from a file it may be anything.
        name: object = self.name
        if not isinstance(name, str) or not name.isprintable() or set(name) & set("/>\\ ") or name[:1] in ("", "."):
            raise NetworkError(
                f"population name {self.name!r}: must be non-empty and printable, without blanks, '/', '\\' or '>', "
                "and not start with a dot; rename it"
            )
        if self.kind not in KINDS:
            raise NetworkError(f"population {self.name}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        if isinstance(self.size, bool) or not isinstance(self.size, int):
            raise NetworkError(f"population {self.name}: size {self.size!r} is not a whole number; give one above 0")
        if self.size < 1:
            raise NetworkError(f"population {self.name}: size {self.size} is below 1; give at least one neuron")
        for field in TIME_CONSTANTS:
            value = getattr(self, field)
            if isinstance(value, tuple):
                if len(value) != self.size:
                    raise NetworkError(
                        f"population {self.name}: {field} has {len(value)} values for {self.size} neurons; give one a "
                        "neuron, or one number for all"
                    )
                for neuron, one in enumerate(value):
                    self._check_positive(f"{field} of neuron {neuron}", one)
            else:
                self._check_positive(field, value)
        self._check_positive("threshold", self.threshold)
        single_spike: object = self.single_spike
        if not isinstance(single_spike, bool) or (single_spike and self.kind != "lif"):
            raise NetworkError(
                f"population {self.name}: single_spike {single_spike!r} must be true or false, and true for a lif only"
            )

    def _check_positive(self, what: str, value: object) -> None:
        if isinstance(value, bool) or not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise NetworkError(f"population {self.name}: {what} {value} must be finite and above 0")

    @property
    def heterogeneous(self) -> bool:
        """Whether a time constant differs from neuron to neuron."""
        return any(isinstance(getattr(self, field), tuple) for field in TIME_CONSTANTS)


@dataclass(frozen=True)
class Projection:
    """The synapses from one population to another, or to itself.

    Parameters
    ----------
    source, target : population names
    weight : (pre, post) float32
    delay : (pre, post) float32, slots, >= 0; a spike of step t arrives at step t + 1 + round(delay)
    mask : (pre, post) bool or None; False where there is no synapse. None means every pair is connected.
        Weight and delay are zero where there is no synapse.
    """

    source: str
    target: str
    weight: NDArray[np.float32]
    delay: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None

    @property
    def name(self) -> str:
        """``source->target``, unique in a network."""
        return f"{self.source}->{self.target}"

    @property
    def n_synapses(self) -> int:
        """Number of synapses that exist."""
        return int(self.weight.size if self.mask is None else np.count_nonzero(self.mask))

    def slots(self) -> NDArray[np.int64]:
        """Integer delay slots, (pre, post): delays rounded half to even, as every engine uses them."""
        return np.rint(self.delay).astype(np.int64)


@dataclass(frozen=True)
class Network:
    """Populations, the projections between them and the length of a step.

    Parameters
    ----------
    dt_ms : length of a step, ms, > 0
    populations : in the order in which they are reported
    projections : at most one for each ordered pair of populations

    Raises
    ------
    NetworkError
        If names repeat or do not exist, shapes do not fit, or a value is not finite or negative where
        it may not be.
    """

    dt_ms: float
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.dt_ms) and self.dt_ms > 0):
            raise NetworkError(f"network: dt_ms {self.dt_ms} must be finite and above 0")
        names = [p.name for p in self.populations]
        for name in names if len(set(names)) < len(names) else ():
            if names.count(name) > 1:
                raise NetworkError(f"population {name}: the name is used {names.count(name)} times; rename one")
        seen: set[str] = set()
        for projection in self.projections:
            self._check_projection(projection)
            if projection.name in seen:
                raise NetworkError(f"projection {projection.name}: given twice; merge the two into one")
            seen.add(projection.name)

    def _check_projection(self, projection: Projection) -> None:
        name = projection.name
        for end, population in (("source", projection.source), ("target", projection.target)):
            if population not in (p.name for p in self.populations):
                known = ", ".join(p.name for p in self.populations)
                raise NetworkError(f"projection {name}: {end} population {population!r} does not exist; known: {known}")
        if self[projection.target].kind == "spike_source":
            raise NetworkError(f"projection {name}: target {projection.target} is a spike_source and takes no input")
        if self[projection.source].kind == "leaky_readout":
            raise NetworkError(f"projection {name}: source {projection.source} is a leaky_readout and never spikes")
        shape = (self[projection.source].size, self[projection.target].size)
        for field in ("weight", "delay", "mask"):
            array = getattr(projection, field)
            if array is not None and array.shape != shape:
                raise NetworkError(f"projection {name}: {field} has shape {array.shape}, must be (pre, post) = {shape}")
        for field in ("weight", "delay"):
            array = getattr(projection, field)
            if not np.all(np.isfinite(array)):
                pre, post = np.argwhere(~np.isfinite(array))[0]
                raise NetworkError(f"projection {name}: {field} of synapse ({pre}, {post}) is {array[pre, post]}")
        if projection.delay.size and projection.delay.min() < 0:
            pre, post = np.unravel_index(int(projection.delay.argmin()), shape)
            raise NetworkError(
                f"projection {name}: delay {projection.delay.min():g} of synapse ({pre}, {post}) is below 0 slots; "
                "slot 0 already arrives one step after the spike"
            )

    def __getitem__(self, name: str) -> Population:
        for population in self.populations:
            if population.name == name:
                return population
        raise KeyError(name)

    def of_kind(self, kind: Kind) -> tuple[Population, ...]:
        """Populations of one kind, in order."""
        return tuple(p for p in self.populations if p.kind == kind)

    @property
    def readout(self) -> Population:
        """The one population that the network is read from: it projects to no other population but itself.

        Raises
        ------
        NetworkError
            If there is not exactly one such population.
        """
        passing_on = {p.source for p in self.projections if p.target != p.source}
        outputs = [p for p in self.populations if p.kind != "spike_source" and p.name not in passing_on]
        if len(outputs) != 1:
            names = f" ({', '.join(p.name for p in outputs)})" if outputs else ""
            raise NetworkError(
                f"network: {len(outputs)} output populations{names}, which project to no other; must be exactly 1"
            )
        return outputs[0]

    def incoming(self, name: str) -> tuple[Projection, ...]:
        """Projections onto the population ``name``, in order."""
        return tuple(p for p in self.projections if p.target == name)

    @property
    def max_slot(self) -> int:
        """Largest delay slot in use (0 without synapses)."""
        return max((int(p.slots().max()) for p in self.projections if p.delay.size), default=0)

    def with_arrays(self, arrays: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Network:
        """Return a copy in which projection ``name`` holds ``arrays[name] = (weight, delay)``."""
        return replace(
            self,
            projections=tuple(
                replace(p, weight=arrays[p.name][0], delay=arrays[p.name][1]) if p.name in arrays else p
                for p in self.projections
            ),
        )

    def describe(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON types; the inverse is `from_description`."""
        return {
            "dt_ms": self.dt_ms,
            "populations": [
                {key: list(value) if isinstance(value, tuple) else value for key, value in vars(p).items()}
                for p in self.populations
            ],
            "projections": [
                {"source": p.source, "target": p.target, "masked": p.mask is not None} for p in self.projections
            ],
        }


@dataclass(frozen=True)
class NeuronConstants:
    """What one step of a population multiplies with; dimensionless, dt is one step.

        I <- beta I + A,   V <- alpha V + gain I,   spike if V >= threshold

    A number for all neurons, or (size,) float64 where a time constant differs from neuron to neuron: `alpha` with
    tau_mem, `beta` with tau_syn, `gain` with either.

    Source: design, law 2 (mlGeNN's discretisation; facts/training.md section 1.2).
    """

    alpha: float | NDArray[np.float64]
    beta: float | NDArray[np.float64]
    gain: float | NDArray[np.float64]
    threshold: float

    @classmethod
    def of(cls, population: Population, dt_ms: float) -> NeuronConstants:
        """Constants of a trained population; the threshold of a readout is infinite."""
        threshold = population.threshold if population.kind == "lif" else math.inf
        tau_mem, tau_syn = population.tau_mem_ms, population.tau_syn_ms
        if not (isinstance(tau_mem, tuple) or isinstance(tau_syn, tuple)):
            return cls(*_decays_and_gain(tau_mem, tau_syn, dt_ms), threshold)
        # Neuron by neuron through the same functions: a neuron computes the same in whatever company.
        mem, syn = (tau if isinstance(tau, tuple) else (tau,) * population.size for tau in (tau_mem, tau_syn))
        alone = [_decays_and_gain(m, s, dt_ms) for m, s in zip(mem, syn, strict=True)]
        alpha, beta, gains = (np.array(column) for column in zip(*alone, strict=True))
        return cls(
            alpha if isinstance(tau_mem, tuple) else alone[0][0],
            beta if isinstance(tau_syn, tuple) else alone[0][1],
            gains,
            threshold,
        )


def _decays_and_gain(tau_mem_ms: float, tau_syn_ms: float, dt_ms: float) -> tuple[float, float, float]:
    """Alpha, beta and gain of `NeuronConstants` for one neuron."""
    # expm1 keeps the gain exact where dt is a small fraction of the time constants.
    gain = math.expm1(-dt_ms / tau_mem_ms) * math.expm1(-dt_ms / tau_syn_ms) * tau_syn_ms / dt_ms
    return math.exp(-dt_ms / tau_mem_ms), math.exp(-dt_ms / tau_syn_ms), gain


def make_projection(
    source: str,
    target: str,
    weight: NDArray[Any],
    delay: NDArray[Any] | float = 0.0,
    mask: NDArray[np.bool_] | None = None,
) -> Projection:
    """Build a projection from any numeric arrays: cast to float32, zero where there is no synapse."""
    weight32 = np.array(weight, dtype=np.float32)
    delay32 = np.array(np.broadcast_to(np.asarray(delay, dtype=np.float32), weight32.shape))
    if mask is not None:
        mask = np.array(mask, dtype=np.bool_)
        weight32 = np.where(mask, weight32, np.float32(0))
        delay32 = np.where(mask, delay32, np.float32(0))
    return Projection(source, target, weight32, delay32, mask)


def network_from_description(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Network:
    """Rebuild a network from `Network.describe` and arrays named ``<projection>.weight|delay|mask``.

    Raises
    ------
    NetworkError
        If a key or an array is missing or does not fit.
    """
    try:
        populations = tuple(_described(p) for p in description["populations"])
        projections: list[Projection] = []
        for entry in description["projections"]:
            name = f"{entry['source']}->{entry['target']}"
            weight, delay = (_stored(arrays, f"{name}.{field}", np.float32) for field in ("weight", "delay"))
            mask = _stored(arrays, f"{name}.mask", np.uint8) if entry["masked"] else None
            if weight.ndim != 2 or any(a is not None and a.shape != weight.shape for a in (delay, mask)):
                raise ValueError(f"{name}: weight, delay and mask are not of one shape (pre, post)")
            if mask is not None:
                mask = mask.astype(np.bool_)
            projections.append(make_projection(entry["source"], entry["target"], weight, delay, mask))
        return Network(float(description["dt_ms"]), populations, tuple(projections))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NetworkError(
            f"network description: {type(error).__name__} {error}; the file is not one of ours"
        ) from error


def _described(population: Mapping[str, Any]) -> Population:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in population.items()}
    return Population(**fields)


def _stored(arrays: Mapping[str, NDArray[Any]], name: str, dtype: type[np.generic]) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype != dtype:
        raise ValueError(f"{name} is {array.dtype}, must be {np.dtype(dtype)}")
    return array
