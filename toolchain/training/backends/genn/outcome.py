"""Losses of a batch, by the kernels that the CPU backend uses, and what they put into the adjoint system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.objective import Objective
from toolchain.training.backends.cpu.layout import F32
from toolchain.training.backends.cpu.losses import evaluate, make_loss
from toolchain.training.backends.cpu.simd import BLOCK
from toolchain.training.backends.cpu.state import Reel


@dataclass(frozen=True)
class Outcome:
    """One sample: its loss, its prediction, and what enters the adjoints.

    Attributes
    ----------
    drive : (n_outputs, steps) of a leaky readout, (0, steps) of neurons that spike
    jump, kick : (n_outputs,) at the first spike of each output, and at the end of the sample
    """

    loss: float
    prediction: int
    drive: F32
    jump: F32
    kick: F32


class Judge:
    """Evaluates samples of one network.

    Parameters
    ----------
    objective, targets : as of `make_engine`
    n_outputs, steps, dt_ms : of the network and its samples
    """

    def __init__(self, objective: Objective, targets: F32 | None, n_outputs: int, steps: int, dt_ms: float) -> None:
        self._loss = make_loss(objective, steps, dt_ms, targets)
        self._n, self._steps, self._spiking = n_outputs, steps, objective.spiking
        self._blocks = -(-n_outputs // BLOCK)
        self._drive: F32 = np.zeros((self._blocks, steps * BLOCK), dtype=np.float32)
        self._kick: F32 = np.zeros(self._blocks * BLOCK, dtype=np.float32)

    def of_voltage(self, voltage: F32, label: int) -> Outcome:
        """Judge the voltages (n_outputs, steps) of a leaky readout."""
        rows = np.zeros((self._blocks * BLOCK, self._steps), dtype=np.float32)
        rows[: self._n] = voltage
        blocks = rows.reshape(self._blocks, BLOCK, self._steps).transpose(0, 2, 1).reshape(self._blocks, -1)
        loss, prediction = self._evaluate(np.zeros(self._n, dtype=np.uint32), None, blocks, label)
        drive = self._drive.reshape(self._blocks, self._steps, BLOCK).transpose(0, 2, 1).reshape(-1, self._steps)
        none = np.zeros(self._n, dtype=np.float32)
        return Outcome(loss, prediction, drive[: self._n].copy(), none, none)

    def of_spikes(self, count: NDArray[np.uint32], first: NDArray[np.uint32], label: int) -> Outcome:
        """Judge outputs that spike: how often each did (n_outputs,), and in which step first, if at all."""
        jump = np.zeros(self._n, dtype=np.float32)
        silent = np.zeros((0, self._steps), dtype=np.float32)
        voltage = np.zeros((self._blocks, self._steps * BLOCK), dtype=np.float32)
        spiked = np.flatnonzero(count)
        reel_jump = np.zeros(spiked.size, dtype=np.float32)
        loss, prediction = self._evaluate(np.minimum(count, 1), (first[spiked], reel_jump), voltage, label)
        jump[spiked] = reel_jump
        return Outcome(loss, prediction, silent, jump, self._kick[: self._n].copy())

    def _evaluate(
        self, count: NDArray[np.uint32], events: tuple[NDArray[np.uint32], F32] | None, voltage: F32, label: int
    ) -> tuple[float, int]:
        """Lay out the outputs of one sample as the kernels expect it: a reel that holds first spikes only."""
        ptr = np.zeros((1, self._n + 1), dtype=np.uint64)
        ptr[0, 1:] = np.cumsum(count)
        time, jump = events or (np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.float32))
        unused: Any = np.zeros(0, dtype=np.uint32)
        reel = Reel(ptr, time, np.zeros_like(jump), jump, unused, unused, voltage[np.newaxis])
        value, error = np.zeros(self._n), np.zeros(self._n)
        loss, prediction = evaluate(
            self._loss, reel, 0, 0, 0, self._steps, label, value, error, self._drive, self._kick
        )
        return float(loss), int(prediction)
