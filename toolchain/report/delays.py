"""Delays before and after: a histogram for every projection, and the numbers in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.report.charts import WIDTH, pixels_of, short_number, whole_numbers
from toolchain.report.content import Figures, Report
from toolchain.report.svg import PALETTE, axes, canvas, drawing, inline_svg
from toolchain.report.tables import figure_of
from toolchain.report.wording import Markup, arrow, count, counted, escaped, fixed, plain

MAX_BINS = 64


def delay_summary(trained: NDArray[np.float32], slots: NDArray[np.int64]) -> dict[str, Any]:
    """Range, mean and histogram of the delays of a projection, JSON types; bins are the same for both.

    Parameters
    ----------
    trained, slots : (n_synapses,) each, at least one
    """
    trained = np.asarray(trained, dtype=np.float64)
    top = int(max(np.rint(trained.max()), slots.max()))
    width = max(1, math.ceil((top + 1) / MAX_BINS))
    # Bins are centred on whole slots, since that is what a delay is rounded to.
    edges = np.arange(0, top + width + 1, width) - 0.5
    return {
        "synapses": int(slots.size),
        "trained": {"min": float(trained.min()), "max": float(trained.max()), "mean": float(trained.mean())},
        "chip": {"min": int(slots.min()), "max": int(slots.max()), "mean": float(slots.mean())},
        "bin_slots": width,
        "trained_counts": np.histogram(np.maximum(trained, 0), edges)[0].tolist(),
        "chip_counts": np.histogram(slots, edges)[0].tolist(),
    }


def delays_section(report: Report, figures: Figures) -> str:
    """What a delay means, and a chart for every projection that has any."""
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
        charts.append(figure_of(picture, words + "."))
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


def delay_chart(
    key: str, projection: str, trained: NDArray[np.float32], slots: NDArray[np.int64], clipped: int | None
) -> Markup:
    """Histogram of the delays of a projection: as trained (outline) and on the chip (bars), same bins."""
    found = delay_summary(trained, slots)
    width, before, after = found["bin_slots"], np.array(found["trained_counts"]), np.array(found["chip_counts"])
    edges = np.arange(before.size + 1) * width - 0.5
    was, now = found["trained"], found["chip"]
    text = (
        f"{counted(slots.size, 'synapse')}. Trained delays from {fixed(was['min'], 1)} to {fixed(was['max'], 1)} slots"
        f", mean {fixed(was['mean'], 1)}. On the chip from {count(now['min'])} to {count(now['max'])}, "
        f"mean {fixed(now['mean'], 1)}." + (f" {count(clipped)} clipped to the longest slot." if clipped else "")
    )
    with drawing():
        figure = canvas(WIDTH, 200)
        ax = axes(figure, 52, 14, 12, 140)
        ax.grid(axis="y", color=PALETTE["rule"], linewidth=1)
        ax.stairs(after, edges, fill=True, color=PALETTE["chip"], alpha=0.45, linewidth=0)
        ax.stairs(before, edges, color=PALETTE["float"], linewidth=1.6)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(0, max(1, 1.06 * max(before.max(), after.max())))
        ax.yaxis.set_major_locator(whole_numbers(4))
        ax.xaxis.set_major_locator(whole_numbers(7))
        ax.yaxis.set_major_formatter(lambda value, _: short_number(value))
        unit = "delay, slots" if width == 1 else f"delay, slots ({width} in a bar)"
        ax.set_xlabel(unit, fontsize=11, color=PALETTE["muted"], labelpad=4)
        ax.text(-46, 148, "synapses", fontsize=11, color=PALETTE["muted"], transform=pixels_of(ax))
        return inline_svg(
            figure,
            key=key,
            title=f"Delays of {arrow(plain(projection))}, trained and on the chip",
            description=text,
        )
