"""Intel Loihi: Loihi 2 through Lava. `loihi2` is what the entry point ``delayline.targets`` names."""

from hardware_targets.loihi.target import LoihiTarget

loihi2 = LoihiTarget(
    "loihi2",
    "Intel Loihi 2 through Lava 0.10 fixed_pt; checked against Lava's own simulation, not executed on a chip",
)

__all__ = ["LoihiTarget", "loihi2"]
