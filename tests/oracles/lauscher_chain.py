"""The converter that the Spiking Heidelberg Digits were made with (`lauscher`, LGPL), on a few of its 700 channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

RAMP_S = 0.03
"""Fade at either end, as ours."""


class _OneProcess:
    """In the place of a pool of processes."""

    def __init__(self, jobs: int | None) -> None:
        pass

    def __enter__(self) -> _OneProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]


@contextmanager
def in_this_process(seed: int) -> Iterator[None]:
    """Let theirs run without processes of its own, and with this seed of the global generator, which it draws from."""
    from lauscher.transformations import basilar_membrane, bushy_cell, hair_cell

    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    with (
        mock.patch.object(basilar_membrane, "Pool", _OneProcess),
        mock.patch.object(hair_cell, "Pool", _OneProcess),
        mock.patch.object(bushy_cell, "Pool", _OneProcess),
    ):
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def their_velocity(sound: NDArray[np.float64], rate: int, units: NDArray[np.int64]) -> Any:
    """Membrane velocity in these channels."""
    from lauscher import transformations
    from lauscher.audiowaves import MonoAudioWave

    membrane = transformations.BasilarMembrane(channels=700)
    membrane.ch = membrane.ch[units]
    wave = MonoAudioWave(sound.copy(), rate)
    wave = wave.transform(transformations.RmsNormalizer(0.3)).transform(transformations.HanningWindow(RAMP_S, RAMP_S))
    return wave.transform(membrane)


def their_probability(sound: NDArray[np.float64], rate: int, units: NDArray[np.int64]) -> Any:
    """Probability of release in these channels."""
    from lauscher import transformations

    return their_velocity(sound, rate, units).transform(transformations.HairCell())


def their_spikes(probability: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times in seconds and positions (not units) of the spikes; other ones each time."""
    from lauscher import transformations

    spikes = probability.transform(transformations.BushyCell())
    return spikes.spike_times, spikes.spike_labels.astype(np.int64)


def vowel(seconds: float, rate: int) -> NDArray[np.float64]:
    """A voice-like sound: pulses at a falling 140 Hz through three formants, then a hiss."""
    t = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(4)
    phase = 2 * np.pi * np.cumsum(140 - 60 * t) / rate
    voice = np.zeros(t.size)
    for n in range(1, 40):
        size = sum(np.exp(-(((n * 125 - formant) / 200) ** 2)) for formant in (500, 1_200, 2_500)) + 0.03
        voice += size * np.cos(n * phase)
    hiss = np.diff(rng.standard_normal(t.size + 1)) * (t > 0.75 * seconds)
    return np.asarray(voice * (t < 0.7 * seconds) + 0.5 * hiss)
