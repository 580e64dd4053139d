"""What an inference costs, on the page: counts, estimates with their ranges, loads, and what others measured."""

from __future__ import annotations

from toolchain.cost.constants import Constant
from toolchain.cost.content import LABEL, Cost, CountRow, Estimate, SiteLoad
from toolchain.cost.interval import Interval
from toolchain.cost.wording import quantity, spoken, three_digits
from toolchain.report.tables import Column, table
from toolchain.report.wording import NOTHING, Markup, count, counted, escaped, number, percent


def cost_section(cost: Cost | None) -> str:
    """Sentence, counts and estimates; nothing for targets that do not say."""
    if cost is None:
        return ""
    warnings = "".join(f"<p><strong>Warning:</strong> {escaped(text)}.</p>\n" for text in cost.warnings)
    return (
        f"<p>{escaped(_sentence(cost))}</p>\n{warnings}"
        f"{_estimates(cost)}{_counts(cost)}{_loads(cost)}{_published(cost)}{_constants(cost)}"
    )


def _sentence(cost: Cost) -> str:
    whole, latency = cost.estimate("energy_total"), cost.estimate("latency")
    energy = _text(whole)
    if whole.interval is None:
        energy = f"{_text(cost.estimate('energy_dynamic'))} of dynamic energy, beside a static part that is not public,"
    known = [c for c in cost.constants.values() if c.known]
    assumed = sum(c.basis == "assumed" for c in known)
    return (
        f"An inference of {counted(cost.n_steps, 'step')} on {counted(cost.n_cores, 'core')} of {cost.target} is "
        f"estimated to take {energy} and {_text(latency)}. Counts are exact, of {counted(cost.samples, 'sample')} that "
        f"were emulated; energy and time are estimates from {counted(len(known), 'constant')}, {count(assumed)} of "
        "them assumed for want of a public figure, and nothing was measured on a chip."
    )


def _text(estimate: Estimate) -> str:
    ends = estimate.interval
    if ends is None:
        return "an unknown amount"
    central = quantity(ends.value, estimate.unit)
    if ends.low == ends.high:
        return central
    return f"{central} (range {quantity(ends.low, estimate.unit)} to {quantity(ends.high, estimate.unit)})"


def _estimates(cost: Cost) -> Markup:
    rows = []
    for e in cost.estimates:
        rows.append([_noted(spoken(e.name), e.note), *_ends(e.interval, e.unit)])
        if len(e.parts) > 1:
            rows += [[_noted(f"– {spoken(p.name)}", p.how), *_ends(p.interval, e.unit)] for p in e.parts]
    columns = [Column("Estimate", numeric=False), Column("Low"), Column("Central"), Column("High")]
    return table("Estimates for one inference", columns, rows)


def _noted(name: str, note: str) -> Markup:
    return Markup(f"{escaped(name)}" + (f'<span class="note">{escaped(note)}</span>' if note else ""))


def _ends(interval: Interval | None, unit: str) -> list[str]:
    if interval is None:
        return [NOTHING, "unknown", NOTHING]
    return [quantity(v, unit) for v in (interval.low, interval.value, interval.high)]


def _counts(cost: Cost) -> Markup:
    rows = [_count_row(f"spikes of {row.name}", row, "") for row in cost.spikes]
    rows += [_count_row(spoken(row.name), row, row.meaning) for row in cost.counts]
    columns = [
        Column("Count", numeric=False),
        Column("Mean"),
        Column("Deviation"),
        Column("Least"),
        Column("Most"),
    ]
    return table("Counts of one inference", columns, rows)


def _count_row(name: str, row: CountRow, meaning: str) -> list[str]:
    mean = number(row.mean) if abs(row.mean) < 1000 else count(row.mean)
    deviation = three_digits(row.deviation)
    return [_noted(name, meaning), mean, deviation, count(row.least), count(row.most)]


def _loads(cost: Cost) -> Markup:
    if not cost.loads:
        return Markup("")
    kinds = list(dict.fromkeys(kind for load in cost.loads for kind in load.per_step))
    rows = [
        [
            Markup(
                f'chip {count(load.chip)}, core {count(load.core)} <span class="what">{escaped(load.population)} '
                f"{count(load.first)} … {count(load.last)}</span>"
            ),
            *(three_digits(load.per_step[k]) if k in load.per_step else NOTHING for k in kinds),
            _busy(load),
        ]
        for load in cost.loads
    ]
    busy = Column("Busy, of a step", unit=LABEL)
    columns = [Column("Core", numeric=False), *(Column(_heading(k)) for k in kinds), busy]
    return _folded(table("Mean work of the busiest cores in a step", columns, rows), "Load of the busiest cores")


def _heading(kind: str) -> str:
    text = spoken(kind)
    return text[:1].upper() + text[1:]


def _busy(load: SiteLoad) -> str:
    if load.busy is None:
        return NOTHING
    ends = [percent(v, 1) for v in (load.busy.low, load.busy.value, load.busy.high)]
    return f"{ends[1]} ({ends[0]} to {ends[2]})"


def _published(cost: Cost) -> Markup:
    rows = [
        [_noted(f"{p.device}: {p.task}", p.comparable), p.figure, _noted(p.established, p.source)]
        for p in cost.published
    ]
    columns = [
        Column("What others report, and what a comparison needs", numeric=False),
        Column("Figure", numeric=False),
        Column("Established", numeric=False),
    ]
    return table("Published figures, for comparison", columns, rows) if rows else Markup("")


def _constants(cost: Cost) -> Markup:
    rows = [[_noted(spoken(c.name), f"{c.source}. {c.note}"), _figure(c), c.basis] for c in cost.constants.values()]
    columns = [Column("Constant", numeric=False), Column("Value"), Column("Established", numeric=False)]
    return _folded(table("Constants behind the estimates", columns, rows), "Constants, their ranges and sources")


def _figure(constant: Constant) -> str:
    if constant.low is None or constant.value is None or constant.high is None:
        return "unknown"
    unit = constant.unit
    low, value, high = (f"{v:g} {unit}" for v in (constant.low, constant.value, constant.high))
    return value if low == high else f"{value} ({low} to {high})"


def _folded(inside: Markup, summary: str) -> Markup:
    return Markup(f"<details><summary>{escaped(summary)}</summary>{inside}</details>\n")
