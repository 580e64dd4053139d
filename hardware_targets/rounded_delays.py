"""Trained delays in whole slots, and what is done with those beyond a chip's largest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolchain.errors import Exceeded, TargetLimitError
from toolchain.network import Network


@dataclass(frozen=True)
class RoundedDelays:
    """Integer slots of each projection, and what rounding and clipping did to them."""

    network: Network
    moved: Mapping[str, int]
    clipped: Mapping[str, int]


def round_delays(
    network: Network,
    largest: int,
    chip: str,
    *,
    clip: bool,
    extend: bool = False,
    cost: Callable[[Network], str] = lambda network: "",
) -> RoundedDelays:
    """Round delays half to even; cut them at `largest` if `clip`, leave longer ones if `extend`.

    Parameters
    ----------
    largest : slot, of `chip`
    cost : what `extend` would take, in words to put after its name

    Raises
    ------
    TargetLimitError
        If a slot exceeds the largest and is neither to be cut nor extended; the message names the synapse.
    """
    moved: dict[str, int] = {}
    clipped: dict[str, int] = {}
    projections = []
    for projection in network.projections:
        slots = projection.slots()
        too_long = int(np.count_nonzero(slots > largest))
        if too_long and not (clip or extend):
            pre, post = np.unravel_index(int(slots.argmax()), slots.shape)
            raise TargetLimitError(
                f"projection {projection.name}: delay slot {slots.max()} of synapse ({pre}, {post}) exceeds {largest} "
                f"on {chip} ({too_long} synapses do); train with training.max_slot: {largest}, or deploy with "
                f"--extend-delays{cost(network)} or --clip-delays",
                exceeded=Exceeded(
                    "slot_max",
                    int(slots.max()),
                    largest,
                    "slots",
                    f"synapse ({pre}, {post}) of projection {projection.name}",
                    projection=projection.name,
                ),
            )
        moved[projection.name] = int(np.count_nonzero(projection.delay != slots))
        clipped[projection.name] = too_long if clip else 0
        kept = np.minimum(slots, largest) if clip else slots
        projections.append(replace(projection, delay=kept.astype(np.float32)))
    return RoundedDelays(replace(network, projections=tuple(projections)), moved, clipped)
