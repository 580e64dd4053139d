"""Two pictures of a divergence: what each change contributed, and the voltages around it."""

from __future__ import annotations

import numpy as np

from toolchain.attribution.divergence import WORDS, Attribution
from toolchain.report.svg import PALETTE, axes, canvas, drawing, inline_svg
from toolchain.report.wording import Markup, count, fixed, number, plain

WIDTH = 440


def waterfall_chart(index: int, attribution: Attribution) -> Markup:
    """From the float margin to the chip's, one change after the other, in percent of the threshold; 0 is the threshold.

    Contributions too small to be seen, below a thousandth of the largest, are drawn as one.
    """
    largest = max((abs(c.value) for c in attribution.contributions), default=0.0)
    drawn = [c for c in attribution.contributions if abs(c.value) >= 1e-3 * largest]
    steps = [(WORDS[c.name], 100 * c.value, "split" if c.name in attribution.decisive else "same") for c in drawn]
    rest = 100 * (sum(c.value for c in attribution.contributions) - sum(c.value for c in drawn))
    if len(drawn) < len(attribution.contributions):
        steps.append(("all others", rest, "same"))
    start, end = 100 * attribution.float_margin, 100 * attribution.chip_margin
    bars = [("float margin", 0.0, start, "float")]
    at = start
    for name, value, colour in steps:
        bars.append((name, at, value, colour))
        at += value
    bars.append(("chip margin", 0.0, end, "chip"))
    ends = [v for _, a, b, _ in bars for v in (a, a + b)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    pad = 0.28 * (high - low or 1.0)
    described = "; ".join(f"{name} {_percent(value)}" for name, _, value, _ in bars)
    with drawing():
        row = 26
        figure = canvas(WIDTH, row * len(bars) + 62)
        ax = axes(figure, 178, 18, 10, row * len(bars))
        ax.set_xlim(low - pad, high + pad)
        ax.set_ylim(len(bars) - 0.5, -0.5)
        ax.grid(axis="x", color=PALETTE["rule"], linewidth=1)
        ax.axvline(0, color=PALETTE["ink"], linewidth=1.4)
        for i, (_, left, width, colour) in enumerate(bars):
            ax.barh(i, width, 0.62, left=left, color=PALETTE[colour], linewidth=0)
            beyond = max(left, left + width) if width >= 0 else min(left, left + width)
            ax.annotate(
                _percent(width),
                (beyond, i),
                xytext=(5 if width >= 0 else -5, 0),
                textcoords="offset points",
                ha="left" if width >= 0 else "right",
                va="center_baseline",
                fontsize=11,
                color=PALETTE["ink"],
            )
        for i, (_, left, width, _) in enumerate(bars[:-1]):
            ax.plot([left + width] * 2, [i - 0.31, i + 1.31], color=PALETTE["muted"], linewidth=0.8)
        ax.set_yticks(range(len(bars)), [plain(name.removeprefix("the "), 30) for name, *_ in bars])
        ax.tick_params(axis="y", labelcolor=PALETTE["ink"], labelsize=11, pad=6)
        ax.locator_params(axis="x", nbins=4)
        ax.set_xlabel("V − threshold, % of the threshold; spikes from 0 on", fontsize=11, color=PALETTE["muted"])
        return inline_svg(
            figure,
            key=f"chart-cause-{index}",
            title=f"What moved neuron {attribution.neuron} of {attribution.population} across its threshold",
            description=f"In percent of the threshold: {described}.",
        )


def trace_chart(index: int, attribution: Attribution) -> Markup:
    """V of both engines around the divergence, their thresholds and spikes, and below what arrives."""
    window = attribution.window
    assert window is not None, "only of samples that are shown"
    steps = window.first_step + np.arange(len(window.float_v))
    voltages = {
        "float": np.array([np.nan if v is None else v for v in window.float_v]),
        "chip": np.array(window.chip_v),
    }
    spikes = {"float": window.float_spikes, "chip": window.chip_spikes}
    here = attribution.step - window.first_step
    said = [
        f"{engine}: V {number(float(v[here]), 6)} at step {count(attribution.step)}, "
        f"spikes at {', '.join(count(s) for s in spikes[engine]) or 'no step'}"
        for engine, v in voltages.items()
    ]
    with drawing():
        figure = canvas(WIDTH, 268)
        ax = axes(figure, 46, 26, 52, 134)
        ax.axvspan(attribution.step - 0.5, attribution.step + 0.5, color=PALETTE["rule"], linewidth=0)
        ax.axhline(1, color=PALETTE["ink"], linewidth=1, linestyle=":")
        for engine, dashes in (("float", "-"), ("chip", "--")):
            voltage, times = voltages[engine], np.array(spikes[engine], dtype=np.int64)
            ax.plot(steps, voltage, dashes, color=PALETTE[engine], linewidth=1.6)
            ax.plot(
                times,
                voltage[times - window.first_step],
                linestyle="none",
                marker="v" if engine == "float" else "o",
                markersize=7,
                markerfacecolor="none" if engine == "float" else PALETTE[engine],
                markeredgecolor=PALETTE[engine],
                markeredgewidth=1.6,
                clip_on=False,
            )
            x, y = (0.0, 1.03) if engine == "float" else (0.14, 1.03)
            ax.text(x, y, engine, fontsize=12, color=PALETTE[engine], transform=ax.transAxes)
        ax.annotate("threshold", (1.01, 1), xycoords=("axes fraction", "data"), fontsize=10, color=PALETTE["muted"])
        ax.set_xlim(steps[0] - 0.5, steps[-1] + 0.5)
        ax.margins(y=0.08)
        ax.locator_params(axis="y", nbins=4)
        ax.tick_params(labelbottom=False)
        ax.set_ylabel("V", fontsize=11, color=PALETTE["muted"])
        below = axes(figure, 46, 178, 52, 44)
        below.bar(steps, window.arriving, 0.7, color=PALETTE["same"], linewidth=0)
        below.set_xlim(*ax.get_xlim())
        below.locator_params(axis="y", nbins=2)
        below.set_ylabel("input", fontsize=11, color=PALETTE["muted"])
        below.set_xlabel("step", fontsize=11, color=PALETTE["muted"], labelpad=3)
        return inline_svg(
            figure,
            key=f"chart-trace-{index}",
            title=f"Neuron {attribution.neuron} of {attribution.population} around step {attribution.step}",
            description=f"Voltages in units of the threshold. {'; '.join(said)}.",
        )


def _percent(value: float) -> str:
    """Signed, in three digits; a plus is written, as the direction is what matters."""
    digits = 3 if abs(value) < 1 else 2
    text = fixed(value, digits)
    return f"+{text}" if value > 0 and not text.startswith("−") else text
