"""What a run of all samples of an exported folder must print, for its README; the scripts print the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.class_reading import classify


def accuracy_line(reading: str, values: NDArray[Any] | None, labels: NDArray[np.int64] | None) -> str | None:
    """The line of the accuracy; None where there is none, for want of labels or of a single output.

    Parameters
    ----------
    reading : how a class is read, as `class_reading.classify` has it
    values : (n_samples, n_steps, n) v or spikes of the one output, None where there are several
    labels : (n_samples,) or None
    """
    if labels is None or values is None:
        return None
    right = int(np.sum(classify(reading, values) == labels))
    return f"accuracy {right / labels.size:.4f} ({right} of {labels.size} right)"


def digest_of(traces: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of all traces in the order of their names, each row by row."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(traces[key]).tobytes() for key in sorted(traces))).hexdigest()
