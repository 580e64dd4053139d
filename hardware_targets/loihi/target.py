"""Loihi as a deployment target: quantiser, mapper, emulator and Lava bundle behind the target protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi import relays
from hardware_targets.loihi.chips import check_budget
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits, read_limits
from hardware_targets.loihi.mapping import place_network, place_plan
from hardware_targets.loihi.quantised import LoihiQuantised, restore
from toolchain.cost.content import Cost
from toolchain.deployment.abilities import ChipWeights, NetxWritten, Replay
from toolchain.deployment.imperfections import Imperfections
from toolchain.deployment.plan import NetworkPlan
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import (
    NOTHING_ASKED,
    EmulatedResponses,
    Placement,
    Pruned,
    Quantised,
    Traces,
    TrainingFormat,
)
from toolchain.diagnosis.model import Chip
from toolchain.errors import InputError
from toolchain.network import Network
from toolchain.objective import Reading
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains

if TYPE_CHECKING:
    from hardware_targets.loihi.emulator import Emulation
    from toolchain.interchange.onnx.step_graph import StepGraph


class LoihiTarget:
    """One chip of the family; see `toolchain.deployment.target.Target`."""

    vendor = "lava"

    def __init__(self, chip: str, about: str) -> None:
        self.name = chip
        self.about = about

    @property
    def _limits(self) -> ChipLimits:
        return read_limits(self.name)

    def limits(self) -> list[dict[str, Any]]:
        """The limit file of the chip."""
        return self._limits.describe()

    def largest_slot(self) -> int:
        """From the limit file."""
        return self._limits["slot_max"]

    def _chips(self, request: PlacementRequest) -> int | None:
        """How many chips are asked for; InputError for what is not up to anybody."""
        for name, number in request.neurons_per_core.items():
            raise InputError(
                f"--neurons-per-core {name}={number}: on {self.name} a core takes as many neurons as its limits allow; "
                "leave it out"
            )
        return request.chips

    def check_budget(self, *, cores: int | None, request: PlacementRequest) -> None:
        """Against the limit file."""
        check_budget(self._limits, cores, self._chips(request))

    def prune(
        self,
        network: Network,
        calibration: SpikeTrains,
        *,
        fraction: float,
        cores: int | None,
        clip_delays: bool,
        extend_delays: bool,
    ) -> Pruned:
        """Remove the synapses whose removal costs the membranes least; cores are counted by the mapper."""
        from hardware_targets.loihi.pruning_plan import prune_network

        return prune_network(
            network, calibration, self._limits, fraction=fraction, cores=cores, clip=clip_delays, extend=extend_delays
        )

    def quantise(
        self,
        network: Network,
        calibration: SpikeTrains,
        *,
        clip_delays: bool,
        extend_delays: bool = False,
        hint: Mapping[str, Any] | None = None,
    ) -> LoihiQuantised:
        """Round delays, choose scales on calibration data unless `hint` has them, round weights and constants."""
        from hardware_targets.loihi.learning import known_scales
        from hardware_targets.loihi.quantiser import quantise_network, round_delays

        delays = round_delays(network, self._limits, clip=clip_delays, extend=extend_delays)
        scales = known_scales(hint) if hint else None
        integers = quantise_network(delays.network, calibration, self._limits, scales)
        extended = relays.extend_delays(integers, self._limits) if extend_delays else None
        return LoihiQuantised(self.name, integers, network, delays.moved, delays.clipped, extended)

    def training_format(self, network: Network, calibration: SpikeTrains) -> TrainingFormat:
        """Quantise the network as it is and keep its scales and exponents."""
        from hardware_targets.loihi.learning import choose_format

        return choose_format(network, calibration, self._limits)

    def format_of(self, quantised: Quantised) -> TrainingFormat:
        """Scales and exponents of a network."""
        from hardware_targets.loihi.learning import format_of

        ours = _loihi(quantised)
        return format_of(ours.integers, ours.trained, self._limits)

    def observe(self, network: Network, hint: Mapping[str, Any], spikes: SpikeTrains) -> Observed:
        """Round a network at the scales of its format and emulate it."""
        from hardware_targets.loihi.learning import observe, round_in

        return observe(round_in(network, hint, self._limits), spikes)

    def round_in(self, network: Network, hint: Mapping[str, Any]) -> LoihiQuantised:
        """Round a network at known scales; delays beyond the chip's slots by relays."""
        from hardware_targets.loihi.learning import round_in
        from hardware_targets.loihi.quantiser import round_delays

        integers = round_in(network, hint, self._limits)
        delays = round_delays(network, self._limits, clip=False, extend=True)
        long = any(int(p.slots.max(initial=0)) > self.largest_slot() for p in integers.projections)
        extended = relays.extend_delays(integers, self._limits) if long else None
        return LoihiQuantised(self.name, integers, network, delays.moved, delays.clipped, extended)

    def observe_quantised(self, quantised: Quantised, spikes: SpikeTrains) -> Observed:
        """Emulate a network without relays, which do not change what it does."""
        from hardware_targets.loihi.learning import observe

        return observe(_loihi(quantised).integers, spikes)

    def mismatched(self, quantised: Quantised, wrong: Imperfections) -> LoihiQuantised:
        """Other thresholds, weights and delays; without relays, which do not change what a network does."""
        from hardware_targets.loihi.mismatch import mismatched

        ours = _loihi(quantised)
        return replace(ours, integers=mismatched(ours.integers, wrong), extended=None)

    def place(
        self, quantised: Quantised, *, spikes: SpikeTrains | None = None, request: PlacementRequest = NOTHING_ASKED
    ) -> Placement:
        """Put neurons on cores, relays as any others; the spikes are those that the emulator counts.

        What relays take has rows of its own among the resources.
        """
        ours, rates = _loihi(quantised), None
        if spikes is not None and spikes.n_samples:
            from hardware_targets.loihi.emulator import emulate

            counts = emulate(ours.on_chip, spikes).neuron_counts
            rates = {name: array.mean(axis=0) for name, array in counts.items()}
        placement = place_network(ours.on_chip, self._limits, chips=self._chips(request), rates=rates)
        if ours.extended is None:
            return placement
        taken = relays.relay_resources(ours.extended, placement, self._limits)
        return replace(placement, resources=(*placement.resources, *taken))

    def place_plan(
        self, plan: NetworkPlan, *, clip_delays: bool, request: PlacementRequest = NOTHING_ASKED
    ) -> Placement:
        """Put a network on cores that is not trained yet."""
        return place_plan(plan, self._limits, clip_delays=clip_delays, chips=self._chips(request))

    def emulate(
        self, quantised: Quantised, spikes: SpikeTrains, *, strict: bool = False, traces: bool = False
    ) -> EmulatedResponses:
        """Run all samples in the chip's integers; `strict` refuses a wrap, a clip and a spike of a readout."""
        from hardware_targets.loihi.emulator import emulate

        ours = _loihi(quantised)
        result = emulate(ours.on_chip, spikes, strict=strict, traces=traces)
        overflows = {
            p.name: {
                "current wrapped": result.wraps[p.name],
                "voltage clipped": result.clips[p.name],
                **({"readout spiked": result.readout_spikes[p.name]} if p.kind == "leaky_readout" else {}),
            }
            # Relays cannot overflow: one weight is all that ever arrives.
            for p in ours.integers.simulated
        }
        first_spikes = result.first_spikes[quantised.rounded.readout.name]
        return EmulatedResponses(
            result.readout_v,
            first_spikes,
            overflows,
            result.spike_counts,
            result.neuron_counts,
            _kept(result) if traces else None,
        )

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """Run all samples and keep u, v and spikes of every neuron at every step."""
        return _traces(_loihi(quantised).on_chip, spikes)

    def chip_model(self, quantised: Quantised) -> Chip:
        """What runs on the chip and its step, for diagnosis."""
        from hardware_targets.loihi.fault_model import make_chip

        return make_chip(_loihi(quantised).on_chip)

    def emulate_unextended(self, quantised: Quantised, spikes: SpikeTrains) -> Traces | None:
        """Run all samples without relays, every delay in its own synapse."""
        ours = _loihi(quantised)
        return _traces(ours.integers, spikes) if ours.extended else None

    def weights_on_chip(self, quantised: Quantised, projection: str) -> ChipWeights:
        """What integer weights stand for."""
        from hardware_targets.loihi.replay import weights_on_chip

        ours = _loihi(quantised)
        return weights_on_chip(ours.integers, ours.trained, projection, self._limits)

    def v_scale(self, quantised: Quantised, population: str) -> float:
        """The chip shifts weights and thresholds by 6 before they meet v."""
        return 64 * _loihi(quantised).integers[population].scale

    def replay(
        self,
        quantised: Quantised,
        population: str,
        neuron: int,
        spikes: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
        n_steps: int,
    ) -> Replay:
        """Compute one neuron from given spikes."""
        from hardware_targets.loihi.replay import replay

        return replay(_loihi(quantised).integers, population, neuron, spikes, n_steps)

    def cost(
        self,
        quantised: Quantised,
        placement: Placement,
        *,
        spikes: SpikeTrains,
        emulated: EmulatedResponses,
        traced: SpikeTrains,
        traces: Traces,
    ) -> Cost:
        """Count events by the placement, and estimate energy and time from the constants of the chip."""
        from hardware_targets.loihi.cost import network_cost

        network = _loihi(quantised).on_chip
        return network_cost(
            network, placement, self._limits, spikes=spikes, emulated=emulated, traced=traced, traces=traces
        )

    def export(
        self,
        quantised: Quantised,
        spikes: SpikeTrains,
        labels: NDArray[np.int64],
        folder: Path,
        *,
        readout: Reading,
        request: PlacementRequest = NOTHING_ASKED,
    ) -> Path:
        """Write the Lava folder; a Lava process knows no cores, so nothing of the placement is in it."""
        from hardware_targets.loihi.lava_export import write_lava_folder

        exported = folder / "lava"
        write_lava_folder(_loihi(quantised).on_chip, spikes, labels, exported, readout=readout, chip=self.name)
        return exported

    def write_netx(self, quantised: Quantised, path: Path, *, lower_scales: bool = False) -> NetxWritten:
        """Write the network without relays, which NetX cannot hold, for lava-dl."""
        from hardware_targets.loihi.netx_export import write_netx

        return write_netx(_loihi(quantised), path, lower_scales=lower_scales)

    def run_vendor(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Run the Lava folder in a process of its own."""
        from hardware_targets.loihi.lava_runner import run_lava

        result = run_lava(exported, samples=samples, timeout_s=timeout_s)
        return Traces(
            {k: a.astype(np.int64) for k, a in result.u.items()},
            {k: a.astype(np.int64) for k, a in result.v.items()},
            result.spikes,
        )

    def vendor_status(self) -> str:
        """Version of lava-nc, or the remedy where it is missing."""
        from hardware_targets.loihi.lava_runner import LAVA

        return LAVA.status()

    def vendor_present(self) -> bool:
        """Whether lava-nc is installed where it would be run."""
        from hardware_targets.loihi.lava_runner import LAVA

        return LAVA.version() is not None

    def step_graph(self, quantised: Quantised) -> StepGraph:
        """Lava's step in standard operators."""
        from hardware_targets.loihi.onnx_step import step_graph

        return step_graph(_loihi(quantised))

    def from_step(self, tensors: Mapping[str, NDArray[Any]], description: Mapping[str, Any]) -> LoihiQuantised:
        """Integers from the tensors of such a step."""
        from hardware_targets.loihi.onnx_step import from_step

        return from_step(tensors, description, self._limits)

    def exact_hint(self, quantised: Quantised) -> dict[str, Any]:
        """Scales; the exponents follow from the weights."""
        return {"scales": {p.name: p.scale for p in _loihi(quantised).integers.simulated}}

    def step_traces(self, states: Mapping[str, NDArray[Any]]) -> Traces:
        """The outputs u, v and spikes of a model, as they are."""
        from hardware_targets.step_tensors import by_quantity

        found = by_quantity(states)
        return Traces(found["u"], found["v"], found["spikes"])

    def restore(self, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> LoihiQuantised:
        """Rebuild a quantised network from a bundle, checking every index and range in it."""
        return restore(arrays, header, self._limits)


def _loihi(quantised: Quantised) -> LoihiQuantised:
    if not isinstance(quantised, LoihiQuantised):
        raise TypeError(f"{type(quantised).__name__} was not made by a Loihi target")
    return quantised


def _traces(network: IntegerNetwork, spikes: SpikeTrains) -> Traces:
    from hardware_targets.loihi.emulator import emulate

    return _kept(emulate(network, spikes, traces=True))


def _kept(result: Emulation) -> Traces:
    """Traces of an emulation in the words of the pipeline."""
    return Traces(
        {k: a.astype(np.int64) for k, a in result.u.items()},
        {k: a.astype(np.int64) for k, a in result.v.items()},
        dict(result.spikes),
    )
