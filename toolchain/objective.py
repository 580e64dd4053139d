"""What training minimises: how a network is read, and what is wrong with the reading.

Of the voltage V of a leaky readout, T steps of dt (`toolchain.readouts` has the first four):

    exp_weighted_average, average, sum, maximum    one value y for each output
    trace                                          V itself

Of the spikes of a lif output:

    first_spike                                    t, ms: the first spike of each output, T dt if it is silent

Losses of a sample of class c:

    cross_entropy   -log softmax(y)[c]; of first spikes y = -t / temperature, and the loss has the further
                    term a / (1.01 T dt - t_c), which keeps pulling at a late correct output (a = `late_penalty_ms`)
    relative_mse    1/2 sum over other outputs i that spiked of (t_i - t_c - margin)^2, which does not change when
                    everything happens later: the time-invariant loss
    mse             1/2T sum over outputs and steps of (V - Y_c)^2, Y_c the target trace of class c

An output that stays silent has no gradient: no change of a weight moves a spike that is not there. Where the correct
output is silent its voltage at the last step is therefore pushed up, by what the derivative of the loss with respect to
its spike time would be if every silent output had spiked there. This nudge is the one part of the loss that is not the
gradient. With a margin of 0 and no spike of any output it is 0 too, and nothing is left to learn from.

Sources: Meszaros, Knight, Nowotny 2025, equations 71 and 72; mlGeNN 2.3.1, event_prop_compiler.py; Wunderlich, Pehle
2021 for the cross-entropy of first spikes (facts/training.md sections 1.7 and 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from toolchain.errors import InputError
from toolchain.readouts import READOUTS

Reading = Literal["exp_weighted_average", "average", "sum", "maximum", "first_spike", "trace"]
LossName = Literal["cross_entropy", "relative_mse", "mse"]
READINGS: tuple[str, ...] = get_args(Reading)
COMBINATIONS: dict[str, tuple[LossName, ...]] = {
    **dict.fromkeys(READOUTS, ("cross_entropy",)),
    "first_spike": ("cross_entropy", "relative_mse"),
    "trace": ("mse",),
}


@dataclass(frozen=True)
class Objective:
    """How a network is read and what is minimised.

    Parameters
    ----------
    reading, loss : one of `COMBINATIONS`
    temperature_ms : of the softmax over first spikes, ms, > 0
    late_penalty_ms : strength of the pull at a late correct output, ms, >= 0; 0 for none
    margin_ms : by how much the correct output has to be first, ms, >= 0

    Raises
    ------
    InputError
        If the loss does not go with the reading.
    """

    reading: Reading = "exp_weighted_average"
    loss: LossName = "cross_entropy"
    temperature_ms: float = 1.0
    late_penalty_ms: float = 0.01
    margin_ms: float = 1.0

    def __post_init__(self) -> None:
        if self.loss not in COMBINATIONS[self.reading]:
            fitting = " or ".join(COMBINATIONS[self.reading])
            raise InputError(f"loss {self.loss} does not go with readout {self.reading}; it takes {fitting}")

    @property
    def spiking(self) -> bool:
        """Whether outputs are lif neurons that are read by their spikes."""
        return self.reading == "first_spike"
