from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import wavfile

from toolchain.datasets.cochlea import Cochlea, cochleagram_spikes
from toolchain.datasets.cochlea.membrane import characteristic_frequency, places
from toolchain.errors import InputError

SPEECH = Path(__file__).parents[4] / "shared" / "data" / "fsdd"


def chirp(seconds: float, rate: int = 16_000) -> NDArray[np.float64]:
    """From 200 Hz to 3.2 kHz."""
    t = np.arange(round(seconds * rate)) / rate
    return np.asarray(np.sin(2 * np.pi * 200 * seconds / np.log(16) * (16 ** (t / seconds) - 1)))


def test_spikes_are_sorted_and_within_the_sound() -> None:
    times, units = cochleagram_spikes(chirp(0.5), 16_000, seed=0)
    assert times.dtype == np.float32
    assert units.dtype == np.int32
    assert times.size == units.size > 500
    assert times[0] >= 0
    assert times[-1] < 0.5
    steps = np.rint(times * 24_000.0).astype(np.int64)
    np.testing.assert_allclose(times, steps / 24_000, rtol=1e-6)
    keys = steps * 700 + units
    assert (np.diff(keys) > 0).all()


def test_no_channel_fires_twice_within_a_millisecond() -> None:
    times, units = cochleagram_spikes(chirp(0.5), 16_000, seed=0)
    for unit in np.unique(units):
        assert np.diff(times[units == unit]).min(initial=1.0) > 1.0e-3


def test_the_same_seed_gives_the_same_spikes_on_any_number_of_threads() -> None:
    sounds = [chirp(s) for s in (0.1, 0.3, 0.7, 1.4)]
    cochlea = Cochlea()
    alone = [Cochlea().spikes(s, 16_000, seed=n) for n, s in enumerate(sounds)]
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(cochlea.spikes, s, 16_000, seed=n) for n, s in enumerate(sounds * 2)]
    for n, future in enumerate(futures[:4]):
        for a, b in zip(future.result(), alone[n], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(futures[3].result()[0], futures[7].result()[0])


def test_a_few_channels_fire_as_they_do_among_all() -> None:
    """Their numbers are their own; only the rate that they are computed at may differ, and with it a few spikes."""
    some = np.array([3, 250, 400, 699])
    times, units = Cochlea(units=some).spikes(chirp(1.0), 16_000, seed=5)
    all_times, all_units = Cochlea().spikes(chirp(1.0), 16_000, seed=5)
    for unit in some:
        a, b = set(times[units == unit].tolist()), set(all_times[all_units == unit].tolist())
        assert len(a ^ b) <= 0.05 * len(a | b) + 1


@pytest.mark.parametrize("causal", [False, True])
def test_a_channel_moves_most_when_a_chirp_passes_its_frequency(causal: bool) -> None:
    units = np.array([330, 410, 500])
    moved = np.abs(Cochlea(causal=causal, units=units).velocity(chirp(1.0), 16_000)).argmax(axis=1) / 24_000
    best = 0.9 * characteristic_frequency(places()[units])
    np.testing.assert_allclose(moved, np.log(best / 200) / np.log(16), atol=0.02)


def test_sound_longer_than_a_frame_has_no_seams() -> None:
    """Noise for 4 s, in four frames: as many spikes around the seams as elsewhere."""
    noise = np.random.default_rng(0).standard_normal(64_000)
    times, _ = cochleagram_spikes(noise, 16_000, seed=0)
    counts = np.histogram(times, bins=np.arange(0.2, 3.9, 0.02))[0]
    seams = [int((n * 1.145 - 0.2) / 0.02) for n in (1, 2, 3)]
    around = np.concatenate([counts[s - 2 : s + 3] for s in seams])
    assert abs(around.mean() - counts.mean()) < 4 * counts.std() / np.sqrt(around.size)


def test_a_seed_or_channels_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="seed -1"):
        cochleagram_spikes(chirp(0.1), 16_000, seed=-1)
    for units in ([], [5, 5], [-1], [700]):
        with pytest.raises(InputError, match="must rise"):
            Cochlea(units=np.array(units, dtype=np.int64))


def test_real_speech_gives_the_spikes_of_an_earlier_conversion_up_to_chance() -> None:
    """Spoken digits and their spikes from another program, whose sounds were trimmed and its refractory time a step
    shorter: counts of channels correlate as those of two seeds do, 0.94.
    """
    if not SPEECH.is_dir():
        pytest.skip("recordings of spoken digits are not beside this checkout")
    cochlea = Cochlea()
    correlations, ratios = [], []
    for path in sorted((SPEECH / "wav").glob("*.wav"))[::10]:
        digit, speaker, take = path.stem.split("_")
        with np.load(SPEECH / f"{speaker}.npz") as known:
            (row,) = np.flatnonzero((known["labels"] == int(digit)) & (known["recording"] == int(take)))
            theirs = known["units"][known["offsets"][row] : known["offsets"][row + 1]]
        rate, samples = wavfile.read(path)
        _, ours = cochlea.spikes(samples / 32768.0, rate, seed=3)
        counts = np.stack([np.bincount(units, minlength=700) for units in (ours, theirs)])
        correlations.append(np.corrcoef(counts)[0, 1])
        ratios.append(ours.size / theirs.size)
    assert np.mean(correlations) > 0.93
    assert min(correlations) > 0.87
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.04)
