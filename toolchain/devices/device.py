"""What can run a bundle: a float network, an emulator, a vendor's simulator, a chip.

A device gets a network and samples and says which class it read of each; most can also be looked into, step by step.
It is not bound to one network, so that the same device can serve a network that is being tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.abilities import TableComparison
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import NOTHING_ASKED, Quantised, Target, Traces
from toolchain.observed import Observed
from toolchain.recipe import Recipe
from toolchain.spikes import SpikeTrains


@dataclass(frozen=True)
class Deployed:
    """What a device runs.

    Attributes
    ----------
    target, quantised : a network in a target's integers
    recipe : of the run that it comes from: how a class is read of it, and on which data
    request : what was asked of its placement
    """

    target: Target
    quantised: Quantised
    recipe: Recipe
    request: PlacementRequest = NOTHING_ASKED

    def export(self, samples: Samples, folder: Path) -> Path:
        """Write the vendor's form of the network with these samples into a folder; returns its sub-folder."""
        reading = self.recipe.training.readout
        return self.target.export(
            self.quantised, samples.spikes, samples.labels, folder, readout=reading, request=self.request
        )


@dataclass(frozen=True)
class DeviceRun:
    """What a device did with samples.

    Attributes
    ----------
    prediction : (n_samples,) class read; -1 where the network is read by its first spike and has none
    traces : what was asked for and the device can tell of u, v and spikes of its populations, in its own integers;
        populations are missing where it cannot
    overflows : population -> name of the event -> count; of devices that count them
    """

    prediction: NDArray[np.int64]
    traces: Traces | None = None
    overflows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Device(Protocol):
    """Runs samples through a network."""

    @property
    def name(self) -> str:
        """As on the command line and in the ladder."""

    @property
    def about(self) -> str:
        """What it is, and what it has in common with the rung before: one line."""

    @property
    def at_once(self) -> int:
        """How many samples one run should have: so many that starting it costs little, and losing it costs little."""

    @property
    def costly(self) -> bool:
        """Whether a sample takes so long that only as many are run as the bundle carries, unless more are asked for."""

    @property
    def exact(self) -> bool:
        """Whether what it reports must equal the emulator, bit for bit."""

    def missing(self) -> str | None:
        """What it lacks to run here, with the remedy; None where it lacks nothing that is known beforehand."""

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Run samples, each from rest.

        Parameters
        ----------
        samples : >= 1, with their labels, which only texts for people may use
        traces : whether the state is to be reported too
        timeout_s : wall time that it may take; a device that cannot hang need not look at it

        Raises
        ------
        MissingDependencyError
            If it is absent, dies or does not answer.
        """


@runtime_checkable
class ObservingDevice(Protocol):
    """What a device has besides if it can say what training needs without traces of every step."""

    def observe(self, deployed: Deployed, spikes: SpikeTrains) -> Observed:
        """Run samples, each from rest; what `Device.run` would report with traces, in the terms of training."""


@runtime_checkable
class SettableDevice(Protocol):
    """What a device has besides if it takes settings: ``NAME,key=value,...`` on the command line."""

    def with_settings(self, settings: str) -> Device:
        """The same device with these settings, ``key=value,...``; raises InputError where they are none."""


@runtime_checkable
class TableDevice(Protocol):
    """Lays a network out and runs nothing: its tables are compared with ours."""

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def about(self) -> str:
        """What it is: one line."""

    def missing(self) -> str | None:
        """What it lacks to run here, with the remedy; None where it lacks nothing."""

    def compare(self, deployed: Deployed, exported: Path, *, timeout_s: float) -> TableComparison:
        """Lay out what the target exported, a folder of the bundle."""
