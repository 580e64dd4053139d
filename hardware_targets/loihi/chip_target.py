"""Loihi 2 as a target with a way to the chip, through lava-loihi; Loihi 1 has none that is public."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hardware_targets.loihi.target import LoihiTarget
from toolchain.deployment.target import Traces


class Loihi2Target(LoihiTarget):
    """See `toolchain.deployment.abilities.HardwareTarget`."""

    hardware = "loihi2"

    def run_hardware(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Run the Lava folder on a chip, through lava-loihi; not executed on one."""
        from hardware_targets.loihi.lava_runner import run_on_chip

        result = run_on_chip(exported, samples=samples, timeout_s=timeout_s)
        return Traces({}, {k: a.astype(np.int64) for k, a in result.v.items()}, result.spikes)
