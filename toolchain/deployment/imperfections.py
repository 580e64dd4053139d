"""How a chip differs from what its emulator takes it for: a pattern that is fixed for as long as the chip exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Imperfections:
    """What is wrong with each neuron and synapse; populations and projections that are left out are as they should be.

    Attributes
    ----------
    threshold : lif population -> (size,) what its threshold is multiplied by, > 0; infinite for a dead neuron
    weight : projection -> (pre, post) what each weight is multiplied by, >= 0
    delay : projection -> (pre, post) slots that a spike takes longer; where that leads below slot 0, it is slot 0
    """

    threshold: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    weight: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    delay: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def delays(self, projection: str, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots as the chip has them, (pre, post)."""
        moved: NDArray[np.int64] = np.maximum(slots + self.delay[projection], 0) if projection in self.delay else slots
        return moved
