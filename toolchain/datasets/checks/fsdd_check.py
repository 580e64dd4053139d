"""Free Spoken Digit Dataset looked at whole: the recordings themselves, or spikes made from them."""

from __future__ import annotations

import wave
from collections.abc import Callable

import numpy as np

from toolchain.datasets.checks.inspection import MAX_ERRORS, Inspection, Item
from toolchain.datasets.fsdd import DIGITS, UNITS, WAV_NAME, read_speaker
from toolchain.errors import DatasetError

RATE_HZ, RECORDINGS = 8000, 3000


def takes_wav(item: Item) -> bool:
    """Whether this is a folder of wav files, or one of them."""
    return item.pattern == "*.wav" or (not item.pattern and item.path.suffix.lower() == ".wav")


def takes_npz(item: Item) -> bool:
    """Whether this is a folder of npz files, or one of them."""
    return item.pattern == "*.npz" or (not item.pattern and item.path.suffix.lower() == ".npz")


def inspect_wav(item: Item, progress: Callable[[int], None]) -> Inspection:
    """Look at the names and headers of recordings."""
    files = sorted(item.path.glob("*.[wW][aA][vV]")) if item.pattern else [item.path]
    found = Inspection(str(item.path), "recordings of the Free Spoken Digit Dataset")
    named = [WAV_NAME.fullmatch(file.name) for file in files]
    strange = [file.name for file, name in zip(files, named, strict=True) if name is None]
    if len(strange) == len(files):
        found.kind = "wav files"
    elif strange:
        found.warn(f"{len(strange)} of {len(files)} names are not <digit>_<speaker>_<number>.wav: {strange[0]}")
    else:
        found.real = True
    who = sorted({name["speaker"] for name in named if name})
    labels = np.array([int(name["digit"]) for name in named if name], dtype=np.int64)
    if labels.size:
        found.count(labels, DIGITS, np.array([who.index(name["speaker"]) for name in named if name]), who)
        if len(files) not in (RECORDINGS, 1):
            found.warn(f"{len(files)} recordings; the whole set has {RECORDINGS}")
    found.samples = len(files)
    seconds, rates, wide = [], [], 0
    for number, file in enumerate(files):
        progress(number)
        try:
            with open(file, "rb") as raw, wave.open(raw) as sound:
                rate, n = sound.getframerate(), sound.getnframes()
                wide += sound.getnchannels() != 1
        except (OSError, wave.Error, EOFError, ValueError) as error:
            found.error(
                f"file {file}: is no wav file that can be read, {str(error) or type(error).__name__}; fetch it again"
            )
            if sum(f.level == "error" for f in found.findings) == MAX_ERRORS:
                found.error(f"read no further after {MAX_ERRORS} damaged files")
                break
            continue
        rates.append(rate)
        seconds.append(n / rate if rate else 0.0)
    if seconds:
        found.duration_s = {"mean": float(np.mean(seconds)), "max": float(np.max(seconds))}
    if wide:
        found.warn(f"{wide} recordings have more than one channel")
    other = sorted(set(rates) - {RATE_HZ})
    if other and labels.size:
        found.warn(f"{sum(r != RATE_HZ for r in rates)} recordings are not at {RATE_HZ} Hz, but at {other[0]}")
    found.about = {"next": "`delayline data convert` makes spikes of sound"}
    return found


def inspect_npz(item: Item, progress: Callable[[int], None]) -> Inspection:
    """Look at the arrays of every speaker."""
    files = sorted(item.path.glob("*.npz")) if item.pattern else [item.path]
    found = Inspection(str(item.path), "spikes of the Free Spoken Digit Dataset", real=True, channels=UNITS)
    labels, speakers, counts, last = [], [], [], []
    for number, file in enumerate(files):
        progress(number)
        try:
            arrays = read_speaker(file)
        except DatasetError as error:
            found.error(str(error))
            continue
        times, offsets = arrays["times"].astype(np.float64) * float(arrays["time_unit_s"]), arrays["offsets"]
        here = np.diff(offsets)
        inner = np.setdiff1d(np.arange(1, times.size), offsets)
        falling = int(np.count_nonzero(np.diff(times)[inner - 1] < 0))
        if falling:
            found.warn(f"file {file}: {falling} events are not in the order of time; they are sorted when binned")
        labels.append(arrays["labels"].astype(np.int64))
        speakers.append(np.full(here.size, number))
        counts.append(here)
        ends = np.zeros(here.size)
        ends[here > 0] = np.maximum.reduceat(times, offsets[:-1][here > 0]) if times.size else 0.0
        last.append(ends)
        pairs = np.unique(np.stack((arrays["labels"], arrays["recording"])), axis=1).shape[1]
        if pairs != here.size:
            found.warn(f"file {file}: {here.size - pairs} recordings of a digit have the number of another")
    if not labels:
        found.kind, found.real, found.channels = "npz files", None, None
        return found
    found.count(np.concatenate(labels), DIGITS, np.concatenate(speakers), [file.stem for file in files])
    found.measure(np.concatenate(last), np.concatenate(counts))
    return found
