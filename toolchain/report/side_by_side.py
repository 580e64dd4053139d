"""Costs of several bundles beside each other, from what their reports hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolchain.cost.wording import count_text, ranged, spoken
from toolchain.errors import BundleError
from toolchain.report.reading import from_reports, read_report

NOTHING = "-"


def read_cost(path: Path) -> dict[str, Any]:
    """What the report of a bundle says about cost, with the name of the network under ``name``.

    Raises
    ------
    BundleError
        If there is no report, it is damaged, or it was written before costs were counted.
    """
    report = read_report(path)
    cost = report.get("cost")
    if not isinstance(cost, dict):
        raise BundleError(f"bundle {path}: its report has no cost, as older versions wrote none; deploy again")
    return {"name": str(report["name"]), "bundle": str(path), **cost}


def render(costs: Sequence[Mapping[str, Any]]) -> str:
    """A table with a column for each bundle, lines of text; BundleError where a cost is damaged."""
    with from_reports(*(Path(c["bundle"]) for c in costs)):
        return "\n".join(_lines(costs))


def _lines(costs: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [["", *(f"{c['name']} on {c['target']}" for c in costs)]]
    rows.append(["steps of an inference", *(f"{c['n_steps']} of {c['dt_ms']:g} ms" for c in costs)])
    rows.append(["cores", *(str(c["n_cores"]) for c in costs)])
    rows += _counted(costs, "spikes", "spikes of ")
    rows += _counted(costs, "counts", "")
    rows.append([])
    for name in dict.fromkeys(name for c in costs for name in c["estimates"]):
        cells = []
        for c in costs:
            e = c["estimates"].get(name)
            cells.append(NOTHING if e is None else ranged(e["low"], e["value"], e["high"], e["unit"]))
        rows.append([f"{spoken(name)} (estimate)", *cells])
    lines = _aligned(rows)
    samples = ", ".join(f"{c['samples']}" for c in costs)
    lines.append("")
    lines.append(
        f"counts are means of an inference ± deviation over samples ({samples} samples); every spike was emulated"
    )
    lines.append(
        "estimates are counts times published constants, with the range of these; nothing was measured on a chip"
    )
    lines += dict.fromkeys(
        f"{c['target']}, {spoken(name)}: {e['note']}" for c in costs for name, e in c["estimates"].items() if e["note"]
    )
    lines += [f"warning: {c['name']} on {c['target']}: {text}" for c in costs for text in c["warnings"]]
    return lines


def _counted(costs: Sequence[Mapping[str, Any]], key: str, before: str) -> list[list[str]]:
    """Rows of every count that any of them has."""
    found = []
    for name in dict.fromkeys(row["name"] for c in costs for row in c[key]):
        cells = []
        for c in costs:
            row = next((r for r in c[key] if r["name"] == name), None)
            cells.append(NOTHING if row is None else count_text(row["mean"], row["deviation"]))
        found.append([before + (name if before else spoken(name)), *cells])
    return found


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(r[i]) for r in rows if r) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
