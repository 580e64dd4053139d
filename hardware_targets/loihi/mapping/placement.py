"""From a network to its placement: split it, choose cores, and say what that takes of every limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.chips import chips_available
from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.advice import explain
from hardware_targets.loihi.mapping.placing import Places, place_slices
from hardware_targets.loihi.mapping.problem import Problem, problem_of_network, problem_of_plan
from hardware_targets.loihi.mapping.splitting import PER_CORE, Shortfall, SliceUse, Split, split_network
from toolchain.deployment.plan import NetworkPlan
from toolchain.deployment.target import CoreUse, Placement, Resource


def place_network(
    network: IntegerNetwork,
    limits: ChipLimits,
    *,
    chips: int | None = None,
    rates: Mapping[str, NDArray[np.float64]] | None = None,
) -> Placement:
    """Put all simulated neurons of a quantised network on cores.

    Parameters
    ----------
    chips : how many there are; `limits` say how many a board has
    rates : simulated population -> (size,) spikes of each neuron in a sample; None where they were not counted

    Raises
    ------
    TargetLimitError
        Naming the limit that is exceeded, by how much, and the smallest changes that would make the network fit.
    InputError
        If no system has so many chips.
    """
    problem = problem_of_network(network, limits)
    resources = (
        _row(limits, "weight_exponent_max", max((p.exponent for p in network.projections), default=0)),
        _row(limits, "threshold_max", max((p.vth for p in network.simulated if p.kind == "lif"), default=0)),
    )
    return _place(problem, limits, chips, rates, resources)


def place_plan(plan: NetworkPlan, limits: ChipLimits, *, clip_delays: bool, chips: int | None = None) -> Placement:
    """Put a network that is not trained yet on cores; parameters and errors as `place_network`.

    Slots above the chip's largest are cut with `clip_delays`. Also refused are neurons that the chip does not have.
    """
    for population in plan.populations:
        if population.kind != "spike_source":
            shared_constants(population, plan.dt_ms)
    if clip_delays:
        largest = limits["slot_max"]
        cut = tuple(replace(p, largest_slot=min(p.largest_slot, largest)) for p in plan.projections)
        plan = replace(plan, projections=cut)
    return _place(problem_of_plan(plan, limits), limits, chips, None, ())


def _place(
    problem: Problem,
    limits: ChipLimits,
    chips: int | None,
    rates: Mapping[str, NDArray[np.float64]] | None,
    more: tuple[Resource, ...],
) -> Placement:
    available = chips_available(limits, chips)
    split = split_network(SliceUse(problem, limits), available)
    if isinstance(split, Shortfall):
        raise explain(problem, limits, available, split)
    places = place_slices(problem, split.slices, limits, rates)
    cores = []
    for i in np.lexsort((places.core, places.chip)).tolist():
        piece, held = split.slices[i], split.formats[i]
        formats = {name: str(s.format) for name, s in held.items()}
        where = (int(places.core[i]), piece.population, piece.first, piece.last - 1)
        cores.append(CoreUse(*where, dict(split.uses[i]), int(places.chip[i]), formats))
    rows = _resources(problem, limits, available, split, places, counted=rates is not None)
    return Placement(tuple(cores), (*rows, *more))


def _resources(
    problem: Problem, limits: ChipLimits, available: int, split: Split, places: Places, *, counted: bool
) -> tuple[Resource, ...]:
    used = int(places.chip.max(initial=-1)) + 1
    chips, cores = limits.table["chips"], limits.table["cores"]
    source = chips.note if available == chips.value else "as many as asked for"
    return (
        Resource("chips", used, available, chips.unit, source),
        Resource("cores", len(split.slices), limits["cores"] * max(1, used), cores.unit, cores.note),
        *(_row(limits, name, max((use[name] for use in split.uses), default=0)) for name in PER_CORE),
        _row(limits, "slot_max", problem.largest_slot),
        *_traffic_rows(places, limits, counted=counted),
    )


def _row(limits: ChipLimits, name: str, used: float) -> Resource:
    limit = limits.table[name]
    return Resource(name, used, limit.value, limit.unit, limit.note)


def _traffic_rows(places: Places, limits: ChipLimits, *, counted: bool) -> tuple[Resource, ...]:
    traffic = places.traffic
    if traffic is None:
        return ()
    unit = "messages a sample" if counted else "messages"
    what = "spikes of calibration samples" if counted else "if every neuron spikes once"
    rows = [
        Resource("messages_between_cores", traffic.between_cores, None, unit, f"{what}; one for each core reached"),
        Resource(
            "messages_between_chips",
            traffic.between_chips,
            None,
            unit,
            f"{traffic.between_chips_in_order:.0f} with cores in order of population",
        ),
    ]
    if traffic.hops is not None:
        mesh = limits.table["mesh_columns"].note
        note = f"{traffic.hops_in_order:.0f} with cores in order of population; mesh {mesh}"
        rows.append(Resource("hops_between_tiles", traffic.hops, None, f"{unit} x links", note))
    return tuple(rows)
