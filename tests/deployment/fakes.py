"""What tests of deployment put in place of others: a vendor with planted faults, a listener that says nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hardware_targets.loihi import LoihiTarget
from hardware_targets.loihi.quantised import LoihiQuantised
from toolchain.deployment.target import Quantised, Traces
from toolchain.errors import MissingDependencyError
from toolchain.network import Network
from toolchain.spikes import SpikeTrains

Fault = Callable[[Traces], None]


class FaultyVendor(LoihiTarget):
    """Loihi 2 with a vendor that returns the emulator's traces after `fault` has changed them."""

    def __init__(self, fault: Fault | None = None, *, absent: bool = False) -> None:
        super().__init__("loihi2", "for tests")
        self._fault, self._absent = fault, absent
        self._traces: Traces | None = None

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """Run the emulator and remember what it said."""
        traces = super().emulate_traces(quantised, spikes)
        self._traces = Traces(
            {k: np.array(a) for k, a in traces.u.items()},
            {k: np.array(a) for k, a in traces.v.items()},
            {k: np.array(a) for k, a in traces.spikes.items()},
        )
        return traces

    def run_vendor(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Return the emulator's traces with the fault in them."""
        if self._absent:
            raise MissingDependencyError("lava-nc: not installed; install it")
        assert self._traces is not None
        if self._fault:
            self._fault(self._traces)
        return Traces(
            {k: a[:samples] for k, a in self._traces.u.items()},
            {k: a[:samples] for k, a in self._traces.v.items()},
            {k: a[:samples] for k, a in self._traces.spikes.items()},
        )


class CarelessTarget(FaultyVendor):
    """One that quantises with the largest exponents there are, so that states overflow."""

    def quantise(
        self,
        network: Network,
        calibration: SpikeTrains,
        *,
        clip_delays: bool,
        extend_delays: bool = False,
        hint: Mapping[str, Any] | None = None,
    ) -> LoihiQuantised:
        """Quantise with care, then spoil it."""
        quantised = super().quantise(
            network, calibration, clip_delays=clip_delays, extend_delays=extend_delays, hint=hint
        )
        projections = tuple(replace(p, exponent=7) for p in quantised.integers.projections)
        return replace(quantised, integers=replace(quantised.integers, projections=projections))


def silent(text: str) -> None:
    """Say nothing of the progress."""
