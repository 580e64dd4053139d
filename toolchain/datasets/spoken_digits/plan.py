"""Who says what and how, in every sample: drawn from the seed, the part and the number of the sample alone.

So a set of 4000 starts with the samples of a set of 400, and any number of processes makes the same set.

    speakers    one voice of each drawn family; a speaker has one English accent, a pitch and a pace of their own
    sample      one of 20 words; pitch and pace vary about the speaker's; the tempo changes within the word; silence of
                0 to 150 ms before it and after it, so neither its start nor its length gives it away; noise throughout
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from toolchain.datasets.spoken_digits.speech import Utterance
from toolchain.datasets.spoken_digits.voices import ACCENTS, ENGLISH_DIGITS, FAMILIES, GERMAN, LABEL_NAMES
from toolchain.errors import InputError
from toolchain.network_builder import generator

PARTS = ("train", "valid", "test")
FIRST_SPEAKERS = 16
"""Speakers to train on of the default set."""


@dataclass(frozen=True)
class Settings:
    """How hard the set is. Ranges are of uniform draws.

    Attributes
    ----------
    train_speakers, valid_speakers, test_speakers : no two of one family. Those to train on beyond `FIRST_SPEAKERS`
        are drawn after all others, so that a set with more of them is validated and tested on the same voices
    speaker_pitch, speaker_pace : range of what is a speaker's own: espeak-ng's 0..100, and words a minute
    pitch_spread, pace_spread : standard deviation about it from sample to sample: units, and a fraction
    tempo_spread : standard deviation of the logarithm of the tempo, drawn at four places of the word
    silence_ms : longest silence before a word, and after it
    noise_db : range of the level of the noise below that of the word, mean power against mean power
    noise_tilt_db : range of the slope of the noise's spectrum, dB per octave
    """

    train_speakers: int = FIRST_SPEAKERS
    valid_speakers: int = 8
    test_speakers: int = 16
    speaker_pitch: tuple[int, int] = (25, 75)
    speaker_pace: tuple[int, int] = (120, 190)
    pitch_spread: float = 8.0
    pace_spread: float = 0.1
    tempo_spread: float = 0.25
    silence_ms: float = 150.0
    noise_db: tuple[float, float] = (8.0, 30.0)
    noise_tilt_db: tuple[float, float] = (-6.0, 0.0)

    def to_json(self) -> str:
        """One line that says them all."""
        return json.dumps(asdict(self), sort_keys=True)


class Speaker(NamedTuple):
    """Who speaks: a voice with an accent, a pitch and a pace (words a minute)."""

    voice: str
    accent: str
    pitch: float
    pace: float

    @property
    def name(self) -> str:
        """Such as ``f2 en-us``."""
        return f"{self.voice} {self.accent}"


class SamplePlan(NamedTuple):
    """All of a sample but its sound.

    `tempo` (4,) is how fast the word is at its start, one and two thirds of it, and its end, 1 as spoken;
    silences are in seconds; noise in dB below the word, its tilt in dB per octave.
    """

    label: int
    speaker: int
    utterance: Utterance
    tempo: tuple[float, ...]
    silence_s: tuple[float, float]
    noise_db: float
    noise_tilt_db: float
    noise_seed: int
    cochlea_seed: int


@lru_cache(maxsize=4)
def speakers_of(settings: Settings, seed: int) -> dict[str, tuple[Speaker, ...]]:
    """Speakers of each part; the number of a speaker counts through train, valid and test.

    Raises
    ------
    InputError
        If more speakers are asked for than there are families of voices.
    """
    sizes = {part: int(getattr(settings, f"{part}_speakers")) for part in PARTS}
    if sum(sizes.values()) > len(FAMILIES) or min(sizes.values()) < 1:
        raise InputError(
            f"spoken digits: {sizes} speakers asked for; at least one each and {len(FAMILIES)} together are possible"
        )
    families = generator(seed, "families").permutation(len(FAMILIES)).tolist()
    more = max(0, sizes["train"] - FIRST_SPEAKERS)
    found: dict[str, tuple[Speaker, ...]] = {}
    for part, size in (("train", sizes["train"] - more), *((p, sizes[p]) for p in PARTS[1:]), ("more", more)):
        found[part] = tuple(_speaker(settings, FAMILIES[family], family, seed) for family in families[:size])
        families = families[size:]
    return {"train": found["train"] + found["more"], "valid": found["valid"], "test": found["test"]}


def _speaker(settings: Settings, family: tuple[str, ...], number: int, seed: int) -> Speaker:
    random = generator(seed, "speaker", number)
    return Speaker(
        family[int(random.integers(len(family)))],
        ACCENTS[int(random.integers(len(ACCENTS)))],
        float(random.uniform(*settings.speaker_pitch)),
        float(random.uniform(*settings.speaker_pace)),
    )


def plan_sample(
    settings: Settings, speakers: dict[str, tuple[Speaker, ...]], seed: int, part: str, index: int
) -> SamplePlan:
    """Draw sample `index` of a part; every word comes once in 20 samples, every speaker once in a round of them."""
    mine = speakers[part]
    label = _turn(seed, part, "label", index, len(LABEL_NAMES))
    who = _turn(seed, part, "who", index, len(mine))
    first = sum(len(speakers[p]) for p in PARTS[: PARTS.index(part)])
    speaker = mine[who]
    random = generator(seed, part, "sample", index)
    pitch = np.clip(np.rint(random.normal(speaker.pitch, settings.pitch_spread)), 0, 100)
    pace = np.clip(np.rint(speaker.pace * np.exp(random.normal(0, settings.pace_spread))), 80, 450)
    language = speaker.accent if label < len(ENGLISH_DIGITS) else GERMAN
    voice_seed, noise_seed, cochlea_seed = (int(n) for n in random.integers(0, 2**31, size=3))
    utterance = Utterance(LABEL_NAMES[label], f"{language}+{speaker.voice}", int(pitch), int(pace), voice_seed)
    tempo = tuple(float(t) for t in np.exp(random.normal(0, settings.tempo_spread, 4)))
    before, after = random.uniform(0, settings.silence_ms / 1000, size=2)
    return SamplePlan(
        label,
        first + who,
        utterance,
        tempo,
        (float(before), float(after)),
        float(random.uniform(*settings.noise_db)),
        float(random.uniform(*settings.noise_tilt_db)),
        noise_seed,
        cochlea_seed,
    )


def _turn(seed: int, part: str, what: str, index: int, size: int) -> int:
    """Whose turn it is: each of `size` once in every round, in an order drawn for the round."""
    return int(generator(seed, part, what, index // size).permutation(size)[index % size])
