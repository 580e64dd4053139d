"""The spikes of a few samples on the page: pictures of all engines over each other, sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolchain.report.content import Figures, SampleSpikes
from toolchain.report.raster import NARROW, WIDE, drawn_steps, raster_chart
from toolchain.report.spike_comparison import ROLES, Comparison, Role, compare, role_labels
from toolchain.report.tables import Column, figure_of, table
from toolchain.report.wording import NOTHING, count, counted, escaped, listed, share

_HEADINGS: dict[Role, str] = {
    "same": "In all",
    "float": "Float only",
    "chip": "Not in float",
    "split": "Disagreed on",
}


def spikes_section(figures: Figures) -> str:
    """The first sample in full, further ones folded away: one is open at a time, and all are on paper."""
    samples = figures.samples()
    if not samples:
        return ""
    first = _sample(samples[0], figures, "")
    if len(samples) == 1:
        return first
    parts = []
    for i, one in enumerate(samples):
        about = one.why or "the first of the test set"
        summary = f"Sample {count(one.sample)}, class {count(one.label)}: {about}"
        body = first if i == 0 else _sample(one, figures, f"-{i}")
        opened = " open" if i == 0 else ""
        parts.append(
            f'<details class="sample" name="spikes"{opened}><summary>{escaped(summary)}</summary>\n{body}</details>\n'
        )
    return "".join(parts)


def _sample(one: SampleSpikes, figures: Figures, suffix: str) -> str:
    engines = list(one.rasters)
    comparisons = compare(one.rasters, figures.sizes)
    drawn = [c for c in comparisons if c.total]
    labels = role_labels(engines)
    steps = drawn_steps(drawn, figures.n_steps)
    quiet = f" None spikes after step {count(steps - 1)}, where the picture ends." if steps < figures.n_steps else ""
    quiet = quiet if drawn else " No neuron spikes in any engine."
    intro = (
        f"<p>Test sample {count(one.sample)} of class {count(one.label)}, "
        f"{counted(figures.n_steps, 'step')}. "
        f"{_spike_sentences(comparisons, labels)}{quiet}</p>\n"
    )
    picture = ""
    if drawn:
        pictures = "".join(
            f'<div class="{form.name}">{raster_chart(drawn, steps, form, suffix)}</div>' for form in (WIDE, NARROW)
        )
        totals = {role: sum(c.number(role) for c in drawn) for role in ROLES}
        legend = "".join(
            f'<li class="{role}">{_glyph(role)}{escaped(text)} <b>{count(totals[role])}</b></li>'
            for role, text in labels.items()
        )
        picture = figure_of(f'<ul class="legend">{legend}</ul>{pictures}', kind="chart raster")
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
    which = "this sample" if not suffix else f"sample {count(one.sample)}"
    return intro + picture + table(f"Spikes of {which}, by engine", columns, rows)


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
