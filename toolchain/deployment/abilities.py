"""What a target may be able to do beside what all of them do: run the chip from here, lay a network out, show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toolchain.cost.content import Cost
from toolchain.deployment.imperfections import Imperfections
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import (
    NOTHING_ASKED,
    EmulatedResponses,
    Placement,
    Quantised,
    Traces,
    TrainingFormat,
)
from toolchain.diagnosis.model import Chip
from toolchain.interchange.onnx.step_graph import StepGraph
from toolchain.network import Network
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains


@runtime_checkable
class HardwareTarget(Protocol):
    """What a target has besides if the vendor's form can be run on the chip itself from here."""

    @property
    def hardware(self) -> str:
        """Name of the chip among the devices of `delayline validate`."""

    def run_hardware(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Run on the chip what `export` wrote.

        Returns
        -------
        what a chip can be read of: v or spikes of outputs, no u

        Raises
        ------
        MissingDependencyError
            If the chip, or what leads to it, is absent.
        """


@dataclass(frozen=True)
class TableComparison:
    """Whether the vendor's own tools, given the exported network, make the tables that ours say.

    Attributes
    ----------
    equal : every word is; the order of synapses that belong to one source does not count
    words, synapses : how many were compared
    difference : the first difference, in words; None where there is none
    """

    equal: bool
    words: int
    synapses: int
    difference: str | None


@runtime_checkable
class MappingTarget(Protocol):
    """What a target has besides if the vendor's tools lay a network out here but need the chip to run it."""

    def compare_tables(
        self, quantised: Quantised, exported: Path, *, timeout_s: float, request: PlacementRequest = NOTHING_ASKED
    ) -> TableComparison:
        """Let the vendor's tools lay out what `export` wrote and compare their tables with ours.

        `request` is the one that it was exported with.

        Raises
        ------
        MissingDependencyError
            If the vendor's tools are absent, die or exceed their time.
        """


@runtime_checkable
class InspectableTarget(Protocol):
    """What a target has besides if its bundles hold tables that a person can look at."""

    def describe(self, bundle_folder: Path, *, rows: int) -> str:
        """Tables of a bundle as a person reads them, lines of text.

        Parameters
        ----------
        bundle_folder : the bundle itself
        rows : how many rows of each table of synapses are shown decoded

        Raises
        ------
        BundleError
            If the tables are missing or damaged.
        """


@runtime_checkable
class SteppedWeights(Protocol):
    """What a quantised network has besides if its weights lie on grids of even spacing."""

    @property
    def weight_steps(self) -> Mapping[str, tuple[float, float]]:
        """Projection -> spacing of its negative and of its positive weights, in units of the trained weight."""


Overflow = Literal["wrapped_current", "clipped_voltage", "saturated_ring_buffer", "wrapped_state"]


@dataclass(frozen=True)
class ChipWeights:
    """Weights of a projection as the integers hold them, in units of the trained weight.

    Attributes
    ----------
    weight : (pre, post) float64, exact where `Quantised.weighted` is rounded to float32 once more
    clipped : (pre, post) bool, weights that were outside the range of the integers
    """

    weight: NDArray[np.float64]
    clipped: NDArray[np.bool_]


@dataclass(frozen=True)
class Replay:
    """One neuron in the target's arithmetic, on given input; voltages in units of the trained V.

    Attributes
    ----------
    v : (n_steps,) voltage of each step before it is reset
    unbounded : (n_steps,) the same with integers of any size: rounded at every step, but neither wrapped, clipped nor
        saturated
    threshold : the least voltage that spikes
    unit : what one in the last place of v stands for
    overflows : (step, what happened), in order
    """

    v: NDArray[np.float64]
    unbounded: NDArray[np.float64]
    threshold: float
    unit: float
    overflows: tuple[tuple[int, Overflow], ...]


@runtime_checkable
class ReplayingTarget(Protocol):
    """What a target has besides if a single neuron of it can be computed apart from its network.

    It is what `toolchain.attribution` needs to say why a neuron spikes otherwise than in the float network.
    """

    def weights_on_chip(self, quantised: Quantised, projection: str) -> ChipWeights:
        """Weights of the projection of that name."""

    def v_scale(self, quantised: Quantised, population: str) -> float:
        """How many units in the last place of the emulator's v are 1 in units of the trained V."""

    def replay(
        self,
        quantised: Quantised,
        population: str,
        neuron: int,
        spikes: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
        n_steps: int,
    ) -> Replay:
        """Compute the first steps of one neuron from spikes that are given, its own included.

        Parameters
        ----------
        spikes : every population that projects to the neuron's -> (times, units) of its spikes, in any order; those of
            the neuron itself say when it is reset, whatever its voltage
        n_steps : how many steps
        """


@runtime_checkable
class CostedTarget(Protocol):
    """What a target has besides if it can say what an inference costs."""

    def cost(
        self,
        quantised: Quantised,
        placement: Placement,
        *,
        spikes: SpikeTrains,
        emulated: EmulatedResponses,
        traced: SpikeTrains,
        traces: Traces,
    ) -> Cost:
        """Count what happens in an inference, and estimate what it takes.

        Parameters
        ----------
        spikes, emulated : input of all samples that were emulated, and what `Target.emulate` said of them
        traced, traces : input of some samples, and what `Target.emulate_traces` said of them
        """


@runtime_checkable
class DiagnosableTarget(Protocol):
    """What a target has besides if its step can be replayed from what a device reported (`toolchain.diagnosis`)."""

    def chip_model(self, quantised: Quantised) -> Chip:
        """What was put on the chip, in its integers, and the arithmetic of its step."""


@runtime_checkable
class TunableTarget(Protocol):
    """What a target has besides if a network can go on learning on it, batch by batch, after it was deployed."""

    def format_of(self, quantised: Quantised) -> TrainingFormat:
        """The number format that a network is deployed in: `Quantised.weighted` lies on its grid.

        A target that holds signs or rows in formats of their own may give the coarsest of them.
        """

    def round_in(self, network: Network, hint: Mapping[str, Any]) -> Quantised:
        """A network in a format, each weight rounded by itself; `hint` as in `TrainingFormat`.

        Raises
        ------
        TargetLimitError
            If a delay exceeds the largest slot.
        """

    def observe_quantised(self, quantised: Quantised, spikes: SpikeTrains) -> Observed:
        """What the emulator does with exactly these integers."""

    def v_scale(self, quantised: Quantised, population: str) -> float:
        """How many units in the last place of the emulator's v are 1 in units of the trained V."""


@runtime_checkable
class MismatchTarget(Protocol):
    """What a target has besides if it can emulate a chip that is not as it should be."""

    def mismatched(self, quantised: Quantised, wrong: Imperfections) -> Quantised:
        """The network as such a chip has it: to be emulated, and for nothing else."""


@runtime_checkable
class StepGraphTarget(Protocol):
    """What a target has besides if its arithmetic can be written in the standard operators of ONNX."""

    def step_graph(self, quantised: Quantised) -> StepGraph:
        """The network in the target's integers, every delay in its own synapse; `numbers` is the target's name.

        Raises
        ------
        InterchangeError
            If what was quantised is not only a network, as an imperfect chip is not.
        """

    def from_step(self, tensors: Mapping[str, NDArray[Any]], description: Mapping[str, Any]) -> Quantised:
        """The inverse: integers from `StepGraph.tensors` and `StepGraph.description`, both from a file.

        As trained counts the network that the integers stand for.

        Raises
        ------
        BundleError, KeyError, TypeError, ValueError
            If they do not fit together or are out of range.
        """

    def exact_hint(self, quantised: Quantised) -> Mapping[str, Any]:
        """What `Target.quantise` needs to put the network that the integers stand for into the same integers."""

    def step_traces(self, states: Mapping[str, NDArray[Any]]) -> Traces:
        """What `Target.emulate_traces` says, from the outputs of the model, ``<population>/<quantity>``."""


@dataclass(frozen=True)
class NetxWritten:
    """What was written as a NetX file.

    Attributes
    ----------
    path : of the file
    layers : populations in the order of the layers, the spike source first
    synapses : that exist
    largest_slot : of all delays
    lowered : population -> by how many powers of two its scale is smaller than that of the network that was given;
        empty where the file holds exactly that network
    as_written : the network that the file holds; `Target.emulate` says what it does
    notes : what was rounded or added, a sentence each
    """

    path: Path
    layers: tuple[str, ...]
    synapses: int
    largest_slot: int
    lowered: Mapping[str, int]
    as_written: Quantised
    notes: tuple[str, ...]


@runtime_checkable
class NetxTarget(Protocol):
    """What a target has besides if its networks can be written for lava-dl."""

    def write_netx(self, quantised: Quantised, path: Path, *, lower_scales: bool = False) -> NetxWritten:
        """Write the HDF5 file that NetX of lava-dl reads.

        Parameters
        ----------
        lower_scales : instead of refusing weights beyond the range that lava-dl reads, give populations a smaller
            scale, and with it coarser states and a threshold that is rounded

        Raises
        ------
        InterchangeError
            If lava-dl would read the network otherwise than it is.
        """
