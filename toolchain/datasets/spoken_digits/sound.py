"""What happens to a word on its way to the ear: its tempo changes, silence comes before and after it, noise over it.

The tempo is changed by overlapping and adding short pieces of the word where they fit best (WSOLA: Verhelst, Roelands
1993), which leaves pitch and formants as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.spoken_digits.plan import SamplePlan
from toolchain.datasets.spoken_digits.speech import Speech
from toolchain.errors import DatasetError

PIECE_S, SEARCH_S = 0.025, 0.008
"""Length of a piece, and how far from its place a better fitting one is looked for."""
QUIET, MARGIN_S, ENVELOPE_S = 0.02, 0.02, 0.005
"""A word starts and ends where its envelope is this part of its peak, and this much around it is kept."""
LOWEST_HZ = 100.0
"""Below, the noise has a flat spectrum."""


def disturbed(speech: Speech, plan: SamplePlan) -> NDArray[np.float64]:
    """Sound of a sample at the rate of the speech; any loudness.

    Raises
    ------
    DatasetError
        If there is nothing to hear.
    """
    if not speech.samples.any():
        raise DatasetError(f"espeak-ng: {plan.utterance.text!r} by {plan.utterance.voice} is silent; leave it out")
    rate = speech.rate_hz
    word = stretched(trimmed(speech.samples / 32768.0, rate), rate, np.array(plan.tempo))
    before, after = (np.zeros(round(s * rate)) for s in plan.silence_s)
    sound = np.concatenate((before, word, after))
    hiss = noise(sound.size, rate, plan.noise_tilt_db, np.random.Generator(np.random.PCG64(plan.noise_seed)))
    level = np.sqrt(np.mean(word**2)) * 10 ** (-plan.noise_db / 20)
    return np.asarray(sound + level * hiss)


def trimmed(word: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """The word without the quiet before and after it."""
    n = max(1, round(ENVELOPE_S * rate_hz))
    envelope = np.sqrt(np.convolve(word**2, np.full(n, 1 / n), "same"))
    loud = np.flatnonzero(envelope > QUIET * envelope.max())
    margin = round(MARGIN_S * rate_hz)
    return word[max(0, int(loud[0]) - margin) : int(loud[-1]) + margin + 1]


def stretched(word: NDArray[np.float64], rate_hz: int, tempo: NDArray[np.float64]) -> NDArray[np.float64]:
    """The word at another tempo, with its pitch.

    Parameters
    ----------
    word : (n_samples,)
    rate_hz : samples a second
    tempo : (n_places,) how fast it is at places evenly over the word, straight lines between; 2 is twice as fast
    """
    hop = round(PIECE_S * rate_hz / 2)
    window = np.hanning(2 * hop + 1)[:-1]
    reach = round(SEARCH_S * rate_hz)
    # Where in the word each piece is due: the pieces are `hop` apart in what is made, tempo * hop in the word.
    due, at = [], 0.0
    while at < word.size:
        due.append(round(at))
        at += hop * float(np.interp(at / word.size, np.linspace(0, 1, tempo.size), tempo))
    padded = np.concatenate((np.zeros(hop + reach), word, np.zeros(3 * hop + 2 * reach)))
    made = np.zeros((len(due) + 1) * hop)
    weight = np.zeros_like(made)
    # What would follow the last piece if nothing were cut: the next piece is taken where it looks most like that.
    follow: NDArray[np.float64] | None = None
    for number, place in enumerate(due):
        start = place
        if follow is not None:
            around = padded[place : place + 2 * hop + 2 * reach]
            fit = np.correlate(around, follow, "valid")
            power = np.sqrt(np.convolve(around**2, np.ones(2 * hop), "valid") + 1e-12)
            start = place + int(np.argmax(fit / power)) - reach
        piece = padded[start + reach : start + reach + 2 * hop]
        made[number * hop : (number + 2) * hop] += window * piece
        weight[number * hop : (number + 2) * hop] += window
        follow = padded[start + reach + hop : start + reach + 3 * hop]
    return np.asarray(made / np.maximum(weight, 0.1))


def noise(size: int, rate_hz: int, tilt_db: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise of power 1 whose spectrum falls by -`tilt_db` per octave above `LOWEST_HZ`."""
    frequency = np.fft.rfftfreq(size, 1 / rate_hz)
    gain = 10 ** (tilt_db / 20 * np.log2(np.maximum(frequency, LOWEST_HZ) / LOWEST_HZ))
    coloured = np.fft.irfft(np.fft.rfft(random.standard_normal(size)) * gain, size)
    return np.asarray(coloured / np.sqrt(np.mean(coloured**2)))
