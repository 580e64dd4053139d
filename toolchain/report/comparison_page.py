"""The comparison of two bundles for people: a page, and lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolchain.cost.wording import NAMES as CALLED
from toolchain.cost.wording import ranged
from toolchain.cost.wording import spoken as estimate
from toolchain.report.comparison import ERRORS
from toolchain.report.confusion import judged, p_value
from toolchain.report.ladder import rung_label
from toolchain.report.shell import Section, page_of
from toolchain.report.tables import Column, spoken, table
from toolchain.report.wording import NOTHING, Markup, arrow, count, counted, escaped, fixed, number, percent, value_text

Row = Mapping[str, Any]
MARKS = {"pass": "✓", "fail": "✗"}
NAMES = max(36, *map(len, CALLED.values()))
"""Width of the first column in a terminal."""


def comparison_page(found: Mapping[str, Any]) -> str:
    """One self-contained HTML file, in the dress of a deployment report."""
    a, b = (found["bundles"][which] for which in ("a", "b"))
    sections: list[Section] = [
        ("accuracy", "Accuracy, rung by rung", _accuracy(found)),
        ("resources", "Resources", _resources(found["resources"])),
        ("quantisation", "What quantisation changed", _errors(found["projections"])),
        ("cost", "Cost of an inference, estimated", _cost(found["cost"])),
        ("provenance", "Where they come from", _origins(a, b)),
    ]
    verdicts = "".join(_verdict(which, one) for which, one in (("A", a), ("B", b)))
    title = f"{_called(a)} and {_called(b)}"
    header = (
        f'<p class="kind">Comparison of two deployments</p>\n<h1>{escaped(_called(a))} '
        f"<span>and</span> {escaped(_called(b))}</h1>\n"
        f'<div class="pair">{verdicts}</div>\n<p class="sentence">{escaped(headline(found))}</p>\n'
    )
    return page_of(title, header, sections)


def headline(found: Mapping[str, Any]) -> str:
    """Which emulator reads more samples right, and whether that means anything."""
    row = next((r for r in found["ladder"] if r["rung"] == "emulator"), None)
    if row is None or row["difference_points"] is None:
        return "The emulators of A and B cannot be compared: one of them has no accuracy."
    points = row["difference_points"]
    better = "reads as many right as" if abs(points) < 0.005 else f"is {fixed(abs(points), 2)} points "
    if abs(points) >= 0.005:
        better += "better than" if points > 0 else "worse than"
    text = f"In the emulator, B {better} A"
    pair = found["paired"]
    if pair is not None:
        return (
            f"{text}. Of {counted(pair['samples'], 'sample')} A alone reads {count(len(pair['only_a']))} right and B "
            f"alone {count(len(pair['only_b']))}: McNemar's exact test gives p = {p_value(pair['p_value'])}; "
            f"{judged(pair['p_value'])}."
        )
    if row["low_points"] is None:
        return f"{text}; without counted samples there is no interval."
    span = f"{_signed(row['low_points'])} to {_signed(row['high_points'])} points"
    inside = row["low_points"] <= 0 <= row["high_points"]
    verdict = "which includes no difference at all" if inside else "which excludes that they are equal"
    other = "" if found["same_data"] else " They did not read the same data, so this compares the tasks as well."
    return f"{text}, with a 95% interval of {span}, {verdict}.{other}"


def comparison_text(found: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    a, b = (found["bundles"][which] for which in ("a", "b"))
    lines = [f"{which}  {one['verdict']:<5} {_called(one)}  {one['path']}" for which, one in (("A", a), ("B", b))]
    lines += [f"   {which}: {reason}" for which, one in (("A", a), ("B", b)) for reason in one["reasons"]]
    lines += [headline(found), "", _columns("rung", "A", "B", "B - A, points")]
    for row in found["ladder"]:
        lines.append(_columns(row["rung"], _accuracy_text(row["a"]), _accuracy_text(row["b"]), _difference_text(row)))
    lines += ["", _columns("resource", "A", "B", "")]
    for row in found["resources"]:
        lines.append(_columns(spoken(row["name"]), _used(row["a"]), _used(row["b"]), row["unit"]))
    for row in found["projections"]:
        lines += ["", _columns(arrow(row["projection"]), "A", "B", "")]
        lines += [_columns(f"  {spoken(key)}", _error(row["a"], key), _error(row["b"], key), "") for key in ERRORS]
    if found["cost"]:
        lines += ["", _columns("cost, estimated", "A", "B", "")]
        for row in found["cost"]:
            one, two = (_estimate(row[which], row["unit"]) for which in "ab")
            lines.append(_columns(estimate(row["name"]), one, two, ""))
        lines.append("estimates are counts times constants; `delayline cost` says which, and what each leaves out")
    return "\n".join(line.rstrip() for line in lines)


def _columns(name: str, a: str, b: str, rest: str) -> str:
    return f"{name:<{NAMES}} {a:>30} {b:>30}  {rest}"


def _called(one: Row) -> str:
    return f"{one['name']} on {one['target']}"


def _verdict(which: str, one: Row) -> str:
    kind = one["verdict"] if one["verdict"] in MARKS else "other"
    mark = f'<span aria-hidden="true">{MARKS[kind]}</span> ' if kind in MARKS else ""
    reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in one["reasons"])
    return (
        f'<div class="verdict {kind}"><p class="kind">{which}: {escaped(_called(one))}</p>'
        f'<p class="word">{mark}{escaped(str(one["verdict"]).capitalize())}</p>'
        + (f'<ul class="reasons">{reasons}</ul>' if reasons else "")
        + "</div>\n"
    )


def _accuracy(found: Mapping[str, Any]) -> str:
    rows = []
    vendors = {which: str(found["bundles"][which]["vendor"] or "") for which in ("a", "b")}
    vendor = vendors["a"] if vendors["a"] == vendors["b"] else " and ".join(v for v in vendors.values() if v)
    for row in found["ladder"]:
        cells = []
        for which in ("a", "b"):
            one = row[which]
            loss = None if one is None else one["loss_points"]
            cells += [_accuracy_cell(one), NOTHING if loss is None else fixed(loss, 2)]
        rows.append([rung_label(row["rung"], vendor), *cells, _difference_cell(row)])
    columns = [
        Column("Rung", numeric=False),
        *(Column(text, unit=unit) for which in "AB" for text, unit in ((which, ""), (f"{which}, loss", "points"))),
        Column("B less A", unit="points"),
    ]
    data = "read the same data" if found["same_data"] else "did not read the same data"
    network = "come from one trained network" if found["same_network"] else "are not known to come from one network"
    return (
        f"<p>They {data} and {network}. "
        "Below an accuracy stands its 95% interval (Wilson), below a difference that of two independent sets "
        "(Newcombe): too wide where both read the same samples, never too narrow.</p>\n"
        f"{table('Accuracy ladders', columns, rows, 'ladder tallied')}"
    )


def _accuracy_cell(one: Row | None) -> str:
    if one is None:
        return NOTHING
    below = f"of {count(one['samples'])}"
    if one["low"] is not None:
        below = f"{fixed(100 * one['low'], 1)} … {fixed(100 * one['high'], 1)}% {below}"
    return Markup(f'{escaped(percent(one["accuracy"]))} <span class="share">{escaped(below)}</span>')


def _difference_cell(row: Row) -> str:
    if row["difference_points"] is None:
        return NOTHING
    text = escaped(_signed(row["difference_points"]))
    if row["low_points"] is None:
        return text
    below = f"{_signed(row['low_points'], 1)} … {_signed(row['high_points'], 1)}"
    return Markup(f'{text} <span class="share">{escaped(below)}</span>')


def _signed(points: float, digits: int = 2) -> str:
    text = fixed(points, digits)
    return text if text.startswith("−") or not float(text.replace(",", "")) else f"+{text}"


def _accuracy_text(one: Row | None) -> str:
    if one is None:
        return NOTHING
    span = "" if one["low"] is None else f" [{fixed(100 * one['low'], 1)}, {fixed(100 * one['high'], 1)}]"
    return f"{percent(one['accuracy'])}{span} of {one['samples']}"


def _difference_text(row: Row) -> str:
    if row["difference_points"] is None:
        return NOTHING
    span = ""
    if row["low_points"] is not None:
        span = f" [{_signed(row['low_points'], 1)}, {_signed(row['high_points'], 1)}]"
    return f"{_signed(row['difference_points'])}{span}"


def _used(one: Row | None) -> str:
    if one is None:
        return NOTHING
    return number(one["used"]) + ("" if one["limit"] is None else f" of {number(one['limit'])}")


def _resources(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    cells = [
        [
            Markup(f'{escaped(spoken(r["name"]))} <span class="unit">{escaped(_unit(r))}</span>'),
            _used(r["a"]),
            _used(r["b"]),
        ]
        for r in rows
    ]
    return table("Resources used", [Column("Resource", numeric=False), Column("A"), Column("B")], cells)


def _unit(row: Row) -> str:
    """The unit where the name does not say it already."""
    return "" if row["unit"] in spoken(row["name"]) else str(row["unit"])


def _error(one: Row | None, key: str) -> str:
    if one is None:
        return NOTHING
    return percent(one[key]) if key == "rms_error" else count(one[key])


def _errors(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    cells = [
        [
            Markup(f'{escaped(arrow(r["projection"]))} <span class="what">{escaped(spoken(key))}</span>'),
            _error(r["a"], key),
            _error(r["b"], key),
        ]
        for r in rows
        for key in ERRORS
    ]
    columns = [Column("Projection", numeric=False), Column("A"), Column("B")]
    return table("Weights and delays, by projection", columns, cells)


def _estimate(one: Row | None, unit: str) -> str:
    return NOTHING if one is None else ranged(one["low"], one["value"], one["high"], unit)


def _estimate_cell(one: Row | None, unit: str) -> str:
    text = _estimate(one, unit)
    if one is None or not one["note"]:
        return text
    return Markup(f'{escaped(text)}<span class="note">{escaped(one["note"])}</span>')


def _cost(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    cells = [[estimate(r["name"]), *(_estimate_cell(r[which], r["unit"]) for which in "ab")] for r in rows]
    columns = [Column("Estimate", numeric=False), Column("A"), Column("B")]
    words = "<p>Estimates from constants, published or assumed, not measurements.</p>\n"
    return words + table("Estimates", columns, cells)


def _origins(a: Row, b: Row) -> str:
    keys = ("path", "run", "data", "seed", "delayline", "vendor", "vendor_samples")
    cells = [[spoken(key), value_text(a[key]), value_text(b[key])] for key in keys]
    columns = [Column("", numeric=False), Column("A", numeric=False), Column("B", numeric=False)]
    columns[0] = Column("What", numeric=False)
    return table("Provenance of both", columns, cells)
