"""Tables of a report: semantic, aligned, and each able to scroll by itself on a narrow screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolchain.deployment.target import ConstantError, CoreUse, ProjectionError, Resource
from toolchain.report.wording import (
    NOTHING,
    Markup,
    arrow,
    count,
    counted,
    escaped,
    number,
    percent,
    plain,
    share,
)

OPEN_ROWS = 12
"""A longer list is folded away."""


@dataclass(frozen=True)
class Column:
    """Heading of a column; `numeric` ones are aligned to the right in tabular figures."""

    title: str
    numeric: bool = True
    unit: str = ""


Cell = str


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], kind: str = "", ids: Sequence[str] = ()
) -> Markup:
    """A table whose first column heads its rows. Cells are escaped unless they are `Markup`.

    `ids` are those of the rows, where other parts of the page lead to them.
    """
    head = "".join(
        f'<th scope="col"{_numeric(c)}>{escaped(c.title)}'
        + (f' <span class="unit">{escaped(c.unit)}</span>' if c.unit else "")
        + "</th>"
        for c in columns
    )
    body = []
    for i, row in enumerate(rows):
        first, *rest = row
        key = f' id="{escaped(ids[i])}"' if ids else ""
        cells = "".join(f"<td{_numeric(c)}>{escaped(cell)}</td>" for c, cell in zip(columns[1:], rest, strict=True))
        body.append(f'<tr{key}><th scope="row"{_numeric(columns[0])}>{escaped(first)}</th>{cells}</tr>')
    css = f' class="{kind}"' if kind else ""
    return Markup(
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escaped(caption)}"><table{css}>'
        f"<caption><span>{escaped(caption)}</span></caption><thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(body)}\n</tbody></table></div>\n"
    )


def figure_of(picture: str, caption: str = "", kind: str = "chart") -> Markup:
    """A picture with its caption, both HTML already."""
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return Markup(f'<figure class="{kind}">{picture}{words}</figure>\n')


def folded(summary: str, content: str) -> Markup:
    """Content behind a line that opens it; on paper it is open."""
    return Markup(f"<details><summary>{escaped(summary)}</summary>\n{content}</details>\n")


def _numeric(column: Column) -> str:
    return ' class="n"' if column.numeric else ""


def part_of(part: int, whole: int) -> Markup:
    """A count, and under it the share of the whole."""
    rest = f' <span class="share">{escaped(share(part, whole))}</span>' if part else ""
    return Markup(f"{count(part)}{rest}")


def projections_table(projections: Sequence[ProjectionError]) -> Markup:
    """What quantisation did to weights and delays."""
    rows = [
        [
            arrow(p.projection),
            count(p.synapses),
            count(p.exponent),
            part_of(p.zeroed, p.synapses),
            part_of(p.clipped, p.synapses),
            percent(p.rms_error),
            part_of(p.delays_moved, p.synapses),
            part_of(p.delays_clipped, p.synapses),
            part_of(p.delays_extended, p.synapses),
        ]
        for p in projections
    ]
    columns = [
        Column("Projection", numeric=False),
        Column("Synapses"),
        Column("Exponent"),
        Column("Weights zeroed"),
        Column("Weights clipped"),
        Column("RMS error"),
        Column("Delays rounded"),
        Column("Delays clipped"),
        Column("Delays extended"),
    ]
    return table("Weights and delays, by projection", columns, rows)


def constants_table(constants: Sequence[ConstantError]) -> Markup:
    """Neuron constants as trained and as the integers stand for them."""
    rows = [
        [
            Markup(f'{escaped(c.population)} <span class="what">{escaped(spoken(c.constant))}</span>'),
            number(c.trained, 6),
            number(c.quantised, 6),
            count(c.integer),
            _relative(c),
        ]
        for c in constants
    ]
    columns = [
        Column("Constant", numeric=False),
        Column("Trained"),
        Column("On the chip"),
        Column("Integer"),
        Column("Relative error"),
    ]
    return table("Neuron constants", columns, rows)


def _relative(c: ConstantError) -> str:
    if not (math.isfinite(c.trained) and math.isfinite(c.quantised)) or c.trained == 0:
        return NOTHING
    error = (c.quantised - c.trained) / abs(c.trained)
    if 0 < abs(error) < 0.5e-6:
        return "<0.0001%"
    digits = 2 if abs(error) >= 0.001 or error == 0 else 4
    return ("+" if error > 0 else "") + percent(error, digits)


def resources_table(resources: Sequence[Resource]) -> Markup:
    """Used against limit, with a bar for each."""
    rows = []
    for r in resources:
        unit = f' <span class="unit">{escaped(r.unit)}</span>' if r.unit else ""
        note = f'<span class="note">{escaped(r.note)}</span>' if r.note else ""
        known = r.limit is not None and math.isfinite(r.limit)
        rows.append(
            [
                Markup(f"{escaped(spoken(r.name))}{note}"),
                Markup(f"{number(r.used)}{unit}"),
                number(r.limit)
                if r.limit is not None and known
                else Markup('<span class="none">no public figure</span>'),
                _bar(r.used, r.limit) if r.limit is not None and known else NOTHING,
            ]
        )
    columns = [
        Column("Resource", numeric=False),
        Column("Used"),
        Column("Limit"),
        Column("Share", numeric=False),
    ]
    return table("Resources used against the limits of the chip", columns, rows, "resources")


def _bar(used: float, limit: float) -> Markup:
    if not (math.isfinite(used) and limit > 0):
        return Markup(NOTHING)
    fraction = used / limit
    over = ' class="bar over"' if fraction > 1 else ' class="bar"'
    width = f"{100 * min(max(fraction, 0), 1):.1f}%"
    text = share(used, limit)
    return Markup(f'<span{over}><span style="width:{width}"></span></span> <span class="share">{escaped(text)}</span>')


def core_id(core: CoreUse) -> str:
    """Of its row in the table; the first neuron is in it since a core may hold several populations."""
    return f"core-{core.chip}-{core.core}-{core.first}"


def cores_table(cores: Sequence[CoreUse]) -> Markup:
    """Which neurons sit on which core, and how synapses are stored there; folded away where there are many."""
    several = len({core.chip for core in cores}) > 1
    stored = any(core.formats for core in cores)
    keys = list(dict.fromkeys(key for core in cores for key in core.use))
    rows = [
        [
            *([count(c.chip)] if several else []),
            count(c.core),
            plain(c.population),
            f"{count(c.first)} … {count(c.last)}",
            *(number(c.use[key]) if key in c.use else NOTHING for key in keys),
            *([_formats(c.formats)] if stored else []),
        ]
        for c in cores
    ]
    columns = [
        *([Column("Chip")] if several else []),
        Column("Core"),
        Column("Population", numeric=False),
        Column("First … last"),
        *(Column(_heading(k)) for k in keys),
        *([Column("Synapses from", numeric=False)] if stored else []),
    ]
    result = table("Neurons and use of each core", columns, rows, ids=[core_id(core) for core in cores])
    if len(cores) <= OPEN_ROWS:
        return result
    return folded(f"{counted(len(cores), 'entry', 'entries')}, core by core", result)


def _formats(formats: Mapping[str, str]) -> Markup:
    """A line for each projection onto a core: arrow and format."""
    lines = [f"{escaped(arrow(name))}: {escaped(text)}" for name, text in formats.items()]
    return Markup("<br>".join(lines) or NOTHING)


def overflows_table(overflows: Mapping[str, Mapping[str, int]]) -> Markup:
    """How often integers left their range, by population."""
    rows = [
        [Markup(f'{escaped(name)} <span class="what">{escaped(spoken(event))}</span>'), count(n)]
        for name, events in overflows.items()
        for event, n in events.items()
    ]
    return table("Integers that left their range", [Column("Event", numeric=False), Column("Times")], rows, "small")


def _heading(key: str) -> str:
    text = spoken(key.removesuffix("_per_core"))
    return text[:1].upper() + text[1:]


def spoken(key: object) -> str:
    """A key as people write it."""
    return str(key).replace("_", " ")
