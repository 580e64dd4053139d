"""The published Braille letters looked at whole: a pickle of one threshold, or the archive of all."""

from __future__ import annotations

import zipfile
from collections.abc import Callable

import numpy as np

from toolchain.datasets.braille_file import LETTERS, N_UNITS, PICKLE_NAME, pickles, read_braille
from toolchain.datasets.checks.inspection import Inspection, Item
from toolchain.errors import DatasetError


def takes(item: Item) -> bool:
    """Whether this is a pickle, or an archive with such of the Braille letters in it."""
    if item.pattern or not item.path.is_file():
        return False
    if item.path.suffix == ".pkl" or PICKLE_NAME.search(item.path.name):
        return True
    return zipfile.is_zipfile(item.path) and bool(pickles(item.path))


def inspect(item: Item, progress: Callable[[int], None]) -> Inspection:
    """Look at every event; of an archive at every threshold, trials and duration then are those of the lowest."""
    found = Inspection(str(item.path), "Braille letters")
    try:
        thresholds: list[int | None] = [*sorted(pickles(item.path))] or [None]
    except DatasetError as error:
        found.error(str(error))
        return found
    for threshold in thresholds:
        where = f"threshold {threshold}: " if len(thresholds) > 1 else ""
        progress(found.samples or 0)
        try:
            file = read_braille(item.path, threshold)
        except DatasetError as error:
            found.error(where + str(error))
            continue
        events = file.recordings.events
        counts = np.diff(events.offsets)
        if found.samples is None:
            last = np.zeros(counts.size)
            last[counts > 0] = events.times[events.offsets[1:][counts > 0] - 1]
            found.real, found.channels = True, N_UNITS
            found.count(file.recordings.labels, LETTERS, None, ())
            # Silent trials are among the remarks.
            found.duration_s = {"mean": float(last.mean()), "max": float(last.max())}
            found.events = {"min": int(counts.min()), "mean": float(counts.mean()), "max": int(counts.max())}
        if threshold is not None:
            found.about[f"events a trial at threshold {threshold}"] = round(float(counts.mean()), 1)
        for remark in file.remarks:
            found.warn(where + remark)
    return found
