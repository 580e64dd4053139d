"""Events taken out of training samples: single ones, bands of channels, stretches of time, and a slope over channels.

    dropout         each event lost with a probability
    channel mask    a band of 0..n adjacent channels falls silent, another one in each sample
    time mask       0..n adjacent steps fall silent
    tilt            each event of channel c lost with a probability that grows linearly over the channels from 0 to p,
                    p drawn from 0 to the largest, from the low end or from the high end: what another microphone,
                    distance or voice does to a spectrum

Each keeps what it leaves where it was and says how many events it took.

Source: the masks are those of SpecAugment (Park and others 2019, Interspeech, section 2), on events.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.recipe.training_section import AugmentationSection
from toolchain.spikes import SpikeTrains


def thin(spikes: SpikeTrains, settings: AugmentationSection, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Everything of this module that the settings ask for; return how many events were taken out."""
    removed = 0
    if settings.channel_mask:
        spikes, n = channel_mask(spikes, settings.channel_mask, random)
        removed += n
    if settings.time_mask:
        spikes, n = time_mask(spikes, settings.time_mask, random)
        removed += n
    if settings.tilt:
        spikes, n = tilt(spikes, settings.tilt, random)
        removed += n
    if settings.dropout:
        spikes, n = dropout(spikes, settings.dropout, random)
        removed += n
    return spikes, removed


def dropout(spikes: SpikeTrains, probability: float, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Take each event out with this probability; return how many were."""
    keep = random.random(spikes.times.size, dtype=np.float32) >= probability
    return keep_events(spikes, spikes.times, spikes.units, keep)


def channel_mask(spikes: SpikeTrains, widest: int, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Silence a band of 0..widest adjacent channels in each sample; return how many events were in them."""
    keep = _outside_a_band(spikes.units, spikes.n_units, widest, spikes, random)
    return keep_events(spikes, spikes.times, spikes.units, keep)


def time_mask(spikes: SpikeTrains, longest: int, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Silence 0..longest adjacent steps of each sample; return how many events were in them.

    They lie between the start of the sample and its last event, as far as they fit there: silence after a word is not
    masked.
    """
    heard = np.zeros(spikes.n_samples, dtype=np.int64)
    some = np.diff(spikes.offsets) > 0
    heard[some] = spikes.times[spikes.offsets[1:][some] - 1] + 1
    keep = _outside_a_band(spikes.times, heard, longest, spikes, random)
    return keep_events(spikes, spikes.times, spikes.units, keep)


def tilt(spikes: SpikeTrains, largest: float, random: np.random.Generator) -> tuple[SpikeTrains, int]:
    """Thin the channels of each sample more and more towards one end; return how many events were taken out."""
    strength = random.uniform(-largest, largest, size=spikes.n_samples).astype(np.float32)
    strength = np.repeat(strength, np.diff(spikes.offsets))
    along = spikes.units.astype(np.float32) / np.float32(max(1, spikes.n_units - 1))
    lost = np.abs(strength) * np.where(strength > 0, along, 1 - along)
    return keep_events(spikes, spikes.times, spikes.units, random.random(spikes.times.size, dtype=np.float32) >= lost)


def _outside_a_band(
    places: NDArray[Any],
    length: int | NDArray[np.int64],
    widest: int,
    spikes: SpikeTrains,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which events are not in the band of their sample: 0..widest places, somewhere in 0..length-1."""
    width = np.minimum(random.integers(0, widest, size=spikes.n_samples, endpoint=True), length)
    begin = random.integers(0, length - width, endpoint=True)
    counts = np.diff(spikes.offsets)
    begin, end = np.repeat(begin, counts), np.repeat(begin + width, counts)
    return np.asarray((places < begin) | (places >= end))


def keep_events(
    spikes: SpikeTrains, times: NDArray[Any], units: NDArray[Any], keep: NDArray[np.bool_]
) -> tuple[SpikeTrains, int]:
    """The events that are kept, at these times and units in the order they had, and how many are not."""
    places = np.flatnonzero(keep)
    kept = SpikeTrains(
        times[places].astype(np.int32, copy=False),
        units[places].astype(np.int32, copy=False),
        np.searchsorted(places, spikes.offsets).astype(np.int64),
        spikes.n_units,
        spikes.n_steps,
    )
    return kept, int(keep.size - places.size)
