"""A device as the machine of a training run: whatever it is asked, it is asked again if it died."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.abilities import TunableTarget
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import NOTHING_ASKED, Quantised, Target, TrainingFormat
from toolchain.devices.answer import checked
from toolchain.devices.device import Deployed, Device, DeviceRun, ObservingDevice
from toolchain.errors import InputError, UnansweredError
from toolchain.network import Network
from toolchain.observed import Observed
from toolchain.recipe import Recipe
from toolchain.spikes import concatenate
from toolchain.tuning.observation import observed, samples_at_once, unreported

TRIES = 3
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass
class DeviceMachine:
    """Runs the forward pass of training on a device; see `toolchain.training.chip.Machine`.

    Parameters
    ----------
    device, target : that runs what is deployed to the target
    recipe : how a class is read
    timeout_s : wall time of one run of the device
    say : told when it is started again, and what it does not report
    request : what is asked of the placement

    Attributes
    ----------
    restarts : runs that had to be repeated

    Raises
    ------
    InputError
        If nothing can be tuned on the target.
    """

    device: Device
    target: Target
    recipe: Recipe
    timeout_s: float
    say: Say
    request: PlacementRequest = NOTHING_ASKED
    restarts: int = field(default=0, init=False)
    _told: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.target, TunableTarget):
            raise InputError(f"target {self.target.name}: its networks cannot be tuned; give a bundle for another")

    def observe(self, network: Network, number_format: TrainingFormat, samples: Samples) -> Observed:
        """Put a network on the device and run samples.

        Raises
        ------
        UnansweredError
            If the device died or did not answer, `TRIES` times in a row.
        """
        return self.observe_quantised(self.quantised(network, number_format.hint), samples)

    def quantised(self, network: Network, hint: Mapping[str, Any]) -> Quantised:
        """A network in the target's integers; `hint` as in `TrainingFormat`."""
        assert isinstance(self.target, TunableTarget)
        return self.target.round_in(network, hint)

    def observe_quantised(self, quantised: Quantised, samples: Samples) -> Observed:
        """The same of a network that is in the target's integers."""
        deployed = self._deployed(quantised)
        at_once = min(self.device.at_once, samples_at_once(deployed, samples.spikes.n_steps))
        parts = [self._patiently(self._observe, deployed, part) for part in _parts(samples, at_once)]
        if len(parts) == 1:
            return parts[0]
        voltages = [p.readout_v for p in parts if p.readout_v is not None]
        return Observed(
            {name: concatenate([p.spikes[name] for p in parts]) for name in parts[0].spikes},
            np.concatenate(voltages) if len(voltages) == len(parts) else None,
        )

    def predict(self, quantised: Quantised, samples: Samples) -> NDArray[np.int64]:
        """Class that the device reads of each sample, (n_samples,)."""
        deployed = self._deployed(quantised)
        parts = _parts(samples, self.device.at_once)
        return np.concatenate([self._patiently(self._read, deployed, part) for part in parts])

    def _deployed(self, quantised: Quantised) -> Deployed:
        return Deployed(self.target, quantised, self.recipe, self.request)

    def _read(self, deployed: Deployed, samples: Samples) -> NDArray[np.int64]:
        return self._run(deployed, samples, traces=False).prediction

    def _run(self, deployed: Deployed, samples: Samples, *, traces: bool) -> DeviceRun:
        run = self.device.run(deployed, samples, traces=traces, timeout_s=self.timeout_s)
        return checked(run, deployed, samples, self.device.name, integers=False)

    def _observe(self, deployed: Deployed, samples: Samples) -> Observed:
        if isinstance(self.device, ObservingDevice):
            return self.device.observe(deployed, samples.spikes)
        run = self._run(deployed, samples, traces=True)
        missing = unreported(run.traces, deployed)
        if missing and not self._told:
            self._told = True
            self.say(
                f"{self.device.name}: reports no spikes of {', '.join(sorted(missing))}; those of the emulator take "
                "their place, with the error that the device makes at its outputs"
            )
        return observed(run.traces, deployed, samples.spikes)

    def _patiently(self, ask: Callable[[Deployed, Samples], T], deployed: Deployed, samples: Samples) -> T:
        """Ask again what died."""
        tried = 0
        while True:
            try:
                return ask(deployed, samples)
            except UnansweredError as error:
                tried += 1
                if tried == TRIES:
                    raise UnansweredError(
                        f"{self.device.name}: failed {TRIES} times in a row, last: {error}"
                    ) from error
                self.restarts += 1
                self.say(f"{self.device.name}: {error}; start it again")


def _parts(samples: Samples, at_once: int) -> Iterator[Samples]:
    n = samples.labels.size
    if n <= at_once:
        yield samples
        return
    for first in range(0, n, at_once):
        part = range(first, min(first + at_once, n))
        yield Samples(samples.spikes.select(part), samples.labels[part.start : part.stop])
