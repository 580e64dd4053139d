"""Charts of a report but for the spikes: accuracy ladder, delays, learning curve. Each is an inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.report.content import Rung
from toolchain.report.svg import PALETTE, axes, canvas, drawing, inline_svg
from toolchain.report.wording import Markup, count, counted, fixed, listed, number, percent, plain

WIDTH = 380


def ladder_chart(ladder: Sequence[Rung], labels: Sequence[str]) -> Markup:
    """Accuracy of every rung as a dot on a zoomed axis; rungs with other sample counts are hollow."""
    drawn = [(r, label) for r, label in zip(ladder, labels, strict=True) if math.isfinite(r.accuracy)]
    usual = ladder[0].samples
    values = [100 * r.accuracy for r, _ in drawn]
    spans = [None if r.tally is None else (100 * r.tally.low, 100 * r.tally.high) for r, _ in drawn]
    # The interval of a rung on few samples may be wide as the page: it is cut at the edge rather than set the scale.
    shown = [span for span, (r, _) in zip(spans, drawn, strict=True) if span and r.samples == usual]
    low, high = min([*values, *(span[0] for span in shown)]), max([*values, *(span[1] for span in shown)])
    pad = max(0.18 * (high - low), 0.5)
    described = listed(
        [
            f"{label} {percent(r.accuracy)} on {counted(r.samples, 'sample')}"
            + (f" (95% interval {percent(r.tally.low, 1)} to {percent(r.tally.high, 1)})" if r.tally else "")
            for r, label in drawn
        ]
    )
    with drawing():
        row = 40
        figure = canvas(410 if shown else 360, row * len(drawn) + 44)
        ax = axes(figure, 132, 4, 88 if shown else 8, row * len(drawn))
        ax.set_xlim(low - pad, high + (pad if shown else 2.2 * pad))
        ax.set_ylim(len(drawn) - 0.5, -0.5)
        ax.grid(axis="x", color=PALETTE["rule"], linewidth=1)
        same = [(i, v) for i, (v, (r, _)) in enumerate(zip(values, drawn, strict=True)) if r.samples == usual]
        ax.plot([v for _, v in same], [i for i, _ in same], color=PALETTE["chip"], linewidth=1.5)
        for i, (value, (rung, _)) in enumerate(zip(values, drawn, strict=True)):
            comparable = rung.samples == usual
            if (span := spans[i]) is not None:
                ax.plot(span, [i, i], color=PALETTE["chip" if comparable else "split"], linewidth=5, alpha=0.28)
            ax.plot(
                [value],
                [i],
                marker="o" if comparable else "D",
                markersize=8 if comparable else 7,
                color=PALETTE["chip"] if comparable else PALETTE["split"],
                markerfacecolor=PALETTE["chip"] if comparable else "none",
                markeredgewidth=1.8,
                clip_on=False,
            )
            note = fixed(value, 2) if comparable else f"{fixed(value, 2)}, n = {count(rung.samples)}"
            right = value > low + 0.72 * (high + 2.2 * pad - low)
            # In a column of their own where the bars of intervals leave no room beside a mark.
            ax.annotate(
                note,
                (1, i) if shown else (value, i),
                xycoords=ax.get_yaxis_transform() if shown else "data",
                xytext=(10 if shown else -9 if right else 9, 0),
                textcoords="offset points",
                ha="right" if right and not shown else "left",
                va="center_baseline",
                fontsize=12,
                color=PALETTE["ink"],
            )
        ax.set_yticks(range(len(drawn)), [plain(label, 20) for _, label in drawn])
        ax.tick_params(axis="y", labelcolor=PALETTE["ink"], labelsize=12, pad=8)
        ax.locator_params(axis="x", nbins=5)
        about = "accuracy, %; bars: 95% intervals" if shown else "accuracy, % (axis does not start at 0)"
        ax.set_xlabel(about, fontsize=11, color=PALETTE["muted"], labelpad=4)
        return inline_svg(
            figure,
            key="chart-ladder",
            title="Accuracy on each rung",
            description=f"Accuracy by rung: {described}.",
        )


def learning_charts(metrics: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Accuracy and loss by epoch, training and validation; a quantity that was not recorded has no chart."""
    epochs = np.array([_float(line.get("epoch", i + 1)) for i, line in enumerate(metrics)])
    best = best_epoch(metrics)
    charts = []
    for quantity, factor in (("accuracy", 100.0), ("loss", 1.0)):
        curves = {
            which: factor * np.array([_float(line.get(f"{which}_{quantity}")) for line in metrics])
            for which in ("train", "valid")
        }
        curves = {which: values for which, values in curves.items() if np.isfinite(values).any()}
        if curves:
            charts.append(_learning_chart(quantity, epochs, curves, best))
    return charts


def best_epoch(metrics: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the line with the highest validation accuracy, the lower loss where two are equal."""
    ranked = [
        (_float(line.get("valid_accuracy")), -_float(line.get("valid_loss")), -i) for i, line in enumerate(metrics)
    ]
    ranked = [(a, loss if math.isfinite(loss) else -math.inf, i) for a, loss, i in ranked if math.isfinite(a)]
    return -max(ranked)[2] if ranked else None


def _learning_chart(
    quantity: str, epochs: NDArray[np.float64], curves: Mapping[str, NDArray[np.float64]], best: int | None
) -> Markup:
    names = {"train": "training", "valid": "validation"}
    looks = {"train": ("float", "--"), "valid": ("chip", "-")}
    unit = "%" if quantity == "accuracy" else ""
    parts = []
    with drawing():
        figure = canvas(WIDTH, 210)
        ax = axes(figure, 46, 30, 78, 134)
        ax.grid(axis="y", color=PALETTE["rule"], linewidth=1)
        ends = {}
        for which, values in curves.items():
            there = np.flatnonzero(np.isfinite(values))
            colour, dashes = looks[which]
            ax.plot(
                epochs,
                values,
                color=PALETTE[colour],
                linestyle=dashes,
                linewidth=1.8,
                marker="o" if epochs.size < 12 else "",
                markersize=4,
            )
            ends[which] = (epochs[there[-1]], values[there[-1]])
            first, final = (fixed(values[there[i]], 2) + unit for i in (0, -1))
            parts.append(f"{names[which]} from {first} to {final}")
        if best is not None and "valid" in curves and math.isfinite(curves["valid"][best]):
            ax.plot(
                [epochs[best]],
                [curves["valid"][best]],
                marker="o",
                markersize=9,
                markerfacecolor="none",
                markeredgewidth=1.6,
                color=PALETTE["ink"],
                clip_on=False,
            )
            parts.append(f"best validation {fixed(curves['valid'][best], 2)}{unit} in epoch {count(epochs[best])}")
        ax.xaxis.set_major_locator(whole_numbers(6))
        ax.locator_params(axis="y", nbins=5, steps=[1, 2, 2.5, 5, 10])
        ax.margins(x=0.03, y=0.1)
        for which, offset in zip(ends, _apart([v for _, v in ends.values()], ax.get_ylim(), 134), strict=True):
            ax.annotate(
                names[which],
                ends[which],
                xytext=(8, offset),
                textcoords="offset points",
                va="center_baseline",
                fontsize=12,
                color=PALETTE[looks[which][0]],
                annotation_clip=False,
            )
        ax.set_xlabel("epoch", fontsize=11, color=PALETTE["muted"], labelpad=4)
        heading = f"{quantity.capitalize()}{', %' if unit else ''}"
        ax.text(-40, 148, heading, fontsize=12, color=PALETTE["ink"], transform=pixels_of(ax))
        return inline_svg(
            figure,
            key=f"chart-{quantity}",
            title=f"{quantity.capitalize()} by epoch",
            description=f"{counted(epochs.size, 'epoch')}: {'; '.join(parts)}.",
        )


def _apart(values: Sequence[float], limits: tuple[float, float], height: float, gap: float = 15) -> list[float]:
    """Vertical offsets, px, that keep two labels `gap` apart."""
    if len(values) < 2:
        return [0.0] * len(values)
    distance = (values[0] - values[1]) / (limits[1] - limits[0]) * height
    push = max(0.0, gap - abs(distance)) / 2
    return [push, -push] if distance >= 0 else [-push, push]


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def short_number(value: float) -> str:
    """Label of an axis: thousands as k."""
    return f"{number(value / 1000)}k" if value >= 10_000 else number(value)


def whole_numbers(most: int) -> Any:
    """Ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=most, integer=True, steps=[1, 2, 4, 5, 10])


def pixels_of(ax: Any) -> Any:
    """Pixels from the lower left corner of the axes."""
    from matplotlib.transforms import Affine2D

    box = ax.get_window_extent()
    return Affine2D().translate(box.x0, box.y0)
