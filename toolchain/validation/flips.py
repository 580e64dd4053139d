"""Which samples the emulator reads as another class than the float network does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolchain.report.content import Flip, Flips
from toolchain.validation.statistics import tally

I64 = NDArray[np.int64]


def find_flips(predictions: Sequence[tuple[str, I64]], labels: I64, n_classes: int) -> Flips | None:
    """Compare the rungs ``float`` and ``emulator`` sample by sample; None unless both are there.

    Parameters
    ----------
    predictions : name of a rung, and the class that it read of each sample, (n_samples,), -1 for none
    labels : (n_samples,) true classes
    """
    named = dict(predictions)
    before, after = named.get("float"), named.get("emulator")
    if before is None or after is None:
        return None
    against = tally(after, labels, n_classes, ("float", before)).against
    assert against is not None, "there is a rung before"
    differing = np.flatnonzero(before != after)
    return Flips(against, tuple(Flip(int(i), int(labels[i]), int(before[i]), int(after[i])) for i in differing))
