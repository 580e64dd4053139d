"""Synthetic Braille: a modelled fingertip slides over modelled letters; nobody recorded it.

A stand-in with the shape of the published Braille letters: 27 classes, 12 taxels, 51 frames of whole numbers at 40 Hz,
24 channels of sigma-delta events. A cell of up to six dots passes below 12 pads in four rows of three; a pad reads the
sum of a bell curve for each dot, scaled by pressure and its own sensitivity, behind a sluggish elastomer. From trial to
trial the speed of the slide, its start, the sideways place, the pressure and its drift, the gains and the noise differ.
The places of the pads and all constants are invented; the number of events is near the published one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.datasets import Dataset, TaskSizes
from toolchain.datasets.braille_file import LETTERS, N_UNITS, TAXELS
from toolchain.datasets.from_recordings import BinningOptions, assemble, bin_split, channels
from toolchain.datasets.recordings import HeldRecordings, Origin
from toolchain.datasets.sigma_delta import sigma_delta
from toolchain.datasets.spike_file import SpikeFileWriter
from toolchain.errors import InputError
from toolchain.network_builder import generator

THRESHOLDS = (1, 2, 5)
"""At 10 hardly an event is left."""
VERSION = 1
"""Of the model; another number, other samples."""
FRAMES, RATE_HZ = 51, 40.0
PITCH_MM, WIDTH_MM, SPEED_MM_S, SLIDE_MM = 2.5, 1.4, 20.0, 15.5
PADS_MM = np.array([(x, y * (1 + 0.08 * x)) for x in (-3.0, -1.0, 1.0, 3.0) for y in (-2.4, 0.0, 2.4)])
"""Places of the taxels: along the slide, across it; slightly fanned."""
GAIN, CONTACT, ELASTOMER_S, NOISE = 4.5, 1.0, 0.06, 0.05
SENSITIVITY = np.array([0.48, 1.45, 0.84, 1.27, 0.65, 1.98, 0.88, 1.13, 0.46, 1.49, 0.87, 1.28])
"""Pads of one fingertip differ; without that, the readings would all be either below or above a threshold of 5."""
_DOTS = (
    "- 1 12 14 145 15 124 1245 125 24 245 13 123 134 1345 135 1234 12345 1235 234 2345 136 1236 2456 1346 13456 1356"
)
DOTS = {letter: tuple(map(int, dots.strip("-"))) for letter, dots in zip(LETTERS, _DOTS.split(), strict=True)}
"""Dots 1 to 3 are the left column from the top, 4 to 6 the right one."""


class SyntheticBrailleOptions(BinningOptions):
    """Trials a letter, threshold in counts, how events are binned, and the seed of everything drawn."""

    repeats: Annotated[int, Field(ge=10)] = 200
    threshold: Literal[1, 2, 5] = 2
    steps: Annotated[int, Field(ge=1)] = 1300
    seed: Annotated[int, Field(ge=0)] = 0


def slide(letter: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Readings of one slide over a letter, (51, 12) whole numbers, as ``|255 - raw|`` of the sensor."""
    time = np.arange(FRAMES) / RATE_HZ
    speed = SPEED_MM_S * random.normal(1, 0.08)
    start = -7.0 + random.normal(0, 0.8)
    aside = random.normal(0, 0.5)
    pressure = random.normal(1, 0.15) * (1 + random.normal(0, 0.05) * time)
    onset = 0.18 + random.normal(0, 0.03)
    gains = GAIN * SENSITIVITY * (1 + 0.15 * random.standard_normal(TAXELS))
    place = start + speed * np.clip(time - onset, 0, SLIDE_MM / speed)
    # The pads touch the plate before the slide begins.
    felt = CONTACT * np.clip((time - 0.03) / 0.12, 0, 1)[:, None] * np.ones(TAXELS)
    for dot in DOTS[letter]:
        x, y = divmod(dot - 1, 3)
        along = place[:, None] + PADS_MM[:, 0] - x * PITCH_MM
        across = PADS_MM[:, 1] + aside - (y - 1) * PITCH_MM
        felt = felt + gains * np.exp(-(along**2 + across**2) / (2 * WIDTH_MM**2))
    felt = felt * pressure[:, None]
    keep = np.exp(-1 / (RATE_HZ * ELASTOMER_S))
    for frame in range(1, FRAMES):
        felt[frame] = keep * felt[frame - 1] + (1 - keep) * felt[frame]
    read: NDArray[np.float64] = np.abs(np.round(felt + random.normal(0, NOISE, felt.shape)))
    return read


def synthetic_braille(repeats: int, threshold: int, seed: int, first: int = 0) -> HeldRecordings:
    """Trials of every letter in turn: repetition 0 of Space, A, ..., Z, then repetition 1.

    Parameters
    ----------
    repeats : trials a letter
    threshold : counts from event to event
    seed : trial r of a letter depends on the seed, the letter and r alone
    first : number of the first repetition
    """
    trials = range(first, first + repeats)
    frames = np.array([slide(letter, generator(seed, "slide", letter, r)) for r in trials for letter in LETTERS])
    origin = Origin(
        f"synthetic Braille at threshold {threshold}",
        real=False,
        detail=f"fingertip model {VERSION}, seed {seed}, {repeats} trials a letter",
    )
    labels = np.tile(np.arange(len(LETTERS)), repeats)
    return HeldRecordings(sigma_delta(frames, threshold, RATE_HZ), labels, None, LETTERS, N_UNITS, origin)


def write_files(folder: Path, repeats: int, threshold: int, seed: int) -> dict[str, Path]:
    """Write the three parts as spike files, ``synthetic_braille_train.h5`` and so on.

    Raises
    ------
    InputError
        If the threshold is none of 1, 2 and 5, there are fewer than 10 trials a letter, or the disk refuses.
    """
    if threshold not in THRESHOLDS or repeats < 10:
        raise InputError(
            f"synthetic Braille: threshold {threshold} and {repeats} trials a letter; thresholds are "
            f"{', '.join(map(str, THRESHOLDS))}, trials 10 or more"
        )
    files: dict[str, Path] = {}
    for part, trials in parts_of(repeats).items():
        recordings = synthetic_braille(len(trials), threshold, seed, trials.start)
        files[part] = folder / f"synthetic_braille_{part}.h5"
        attributes: dict[str, str | int | float | bool] = {
            "generator": "delayline synthetic Braille",
            "generator_version": str(VERSION),
            "seed": seed,
        }
        with SpikeFileWriter(
            files[part],
            n_units=N_UNITS,
            label_names=LETTERS,
            what=f"synthetic Braille at threshold {threshold}, {part}",
            real=False,
            attributes=attributes,
        ) as file:
            events, bounds = recordings.events, recordings.events.offsets
            for sample, label in enumerate(recordings.labels):
                here = slice(bounds[sample], bounds[sample + 1])
                file.add(events.times[here], events.units[here], int(label))
    return files


def parts_of(repeats: int) -> dict[str, range]:
    """Which repetitions are for what: 70 % training, 20 % test, 10 % validation."""
    test, valid = round(0.2 * repeats), round(0.1 * repeats)
    train = repeats - test - valid
    return {
        "train": range(train),
        "test": range(train, train + test),
        "valid": range(train + test, repeats),
    }


def sizes(options: SyntheticBrailleOptions) -> TaskSizes:
    """Events of rise and of fall for each taxel, 26 letters and the space."""
    return TaskSizes(channels(N_UNITS, options), len(LETTERS))


def load(options: SyntheticBrailleOptions) -> Dataset:
    """Make the three splits."""
    recordings = synthetic_braille(options.repeats, options.threshold, options.seed)
    everything = bin_split(recordings, options)
    repetition = np.arange(recordings.labels.size) // len(LETTERS)
    parts = {name: everything.part(np.isin(repetition, trials)) for name, trials in parts_of(options.repeats).items()}
    return assemble(parts["train"], parts["test"], parts["valid"], everything.binning, options)
