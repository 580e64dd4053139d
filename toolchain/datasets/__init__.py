"""Tasks: each module makes the spikes of one, under one interface.

A task module is registered here by name. It has an options section (checked like the rest of a recipe)
and a function from options to a `Dataset`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import RecipeError
from toolchain.recipe import Section, check_section
from toolchain.spikes import Binning, SpikeTrains


@dataclass(frozen=True)
class Samples:
    """Spikes and labels of one split.

    Attributes
    ----------
    labels : (n_samples,) in 0..n_classes-1
    speakers : (n_samples,) who each sample is from; None where the task does not know
    """

    spikes: SpikeTrains
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Dataset:
    """Three splits of a task; a set without validation samples of its own has none in `valid`.

    Attributes
    ----------
    provenance : one line for every report: where the data come from, and whether they are real or synthetic
    binning : what turning events into steps removed
    targets : (n_classes, n_outputs, n_steps) voltage that the outputs are to follow for each class; None where the
        task has no such traces
    dt_ms : length of a step, where the events are from recordings in seconds; None where a step is a step
    speaker_names : what speaker 0, 1, ... is called; empty where that is not known
    """

    train: Samples
    valid: Samples
    test: Samples
    n_classes: int
    provenance: str
    binning: Binning
    targets: NDArray[np.float32] | None = None
    dt_ms: float | None = None
    speaker_names: tuple[str, ...] = ()

    @property
    def n_inputs(self) -> int:
        """Channels."""
        return self.train.spikes.n_units

    @property
    def n_steps(self) -> int:
        """Length of a sample, steps."""
        return self.train.spikes.n_steps


def _registry() -> dict[str, tuple[type[Section], Callable[[Any], Dataset]]]:
    """Options and loader of each task; a new task is one line here."""
    from toolchain.datasets import (
        braille,
        digits,
        fsdd,
        heidelberg,
        own_spikes,
        sequence,
        spoken_digits,
        synthetic_braille,
        waveform,
        yin_yang,
    )

    return {
        "yin_yang": (yin_yang.YinYangOptions, yin_yang.load),
        "sequence": (sequence.SequenceOptions, sequence.load),
        "digits": (digits.DigitsOptions, digits.load),
        "waveform": (waveform.WaveformOptions, waveform.load),
        "shd": (heidelberg.DigitOptions, heidelberg.load_shd),
        "ssc": (heidelberg.CommandOptions, heidelberg.load_ssc),
        "fsdd": (fsdd.FsddOptions, fsdd.load),
        "braille": (braille.BrailleOptions, braille.load),
        "synthetic_braille": (synthetic_braille.SyntheticBrailleOptions, synthetic_braille.load),
        "spoken_digits": (spoken_digits.SpokenDigitsOptions, spoken_digits.load),
        "spikes": (own_spikes.SpikesOptions, own_spikes.load),
    }


def load_dataset(task: str, options: dict[str, Any]) -> Dataset:
    """Make the dataset of a task.

    Raises
    ------
    RecipeError
        If the task or one of its options is unknown, or an option is out of range.
    DatasetError
        If files that the task reads are missing or damaged.
    """
    registry = _registry()
    if task not in registry:
        close = difflib.get_close_matches(task, registry, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(registry)}"
        raise RecipeError(f"recipe dataset.task: {task!r} does not exist{hint}")
    section, load = registry[task]
    return load(check_section(section, options, task, "dataset.options."))
