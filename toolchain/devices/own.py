"""Our devices: the float stages, the emulator, and what a target's vendor offers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.datasets import Samples
from toolchain.deployment.abilities import HardwareTarget, MappingTarget, TableComparison, TunableTarget
from toolchain.deployment.target import Target, Traces
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains
from toolchain.validation.ladder import first_spikes_of, float_engine, float_stages, predict, predict_traces

STAGES = {
    "float": "the network as trained, in float",
    "rounded_delays": "float, with the slots that the chip holds",
    "quantised_weights": "float, with the chip's slots and weights",
    "quantised_constants": "float, with the chip's slots, weights, decays and thresholds",
}


@dataclass(frozen=True)
class FloatDevice:
    """One stage between the trained network and the chip's arithmetic, on the training backend."""

    name: str
    exact: bool = False
    costly: bool = False
    at_once: int = 256

    @property
    def about(self) -> str:
        """What the stage adds."""
        return STAGES[self.name]

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Run the stage; with `traces` its spikes, which no integer state goes with."""
        network, constants = float_stages(deployed.quantised.trained, deployed.quantised)[self.name]
        n_steps = samples.spikes.n_steps
        engine = float_engine(deployed.recipe, network, n_steps, constants)
        prediction = engine.respond(samples.spikes, samples.labels).prediction
        if not traces:
            return DeviceRun(prediction)
        simulated = [p for p in network.populations if p.kind == "lif"]
        rasters = {p.name: np.zeros((samples.labels.size, n_steps, p.size), dtype=np.bool_) for p in simulated}
        for sample in range(samples.labels.size):
            found = engine.trace(samples.spikes, sample).spikes
            for name, raster in rasters.items():
                times, units = found[name]
                raster[sample, times, units] = True
        return DeviceRun(prediction, Traces({}, {}, rasters))


@dataclass(frozen=True)
class EmulatorDevice:
    """The target's integer arithmetic."""

    name: str = "emulator"
    about: str = "the chip's integer arithmetic, emulated"
    exact: bool = True
    costly: bool = False
    at_once: int = 32

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Run the emulator; overflows are counted either way."""
        target, reading = deployed.target, deployed.recipe.training.readout
        emulated = target.emulate(deployed.quantised, samples.spikes, traces=traces)
        prediction = predict(reading, emulated.readout_v, emulated.first_spikes)
        return DeviceRun(prediction, emulated.traces, emulated.overflows)

    def observe(self, deployed: Deployed, spikes: SpikeTrains) -> Observed:
        """The same in the terms of training."""
        assert isinstance(deployed.target, TunableTarget)
        return deployed.target.observe_quantised(deployed.quantised, spikes)


@dataclass(frozen=True)
class VendorDevice:
    """The vendor's own code, on this computer."""

    target: Target
    exact: bool = True
    costly: bool = True
    at_once: int = 16

    @property
    def name(self) -> str:
        """The vendor's."""
        return self.target.vendor

    @property
    def about(self) -> str:
        """Which code."""
        return f"{self.target.vendor} itself, simulated on this computer"

    def missing(self) -> str | None:
        """What `doctor` would say."""
        return None if self.target.vendor_present() else self.target.vendor_status()

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Export the network with these samples and run that."""
        reading = deployed.recipe.training.readout
        with tempfile.TemporaryDirectory(prefix="delayline-device-") as scratch:
            exported = deployed.export(samples, Path(scratch))
            found = deployed.target.run_vendor(exported, samples=samples.labels.size, timeout_s=timeout_s)
        return DeviceRun(predict_traces(reading, found, deployed.quantised.rounded.readout.name), found)


@dataclass(frozen=True)
class ChipDevice:
    """The chip, of which only outputs are read: v of a readout, or the spikes of spiking outputs."""

    target: Target
    exact: bool = True
    costly: bool = True
    at_once: int = 32

    @property
    def name(self) -> str:
        """The chip's."""
        assert isinstance(self.target, HardwareTarget)
        return self.target.hardware

    @property
    def about(self) -> str:
        """Which chip."""
        return f"{self.name}, the chip"

    def missing(self) -> str | None:
        """The vendor's code; whether a chip answers is only known once it is asked."""
        return None if self.target.vendor_present() else self.target.vendor_status()

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Export the network with these samples and run that on the chip."""
        assert isinstance(self.target, HardwareTarget)
        reading, readout = deployed.recipe.training.readout, deployed.quantised.rounded.readout.name
        n, n_steps = samples.labels.size, samples.spikes.n_steps
        with tempfile.TemporaryDirectory(prefix="delayline-device-") as scratch:
            exported = deployed.export(samples, Path(scratch))
            found = self.target.run_hardware(exported, samples=n, timeout_s=timeout_s)
        # Of the one population that is read there is v or there are spikes, as the reading needs.
        nothing = np.zeros((n, n_steps, deployed.quantised.rounded.readout.size), dtype=np.bool_)
        spikes = found.spikes.get(readout, nothing)
        return DeviceRun(predict(reading, found.v.get(readout, spikes), first_spikes_of(spikes)), found)


@dataclass(frozen=True)
class MappingDevice:
    """A vendor's tools that lay a network out here, and need the chip to run it."""

    target: Target

    @property
    def name(self) -> str:
        """The vendor's."""
        return self.target.vendor

    @property
    def about(self) -> str:
        """Which tools."""
        return f"{self.target.vendor} without a chip: lays the network out, runs nothing"

    def missing(self) -> str | None:
        """What `doctor` would say."""
        return None if self.target.vendor_present() else self.target.vendor_status()

    def compare(self, deployed: Deployed, exported: Path, *, timeout_s: float) -> TableComparison:
        """Compare every word of the tables."""
        assert isinstance(self.target, MappingTarget)
        return self.target.compare_tables(deployed.quantised, exported, timeout_s=timeout_s, request=deployed.request)
