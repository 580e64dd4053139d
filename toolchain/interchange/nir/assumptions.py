"""What a NIR file leaves open: the step, how a tool discretises, and when its spikes arrive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from toolchain.errors import InterchangeError

Discretisation = Literal["exponential", "euler"]
Hop = Literal["step", "within-step"]
Synapse = Literal["pulse", "jump"]


@dataclass(frozen=True)
class NirAssumptions:
    """How to read a graph of differential equations as a network that computes in steps.

    Parameters
    ----------
    dt_ms : length of a step, ms; None takes it from the file where this program wrote it
    discretisation : ``exponential``: a state decays by exp(-dt/tau) in a step, as here. ``euler``: by 1 - dt/tau, as in
        snnTorch and Norse
    hop : ``step``: a spike arrives in the step after it, as here. ``within-step``: in the same step, as in tools that
        compute layer after layer within a step; only loops take a step
    synapse : what a spike does to the current of CubaLIF and CubaLI. ``pulse``: it is an input of height 1 for one
        step, as the equation of NIR says it, and a step adds (1 - decay) w_in. ``jump``: it adds w_in at once, as
        in Norse's LIFCell

    Raises
    ------
    InterchangeError
        If a choice does not exist or the step is not above 0.
    """

    dt_ms: float | None = None
    discretisation: Discretisation = "exponential"
    hop: Hop = "step"
    synapse: Synapse = "pulse"

    def __post_init__(self) -> None:
        if self.dt_ms is not None and not (math.isfinite(self.dt_ms) and self.dt_ms > 0):
            raise InterchangeError(f"--dt-ms {self.dt_ms}: must be finite and above 0; give the length of a step in ms")
        for option, value, choices in (
            ("--discretisation", self.discretisation, get_args(Discretisation)),
            ("--hop", self.hop, get_args(Hop)),
            ("--synapse", self.synapse, get_args(Synapse)),
        ):
            if value not in choices:
                raise InterchangeError(f"{option} {value!r}: is none of {', '.join(choices)}; give one of them")
