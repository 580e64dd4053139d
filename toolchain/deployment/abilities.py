"""What a target may be able to do beside what all of them do: run the chip from here, lay a network out, show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from toolchain.deployment.imperfections import Imperfections
from toolchain.deployment.target import Quantised, Traces, TrainingFormat
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

    def compare_tables(self, quantised: Quantised, exported: Path, *, timeout_s: float) -> TableComparison:
        """Let the vendor's tools lay out what `export` wrote and compare their tables with ours.

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

    def units_of_v(self, quantised: Quantised, population: str) -> float:
        """Units of v, in traces, that stand for one unit of the trained V."""


@runtime_checkable
class MismatchTarget(Protocol):
    """What a target has besides if it can emulate a chip that is not as it should be."""

    def mismatched(self, quantised: Quantised, wrong: Imperfections) -> Quantised:
        """The network as such a chip has it: to be emulated, and for nothing else."""
