"""The accuracy ladder on the page: a table, with what the counted samples can say, and a chart."""

from __future__ import annotations

import math

from toolchain.report.charts import ladder_chart
from toolchain.report.confusion import p_value
from toolchain.report.content import Report, Tally
from toolchain.report.ladder import explanation, ladder_rows, rung_label
from toolchain.report.tables import Column, figure_of, table
from toolchain.report.wording import NOTHING, Markup, count, escaped, fixed, percent


def accuracy_section(report: Report) -> str:
    """Nothing where no rung was climbed."""
    ladder = report.ladder
    if not ladder:
        return ""
    labels = [rung_label(r.rung, report.vendor) for r in ladder]
    tallied = any(r.tally is not None for r in ladder)
    rows = []
    for row, label in zip(ladder_rows(ladder), labels, strict=True):
        about = "; ".join(text for text in (explanation(row.rung.rung), row.remark) if text)
        note = f'<span class="note">{escaped(about)}</span>' if about else ""
        samples = count(row.rung.samples)
        rows.append(
            [
                Markup(f"{escaped(label)}{note}"),
                percent(row.rung.accuracy),
                samples if row.correct is None else f"{count(row.correct)} of {samples}",
                NOTHING if row.loss is None else fixed(row.loss, 2),
                *(_tallied(row.rung.tally) if tallied else []),
            ]
        )
    columns = [
        Column("Rung", numeric=False),
        Column("Accuracy"),
        Column("Right, of samples"),
        Column("Loss", unit="points"),
        *([Column("95% interval"), Column("Samples lost, gained"), Column("p")] if tallied else []),
    ]
    drawable = any(math.isfinite(r.accuracy) for r in ladder)
    picture = figure_of(ladder_chart(ladder, labels)) if drawable else ""
    intro = (
        "<p>Each rung adds one difference between the trained network and the chip. The loss is against the "
        "rung before, in points of accuracy; a negative loss is a gain."
    )
    if tallied:
        intro += (
            " The interval is Wilson's, of the accuracy on samples never seen. Lost and gained are samples read right "
            "on one of the two rungs only; p is how likely so uneven a split is by chance (McNemar's exact test)."
        )
    layout, kind = ("stacked", "ladder tallied") if tallied else ("beside", "ladder")
    return f'{intro}</p>\n<div class="{layout}">{table("Accuracy ladder", columns, rows, kind)}{picture}</div>\n'


def _tallied(tally: Tally | None) -> list[str]:
    if tally is None:
        return [NOTHING] * 3
    span = f"{fixed(100 * tally.low, 1)} … {fixed(100 * tally.high, 1)}%"
    if tally.against is None:
        return [span, NOTHING, NOTHING]
    against = tally.against
    return [span, f"{count(len(against.lost))}, {count(len(against.gained))}", p_value(against.p_value)]
