"""What a machine did with a batch: all that training needs to know of a chip, its emulator or a vendor's simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.spikes import SpikeTrains


@dataclass(frozen=True)
class Observed:
    """Spikes of every `lif` population, and the voltage of a `leaky_readout` where the machine can tell it.

    Attributes
    ----------
    spikes : lif population -> its spikes; units are its neurons, samples in the order in which they were given
    readout_v : (n_samples, n_readout, n_steps) float32, in units of the trained V; None where it is not known: it is
        then computed from the spikes
    """

    spikes: Mapping[str, SpikeTrains]
    readout_v: NDArray[np.float32] | None = None
