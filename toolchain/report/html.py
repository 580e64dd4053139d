"""The report for people: one HTML file with everything in it, the verdict first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources

from toolchain.report.causes import causes_section
from toolchain.report.charts import delay_chart, ladder_chart, learning_charts
from toolchain.report.content import Figures, Report
from toolchain.report.cost import cost_section
from toolchain.report.ladder import explanation, ladder_rows, rung_label
from toolchain.report.pruning import pruning_section
from toolchain.report.raster import NARROW, WIDE, raster_chart
from toolchain.report.spike_comparison import ROLES, Comparison, Role, compare, role_labels
from toolchain.report.tables import (
    Column,
    constants_table,
    cores_table,
    overflows_table,
    projections_table,
    provenance_list,
    resources_table,
    table,
)
from toolchain.report.verdict import verdict_panel
from toolchain.report.wording import (
    NOTHING,
    Markup,
    arrow,
    count,
    counted,
    escaped,
    fixed,
    listed,
    percent,
    share,
)

_HEADINGS: dict[Role, str] = {
    "same": "In all",
    "float": "Float only",
    "chip": "Not in float",
    "split": "Disagreed on",
}


def render_html(report: Report, figures: Figures) -> str:
    """The page: no script, no network, no other file.

    A section that has nothing to show is left out, and so is its entry in the contents.
    """
    sections = [
        ("accuracy", "Accuracy, step by step", _ladder(report)),
        ("spikes", "Spikes of one sample", _spikes(report, figures)),
        ("causes", "Why spikes differ", causes_section(report.causes, report.spike_distances)),
        ("delays", "Delays", _delays(report, figures)),
        ("pruning", "What pruning removed", pruning_section(report.pruned)),
        ("quantisation", "What quantisation changed", _quantisation(report)),
        ("overflows", "Overflows", _overflows(report)),
        ("resources", "Cores and resources", _resources(report)),
        ("cost", "Cost of an inference", cost_section(report.cost)),
        ("learning", "Learning curve", _learning(figures)),
        ("provenance", "Provenance", provenance_list(report.provenance) if report.provenance else ""),
    ]
    present = [(key, title, body) for key, title, body in sections if body]
    contents = "".join(f'<li><a href="#{key}">{escaped(title)}</a></li>' for key, title, _ in present)
    bodies = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h">\n<h2 id="{key}-h">{escaped(title)}</h2>\n{body}</section>\n'
        for key, title, body in present
    )
    style = resources.files("toolchain.report").joinpath("report.css").read_text(encoding="utf-8")
    title = f"{report.name} on {report.target}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}: {escaped(report.verdict)}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n"
        f'<main>\n<header>\n<p class="kind">Deployment report</p>\n'
        f"<h1>{escaped(report.name)} <span>on {escaped(report.target)}</span></h1>\n"
        f"{verdict_panel(report)}</header>\n"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n{bodies}</main>\n</body>\n</html>\n'
    )


def _ladder(report: Report) -> str:
    ladder = report.ladder
    if not ladder:
        return ""
    labels = [rung_label(r.rung, report.vendor) for r in ladder]
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
            ]
        )
    columns = [
        Column("Rung", numeric=False),
        Column("Accuracy"),
        Column("Right, of samples"),
        Column("Loss", unit="points"),
    ]
    drawable = any(math.isfinite(r.accuracy) for r in ladder)
    picture = _figure(ladder_chart(ladder, labels)) if drawable else ""
    return (
        "<p>Each rung adds one difference between the trained network and the chip. The loss is against the "
        "rung before, in points of accuracy; a negative loss is a gain.</p>\n"
        f'<div class="beside">{table("Accuracy ladder", columns, rows, "ladder")}{picture}</div>\n'
    )


def _figure(picture: str, caption: str = "", kind: str = "chart") -> Markup:
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return Markup(f'<figure class="{kind}">{picture}{words}</figure>\n')


def _spikes(report: Report, figures: Figures) -> str:
    engines = list(figures.rasters)
    comparisons = compare(figures.rasters, figures.sizes) if engines else []
    drawn = [c for c in comparisons if c.total]
    if not comparisons:
        return ""
    labels = role_labels(engines)
    intro = (
        f"<p>Test sample {count(figures.sample)} of class {count(figures.label)}, "
        f"{counted(figures.n_steps, 'step')}. "
        f"{_spike_sentences(comparisons, labels)}</p>\n"
    )
    picture = ""
    if drawn:
        pictures = "".join(
            f'<div class="{form.name}">{raster_chart(drawn, figures.n_steps, form)}</div>' for form in (WIDE, NARROW)
        )
        totals = {role: sum(c.number(role) for c in drawn) for role in ROLES}
        legend = "".join(
            f'<li class="{role}">{_glyph(role)}{escaped(text)} <b>{count(totals[role])}</b></li>'
            for role, text in labels.items()
        )
        picture = _figure(f'<ul class="legend">{legend}</ul>{pictures}', kind="chart raster")
    columns = [Column("Population", numeric=False), *(Column(e) for e in engines)]
    columns += [Column(_HEADINGS[role]) for role in labels] if len(engines) > 1 else []
    rows = [
        [
            c.population,
            *(count(c.counts[e]) if e in c.counts else NOTHING for e in engines),
            *(count(c.number(role)) for role in labels if len(engines) > 1),
        ]
        for c in comparisons
    ]
    return intro + picture + table("Spikes of this sample, by engine", columns, rows)


def _spike_sentences(comparisons: Sequence[Comparison], labels: Mapping[Role, str]) -> str:
    """What the picture shows, in words."""
    if len(labels) < 2:
        return ""
    sentences = []
    alike = [c.population for c in comparisons if c.total and not c.differing]
    if alike:
        sentences.append(f"All spikes of {listed(alike)} are the same in every engine.")
    for c in comparisons:
        if not c.differing:
            continue
        kinds = [f"{count(c.number(r))} {_clause(r, labels)}" for r in labels if r != "same" and c.number(r)]
        sentences.append(
            f"In {c.population}, {count(c.differing)} of {counted(c.total, 'spike')} "
            f"({share(c.differing, c.total)}) {'differs' if c.differing == 1 else 'differ'}: {'; '.join(kinds)}."
        )
        if c.shifted:
            appear = "appears" if c.shifted == 1 else "appear"
            sentences.append(f"{count(c.shifted)} of those in float only {appear} one step earlier or later.")
    return escaped(" ".join(sentences))


def _clause(role: Role, labels: Mapping[Role, str]) -> str:
    return f"on which {labels[role]}" if role == "split" else labels[role]


def _glyph(role: Role) -> str:
    """The mark of the picture, for the legend."""
    shapes = {
        "same": '<path d="M7 3V11" stroke="var(--same)" stroke-width="2"/>',
        "float": '<path d="M3 4H11L7 11Z" fill="none" stroke="var(--float)" stroke-width="1.7"/>',
        "chip": '<circle cx="7" cy="7" r="3.6" fill="var(--chip)"/>',
        "split": '<path d="M3 3L11 11M3 11L11 3" stroke="var(--split)" stroke-width="1.9"/>',
    }
    return f'<svg class="glyph" viewBox="0 0 14 14" aria-hidden="true">{shapes[role]}</svg>'


def _delays(report: Report, figures: Figures) -> str:
    known = {p.projection: p for p in report.projections}
    charts = []
    for i, (name, (trained, slots)) in enumerate(figures.delays.items()):
        if not slots.size:
            continue
        error = known.get(name)
        words = f"<b>{escaped(arrow(name))}</b> {counted(slots.size, 'synapse')}"
        if error is not None:
            words += f", {count(error.delays_moved)} rounded, {count(error.delays_clipped)} clipped"
            words += f" to slot {count(int(slots.max()))}" if error.delays_clipped else ""
            words += f", {count(error.delays_extended)} extended" if error.delays_extended else ""
        picture = delay_chart(f"chart-delay-{i}", name, trained, slots, error.delays_clipped if error else None)
        charts.append(_figure(picture, words + "."))
    if not charts:
        return ""
    extended = any(p.delays_extended for p in report.projections)
    return (
        "<p>A spike of step <i>t</i> arrives at step <i>t</i> + 1 + its slot. Training keeps fractions of a "
        "slot and rounds them at use, the chip holds the rounded slot: only a clipped delay changes when a "
        "spike arrives."
        + (" An extended one is beyond the slots of a synapse; further neurons pass the spike on." if extended else "")
        + "</p>\n"
        '<ul class="legend"><li><span class="swatch line"></span>as trained</li>'
        '<li><span class="swatch fill"></span>on the chip</li></ul>\n'
        f'<div class="grid">{"".join(charts)}</div>\n'
    )


def _quantisation(report: Report) -> str:
    if not report.projections and not report.constants:
        return ""
    parts = []
    if report.projections:
        parts.append(
            "<p>The exponent is that of the power of two which all weights of a projection share. The RMS error "
            "is that of the weights, relative to the RMS of the trained ones.</p>\n"
        )
        parts.append(projections_table(report.projections))
    if report.constants:
        parts.append(constants_table(report.constants))
    return "".join(parts)


def _overflows(report: Report) -> str:
    events = [(name, event, n) for name, of in report.overflows.items() for event, n in of.items()]
    if not events:
        return ""
    samples = next((r.samples for r in report.ladder if r.rung == "emulator"), None)
    on = f" on {counted(samples, 'sample')}" if samples is not None else ""
    total = sum(n for _, _, n in events)
    if not total:
        watched = escaped(", ".join(dict.fromkeys(event.replace("_", " ") for _, event, _ in events)))
        return f"<p>None{on}. Watched in the emulator: {watched}.</p>\n"
    return f"<p>{counted(total, 'overflow')}{on} in the emulator.</p>\n{overflows_table(report.overflows)}"


def _resources(report: Report) -> str:
    placement = report.placement
    parts = [f"<p>{escaped(name)}: {escaped(reason)}</p>\n" for name, reason in placement.reasons.items()]
    parts += [resources_table(placement.resources)] if placement.resources else []
    parts += [cores_table(placement.cores)] if placement.cores else []
    return "".join(parts)


def _learning(figures: Figures) -> str:
    charts = learning_charts(figures.metrics) if figures.metrics else []
    if not charts:
        return ""
    words = "<p>The ring marks the best epoch on the validation set: the network that is deployed.</p>\n"
    return f'{words}<div class="grid">{"".join(_figure(chart) for chart in charts)}</div>\n'
