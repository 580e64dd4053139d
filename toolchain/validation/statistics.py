"""What counted samples can say: an interval for an accuracy, and whether one rung of a ladder is worse than another.

Wilson's score interval holds its level for few samples and for accuracies near 1, where the usual one does not (Brown,
Cai, DasGupta 2001, doi 10.1214/ss/1009213286). Two rungs have read the same samples, so only those count on which one
of them is right and the other wrong: McNemar's test, here in its exact form, a sign test on these samples (McNemar
1947, doi 10.1007/BF02295996; Fagerland, Lydersen, Laake 2013, doi 10.1186/1471-2288-13-91).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.report.content import Against, Rung, Tally

CONFIDENCE = 0.95
NO_CLASS = -1
"""What is read where a network is read by its first spike and has none."""

I64 = NDArray[np.int64]


def interval(correct: int, samples: int) -> tuple[float, float]:
    """Wilson's interval of a fraction at 95 %; (0, 1) without a sample."""
    from scipy.stats import binomtest

    if samples == 0:
        return 0.0, 1.0
    found = binomtest(correct, samples).proportion_ci(CONFIDENCE, "wilson")
    return float(found.low), float(found.high)


def probability_of_chance(lost: int, gained: int) -> float:
    """P value of McNemar's exact test: how likely so uneven a split is if either way were as likely; 1 without one."""
    from scipy.stats import binomtest

    return float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0


def tally(prediction: I64, labels: I64, n_classes: int, before: tuple[str, I64] | None = None) -> Tally:
    """Count what was read of each class, and compare with another rung.

    Parameters
    ----------
    prediction, labels : (n_samples,) class read, -1 for none, and true class
    before : name and prediction of the rung to compare with, (n_before,); the samples are the first of the same set,
        and those count that both have

    Raises
    ------
    InputError
        If the arrays do not belong together, or hold a class that does not exist.
    """
    if prediction.shape != labels.shape or prediction.ndim != 1:
        raise InputError(f"predictions {prediction.shape} and labels {labels.shape} differ; give one of each a sample")
    for what, values, lowest in (("label", labels, 0), ("prediction", prediction, NO_CLASS)):
        if values.size and not lowest <= int(values.min()) <= int(values.max()) < n_classes:
            raise InputError(f"{what}s {values.min()} to {values.max()} are outside {lowest}..{n_classes - 1}")
    columns = np.where(prediction == NO_CLASS, n_classes, prediction)
    confusion = np.zeros((n_classes, n_classes + 1), dtype=np.int64)
    np.add.at(confusion, (labels, columns), 1)
    correct = int(np.trace(confusion))
    low, high = interval(correct, labels.size)
    return Tally(
        n_classes,
        tuple(tuple(row) for row in confusion.tolist()),
        correct,
        low,
        high,
        None if before is None else _against(*before, prediction, labels),
    )


def _against(rung: str, theirs: I64, ours: I64, labels: I64) -> Against:
    shared = min(theirs.size, ours.size)
    theirs, ours, labels = theirs[:shared], ours[:shared], labels[:shared]
    was, is_ = theirs == labels, ours == labels
    lost, gained = np.flatnonzero(was & ~is_), np.flatnonzero(~was & is_)
    moved = np.flatnonzero(~was & ~is_ & (theirs != ours))
    return Against(
        rung,
        shared,
        tuple(lost.tolist()),
        tuple(gained.tolist()),
        tuple(moved.tolist()),
        probability_of_chance(lost.size, gained.size),
    )


def climb(predictions: Sequence[tuple[str, I64]], labels: I64, n_classes: int) -> list[Rung]:
    """A ladder of rungs, each compared with the one before.

    Parameters
    ----------
    predictions : name of a rung, and what it read of the first so many samples
    labels : (n_samples,) of all samples
    """
    rungs: list[Rung] = []
    before: tuple[str, I64] | None = None
    for name, prediction in predictions:
        counted = tally(prediction, labels[: prediction.size], n_classes, before)
        n = prediction.size
        rungs.append(Rung(name, counted.correct / n if n else 0.0, n, counted))
        before = (name, prediction)
    return rungs
