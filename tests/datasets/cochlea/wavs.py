"""WAV files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import wavfile


def write_wav(path: Path, *, seed: int = 0, seconds: float = 0.1, rate: int = 8_000, kind: str = "int16") -> Path:
    """A tone with a little noise, of a pitch that goes by the seed."""
    t = np.arange(round(seconds * rate)) / rate
    sound = 0.5 * np.sin(2 * np.pi * (200 + 50 * seed) * t) + 0.05 * np.random.default_rng(seed).standard_normal(t.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    scaled = sound if kind.startswith("float") else sound * np.iinfo(np.dtype(kind)).max
    wavfile.write(path, rate, scaled.astype(kind))
    return path


def spoken(folder: Path, words: tuple[str, ...] = ("0", "1"), takes: int = 2) -> Path:
    """A small folder in the way of the Free Spoken Digit Dataset."""
    for n, word in enumerate(words):
        for take in range(takes):
            write_wav(folder / f"{word}_{'ab'[take % 2]}_{take}.wav", seed=10 * n + take)
    return folder
