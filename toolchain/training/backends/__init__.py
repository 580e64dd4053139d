"""What a training backend offers: gradients of a batch, and responses without learning.

Every backend computes the step of `toolchain.network` and the gradients of EventProp with delays; the
trainer knows nothing else of it. Parameters cross the border as flat vectors in canonical order
(`toolchain.event_graph`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.network import Network, NeuronConstants
from toolchain.objective import Objective
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains

if TYPE_CHECKING:
    from toolchain.training.optimiser import Adam

Backend = Literal["cpu", "genn"]
BACKENDS: tuple[str, ...] = get_args(Backend)


@dataclass(frozen=True)
class RateTarget:
    """Spike-rate regulariser of a population: at each of its spikes lambda_V -= dt strength (n - spikes).

    n is the number of spikes of the neuron in a sample, averaged over the batch of this very forward pass, so a
    neuron that is too busy is pushed down at each of its spikes and one that is too quiet is pushed up, equally hard.
    It is the gradient of -tau_mem strength (n - spikes) V at the spike, the factors of V held constant. mlGeNN's k
    (Nowotny, Turner, Knight 2025) is strength / tau_mem for leaky readouts, whose loss it divides by tau_mem, and
    strength for first spikes (facts/training.md sections 1.5, 2.2).

    Parameters
    ----------
    spikes : per neuron and sample, >= 0
    strength : >= 0, in units of loss per V, spike and ms
    """

    spikes: float
    strength: float


@dataclass(frozen=True)
class GennOptions:
    """What the backend ``genn`` is asked for.

    Parameters
    ----------
    code : ``auto``, ``cuda``, ``hip`` or ``cpu``
    samples_at_once : that run together on the device; None for as many of a batch as fit
    batch_size : of training
    adam : where the steps of the optimiser are taken: ``device``, ``host``, or ``auto``, on the device if it is a GPU
    adam_betas : of the optimiser; None where it has to be on the host
    """

    code: Literal["auto", "cuda", "hip", "cpu"] = "auto"
    samples_at_once: int | None = None
    batch_size: int = 1
    adam: Literal["auto", "device", "host"] = "auto"
    adam_betas: tuple[float, float] | None = None


@dataclass(frozen=True)
class BatchGradient:
    """Means over a batch, and what happened on the way.

    Attributes
    ----------
    loss : mean loss
    correct : number of samples whose prediction is the label
    weight, delay : (n_synapses,) gradient of the mean loss; of delays per slot
    tau_mem, tau_syn : (n_neurons,) the same by the logarithm of each time constant; 0 where it was not asked for
    neuron_spikes : (n_neurons,) spikes of each simulated neuron over the batch
    guarded : spikes whose membrane slope was below the floor, where the floor was used instead
    """

    loss: float
    correct: int
    weight: NDArray[np.float32]
    delay: NDArray[np.float32]
    tau_mem: NDArray[np.float32]
    tau_syn: NDArray[np.float32]
    neuron_spikes: NDArray[np.int64]
    guarded: int


@dataclass(frozen=True)
class Responses:
    """What a network did on a set of samples.

    Attributes
    ----------
    loss : (n_samples,)
    prediction : (n_samples,) class; -1 where the network is read by its first spike and has none
    neuron_spikes : (n_neurons,) spikes of each simulated neuron over all samples
    """

    loss: NDArray[np.float64]
    prediction: NDArray[np.int64]
    neuron_spikes: NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """One sample in full.

    Attributes
    ----------
    spikes : population name -> (times, units), sorted by unit, then time
    readout_v : (n_readout, n_steps) voltage of a leaky readout; (0, n_steps) where the output spikes
    """

    spikes: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
    readout_v: NDArray[np.float32]


class Engine(Protocol):
    """A network held ready for many batches."""

    def set_parameters(self, weights: NDArray[np.float32], delays: NDArray[np.float32]) -> None:
        """Use these parameters from now on; delays are rounded half to even."""

    def set_constants(self, constants: Mapping[str, NeuronConstants]) -> None:
        """Use these constants from now on for the populations named, and the trained ones for all others."""

    def gradients(
        self,
        spikes: SpikeTrains,
        labels: NDArray[np.int64],
        samples: NDArray[np.int64],
        observed: Observed | None = None,
    ) -> BatchGradient:
        """Gradient of the mean loss over the samples with these indices, at the parameters set last.

        With `observed`, which has these samples in this order, the forward pass is that of the machine which was
        observed: the gradient is the one at its spikes, and loss and prediction are its own.
        """

    def respond(self, spikes: SpikeTrains, labels: NDArray[np.int64], observed: Observed | None = None) -> Responses:
        """Loss and prediction of all samples without learning; of the machine that was observed, if one was."""

    def trace(self, spikes: SpikeTrains, sample: int) -> Trace:
        """Run one sample and return its spikes and readout voltage."""


@runtime_checkable
class LearningEngine(Protocol):
    """An engine that can keep the parameters and take the steps of the optimiser itself, between `begin` and `finish`.

    What it learns differs from what the host would by the rounding of single steps.
    """

    @property
    def learns(self) -> bool:
        """Whether this one does."""

    def begin(self, weights: NDArray[np.float32], delays: NDArray[np.float32], optimisers: Mapping[str, Adam]) -> None:
        """Take over from here; `optimisers` are those of ``weight`` and ``delay``."""

    def learn(
        self, spikes: SpikeTrains, labels: NDArray[np.int64], samples: NDArray[np.int64], factors: tuple[float, float]
    ) -> BatchGradient:
        """`Engine.gradients` and a step of either optimiser by its factor; the result has no gradients."""

    def finish(self, weights: NDArray[np.float32], delays: NDArray[np.float32], optimisers: Mapping[str, Adam]) -> int:
        """Write back what there is by now; returns how many delays had to be clipped since `begin`."""


def make_engine(
    backend: str,
    network: Network,
    steps: int,
    *,
    max_slot: int,
    objective: Objective | None = None,
    targets: NDArray[np.float32] | None = None,
    min_slope: float = 0.05,
    constants: Mapping[str, NeuronConstants] | None = None,
    threads: int | None = None,
    rates: Mapping[str, RateTarget] | None = None,
    learn_tau: Collection[str] | None = None,
    genn: GennOptions | None = None,
) -> Engine:
    """Return an engine of the backend called `backend`.

    Parameters
    ----------
    network : description and initial parameters
    steps : length of a sample, steps
    max_slot : largest slot that the parameters will ever have
    objective : None for the cross-entropy of the exponentially weighted average
    targets : (classes, outputs, steps) of the loss ``mse``
    min_slope : floor of the membrane slope I - V at a spike, in units of V
    constants : population name -> constants to use instead of those of the trained population
    threads : of the backend ``cpu``; None for one per core
    rates : population name -> its spike-rate regulariser
    learn_tau : names of the populations of whose time constants gradients are wanted
    genn : of the backend ``genn``

    Raises
    ------
    InputError
        If there is no such backend, the objective does not fit the network, or there is no such population.
    MissingDependencyError
        If the backend needs what is not here.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r} does not exist; known: {', '.join(BACKENDS)}")
    if backend == "genn":
        from toolchain.training.backends.genn.backend import make_genn_engine

        return make_genn_engine(
            network,
            steps,
            max_slot=max_slot,
            objective=objective or Objective(),
            targets=targets,
            min_slope=min_slope,
            constants=constants,
            rates=rates,
            learn_tau=learn_tau,
            options=genn or GennOptions(),
        )
    from toolchain.training.backends.cpu import CpuEngine

    return CpuEngine(
        network,
        steps,
        max_slot=max_slot,
        objective=objective or Objective(),
        targets=targets,
        min_slope=min_slope,
        constants=constants,
        threads=threads,
        rates=rates,
        learn_tau=learn_tau,
    )
