"""From counts to estimates: each count times its constant, which of them dominates, and how busy cores are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toolchain.cost.constants import Constants
from toolchain.cost.content import Part, SiteLoad
from toolchain.cost.counting import Counts
from toolchain.cost.interval import Interval, total
from toolchain.cost.workload import I64, Workload

SHOWN_LOADS = 16
"""Cores whose load is given; a large network has thousands."""


def energy_parts(counts: Counts, energies: Mapping[str, str], constants: Constants) -> list[Part]:
    """Mean count of an inference times the energy of one, largest first.

    Parameters
    ----------
    energies : kind -> constant; kinds that were not counted and constants without a figure are left out
    """
    found = []
    for kind, name in energies.items():
        if kind not in counts.events or not constants[name].known:
            continue
        constant = constants[name]
        interval = constant.interval * counts.mean(kind)
        found.append(Part(kind, f"{counts.mean(kind):,.1f} x {constant.value:g} {constant.unit}", interval))
    return sorted(found, key=lambda part: -part.interval.value)


def dominant(parts: Sequence[Part]) -> str:
    """Says what makes up most of an estimate, and most of its range."""
    whole = total(p.interval for p in parts)
    if not parts or not whole.value:
        return "nothing was counted"
    first = max(parts, key=lambda part: part.interval.value)
    widest = max(parts, key=lambda part: part.interval.high - part.interval.low)
    share = 100 * first.interval.value / whole.value
    text = f"{first.name.replace('_', ' ')} make up {share:.0f} % of it"
    if widest.interval.high > widest.interval.low:
        text += f"; most of its range is that of {widest.name.replace('_', ' ')}"
    return text


def busiest(
    workload: Workload, counts: Counts, times: Mapping[str, str], constants: Constants, step: Interval
) -> list[SiteLoad]:
    """Mean work of each core in a step and the share of the step that it takes, the busiest first.

    Parameters
    ----------
    times : kind -> constant, the time of one
    step : length of a step, s
    """
    found = []
    for site, mine in zip(workload.sites, per_step(workload, counts, tuple(times)), strict=True):
        work = total(constants[name].interval * mine[kind] for kind, name in times.items())
        # The same constants make the work and the step, so ends are compared with their like; any may be the largest.
        low, central, high = (_share(getattr(work, e), getattr(step, e)) for e in ("low", "value", "high"))
        busy = Interval(min(low, central, high), central, max(low, central, high))
        found.append(SiteLoad(**vars(site), per_step=mine, busy=busy))
    return sorted(found, key=lambda load: -load.busy.value if load.busy else 0.0)[:SHOWN_LOADS]


def per_step(workload: Workload, counts: Counts, kinds: Sequence[str]) -> list[dict[str, float]]:
    """Mean of each kind at each core in a step; what is counted per spike is put at the core that sends."""
    steps = max(1, counts.n_steps * counts.n_samples)
    out = _sent(workload, counts, kinds)
    return [
        {kind: int(out.get(kind, counts.at_sites[kind])[i]) / steps for kind in kinds}
        for i in range(len(workload.sites))
    ]


def _share(work: float, step: float) -> float:
    return work / step if step else 0.0


def _sent(workload: Workload, counts: Counts, kinds: Sequence[str]) -> dict[str, I64]:
    """Counts per spike at the core that sends, all samples together: kind -> (n_sites,)."""
    found: dict[str, I64] = {}
    for kind in kinds:
        for sender in workload.senders:
            if kind not in sender.per_spike:
                continue
            here = found.setdefault(kind, np.zeros(len(workload.sites), dtype=np.int64))
            inside = sender.sent_from >= 0
            spikes = counts.neurons[sender.population] * sender.per_spike[kind]
            np.add.at(here, sender.sent_from[inside], spikes[inside])
    return found
