"""Intel Loihi: two chips through Lava. `loihi1` and `loihi2` are what the entry points ``delayline.targets`` name."""

from hardware_targets.loihi.chip_target import Loihi2Target
from hardware_targets.loihi.target import LoihiTarget

loihi1 = LoihiTarget(
    "loihi1",
    "Intel Loihi 1: its limits, and the arithmetic of Lava 0.10 fixed_pt; checked against Lava's own simulation, not "
    "executed on a chip, to which no public software leads",
)
loihi2 = Loihi2Target(
    "loihi2",
    "Intel Loihi 2 through Lava 0.10 fixed_pt; checked against Lava's own simulation, not executed on a chip",
)

__all__ = ["Loihi2Target", "LoihiTarget", "loihi1", "loihi2"]
