"""The report for people: one HTML file with everything in it, the verdict first."""

from __future__ import annotations

from toolchain.report.accuracy import accuracy_section
from toolchain.report.causes import causes_section
from toolchain.report.charts import learning_charts
from toolchain.report.confusion import confusion_section
from toolchain.report.content import Figures, Report
from toolchain.report.core_map import core_map
from toolchain.report.cost import cost_section
from toolchain.report.delays import delays_section
from toolchain.report.diagnosis import diagnosis_section
from toolchain.report.provenance import provenance_list
from toolchain.report.pruning import pruning_section
from toolchain.report.shell import Section, page_of
from toolchain.report.spikes import spikes_section
from toolchain.report.tables import (
    constants_table,
    cores_table,
    figure_of,
    overflows_table,
    projections_table,
    resources_table,
)
from toolchain.report.verdict import verdict_panel
from toolchain.report.weights import weights_charts
from toolchain.report.wording import Markup, arrow, counted, escaped


def render_html(report: Report, figures: Figures) -> str:
    """The page: no script, no network, no other file.

    A section that has nothing to show is left out, and so is its entry in the contents.
    """
    sections: list[Section] = [
        ("accuracy", "Accuracy, step by step", accuracy_section(report)),
        ("diagnosis", f"Why {report.vendor} differs", diagnosis_section(report.diagnosis, report.vendor)),
        ("confusion", "Classes and samples", confusion_section(report)),
        ("spikes", "Spikes of single samples" if figures.others else "Spikes of one sample", spikes_section(figures)),
        ("causes", "Why spikes differ", causes_section(report.causes, report.spike_distances)),
        ("delays", "Delays", delays_section(report, figures)),
        ("pruning", "What pruning removed", pruning_section(report.pruned)),
        ("quantisation", "What quantisation changed", _quantisation(report, figures)),
        ("overflows", "Overflows", _overflows(report)),
        ("resources", "Cores and resources", _resources(report)),
        ("cost", "Cost of an inference", cost_section(report.cost)),
        ("learning", "Learning curve", _learning(figures)),
        ("provenance", "Provenance", provenance_list(report.provenance) if report.provenance else ""),
    ]
    header = (
        '<p class="kind">Deployment report</p>\n'
        f"<h1>{escaped(report.name)} <span>on {escaped(report.target)}</span></h1>\n{verdict_panel(report)}"
    )
    return page_of(f"{report.name} on {report.target}: {report.verdict}", header, sections)


def _quantisation(report: Report, figures: Figures) -> str:
    if not report.projections and not report.constants:
        return ""
    parts = []
    if report.projections:
        parts.append(
            "<p>The exponent is that of the power of two which all weights of a projection share. The RMS error "
            "is that of the weights, relative to the RMS of the trained ones.</p>\n"
        )
        parts.append(projections_table(report.projections))
        parts.append(weights_charts(report, figures))
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
    parts = [core_map(placement)] if placement.cores else []
    reasons = "".join(f"<li>{escaped(name)}: {escaped(arrow(r))}</li>" for name, r in placement.reasons.items())
    parts += [Markup(f'<ul class="why">{reasons}</ul>\n')] if reasons else []
    parts += [resources_table(placement.resources)] if placement.resources else []
    parts += [cores_table(placement.cores)] if placement.cores else []
    return "".join(parts)


def _learning(figures: Figures) -> str:
    charts = learning_charts(figures.metrics) if figures.metrics else []
    if not charts:
        return ""
    words = "<p>The ring marks the best epoch on the validation set: the network that is deployed.</p>\n"
    return f'{words}<div class="grid">{"".join(figure_of(chart) for chart in charts)}</div>\n'
