"""A chip that is not what its emulator takes it for: thresholds that differ, dead neurons, other weights and delays.

Chips of mixed signals are like that, and so is any chip with a fault. The pattern is drawn from a seed, one seed a
chip, and stays: the same for every network with these populations, so that a network can be tuned to it.

    mismatch                                       5 % of threshold, 2 % of the neurons dead, seed 1
    mismatch,threshold=0.05,dead=0.02,seed=3       what is not named is as it should be
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.abilities import MismatchTarget, TunableTarget
from toolchain.deployment.imperfections import Imperfections
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.errors import InputError
from toolchain.network import Network
from toolchain.network_builder import generator
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains
from toolchain.validation.ladder import predict, predict_traces

LEAST_FACTOR = 0.05
"""What is left of a threshold at least: at zero a neuron would spike at every step."""


@dataclass(frozen=True)
class Mismatch:
    """How much a chip deviates.

    Parameters
    ----------
    threshold : standard deviation of the thresholds of `lif` neurons, relative to what they should be
    dead : share of the hidden `lif` neurons that never spike
    weight : standard deviation of weights, relative to each
    delay : standard deviation of the delay of each synapse, slots, rounded to whole ones
    seed : which chip it is

    Raises
    ------
    InputError
        If a figure is out of range.
    """

    threshold: float = 0.0
    dead: float = 0.0
    weight: float = 0.0
    delay: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, most in (("threshold", 1.0), ("dead", 1.0), ("weight", 1.0), ("delay", 1000.0)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"mismatch: {name} {getattr(self, name):g} is outside 0..{most:g}; give another")
        if self.seed < 0:
            raise InputError(f"mismatch: seed {self.seed} is below 0; give another")

    @classmethod
    def parse(cls, text: str) -> Mismatch:
        """From ``key=value,...``; the inverse of `str`, raises InputError."""
        given: dict[str, float] = {}
        known = {f.name for f in fields(cls)}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if key not in known or not equals:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
                raise InputError(f"mismatch: {part!r} is no setting key=value; {hint}")
            try:
                given[key] = int(value) if key == "seed" else float(value)
            except ValueError as error:
                raise InputError(f"mismatch: {key}={value!r} is no number; give one") from error
        return cls(**given)  # type: ignore[arg-type]  # the seed is an int by now

    def __str__(self) -> str:
        """What deviates, then the seed."""
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        # All digits: the name stands for the chip wherever results are kept.
        return ",".join(f"{name}={value!r}" for name, value in figures.items() if value or name == "seed")

    def draw(self, network: Network) -> Imperfections:
        """The chip with this seed, for the populations and projections of a network.

        Each population and projection has a random stream of its own, so that what one deviates by does not depend on
        the others; dead are as many neurons of all hidden populations together as the share comes nearest to.
        """
        lif = network.of_kind("lif")
        threshold: dict[str, NDArray[np.float64]] = {}
        for p in lif:
            drawn = 1 + self.threshold * generator(self.seed, "threshold", p.name).standard_normal(p.size)
            threshold[p.name] = np.maximum(drawn, LEAST_FACTOR)
        hidden = [(p.name, i) for p in lif if p.name != network.readout.name for i in range(p.size)]
        order = generator(self.seed, "dead").permutation(len(hidden))
        for chosen in order[: round(self.dead * len(hidden))]:
            name, neuron = hidden[chosen]
            threshold[name][neuron] = np.inf
        weight: dict[str, NDArray[np.float64]] = {}
        delay: dict[str, NDArray[np.int64]] = {}
        for projection in network.projections:
            shape, name = projection.weight.shape, projection.name
            if self.weight:
                factors = 1 + self.weight * generator(self.seed, "weight", name).standard_normal(shape)
                weight[name] = np.maximum(factors, 0.0)
            if self.delay:
                late = self.delay * generator(self.seed, "delay", name).standard_normal(shape)
                delay[name] = np.rint(late).astype(np.int64)
        return Imperfections(threshold if self.threshold or self.dead else {}, weight, delay)


USUAL = Mismatch(threshold=0.05, dead=0.02)


@dataclass(frozen=True)
class MismatchDevice:
    """The emulator of a chip with a mismatch."""

    target: MismatchTarget
    mismatch: Mismatch = USUAL
    exact: bool = False
    costly: bool = False
    at_once: int = 64

    @property
    def name(self) -> str:
        """With its settings, as on the command line."""
        return "mismatch" if self.mismatch == USUAL else f"mismatch,{self.mismatch}"

    @property
    def about(self) -> str:
        """What is wrong with it."""
        return f"an emulated chip that is not as it should be ({self.mismatch})"

    def with_settings(self, settings: str) -> MismatchDevice:
        """Another chip; raises InputError."""
        return replace(self, mismatch=Mismatch.parse(settings))

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Emulate this chip; overflows are counted without `traces`."""
        chip, target, reading = self._chip(deployed), deployed.target, deployed.recipe.training.readout
        if traces:
            found = target.emulate_traces(chip.quantised, samples.spikes)
            return DeviceRun(predict_traces(reading, found, deployed.quantised.rounded.readout.name), found)
        emulated = target.emulate(chip.quantised, samples.spikes)
        return DeviceRun(predict(reading, emulated.readout_v, emulated.first_spikes), None, emulated.overflows)

    def observe(self, deployed: Deployed, spikes: SpikeTrains) -> Observed:
        """The same as `run` with traces, without making them."""
        assert isinstance(deployed.target, TunableTarget)
        return deployed.target.observe_quantised(self._chip(deployed).quantised, spikes)

    def _chip(self, deployed: Deployed) -> Deployed:
        """What runs on it in truth."""
        wrong = self.mismatch.draw(deployed.quantised.trained)
        return replace(deployed, quantised=self.target.mismatched(deployed.quantised, wrong))
