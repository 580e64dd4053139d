"""Intel Loihi: two chips through Lava. `loihi1` and `loihi2` are what the entry points ``delayline.targets`` name."""

from hardware_targets.loihi.target import LoihiTarget

loihi1 = LoihiTarget(
    "loihi1",
    "Intel Loihi 1: its limits, and the arithmetic of Lava 0.10 fixed_pt; checked against Lava's own simulation, not "
    "executed on a chip",
)
loihi2 = LoihiTarget(
    "loihi2",
    "Intel Loihi 2 through Lava 0.10 fixed_pt; checked against Lava's own simulation, not executed on a chip",
)

__all__ = ["LoihiTarget", "loihi1", "loihi2"]
