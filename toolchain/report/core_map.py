"""Map of the cores: chips as boxes, cores in them filled to the level of their tightest limit.

A list of lists in HTML rather than a drawing: it wraps to any width, a screen reader reads it as what it is, each core
takes the focus, and what it says then stands at the foot of the window, which needs no script. A core leads to its row
in the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby

from toolchain.deployment.target import CoreUse, Placement
from toolchain.report.tables import core_id
from toolchain.report.wording import NOTHING, Markup, count, counted, escaped, number, plain, share

MANY = 24
"""From so many cores on a link leads past the map."""


def core_map(placement: Placement) -> Markup:
    """Chips, in them populations, in them cores; empty where no core has a use that has a limit."""
    limits = {
        r.name: (r.limit, r.unit)
        for r in placement.resources
        if r.limit is not None and math.isfinite(r.limit) and r.limit > 0
    }
    if not any(fullest(core, limits) for core in placement.cores):
        return Markup("")
    chips = []
    for chip, on_chip in groupby(placement.cores, key=lambda core: core.chip):
        cores = list(on_chip)
        groups = "".join(
            f'<li class="group"><span class="name">{escaped(plain(name, 40))}</span>'
            f'<ul class="cores">{"".join(_core(core, limits) for core in members)}</ul></li>'
            for name, members in ((n, list(g)) for n, g in groupby(cores, key=lambda core: core.population))
        )
        used = counted(len({core.core for core in cores}), "core")
        chips.append(
            f'<li class="die"><span class="head">Chip {count(chip)} <span class="unit">{used}</span></span>'
            f'<ul class="groups">{groups}</ul></li>'
        )
    skip = '<a class="skip" href="#after-map">Skip the map</a>' if len(placement.cores) >= MANY else ""
    return Markup(
        "<h3>Map of the cores</h3>\n"
        f"<p>{escaped(_sentence(placement, limits))} Point at a core, or go to it with the tab key, to read its use "
        "against each limit; it leads to its row in the table.</p>\n"
        f'{skip}<div class="map"><ul class="chips" aria-label="Cores by chip">{"".join(chips)}</ul>'
        f'<p class="scale" aria-hidden="true"><span></span> empty to full, by the tightest limit of each core</p></div>'
        f'<span id="after-map"></span>\n'
    )


def fullest(core: CoreUse, limits: Mapping[str, tuple[float, str]]) -> tuple[str, float] | None:
    """Name of the tightest limit and the share that is taken of it; None where no use has a limit."""
    shares = {key: used / limits[key][0] for key, used in core.use.items() if key in limits and math.isfinite(used)}
    if not shares:
        return None
    name = max(shares, key=lambda key: shares[key])
    return name, shares[name]


def _sentence(placement: Placement, limits: Mapping[str, tuple[float, str]]) -> str:
    """Which core is the fullest, and by what."""
    found = [(core, full) for core in placement.cores if (full := fullest(core, limits)) is not None]
    core, (name, taken) = max(found, key=lambda pair: pair[1][1])
    where = f"core {count(core.core)} of chip {count(core.chip)}"
    return (
        f"The fullest is {where}, with {plain(core.population, 40)}: {share(taken, 1)} of the limit of "
        f"{name.removesuffix('_per_core').replace('_', ' ')}."
    )


def _core(core: CoreUse, limits: Mapping[str, tuple[float, str]]) -> str:
    full = fullest(core, limits)
    taken = full[1] if full else 0.0
    level = 100 * min(max(taken, 0.0), 1.0)
    text = share(taken, 1) if full else NOTHING
    kind = "core over" if taken > 1 else "core"
    title = f"Chip {count(core.chip)}, core {count(core.core)}: {plain(core.population, 60)}"
    neurons = f"neurons {count(core.first)} to {count(core.last)}"
    uses = [(_use(key, used, limits), full is not None and key == full[0]) for key, used in core.use.items()]
    shown = " ".join(f"<span{' class=tight' if tight else ''}>{escaped(use)}</span>" for use, tight in uses)
    spoken = f"{text}. {title}, {neurons}. {'; '.join(use for use, _ in uses)}"
    return (
        f'<li><a class="{kind}" href="#{core_id(core)}" style="--level:{level:.1f}%" aria-label="{escaped(spoken)}">'
        f'<span class="level">{escaped(text)}</span>'
        f'<span class="tip"><b>{escaped(title)}</b>, {escaped(neurons)}'
        f'<span class="uses">{shown}</span></span></a></li>'
    )


def _use(key: str, used: float, limits: Mapping[str, tuple[float, str]]) -> str:
    name = key.removesuffix("_per_core").replace("_", " ")
    if key not in limits:
        return f"{name} {number(used)}"
    limit, _ = limits[key]
    return f"{name} {number(used)} of {number(limit)} ({share(used, limit)})"
