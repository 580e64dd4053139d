"""SpiNNaker 1 through sPyNNaker. `spinnaker1` is what the entry point ``delayline.targets`` names."""

from hardware_targets.spinnaker.target import SpinnakerTarget

spinnaker1 = SpinnakerTarget(
    "spinnaker1",
    "SpiNNaker 1 through sPyNNaker 7.4.1; its tables are checked against sPyNNaker's own on a virtual board, its "
    "arithmetic against the ARM code that sPyNNaker ships; not executed on a board",
)

__all__ = ["SpinnakerTarget", "spinnaker1"]
