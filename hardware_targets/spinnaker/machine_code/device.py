"""The device ``arm``: a bundle for SpiNNaker in the machine code that a board would run, without a board.

What is exported for a board is what is run: the words of its tables, read back from the exported folder. Nothing of our
emulator takes part. A board does one thing more, which is not covered: it must be in time.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware_targets.spinnaker.machine_code.machine import arm_is_missing
from hardware_targets.spinnaker.quantised import SpinnakerQuantised
from toolchain.datasets import Samples
from toolchain.deployment.target import Target, Traces
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.validation.ladder import predict_traces


@dataclass(frozen=True)
class ArmDevice:
    """See `toolchain.devices.device.Device`."""

    name: str = "arm"
    about: str = "the machine code that sPyNNaker loads, on emulated ARM cores with the bundle's tables"
    at_once: int = 2
    costly: bool = True
    exact: bool = True

    def missing(self) -> str | None:
        """What cannot be found, and the remedy."""
        return arm_is_missing()

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Export the network, load its tables into cores, and run sample after sample, each on fresh ones."""
        from hardware_targets.spinnaker.machine_code.board import Board
        from hardware_targets.spinnaker.spynnaker_runner import exported_tables

        assert isinstance(deployed.quantised, SpinnakerQuantised)
        network, reading = deployed.quantised.integers, deployed.recipe.training.readout
        with tempfile.TemporaryDirectory(prefix="delayline-device-") as scratch:
            exported = deployed.export(Samples(samples.spikes.select([0]), samples.labels[:1]), Path(scratch))
            tables = exported_tables(exported)
        found = [Board(network, tables).run(samples.spikes.select([s])) for s in range(samples.labels.size)]
        names = [p.name for p in network.simulated]
        seen = Traces(
            {n: np.stack([f.exc[n].astype(np.int64) - f.inh[n] for f in found]) for n in names},
            {n: np.stack([f.v[n].astype(np.int64) for f in found]) for n in names},
            {n: np.stack([f.spikes[n] for f in found]) for n in names},
        )
        return DeviceRun(predict_traces(reading, seen, deployed.quantised.rounded.readout.name), seen)


def device(target: Target) -> ArmDevice | None:
    """For what is deployed to SpiNNaker 1."""
    return ArmDevice() if target.name == "spinnaker1" else None
