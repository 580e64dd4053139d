"""What an inference costs on SpiNNaker: counts, energy as sPyNNaker reckons it, and whether cores keep up.

    static   = idle power of the chips in use x time
    dynamic  = power of active cores x cores in use x time + energy of a packet x routers that it goes through
    time     = ticks x length of a tick: real time, however little there is to do
    load     = (updates, spikes, synapses and rows of a tick, in instructions) x cycles of one / clock, of each core

A core whose load is above 1 in a tick does not finish it: the machine runs on, and spikes are handled late or lost.
Then a run has to be slowed down by as much (`time_scale_factor` of `sim.setup`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from hardware_targets import constant_file
from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.limits import BOARD, Board, SpinnakerLimits
from hardware_targets.spinnaker.workload import build_workload
from toolchain.cost.constants import Constant, Constants
from toolchain.cost.content import Cost, Estimate, Part, SiteLoad, count_rows, spike_rows
from toolchain.cost.counting import Counts, count, source_rasters, step_counts, unit_counts
from toolchain.cost.estimates import SHOWN_LOADS, dominant, energy_parts, per_step
from toolchain.cost.interval import Interval, total
from toolchain.cost.workload import Workload
from toolchain.deployment.target import EmulatedResponses, Placement, Traces
from toolchain.spikes import SpikeTrains

INSTRUCTIONS = {
    "neuron_updates": "instructions_per_neuron",
    "spikes_out": "instructions_per_spike",
    "synaptic_events": "instructions_per_synapse",
    "rows": "instructions_per_row",
}
UNITS = {
    "idle_chip_power": "W",
    "active_core_power": "W",
    "packet_energy": "nJ",
    "event_energy_by_keras_spiking": "nJ",
    "update_energy_by_keras_spiking": "nJ",
    "clock": "MHz",
    "cycles_per_instruction": "cycles",
    **dict.fromkeys(INSTRUCTIONS.values(), "instructions"),
}
SMALL_BOARD = 3


@cache
def read_constants(chip: str) -> dict[str, Constant]:
    """Constants of a chip of this family."""
    return constant_file.read_constants(__package__, chip, UNITS)


def network_cost(
    network: IntegerNetwork,
    placement: Placement,
    limits: SpinnakerLimits,
    *,
    spikes: SpikeTrains,
    emulated: EmulatedResponses,
    traced: SpikeTrains,
    traces: Traces,
) -> Cost:
    """Cost of an inference, from what the emulator saw.

    Parameters
    ----------
    spikes, emulated : input, and spikes of every neuron, of the samples that are counted
    traced, traces : input and spikes of every tick of some samples
    """
    constants = read_constants(limits.chip)
    sources = [(p.name, p.size) for p in network.sources]
    workload = build_workload(network, placement.cores, limits, board_of(placement, limits))
    counts = count(workload, {**unit_counts(spikes, sources), **emulated.neuron_counts}, spikes.n_steps)
    tick_s = 1e-3 * network.dt_ms
    busy = tick_loads(workload, {**source_rasters(traced, sources), **traces.spikes}, constants, tick_s)
    loads = _loads(workload, counts, constants, tick_s)
    n_chips = len({c.chip for c in placement.cores})
    peak = Interval(*(float(a.max(initial=0.0)) for a in busy))
    estimates = _estimates(counts, loads, constants, peak, tick_s, n_chips, traced.n_samples)
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
        loads[:SHOWN_LOADS],
        _warnings(busy, workload),
        constants,
        constant_file.published_costs(),
    )


def board_of(placement: Placement, limits: SpinnakerLimits) -> Board | None:
    """The board that a placement lies on; None where there are several."""
    used = {r.name: r for r in placement.resources}
    if used["boards"].used != 1:
        return None
    small = limits.board(SMALL_BOARD)
    return small if used["chips"].limit == small.n_chips else limits.board(BOARD)


def tick_loads(
    workload: Workload, rasters: dict[str, NDArray[np.bool_]], constants: Constants, tick_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Work of each core in each tick as a share of it, low, central and high; (n_samples, n_ticks, n_sites) each."""
    counted = {kind: step_counts(workload, rasters, kind) for kind in INSTRUCTIONS}
    one = _instruction_time(constants)
    found = []
    for end in ("low", "value", "high"):
        work = sum(counted[k] * getattr(constants[name].interval, end) for k, name in INSTRUCTIONS.items())
        found.append(np.asarray(work, dtype=np.float64) * getattr(one, end) / tick_s)
    return found[0], found[1], found[2]


def _instruction_time(constants: Constants) -> Interval:
    return constants["cycles_per_instruction"].interval.per(constants["clock"].interval)


def _loads(workload: Workload, counts: Counts, constants: Constants, tick_s: float) -> list[SiteLoad]:
    """Mean load of every core, the busiest first; None of cores without a figure: sources and delay extensions."""
    found = []
    for site, per_tick in zip(workload.sites, per_step(workload, counts, (*INSTRUCTIONS, "messages")), strict=True):
        work = total(constants[name].interval * per_tick[kind] for kind, name in INSTRUCTIONS.items())
        busy = work * _instruction_time(constants) * (1 / tick_s) if site.what == "neurons" else None
        found.append(SiteLoad(**vars(site), per_step=per_tick, busy=busy))
    return sorted(found, key=lambda load: -load.busy.value if load.busy else 0.0)


def _estimates(
    counts: Counts, loads: list[SiteLoad], constants: Constants, peak: Interval, tick_s: float, chips: int, traced: int
) -> tuple[Estimate, ...]:
    ticks_s = counts.n_steps * tick_s
    real_time = Interval(*(1 / max(1.0, load) for load in (peak.high, peak.value, peak.low)))
    time = Interval.exact(ticks_s).per(real_time)
    power = constants["active_core_power"].interval
    # Waiting cores take something between nothing and what busy ones do; sPyNNaker reckons with all of it. A load is of
    # ticks of real time: a run that is slowed down has the same work to do and waits no less.
    busy_s = sum(min(ticks_s * load.busy.low, time.value) for load in loads if load.busy)
    on_s = len(loads) * time
    cores = Interval(power.low * busy_s, power.value * on_s.value, power.high * on_s.high)
    parts = [
        Part("active cores", f"{len(loads)} x {constants['active_core_power'].value:g} W x {time.value:g} s", cores)
    ]
    parts += energy_parts(counts, {"router_passes": "packet_energy"}, constants)
    dynamic = total(p.interval for p in parts)
    static = constants["idle_chip_power"].interval * time * chips
    how = f"{chips} x {constants['idle_chip_power'].value:g} W x {time.value:g} s"
    other = energy_parts(
        counts,
        {"synaptic_events": "event_energy_by_keras_spiking", "neuron_updates": "update_energy_by_keras_spiking"},
        constants,
    )
    peak_note = f"work of the busiest core in its busiest tick of {traced} samples, of the tick; a lower bound"
    unrouted = "" if "router_passes" in counts.events else "; without packets, as chips of several boards are not known"
    return (
        Estimate("energy_dynamic", "J", dynamic, f"{dominant(parts)}{unrouted}", tuple(parts)),
        Estimate("energy_static", "J", static, f"{how}: the chips in use alone", (Part("idle chips", how, static),)),
        Estimate("energy_total", "J", dynamic + static, "dynamic and static; without the host, and what loads a board"),
        Estimate(
            "latency",
            "s",
            time,
            f"{counts.n_steps} ticks of {1e3 * tick_s:g} ms: real time; longer where a core does not finish its tick",
        ),
        Estimate("real_time_factor", "1", real_time, "1 is real time, which is as fast as it goes"),
        Estimate("peak_load", "1", peak, peak_note),
        Estimate(
            "energy_dynamic_by_keras_spiking",
            "J",
            total(p.interval for p in other),
            "another public model, in which events and updates cost and nothing else does; not part of the others",
            tuple(other),
        ),
    )


def _warnings(busy: tuple[NDArray[np.float64], ...], workload: Workload) -> tuple[str, ...]:
    """What a core cannot do in time, by the central and the high estimate."""
    for load, how in ((busy[1], "is estimated to"), (busy[2], "may, at the high end of the estimate,")):
        late = load > 1
        if late.any():
            sample, tick, site = (int(i) for i in np.unravel_index(load.argmax(), load.shape))
            at = workload.sites[site]
            return (
                f"chip {at.chip} core {at.core} ({at.population} {at.first}..{at.last}) {how} need {load.max():.2f} "
                f"ticks for tick {tick} of traced sample {sample}, {late.any(axis=2).mean():.1%} of ticks are too busy "
                f"for some core; set time_scale_factor to {int(np.ceil(load.max()))}, or put fewer neurons on a core",
            )
    return ()
