"""What the emulators of all chips do before and after their kernels: number neurons, count input, refuse overflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError, NetworkError, TargetLimitError
from toolchain.spikes import SpikeTrains


class Population(Protocol):
    """What a population of every family's integer network has."""

    @property
    def name(self) -> str:
        """Unique in its network."""

    @property
    def kind(self) -> str:
        """``spike_source``, ``lif`` or ``leaky_readout``."""

    @property
    def size(self) -> int:
        """Number of neurons."""


P = TypeVar("P", bound=Population)


def first_neurons(populations: Iterable[Population]) -> dict[str, int]:
    """First neuron of each population when they are numbered through."""
    first, found = 0, {}
    for population in populations:
        found[population.name] = first
        first += population.size
    return found


def the_readout(populations: Sequence[P]) -> P | None:
    """The `leaky_readout`, None without one; NetworkError if there are several."""
    readouts = [p for p in populations if p.kind == "leaky_readout"]
    if len(readouts) > 1:
        raise NetworkError(
            f"network: {len(readouts)} leaky_readout populations, must be at most 1; read from one population"
        )
    return readouts[0] if readouts else None


def check_sources(sources: Iterable[Population], spikes: SpikeTrains) -> None:
    """Refuse spikes of another number of units than the spike sources of the network have (InputError)."""
    n_sources = sum(p.size for p in sources)
    if spikes.n_units != n_sources:
        raise InputError(
            f"spikes: {spikes.n_units} units, but the spike sources of the network have {n_sources} neurons; "
            "encode the samples for this network"
        )


def count_input(sources: Sequence[Population], spikes: SpikeTrains) -> dict[str, NDArray[np.int64]]:
    """Input spikes of each source population, (n_samples,); units are the neurons of the sources in order."""
    counts: dict[str, NDArray[np.int64]] = {}
    left = np.diff(spikes.offsets)
    for population, first in zip(sources[:-1], first_neurons(sources).values(), strict=False):
        mine = (spikes.units >= first) & (spikes.units < first + population.size)
        before = np.concatenate(([0], np.cumsum(mine)))[spikes.offsets]
        counts[population.name] = np.diff(before).astype(np.int64)
        left = left - counts[population.name]
    # Whatever the others did not send came from the last one: with a single source there is nothing to look through.
    return {**counts, **{p.name: left for p in sources[-1:]}}


def refuse_overflow(
    overflow: NDArray[np.int64],
    simulated: Sequence[Population],
    clock: str,
    describe: Callable[[int, int], str],
) -> None:
    """Raise for the first overflow of the first sample that has one.

    Parameters
    ----------
    overflow : (n_samples, 5) first overflow of each sample: time, population, neuron, event and value; event 0 is none
    simulated : populations in the order of their numbers in `overflow`
    clock : what the chip calls its unit of time, ``step`` or ``tick``
    describe : event, value -> what overflowed, its limit and what became of it

    Raises
    ------
    TargetLimitError
        If any sample has an overflow.
    """
    samples = np.flatnonzero(overflow[:, 3])
    if not samples.size:
        return
    time, population, neuron, event, value = overflow[samples[0]].tolist()
    raise TargetLimitError(
        f"population {simulated[population].name}: in sample {samples[0]}, neuron {neuron}, {clock} {time}, "
        f"the {describe(event, value)}; raise deployment.calibration_samples, so that its scale leaves room for it, "
        "or leave out strict to have it counted only"
    )
