"""How to deploy: what a command says, apart from what does it, so that saying it loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolchain.deployment.request import PlacementRequest
from toolchain.errors import InputError


@dataclass(frozen=True)
class Options:
    """How to deploy.

    Parameters
    ----------
    vendor_samples : test samples that the vendor's code runs; None for the recipe's number, 0 for none
    vendor_timeout_s : time that it may take altogether
    clip_delays : cut delays at the target's largest slot (counted and reported) instead of refusing them
    strict : refuse the first overflow of a state on the test set instead of counting and reporting all
    extend_delays : keep delays beyond it by the target's delay extension; so does the recipe with
        ``deployment.extend_delays``, unless they are to be cut
    chips : how many chips the target has, over which cores are spread; None for its usual board
    prune : share of the synapses to remove; None for the recipe's
    cores : remove as many as it takes to fit on so many cores of all chips together; None for the recipe's number
    neurons_per_core : population -> neurons on each of its cores, of targets that have a choice

    Raises
    ------
    InputError
        If delays are to be both cut and kept, or no synapse or less than a core would be left.
    """

    vendor_samples: int | None = None
    vendor_timeout_s: float = 300.0
    clip_delays: bool = False
    strict: bool = False
    extend_delays: bool = False
    chips: int | None = None
    prune: float | None = None
    cores: int | None = None
    neurons_per_core: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.clip_delays and self.extend_delays:
            raise InputError("--clip-delays cuts long delays, --extend-delays keeps them; give one of the two")
        if self.prune is not None and not 0 <= self.prune < 1:
            raise InputError(f"--prune {self.prune:g}: must be a share of the synapses, 0 or more and below 1")
        if self.cores is not None and self.cores < 1:
            raise InputError(f"--cores {self.cores}: must be 1 or more")

    @property
    def request(self) -> PlacementRequest:
        """What is asked of the placement."""
        return PlacementRequest(self.chips, self.neurons_per_core)
