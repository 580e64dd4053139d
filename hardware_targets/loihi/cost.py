"""What an inference costs on Loihi: counts, and estimates from the constants of the chip.

    energy  = sum of count x energy of one, + static power x chips x latency
    step    = barrier + longest of all cores: updates, spikes, messages in and out, entries read, one after the other
    latency = steps x mean step

Steps are looked at one by one in the samples that were traced, as the busiest core is not the same in every step. What
goes between chips, and what feeds input in and reads output, has no public figure and is in no estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hardware_targets import constant_file
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.workload import build_workload, tile_positions
from toolchain.cost.constants import Constant, Constants
from toolchain.cost.content import Cost, Estimate, Part, count_rows, spike_rows
from toolchain.cost.counting import Counts, count, source_rasters, step_counts, unit_counts
from toolchain.cost.estimates import busiest, dominant, energy_parts
from toolchain.cost.interval import Interval, total
from toolchain.cost.workload import Workload
from toolchain.deployment.target import EmulatedResponses, Placement, Traces
from toolchain.spikes import SpikeTrains

ENERGIES = {
    "dense_events": "dense_event_energy",
    "indexed_events": "indexed_event_energy",
    "zero_reads": "zero_read_energy",
    "neuron_updates": "neuron_update_energy",
    "spikes_out": "spike_energy",
    "messages_out": "message_energy",
    "input_messages": "input_message_energy",
    "hops_east_west": "hop_east_west_energy",
    "hops_north_south": "hop_north_south_energy",
    "messages_between_chips": "between_chips_energy",
}
TIMES = {
    "dense_events": "dense_event_time",
    "indexed_events": "indexed_event_time",
    "zero_reads": "zero_read_time",
    "neuron_updates": "neuron_update_time",
    "spikes_out": "spike_time",
    "messages_out": "message_out_time",
    "messages": "message_in_time",
}
BARRIERS = {
    1: "barrier_1_tile_time",
    2: "barrier_2_tiles_time",
    4: "barrier_4_tiles_time",
    29: "barrier_29_tiles_time",
}
"""Tiles in use -> time of the barrier that ends a step; between them that of the next smaller number, as in SANA-FE."""
UNITS = {
    **dict.fromkeys(ENERGIES.values(), "pJ"),
    "static_power": "W",
    **dict.fromkeys(TIMES.values(), "ns"),
    **dict.fromkeys(BARRIERS.values(), "ns"),
}


@cache
def read_constants(chip: str) -> dict[str, Constant]:
    """Constants of a chip of this family."""
    return constant_file.read_constants(__package__, chip, UNITS)


def network_cost(
    network: IntegerNetwork,
    placement: Placement,
    limits: ChipLimits,
    *,
    spikes: SpikeTrains,
    emulated: EmulatedResponses,
    traced: SpikeTrains,
    traces: Traces,
) -> Cost:
    """Cost of an inference, from what the emulator saw.

    Parameters
    ----------
    network : what is on the chip, relays included
    spikes, emulated : input, and spikes of every neuron, of the samples that are counted
    traced, traces : input and spikes of every step of some samples
    """
    constants = read_constants(limits.chip)
    sources = [(p.name, p.size) for p in network.populations if p.kind == "spike_source"]
    workload = build_workload(network, placement.cores, limits)
    counts = count(workload, {**unit_counts(spikes, sources), **emulated.neuron_counts}, spikes.n_steps)
    step = step_times(workload, {**source_rasters(traced, sources), **traces.spikes}, placement, limits, constants)
    latency = step * spikes.n_steps
    parts = energy_parts(counts, ENERGIES, constants)
    dynamic = total(p.interval for p in parts)
    n_chips = len({c.chip for c in placement.cores})
    static = _static(constants["static_power"], latency, n_chips)
    whole = None if static.interval is None else dynamic + static.interval
    borrowed = _borrowed(constants)
    note = f"{dominant(parts)}{_missing(counts, constants)}{borrowed}"
    looked_at = f"; {_LATENCY}; of {traced.n_samples} samples{borrowed}"
    estimates = (
        Estimate("energy_dynamic", "J", dynamic, note, tuple(parts)),
        static,
        Estimate("energy_total", "J", whole, _TOTAL if static.interval else _TOTAL_WITHOUT_STATIC),
        Estimate("latency", "s", latency, f"{spikes.n_steps} steps of {1e6 * step.value:.3g} us{looked_at}"),
        Estimate("real_time_factor", "1", Interval.exact(1e-3 * network.dt_ms * spikes.n_steps).per(latency), _FASTER),
    )
    return Cost(
        limits.chip,
        counts.n_samples,
        traced.n_samples,
        spikes.n_steps,
        network.dt_ms,
        len(placement.cores),
        n_chips,
        spike_rows(counts),
        count_rows(workload, counts),
        estimates,
        busiest(workload, counts, TIMES, constants, step),
        (),
        constants,
        constant_file.published_costs(),
    )


_TOTAL = "dynamic and static"
_TOTAL_WITHOUT_STATIC = "no static power is public for this chip, and it may be most of what a measurement shows"
_LATENCY = "barrier and the busiest core of each step; without feeding input in and reading output"
_FASTER = "how many times faster than the time that the steps stand for"


def _missing(counts: Counts, constants: Constants) -> str:
    left_out = [kind for kind, name in ENERGIES.items() if kind in counts.events and not constants[name].known]
    return f"; without {', '.join(left_out).replace('_', ' ')}, for which nothing is public" if left_out else ""


def _borrowed(constants: Constants) -> str:
    """Said of a chip for none of whose events there is a figure of its own."""
    used = [constants[name] for name in (*ENERGIES.values(), *TIMES.values(), *BARRIERS.values())]
    all_assumed = all(c.basis == "assumed" for c in used if c.known)
    return "; with figures of Loihi 1, as none are public for this chip" if all_assumed else ""


def _static(power: Constant, latency: Interval, chips: int) -> Estimate:
    if not power.known:
        return Estimate("energy_static", "J", None, "no static power is public for this chip")
    found = power.interval * latency * chips
    how = f"{power.value:g} W x latency x {chips} chip{'' if chips == 1 else 's'}"
    return Estimate("energy_static", "J", found, how, (Part("static power", how, found),))


def barrier_time(tiles: int, constants: Constants) -> Interval:
    """Time of the barrier at the end of a step with so many tiles in use, at least one."""
    known = max(n for n in BARRIERS if n <= max(1, tiles))
    return constants[BARRIERS[known]].interval


def step_times(
    workload: Workload,
    rasters: Mapping[str, NDArray[np.bool_]],
    placement: Placement,
    limits: ChipLimits,
    constants: Constants,
) -> Interval:
    """Mean over all steps of all samples: barrier and busiest core, s."""
    meshed = limits.value("mesh_columns") is not None and limits.value("cores_per_tile") is not None
    x, y = tile_positions(placement.cores, limits) if meshed else (np.arange(len(placement.cores)),) * 2
    chips = [c.chip for c in placement.cores]
    tiles = max((len({p for p in zip(chips, x, y, strict=True) if p[0] == chip}) for chip in set(chips)), default=1)
    counted = {kind: step_counts(workload, rasters, kind) for kind in TIMES}
    ends = []
    for end in ("low", "value", "high"):
        work = sum(counted[kind] * getattr(constants[name].interval, end) for kind, name in TIMES.items())
        ends.append(float(np.asarray(work).max(axis=2, initial=0).mean()) if counted["messages"].size else 0.0)
    return barrier_time(tiles, constants) + Interval(*ends)
