"""Tasks: each module makes the spikes of one, under one interface.

A task module is registered here by name. It has an options section (checked like the rest of a recipe)
and a function from options to a `Dataset`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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


@dataclass(frozen=True)
class TaskSizes:
    """What a task says of its data without reading them.

    Attributes
    ----------
    n_inputs, n_classes : channels and labels
    n_traces : outputs of its target traces; None where it has none
    fixed : False where the files that a user gives may have other channels or labels than the published ones
    """

    n_inputs: int
    n_classes: int
    n_traces: int | None = None
    fixed: bool = True


class _Task(NamedTuple):
    """Options of a task, and from options to its data and, without reading them, to their sizes.

    `sizes` gives None where only the files know.
    """

    options: type[Section]
    load: Callable[[Any], Dataset]
    sizes: Callable[[Any], TaskSizes | None]


def _registry() -> dict[str, _Task]:
    """All tasks; a new one is one line here."""
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
        "yin_yang": _Task(yin_yang.YinYangOptions, yin_yang.load, yin_yang.sizes),
        "sequence": _Task(sequence.SequenceOptions, sequence.load, sequence.sizes),
        "digits": _Task(digits.DigitsOptions, digits.load, digits.sizes),
        "waveform": _Task(waveform.WaveformOptions, waveform.load, waveform.sizes),
        "shd": _Task(heidelberg.DigitOptions, heidelberg.load_shd, heidelberg.shd_sizes),
        "ssc": _Task(heidelberg.CommandOptions, heidelberg.load_ssc, heidelberg.ssc_sizes),
        "fsdd": _Task(fsdd.FsddOptions, fsdd.load, fsdd.sizes),
        "braille": _Task(braille.BrailleOptions, braille.load, braille.sizes),
        "synthetic_braille": _Task(
            synthetic_braille.SyntheticBrailleOptions, synthetic_braille.load, synthetic_braille.sizes
        ),
        "spoken_digits": _Task(spoken_digits.SpokenDigitsOptions, spoken_digits.load, spoken_digits.sizes),
        "spikes": _Task(own_spikes.SpikesOptions, own_spikes.load, own_spikes.sizes),
    }


def task_sizes(task: str, options: dict[str, Any]) -> TaskSizes | None:
    """Channels and classes of a task, without reading its data; None where only its files know.

    Raises
    ------
    RecipeError
        As `load_dataset`.
    """
    found = _find(task)
    return found.sizes(check_section(found.options, options, task, "dataset.options."))


def load_dataset(task: str, options: dict[str, Any]) -> Dataset:
    """Make the dataset of a task.

    Raises
    ------
    RecipeError
        If the task or one of its options is unknown, or an option is out of range.
    DatasetError
        If files that the task reads are missing or damaged.
    """
    found = _find(task)
    return found.load(check_section(found.options, options, task, "dataset.options."))


def _find(task: str) -> _Task:
    registry = _registry()
    if task not in registry:
        close = difflib.get_close_matches(task, registry, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(registry)}"
        raise RecipeError(f"recipe dataset.task: {task!r} does not exist{hint}")
    return registry[task]
