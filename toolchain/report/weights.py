"""The error of every weight: a histogram for each projection, in units of the step between neighbouring weights.

Rounding to nearest leaves errors between -1/2 and 1/2 of a step, evenly spread where a step is small against the
weights; then their root mean square is 1/sqrt(12) = 0.29 steps (Widrow, Kollár 2008, Quantization Noise, chapter 3).
What lies outside was cut at the largest weight, or moved on purpose to make up for the errors of others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.report.charts import WIDTH, pixels_of, short_number, whole_numbers
from toolchain.report.content import Figures, Report, WeightErrors
from toolchain.report.svg import PALETTE, axes, canvas, drawing, inline_svg
from toolchain.report.tables import figure_of
from toolchain.report.wording import Markup, arrow, count, counted, escaped, fixed, number, plain, share

BINS = 41
HALF = 0.5
SLACK = 1e-3
"""Weights travel as float32: an error of exactly half a step may come out this much larger."""


def weight_summary(errors: WeightErrors) -> dict[str, Any]:
    """Range, spread and histogram of the errors of a projection's weights, JSON types.

    Bins are even between the ends; errors that are not finite are left out and counted.
    """
    steps = errors.in_steps
    finite = steps[np.isfinite(steps)]
    reach = max(HALF, float(np.abs(finite).max(initial=0.0)))
    edges = np.linspace(-reach, reach, BINS + 1)
    return {
        "synapses": int(steps.size),
        "not_finite": int(steps.size - finite.size),
        "steps": list(errors.steps),
        "min": float(finite.min(initial=0.0)),
        "max": float(finite.max(initial=0.0)),
        "mean": float(finite.mean()) if finite.size else 0.0,
        "rms": float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0,
        "beyond_half": int(np.count_nonzero(np.abs(finite) > HALF + SLACK)),
        "reach": reach,
        "counts": np.histogram(finite, edges)[0].tolist(),
    }


def weights_charts(report: Report, figures: Figures) -> str:
    """A sentence on what to expect, and a chart for every projection; nothing where there are no weights."""
    known = {p.projection: p for p in report.projections}
    charts = []
    for i, (name, errors) in enumerate(figures.weights.items()):
        if not errors.trained.size:
            continue
        found, error = weight_summary(errors), known.get(name)
        words = f"<b>{escaped(arrow(name))}</b> {counted(found['synapses'], 'synapse')}, {_steps(errors)}"
        words += f"; RMS error {fixed(found['rms'], 2)} steps, mean {fixed(found['mean'], 3)}"
        if found["beyond_half"]:
            part = share(found["beyond_half"], found["synapses"])
            words += f"; {count(found['beyond_half'])} ({part}) beyond half a step"
        if error is not None:
            words += f"; {count(error.zeroed)} became 0, {count(error.clipped)} clipped"
        charts.append(figure_of(weight_chart(f"chart-weight-{i}", name, errors), words + "."))
    if not charts:
        return ""
    return (
        "<h3>Error of the weights</h3>\n"
        "<p>Weight on the chip less trained weight, in steps: the distance from one weight that the chip can hold to "
        "the next. Rounding to nearest keeps every error within half a step, between the dashed lines, and leaves an "
        "RMS of 0.29 where weights are large against a step. What lies beyond was clipped, or moved on purpose to make "
        "up for the errors of others.</p>\n"
        f'<div class="grid">{"".join(charts)}</div>\n'
    )


def _steps(errors: WeightErrors) -> str:
    negative, positive = errors.steps
    if negative == positive:
        return f"a step is {number(positive)}"
    return f"a step is {number(positive)}, {number(negative)} of negative weights"


def weight_chart(key: str, projection: str, errors: WeightErrors) -> Markup:
    """Histogram of the errors, with lines at half a step."""
    found = weight_summary(errors)
    counts, reach = np.array(found["counts"]), found["reach"]
    edges = np.linspace(-reach, reach, BINS + 1)
    with drawing():
        figure = canvas(WIDTH, 180)
        ax = axes(figure, 52, 14, 12, 120)
        ax.grid(axis="y", color=PALETTE["rule"], linewidth=1)
        ax.stairs(counts, edges, fill=True, color=PALETTE["chip"], alpha=0.45, linewidth=0)
        ax.stairs(counts, edges, color=PALETTE["chip"], linewidth=1)
        for end in (-HALF, HALF):
            ax.axvline(end, color=PALETTE["muted"], linewidth=1.2, linestyle="--")
        ax.set_xlim(-1.04 * reach, 1.04 * reach)
        ax.set_ylim(0, max(1, 1.06 * int(counts.max())))
        ax.yaxis.set_major_locator(whole_numbers(4))
        ax.yaxis.set_major_formatter(lambda value, _: short_number(value))
        ax.locator_params(axis="x", nbins=7)
        ax.set_xlabel("error, steps", fontsize=11, color=PALETTE["muted"], labelpad=4)
        ax.text(-46, 128, "synapses", fontsize=11, color=PALETTE["muted"], transform=pixels_of(ax))
        return inline_svg(
            figure,
            key=key,
            title=f"Weight errors of {arrow(plain(projection))}, in steps",
            description=f"{counted(found['synapses'], 'synapse')}; errors from {fixed(found['min'], 2)} to "
            f"{fixed(found['max'], 2)} steps, mean {fixed(found['mean'], 3)}, RMS {fixed(found['rms'], 2)}; "
            f"{count(found['beyond_half'])} beyond half a step.",
        )
