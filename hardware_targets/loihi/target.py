"""Loihi as a deployment target: quantiser, mapper, emulator and Lava bundle behind the target protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import checked
from hardware_targets.loihi import relays
from hardware_targets.loihi.chips import check_budget
from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits, read_limits
from hardware_targets.loihi.mapping import place_network, place_plan
from toolchain.cost.content import Cost
from toolchain.deployment.abilities import ChipWeights, Replay
from toolchain.deployment.imperfections import Imperfections
from toolchain.deployment.plan import NetworkPlan
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import (
    NOTHING_ASKED,
    ConstantError,
    EmulatedResponses,
    Placement,
    ProjectionError,
    Pruned,
    Quantised,
    Traces,
    TrainingFormat,
)
from toolchain.errors import BundleError, DelaylineError, InputError
from toolchain.network import Network, NeuronConstants, network_from_description
from toolchain.objective import Reading
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains


@dataclass(frozen=True)
class LoihiQuantised:
    """A network in Loihi's integers together with the trained one; see `toolchain.deployment.target.Quantised`.

    Attributes
    ----------
    integers : population by population and synapse by synapse those of the trained network
    extended : the same with relays for long delays, where they were asked for
    """

    chip: str
    integers: IntegerNetwork
    trained: Network
    delays_moved: Mapping[str, int]
    delays_clipped: Mapping[str, int]
    extended: relays.Extended | None = None

    @property
    def on_chip(self) -> IntegerNetwork:
        """What is placed, exported and emulated."""
        return self.extended.network if self.extended else self.integers

    @property
    def rounded(self) -> Network:
        """Trained weights, integer slots."""
        arrays = {
            p.name: (self.trained_projection_weight(p.name), p.slots.astype(np.float32))
            for p in self.integers.projections
        }
        return self.trained.with_arrays(arrays)

    def trained_projection_weight(self, name: str) -> NDArray[np.float32]:
        """Weights of one projection before quantisation."""
        return next(p.weight for p in self.trained.projections if p.name == name)

    @property
    def weighted(self) -> Network:
        """Weights that the integers stand for, integer slots."""
        from hardware_targets.loihi.rounding import dequantised_weights

        return dequantised_weights(self.integers, self.trained)

    @property
    def constants(self) -> Mapping[str, NeuronConstants]:
        """Decays and thresholds that the integers stand for."""
        from hardware_targets.loihi.rounding import dequantised_constants

        return dequantised_constants(self.integers, self.trained)

    @property
    def projection_errors(self) -> Sequence[ProjectionError]:
        """Loss of each projection, from the arrays themselves."""
        from hardware_targets.loihi.rounding import rms_ratio, round_weights

        limits, found = read_limits(self.chip), []
        weighted = {p.name: p.weight.astype(np.float64) for p in self.weighted.projections}
        for projection in self.integers.projections:
            trained = self.trained_projection_weight(projection.name).astype(np.float64)
            target = self.trained[projection.target]
            factor = shared_constants(target, self.trained.dt_ms).gain * self.integers[projection.target].scale
            found.append(
                ProjectionError(
                    projection.name,
                    projection.n_synapses,
                    projection.exponent,
                    int(np.count_nonzero((trained != 0) & (projection.weight == 0))),
                    round_weights(trained, factor, limits)[2],
                    rms_ratio(weighted[projection.name] - trained, trained),
                    self.delays_moved[projection.name],
                    self.delays_clipped[projection.name],
                    self.extended.moved[projection.name] if self.extended else 0,
                )
            )
        return found

    @property
    def constant_errors(self) -> Sequence[ConstantError]:
        """Decays and thresholds before and after."""
        found = []
        for population in self.integers.simulated:
            trained = shared_constants(self.trained[population.name], self.trained.dt_ms)
            chip = self.constants[population.name]
            beta, alpha = float(chip.beta), float(chip.alpha)
            found.append(ConstantError(population.name, "current decay", trained.beta, beta, population.du))
            found.append(ConstantError(population.name, "voltage decay", trained.alpha, alpha, population.dv))
            if population.kind == "lif":
                found.append(
                    ConstantError(population.name, "threshold", trained.threshold, chip.threshold, population.vth)
                )
        return found

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Integers and trained arrays, and everything else as a JSON header."""
        from toolchain.training.checkpoints import network_arrays

        arrays: dict[str, NDArray[Any]] = {f"trained.{k}": v for k, v in network_arrays(self.trained).items()}
        for projection in self.integers.projections:
            arrays[f"integer.{projection.name}.weight"] = projection.weight
            arrays[f"integer.{projection.name}.slots"] = projection.slots.astype(np.int64)
        header = {
            "trained": self.trained.describe(),
            "populations": [dict(vars(p)) for p in self.integers.populations],
            "exponents": {p.name: p.exponent for p in self.integers.projections},
            "delays_moved": dict(self.delays_moved),
            "delays_clipped": dict(self.delays_clipped),
            # Relays follow from the integers and the chip, so they are not stored.
            "extended": self.extended is not None,
        }
        return arrays, header


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

    def emulate(self, quantised: Quantised, spikes: SpikeTrains, *, strict: bool = False) -> EmulatedResponses:
        """Run all samples in the chip's integers; `strict` refuses a wrap, a clip and a spike of a readout."""
        from hardware_targets.loihi.emulator import emulate

        ours = _loihi(quantised)
        result = emulate(ours.on_chip, spikes, strict=strict)
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
        return EmulatedResponses(result.readout_v, first_spikes, overflows, result.spike_counts, result.neuron_counts)

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """Run all samples and keep u, v and spikes of every neuron at every step."""
        return _traces(_loihi(quantised).on_chip, spikes)

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

    def restore(self, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> LoihiQuantised:
        """Rebuild a quantised network from a bundle, checking every index and range in it."""
        from hardware_targets.loihi.integer_network import check_integers

        try:
            trained = network_from_description(
                header["trained"], {k[len("trained.") :]: v for k, v in arrays.items() if k.startswith("trained.")}
            )
            known = {f.name for f in fields(IntegerPopulation)}
            populations = tuple(
                IntegerPopulation(**{k: v for k, v in p.items() if k in known}) for p in header["populations"]
            )
            projections = tuple(
                IntegerProjection(
                    p.source,
                    p.target,
                    checked(arrays[f"integer.{p.name}.weight"], np.int32, p.weight.shape),
                    int(header["exponents"][p.name]),
                    checked(arrays[f"integer.{p.name}.slots"], np.int64, p.weight.shape),
                    p.mask,
                )
                for p in trained.projections
            )
            integers = IntegerNetwork(trained.dt_ms, populations, projections)
            if [(p.name, p.kind, p.size) for p in populations] != [
                (p.name, p.kind, p.size) for p in trained.populations
            ]:
                raise BundleError("quantised network: its populations are not those of the trained one; deploy again")
            # Bundles of before relays do not say that they have none.
            extended = None
            if header.get("extended", False) is True:
                check_integers(integers)
                extended = relays.extend_delays(integers, self._limits)
            check_integers(extended.network if extended else integers, self.largest_slot())
            moved, clipped = dict(header["delays_moved"]), dict(header["delays_clipped"])
            return LoihiQuantised(self.name, integers, trained, moved, clipped, extended)
        except (KeyError, TypeError, ValueError, DelaylineError) as error:
            raise BundleError(f"quantised network in the bundle is damaged: {error}; deploy again") from error


def _loihi(quantised: Quantised) -> LoihiQuantised:
    if not isinstance(quantised, LoihiQuantised):
        raise TypeError(f"{type(quantised).__name__} was not made by a Loihi target")
    return quantised


def _traces(network: IntegerNetwork, spikes: SpikeTrains) -> Traces:
    from hardware_targets.loihi.emulator import emulate

    result = emulate(network, spikes, traces=True)
    return Traces(
        {k: a.astype(np.int64) for k, a in result.u.items()},
        {k: a.astype(np.int64) for k, a in result.v.items()},
        dict(result.spikes),
    )
