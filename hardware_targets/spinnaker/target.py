"""SpiNNaker 1 as `delayline` deploys to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.rounded_delays import round_delays
from hardware_targets.spinnaker.limits import BOARD, SpinnakerLimits, read_limits
from hardware_targets.spinnaker.quantised import SpinnakerQuantised, restore
from toolchain.cost.content import Cost
from toolchain.deployment.abilities import ChipWeights, Replay, TableComparison
from toolchain.deployment.imperfections import Imperfections
from toolchain.deployment.plan import NetworkPlan
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import (
    NOTHING_ASKED,
    CoreUse,
    EmulatedResponses,
    Placement,
    Pruned,
    Quantised,
    Traces,
    TrainingFormat,
)
from toolchain.diagnosis.model import Chip
from toolchain.errors import InputError, MissingDependencyError
from toolchain.network import Network
from toolchain.objective import Reading
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains

if TYPE_CHECKING:
    from hardware_targets.spinnaker.emulator import Emulation
    from hardware_targets.spinnaker.plan import Plan
    from hardware_targets.spinnaker.problem import Problem
    from toolchain.interchange.onnx.step_graph import StepGraph


class SpinnakerTarget:
    """One machine of the family; see `toolchain.deployment.target.Target`."""

    vendor = "spynnaker"
    hardware = "spinnaker1"

    def __init__(self, chip: str, about: str) -> None:
        self.name = chip
        self.about = about

    @property
    def _limits(self) -> SpinnakerLimits:
        return read_limits(self.name)

    def limits(self) -> list[dict[str, Any]]:
        """The limit file."""
        return self._limits.describe()

    def largest_slot(self) -> int:
        """Largest slot that 32 neurons on a core can have without a delay extension; from the limit file."""
        return self._limits["slot_max"]

    def check_budget(self, *, cores: int | None, request: PlacementRequest) -> None:
        """Refuse a budget of cores, as nothing is pruned here, more chips than any machine has and overfull cores."""
        from hardware_targets.spinnaker.planner import check_neurons

        if cores is not None:
            raise InputError(_NOT_PRUNED.format(option=f"--cores {cores}"))
        self._boards(request.chips)
        check_neurons(self._limits, request.neurons_per_core)

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
        """Refused: rows lie in the 118 MiB of a chip, and a core has no more synapses a source than neurons."""
        raise InputError(_NOT_PRUNED.format(option="--prune"))

    def quantise(
        self,
        network: Network,
        calibration: SpikeTrains,
        *,
        clip_delays: bool,
        extend_delays: bool = False,
        hint: Mapping[str, Any] | None = None,
    ) -> SpinnakerQuantised:
        """Round delays, choose scales and ring-buffer shifts on calibration data unless `hint` has them, round all."""
        from hardware_targets.spinnaker.quantiser import quantise_network
        from hardware_targets.spinnaker.training_format import known_format

        largest = self.largest_slot()
        delays = round_delays(network, largest, self.name, clip=clip_delays, extend=extend_delays)
        integers = quantise_network(delays.network, calibration, known_format(hint) if hint else None)
        extended = {p.name: int(np.count_nonzero(p.slots() > largest)) for p in delays.network.projections}
        return SpinnakerQuantised(integers, network, delays.moved, delays.clipped, extended)

    def training_format(self, network: Network, calibration: SpikeTrains) -> TrainingFormat:
        """Quantise the network as it is and keep its scales, and of each population one shift for both signs."""
        from hardware_targets.spinnaker.quantiser import quantise_network
        from hardware_targets.spinnaker.training_format import format_of

        delays = round_delays(network, self.largest_slot(), self.name, clip=False, extend=True)
        return format_of(quantise_network(delays.network, calibration), network, self.name)

    def format_of(self, quantised: Quantised) -> TrainingFormat:
        """Scales of a network, and of each population the larger of its shifts: a weight may change its sign."""
        from hardware_targets.spinnaker.training_format import format_of

        ours = _spinnaker(quantised)
        return format_of(ours.integers, ours.trained, self.name)

    def observe(self, network: Network, hint: Mapping[str, Any], spikes: SpikeTrains) -> Observed:
        """Round a network at the scales and shifts of its format and emulate it."""
        return self.observe_quantised(self.round_in(network, hint), spikes)

    def round_in(self, network: Network, hint: Mapping[str, Any]) -> SpinnakerQuantised:
        """Round a network at known scales and shifts; delays beyond the largest slot by delay extensions."""
        from hardware_targets.spinnaker.rounding import round_network
        from hardware_targets.spinnaker.training_format import known_format

        known, largest = known_format(hint), self.largest_slot()
        delays = round_delays(network, largest, self.name, clip=False, extend=True)
        scales, shifts = ({name: pair[i] for name, pair in known.items()} for i in (0, 1))
        integers = round_network(delays.network, scales, shifts)  # type: ignore[arg-type]
        extended = {p.name: int(np.count_nonzero(p.slots() > largest)) for p in delays.network.projections}
        return SpinnakerQuantised(integers, network, delays.moved, delays.clipped, extended)

    def observe_quantised(self, quantised: Quantised, spikes: SpikeTrains) -> Observed:
        """Emulate a network."""
        from hardware_targets.observation import observe
        from hardware_targets.spinnaker.emulator import Emulator
        from hardware_targets.spinnaker.integer_network import ONE

        integers = _spinnaker(quantised).integers
        emulator = Emulator(integers)
        # Synaptic values of both types and v take 4 bytes each, a spike 1.
        return observe(
            lambda some: emulator.run(some, traces=True), integers.simulated, spikes, one=ONE, bytes_per_neuron=13
        )

    def mismatched(self, quantised: Quantised, wrong: Imperfections) -> SpinnakerQuantised:
        """Other thresholds, weights and delays."""
        from hardware_targets.spinnaker.mismatch import mismatched

        ours = _spinnaker(quantised)
        return replace(ours, integers=mismatched(ours.integers, wrong))

    def place(
        self, quantised: Quantised, *, spikes: SpikeTrains | None = None, request: PlacementRequest = NOTHING_ASKED
    ) -> Placement:
        """Put neurons on cores as sPyNNaker does; it does not ask how much they spike."""
        from hardware_targets.spinnaker.problem import problem_of_network

        return _placement(self._plan(problem_of_network(_spinnaker(quantised).integers), request))

    def place_plan(
        self, plan: NetworkPlan, *, clip_delays: bool, request: PlacementRequest = NOTHING_ASKED
    ) -> Placement:
        """Put a network on cores that is not trained yet."""
        from hardware_targets.spinnaker.problem import problem_of_plan

        problem = problem_of_plan(plan)
        return _placement(self._plan(problem.cut_at(self.largest_slot() + 1) if clip_delays else problem, request))

    def emulate(
        self, quantised: Quantised, spikes: SpikeTrains, *, strict: bool = False, traces: bool = False
    ) -> EmulatedResponses:
        """Run all samples in the chip's integers; `strict` refuses a saturated ring buffer and a wrapped state."""
        from hardware_targets.spinnaker.emulator import emulate

        ours = _spinnaker(quantised)
        result = emulate(ours.integers, spikes, strict=strict, traces=traces)
        overflows = {
            p.name: {
                "ring buffer saturated": result.ring_saturations[p.name],
                "state wrapped": result.state_wraps[p.name],
            }
            for p in ours.integers.simulated
        }
        first_spikes = result.first_spikes[ours.trained.readout.name]
        return EmulatedResponses(
            result.readout_v,
            first_spikes,
            overflows,
            result.spike_counts,
            result.neuron_counts,
            _kept(result) if traces else None,
        )

    def emulate_traces(self, quantised: Quantised, spikes: SpikeTrains) -> Traces:
        """Run all samples; u is the difference of excitatory and inhibitory current that the membrane takes."""
        from hardware_targets.spinnaker.emulator import emulate

        return _kept(emulate(_spinnaker(quantised).integers, spikes, traces=True))

    def chip_model(self, quantised: Quantised) -> Chip:
        """The network and the tick, for diagnosis."""
        from hardware_targets.spinnaker.fault_model import make_chip

        return make_chip(_spinnaker(quantised).integers)

    def emulate_unextended(self, quantised: Quantised, spikes: SpikeTrains) -> Traces | None:
        """Nothing to compare: a delay extension re-emits every spike on time, and no neuron is added."""
        return None

    def weights_on_chip(self, quantised: Quantised, projection: str) -> ChipWeights:
        """What integer weights stand for."""
        from hardware_targets.spinnaker.replay import weights_on_chip

        ours = _spinnaker(quantised)
        return weights_on_chip(ours.integers, ours.trained, projection)

    def v_scale(self, quantised: Quantised, population: str) -> float:
        """Voltages are s16.15, in mV."""
        from hardware_targets.spinnaker.integer_network import ONE

        return ONE * _spinnaker(quantised).integers[population].scale

    def replay(
        self,
        quantised: Quantised,
        population: str,
        neuron: int,
        spikes: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
        n_steps: int,
    ) -> Replay:
        """Compute one neuron from given spikes."""
        from hardware_targets.spinnaker.replay import replay

        return replay(_spinnaker(quantised).integers, population, neuron, spikes, n_steps)

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
        from hardware_targets.spinnaker.cost import network_cost

        network = _spinnaker(quantised).integers
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
        """Write the sPyNNaker folder: script, lists, and the tables that cores read."""
        from hardware_targets.spinnaker.problem import problem_of_network
        from hardware_targets.spinnaker.spynnaker_export import write_spynnaker_folder

        integers = _spinnaker(quantised).integers
        exported = folder / self.vendor
        plan = self._plan(problem_of_network(integers), request)
        write_spynnaker_folder(integers, plan, spikes, labels, exported, readout=readout)
        return exported

    def compare_tables(
        self, quantised: Quantised, exported: Path, *, timeout_s: float, request: PlacementRequest = NOTHING_ASKED
    ) -> TableComparison:
        """Let sPyNNaker map the folder on a virtual board."""
        from hardware_targets.spinnaker.problem import problem_of_network
        from hardware_targets.spinnaker.spynnaker_runner import compare_tables
        from hardware_targets.spinnaker.tables import build_tables

        integers = _spinnaker(quantised).integers
        plan = self._plan(problem_of_network(integers), request)
        return compare_tables(exported, build_tables(integers, plan), timeout_s=timeout_s)

    def run_vendor(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """SPyNNaker simulates nothing by itself: it needs a board (`run_hardware`)."""
        raise MissingDependencyError(
            "sPyNNaker computes spikes on a board alone; here its tables are compared (deploy does), and "
            "`delayline validate --on spinnaker1` runs a bundle on a board"
        )

    def run_hardware(self, exported: Path, *, samples: int, timeout_s: float) -> Traces:
        """Run the sPyNNaker folder on a board; not executed on one."""
        from hardware_targets.spinnaker.spynnaker_runner import run_board

        return run_board(exported, samples=samples, timeout_s=timeout_s)

    def describe(self, folder: Path, *, rows: int) -> str:
        """The tables of a bundle for people to read."""
        from hardware_targets.spinnaker.spynnaker_runner import describe_exported

        return describe_exported(folder / self.vendor, rows=rows)

    def vendor_status(self) -> str:
        """Version of sPyNNaker, or the remedy where it is missing."""
        from hardware_targets.spinnaker.spynnaker_runner import SPYNNAKER

        return SPYNNAKER.status()

    def vendor_present(self) -> bool:
        """Whether sPyNNaker is installed."""
        from hardware_targets.spinnaker.spynnaker_runner import SPYNNAKER

        return SPYNNAKER.version() is not None

    def step_graph(self, quantised: Quantised) -> StepGraph:
        """The tick of IF_curr_exp in standard operators."""
        from hardware_targets.spinnaker.onnx_step import step_graph

        return step_graph(_spinnaker(quantised), self.name)

    def from_step(self, tensors: Mapping[str, NDArray[Any]], description: Mapping[str, Any]) -> SpinnakerQuantised:
        """Integers from the tensors of such a tick."""
        from hardware_targets.spinnaker.onnx_step import from_step

        return from_step(tensors, description)

    def exact_hint(self, quantised: Quantised) -> dict[str, Any]:
        """Scales, and the shift of either sign."""
        simulated = _spinnaker(quantised).integers.simulated
        return {
            "scales": {p.name: p.scale for p in simulated},
            "shifts": {p.name: list(p.shifts) for p in simulated},
        }

    def step_traces(self, states: Mapping[str, NDArray[Any]]) -> Traces:
        """Outputs of a model; u is what the membrane takes."""
        from hardware_targets.step_tensors import by_quantity

        found = by_quantity(states)
        u = {name: exc - found["inh"][name] for name, exc in found["exc"].items()}
        currents = {name: np.stack((exc, found["inh"][name])) for name, exc in found["exc"].items()}
        return Traces(u, found["v"], found["spikes"], currents)

    def restore(self, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> SpinnakerQuantised:
        """Rebuild a quantised network from a bundle, checking every shape and range in it."""
        return restore(arrays, header)

    def _plan(self, problem: Problem, request: PlacementRequest) -> Plan:
        """The plan of a problem: the same one for the same request."""
        from hardware_targets.spinnaker.plan import make_plan

        boards, version = self._boards(request.chips)
        return make_plan(problem, self._limits, boards=boards, version=version, neurons=request.neurons_per_core)

    def _boards(self, chips: int | None) -> tuple[int | None, int]:
        """Boards and their version for so many chips: a small board has 4, a large one 48."""
        if chips is None:
            return None, BOARD
        limits = self._limits
        large = limits.board(BOARD).n_chips
        most = limits["boards_of_largest_system"] * large
        if not 1 <= chips <= most:
            raise InputError(
                f"chips: {chips} of {self.name} were asked for; the largest machine has {most}; give 1 to {most}"
            )
        return (1, 3) if chips <= limits.board(3).n_chips else (-(-chips // large), BOARD)


def _placement(plan: Plan) -> Placement:
    """A plan in the words of the pipeline; without places cores and chips are counted from 0."""
    numbers = {place: i for i, place in enumerate(plan.board.cores)}
    cores = []
    for number, core in enumerate(plan.cores):
        place, use = core.place, plan.use[core.vertex]
        # What a spike source takes of its core depends on its spikes, and is not known here.
        taken = {"dtcm_bytes": use.dtcm} if use.dtcm else {}
        ring = {"ring_buffer_bytes": use.ring} if core.vertex in plan.layout.slots else {}
        cores.append(
            CoreUse(
                place.core if place else number,
                core.vertex,
                core.first,
                core.last,
                {"neurons_per_core": core.size, **taken, **ring},
                numbers[place.x, place.y] if place else 0,
                position=(place.x, place.y) if place else None,
            )
        )
    return Placement(tuple(cores), plan.resources, plan.reasons)


_NOT_PRUNED = "{option}: synapses are pruned for the memory of Loihi's cores, here a chip has 118 MiB; leave it out"


def _spinnaker(quantised: Quantised) -> SpinnakerQuantised:
    if not isinstance(quantised, SpinnakerQuantised):
        raise TypeError(f"{type(quantised).__name__} was not made by a SpiNNaker target")
    return quantised


def _kept(result: Emulation) -> Traces:
    """Traces of an emulation in the words of the pipeline; u is what the membrane takes."""
    return Traces(
        {k: a.astype(np.int64) - result.inh[k] for k, a in result.exc.items()},
        {k: a.astype(np.int64) for k, a in result.v.items()},
        dict(result.spikes),
        {k: np.stack((a, result.inh[k])).astype(np.int64) for k, a in result.exc.items()},
    )
