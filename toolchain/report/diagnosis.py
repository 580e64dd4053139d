"""Why a device differs from the emulator, on the page: what was found, and the traces around the first difference."""

from __future__ import annotations

from typing import Any

from toolchain.diagnosis.findings import Diagnosis, Finding, Window
from toolchain.report.svg import PALETTE, axes, canvas, drawing, inline_svg
from toolchain.report.tables import Column, table
from toolchain.report.wording import NOTHING, Markup, arrow, count, counted, escaped, listed, plain

WIDTH = 720
ALTERNATIVES = 5
"""Other causes that are written out; there may be hundreds."""


def diagnosis_section(diagnosis: Diagnosis | None, device: str, key: str = "chart-window") -> str:
    """Words first, then a table of findings and a picture; nothing where nothing was diagnosed.

    `key` is the id of the picture, of which a page has one for each device.
    """
    if diagnosis is None:
        return ""
    parts = [f"<p>{escaped(diagnosis.sentence)} Each step was replayed from what {escaped(device)} reported of "]
    parts.append("the step before, so that only the neurons at fault deviate, not those that they reach.</p>\n")
    if diagnosis.equal:
        # Validation runs the samples that differ again, to have their traces.
        parts.append(
            f"<p>Run again, the samples that differed did not: {escaped(device)} does not do the same each time.</p>\n"
        )
    if diagnosis.findings:
        items = "".join(f"<li>{escaped(f.text)}{_others(f)}</li>" for f in diagnosis.findings)
        parts.append(f'<ul class="findings">{items}</ul>\n')
    if diagnosis.unexplained:
        items = "".join(f"<li>{escaped(u.text)}</li>" for u in diagnosis.unexplained)
        parts.append(f"<p>Not explained:</p>\n<ul>{items}</ul>\n")
    if diagnosis.findings:
        parts.append(_table(diagnosis))
    if diagnosis.window is not None:
        parts.append(_window(diagnosis.window, device, key))
    limits = [*diagnosis.not_available, *_idle(diagnosis)]
    if limits:
        parts.append(f"<p>Not tested: {escaped('; '.join(limits))}.</p>\n")
    return "".join(parts)


def _others(finding: Finding) -> Markup:
    if not finding.alternatives:
        return Markup("")
    shown = "; ".join(finding.alternatives[:ALTERNATIVES])
    more = len(finding.alternatives) - ALTERNATIVES
    rest = f"; and {counted(more, 'other')}" if more > 0 else ""
    note = f"These samples cannot tell it from: {shown}{rest}."
    return Markup(f'<span class="note">{escaped(note)}</span>')


def _table(diagnosis: Diagnosis) -> str:
    rows = []
    for f in diagnosis.findings:
        sample, step, neuron = f.first
        rows.append(
            [
                f.cause,
                _where(f),
                NOTHING if f.expected is None else count(f.expected),
                _found(f),
                f"{count(f.explained)} of {count(f.total)}",
                f"sample {count(sample)}, step {count(step)}, neuron {count(neuron)}",
            ]
        )
    columns = [
        Column("Cause", numeric=False),
        Column("Where", numeric=False),
        Column("Must be"),
        Column("Is"),
        Column("States explained"),
        Column("First", numeric=False),
    ]
    return table("What was found", columns, rows)


def _where(finding: Finding) -> str:
    if finding.synapse is not None and finding.projection is not None:
        pre, post = finding.synapse
        return f"{arrow(finding.projection)}, {count(pre)} → {count(post)}"
    if finding.projection is not None:
        return arrow(finding.projection)
    return f"{finding.population}{f', neuron {listed([count(n) for n in finding.neurons])}' if finding.neurons else ''}"


def _found(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return NOTHING
    if finding.low == finding.high:
        return count(finding.low)
    return f"{count(finding.low)} to {count(finding.high)}"


def _idle(diagnosis: Diagnosis) -> list[str]:
    idle = [(name, silent, of) for name, (silent, of) in diagnosis.idle.items() if silent]
    return [
        f"{count(silent)} of {count(of)} synapses of {arrow(name)}, whose sources never spike"
        for name, silent, of in idle
    ]


def _window(seen: Window, device: str, key: str) -> str:
    shown = [q for q in ("u", "v") if q in seen.ours and q in seen.theirs]
    legend = (
        '<ul class="legend"><li><span class="swatch line"></span>emulator</li>'
        f'<li><span class="swatch fill"></span>{escaped(device)}</li></ul>\n'
    )
    words = (
        f"Neuron {count(seen.neuron)} of {escaped(seen.population)} in sample {count(seen.sample)}, steps "
        f"{count(seen.steps[0])} to {count(seen.steps[-1])}: the first difference is at step {count(seen.at)}."
    )
    picture = (
        f'{legend}<figure class="chart wide">{window_chart(seen, device, key)}'
        f"<figcaption>{words}</figcaption></figure>\n"
        if (shown or "spikes" in seen.theirs)
        else ""
    )
    here = [a for a in seen.arrivals if a[0] == seen.at]
    if not here:
        return picture
    rows = [[source, count(neuron), count(slot), count(weight)] for _, source, neuron, slot, weight in here]
    columns = [Column("Source", numeric=False), Column("Neuron"), Column("Slot"), Column("Weight")]
    return picture + table(f"What must arrive at step {count(seen.at)}, of the spikes reported", columns, rows)


def window_chart(seen: Window, device: str, key: str = "chart-window") -> Markup:
    """Draw u and v of both engines, a row of spikes below each other, and the step of the first difference."""
    quantities = [q for q in ("u", "v") if q in seen.ours and q in seen.theirs]
    height = 130
    with drawing():
        figure = canvas(WIDTH, (height + 34) * len(quantities) + 96)
        top = 18.0
        for quantity in quantities:
            ax = axes(figure, 92, top, 12, height)
            ax.grid(axis="y", color=PALETTE["rule"], linewidth=1)
            ax.axvline(seen.at, color=PALETTE["split"], linewidth=1)
            if quantity == "v" and seen.threshold is not None:
                ax.axhline(seen.threshold, color=PALETTE["muted"], linestyle=":", linewidth=1.2)
            ax.plot(seen.steps, seen.theirs[quantity], color=PALETTE["chip"], marker="o", markersize=4, linewidth=1.4)
            ax.plot(seen.steps, seen.ours[quantity], color=PALETTE["float"], linestyle="--", linewidth=1.4)
            ax.set_ylabel(quantity, fontsize=12, color=PALETTE["ink"], rotation=0, labelpad=16)
            _ticks(ax, seen)
            top += height + 34
        ax = axes(figure, 92, top, 12, 40)
        ax.axvline(seen.at, color=PALETTE["split"], linewidth=1)
        for row, (states, colour) in enumerate(((seen.ours, "float"), (seen.theirs, "chip"))):
            there = [t for t, s in zip(seen.steps, states.get("spikes", ()), strict=False) if s]
            ax.plot(there, [row] * len(there), linestyle="none", marker="|", markersize=12, color=PALETTE[colour])
        ax.set_ylim(1.6, -0.6)
        ax.set_yticks([0, 1], ["emulator", plain(device, 12)])
        _ticks(ax, seen)
        ax.set_xlabel("step", fontsize=11, color=PALETTE["muted"], labelpad=4)
        return inline_svg(
            figure,
            key=key,
            title=f"Traces of neuron {seen.neuron} of {plain(seen.population)} around the first difference",
            description=_described(seen, device, quantities),
        )


def _ticks(ax: Any, seen: Window) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(seen.steps[0] - 0.5, seen.steps[-1] + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    if ax.get_ylabel():
        ax.ticklabel_format(axis="both", style="plain", useOffset=False)


def _described(seen: Window, device: str, quantities: list[str]) -> str:
    """What the picture shows, in words."""
    at = seen.steps.index(seen.at)
    values = [
        f"{q} is {count(seen.ours[q][at])} in the emulator and {count(seen.theirs[q][at])} in {device}"
        for q in quantities
    ]
    for name, states in (("the emulator", seen.ours), (device, seen.theirs)):
        if "spikes" in states:
            there = [count(t) for t, s in zip(seen.steps, states["spikes"], strict=True) if s]
            values.append(f"spikes of {name}: {listed(there) if there else 'none'}")
    limit = "" if seen.threshold is None else f" The threshold is {count(seen.threshold)}."
    return f"At step {count(seen.at)} {'; '.join(values)}.{limit}"
