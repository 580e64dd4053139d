"""What a chip must offer to be deployed to, and how chips are found.

The pipeline knows no chip. A package announces one under the entry-point group ``delayline.targets``;
the object behind the entry point implements `Target`. Ours are found the same way as anybody else's.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.plan import NetworkPlan
from toolchain.deployment.request import PlacementRequest
from toolchain.errors import InputError, MissingDependencyError
from toolchain.network import Network, NeuronConstants
from toolchain.objective import Reading
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains

GROUP = "delayline.targets"
NOTHING_ASKED = PlacementRequest()
"""A target's own choice of everything."""


@dataclass(frozen=True)
class Resource:
    """Use of one limited thing; `limit` is None where no limit is known, `note` says what the limit rests on."""

    name: str
    used: float
    limit: float | None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class CoreUse:
    """One core of a placement: which neurons it holds and how much of each limit that takes.

    Attributes
    ----------
    core, chip : number of the core on its chip, and of the chip
    population, first, last : the neurons, `last` included
    use : name of a limit -> how much of it is taken
    formats : projection -> how its synapses are stored on this core, for people to read
    position : column and row of the chip on its board, where chips have one that is known
    """

    core: int
    population: str
    first: int
    last: int
    use: Mapping[str, float]
    chip: int = 0
    formats: Mapping[str, str] = field(default_factory=dict)
    position: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """How many neurons it holds."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Placement:
    """Which neurons sit on which core.

    Attributes
    ----------
    cores : in order of chip and number
    resources : what the whole network takes
    reasons : population -> why its cores are as they are, a sentence for people; of targets that have a choice
    """

    cores: tuple[CoreUse, ...]
    resources: tuple[Resource, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProjectionError:
    """What quantisation did to one projection.

    Attributes
    ----------
    synapses : how many exist
    exponent : of the shared power of two, target's convention
    zeroed : non-zero weights that became zero
    clipped : weights outside the representable range
    rms_error : root mean square of (quantised - trained) weight over that of the trained weight
    delays_moved : delays whose rounding changed the value (fractional before)
    delays_clipped : slots above the target's largest that were cut
    delays_extended : slots above it that are kept, by neurons that pass spikes on later
    """

    projection: str
    synapses: int
    exponent: int
    zeroed: int
    clipped: int
    rms_error: float
    delays_moved: int
    delays_clipped: int
    delays_extended: int = 0


@dataclass(frozen=True)
class ConstantError:
    """A neuron constant before and after: float value and the one that the target's integer stands for."""

    population: str
    constant: str
    trained: float
    quantised: float
    integer: int


@dataclass(frozen=True)
class PrunedProjection:
    """How many synapses a projection had, and how many of them were pruned."""

    projection: str
    synapses: int
    removed: int


@dataclass(frozen=True)
class Saving:
    """What the network takes of something before and after pruning; None where it does not fit at all."""

    name: str
    unit: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Pruned:
    """A trained network with fewer synapses, the others made up for them.

    Attributes
    ----------
    network : the populations and projections of the trained one; a projection that lost synapses has a mask
    projections : in the order of the network
    savings : as the target counts them, before weights are rounded
    longest_slot : all synapses with a longer delay were removed for what their delay alone takes; None if it was not so
    """

    network: Network
    projections: Sequence[PrunedProjection]
    savings: Sequence[Saving]
    longest_slot: int | None = None

    @property
    def removed(self) -> int:
        """Synapses that were pruned."""
        return sum(p.removed for p in self.projections)


@dataclass(frozen=True)
class Traces:
    """Full state of some samples, as an emulator or a vendor's code reports it.

    Attributes
    ----------
    u, v : population -> (n_samples, n_steps, size) integers, at the end of each step
    spikes : population -> (n_samples, n_steps, size) bool
    currents : population -> (2, n_samples, n_steps, size), what u is the difference of: excitatory, then inhibitory;
        of targets that keep both, if they were recorded
    """

    u: Mapping[str, NDArray[np.int64]]
    v: Mapping[str, NDArray[np.int64]]
    spikes: Mapping[str, NDArray[np.bool_]]
    currents: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


@dataclass(frozen=True)
class EmulatedResponses:
    """What the emulator did on a set of samples.

    Attributes
    ----------
    readout_v : (n_samples, n_steps, n_readout) integer voltage of a leaky readout; n_readout 0 for a spiking output
    first_spikes : (n_samples, n_outputs) step of the first spike of each output, n_steps without one
    overflows : population -> name of the event (wrapped current, clipped voltage ...) -> count
    spike_counts : population -> (n_samples,)
    neuron_counts : simulated population -> (n_samples, size) spikes of each neuron, relays included; empty for targets
        that do not say
    traces : what `Target.emulate_traces` gives, where it was asked for
    """

    readout_v: NDArray[np.int32]
    first_spikes: NDArray[np.int64]
    overflows: Mapping[str, Mapping[str, int]]
    spike_counts: Mapping[str, NDArray[np.int64]]
    neuron_counts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    traces: Traces | None = None


@dataclass(frozen=True)
class TrainingFormat:
    """A target's numbers for a forward pass of training, while the trained values stay fine.

    Attributes
    ----------
    target : name of the target
    unit : projection -> spacing of its weights, in units of the trained weight
    low, high : weights are whole multiples of the unit in this range
    constants : population -> neuron constants that the target's integers stand for
    hint : what `Target.quantise` needs to choose the same format again; JSON types
    """

    target: str
    unit: Mapping[str, float]
    low: int
    high: int
    constants: Mapping[str, NeuronConstants]
    hint: Mapping[str, Any]


class Quantised(Protocol):
    """A network in a target's integers, and what each of its roundings means in float."""

    @property
    def trained(self) -> Network:
        """The network that was quantised: as trained, or what pruning left of it."""

    @property
    def rounded(self) -> Network:
        """The trained network with the target's integer slots; weights as trained."""

    @property
    def weighted(self) -> Network:
        """The same with the weights that the integers stand for."""

    @property
    def constants(self) -> Mapping[str, NeuronConstants]:
        """Population -> neuron constants that the integers stand for."""

    @property
    def projection_errors(self) -> Sequence[ProjectionError]:
        """What was lost, projection by projection."""

    @property
    def constant_errors(self) -> Sequence[ConstantError]:
        """What was lost, constant by constant."""

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and JSON header to store it with; `Target.restore` is the inverse."""


class Target(Protocol):
    """A chip, or a model of one."""

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def about(self) -> str:
        """One line: which chip, what has been run and what has not."""

    @property
    def vendor(self) -> str:
        """Name of the vendor code that the emulator is compared with."""

    def limits(self) -> list[dict[str, Any]]:
        """The chip's limits: name, value, unit, source."""

    def largest_slot(self) -> int:
        """Largest delay slot that a synapse can have."""

    def check_budget(self, *, cores: int | None, request: PlacementRequest) -> None:
        """Refuse what cannot be asked for, before any work is done.

        Parameters
        ----------
        cores : on how many a network is to fit; any number if left out
        request : what is asked of its placement

        Raises
        ------
        InputError
            If no system has so many chips, or so many chips have fewer cores, or the target has no such choice.
        """

    def prune(
        self,
        network: Network,
        calibration: SpikeTrains,
        *,
        fraction: float,
        cores: int | None,
        clip_delays: bool,
        extend_delays: bool,
    ) -> Pruned:
        """Remove the synapses that the network can best do without; raises TargetLimitError where that is not enough.

        Parameters
        ----------
        fraction : share of all synapses to remove, at least
        cores : remove as many as it takes to fit on so many cores
        clip_delays, extend_delays : as the pruned network will be quantised
        """

    def quantise(
        self,
        network: Network,
        calibration: SpikeTrains,
        *,
        clip_delays: bool,
        extend_delays: bool = False,
        hint: Mapping[str, Any] | None = None,
    ) -> Quantised:
        """Put a network into integers; raises TargetLimitError where it cannot be.

        Parameters
        ----------
        clip_delays : cut delays at the largest slot
        extend_delays : keep delays beyond it, by delay extension; not both. With neither they are refused
        hint : that of the `TrainingFormat` in which the network was trained: its weights are in this format already
        """

    def training_format(self, network: Network, calibration: SpikeTrains) -> TrainingFormat:
        """Choose a format for a network as it is now; raises TargetLimitError where there is none.

        Its delays may be beyond the largest slot: that is settled with the recipe.
        """

    def observe(self, network: Network, hint: Mapping[str, Any], spikes: SpikeTrains) -> Observed:
        """What the emulator does with a network that is being trained in the format which `hint` belongs to.

        The weights of the network lie on the grid of that format; raises TargetLimitError where they do not fit it.
        """

    def place(
        self, quantised: Quantised, *, spikes: SpikeTrains | None = None, request: PlacementRequest = NOTHING_ASKED
    ) -> Placement:
        """Put neurons on cores.

        Parameters
        ----------
        spikes : input whose spikes are counted, so that neurons that talk much come to lie close to each other; without
            it every neuron counts alike
        request : what is asked of the placement

        Raises
        ------
        TargetLimitError
            Naming the limit that is exceeded, by how much, and the smallest changes that would make the network fit.
        InputError
            If no system has so many chips.
        """

    def place_plan(
        self, plan: NetworkPlan, *, clip_delays: bool, request: PlacementRequest = NOTHING_ASKED
    ) -> Placement:
        """Put a network on cores that is not trained yet.

        Its weights count as needing the widest format, and every synapse as having the largest slot of its projection,
        cut at the target's largest with `clip_delays`. What fits here fits after training. Parameters and errors as
        `place`; nothing heavy may be imported, as people wait for the answer.
        """

    def emulate(
        self, quantised: Quantised, spikes: SpikeTrains, *, strict: bool = False, traces: bool = False
    ) -> EmulatedResponses:
        """Run all samples in the chip's arithmetic; with `traces` keep what `emulate_traces` does.

        If `strict`, the first overflow is a TargetLimitError that names sample, population, neuron, step, value and
        limit, instead of a count.
        """

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """Run all samples and keep every spike, u and v; neurons of a delay extension are populations like others."""

    def emulate_unextended(self, quantised: Quantised, spikes: SpikeTrains) -> Traces | None:
        """The same without delay extension, every delay in its own synapse as no chip could hold it.

        None where nothing was extended. The populations of the trained network must do the same with and without.
        """

    def export(
        self,
        quantised: Quantised,
        spikes: SpikeTrains,
        labels: NDArray[np.int64],
        folder: Path,
        *,
        readout: Reading,
        request: PlacementRequest = NOTHING_ASKED,
    ) -> Path:
        """Write the vendor's form of the network and these samples into `folder`; return its sub-folder.

        Parameters
        ----------
        readout : how a class is read, for what the vendor's form says about accuracy
        request : with which the network was placed
        """

    def run_vendor(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Run the vendor's code on what `export` wrote; raises MissingDependencyError if it cannot be."""

    def vendor_status(self) -> str:
        """Version of the vendor's code, or what is missing and the remedy."""

    def vendor_present(self) -> bool:
        """Whether the vendor's code is installed."""

    def restore(self, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Quantised:
        """Rebuild what `Quantised.arrays` returned; raises BundleError if it is damaged."""


def target_names() -> list[str]:
    """Names of all targets that installed packages announce, sorted."""
    return sorted({entry.name for entry in metadata.entry_points(group=GROUP)})


def find_target(name: str) -> Target:
    """Load the target called `name`.

    Raises
    ------
    InputError
        If nobody announces it; the message has the nearest name.
    MissingDependencyError
        If its package cannot be imported.
    """
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == name:
            try:
                target: Target = entry.load()
            except ImportError as error:
                raise MissingDependencyError(
                    f"target {name}: its package cannot be imported ({error}); install what is missing"
                ) from error
            return target
    known = target_names()
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
    raise InputError(f"target {name!r} does not exist; {hint} (`delayline targets` lists them)")
