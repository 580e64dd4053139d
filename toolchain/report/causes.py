"""Why the chip's spikes first differ from those of the float network, and how far they are apart, on the page."""

from __future__ import annotations

from toolchain.attribution.causes import Causes
from toolchain.attribution.distances import SpikeDistances
from toolchain.attribution.divergence import WORDS, Attribution
from toolchain.report.causes_charts import trace_chart, waterfall_chart
from toolchain.report.tables import Column, part_of, table
from toolchain.report.wording import NOTHING, Markup, count, counted, escaped, fixed, number


def causes_section(causes: Causes | None, distances: SpikeDistances | None) -> str:
    """Sentences, the histogram, one or two samples in full, distances; nothing where nothing was compared."""
    parts = []
    if causes is not None:
        parts.append(f"<p>{escaped(causes.sentence())}{escaped(_rest(causes))}</p>\n")
        if causes.attributions:
            parts.append(_histogram(causes))
            parts.append(_typical(causes))
            parts.append(
                "<p>Up to the first spike that differs every neuron gets the same input in both engines, so that spike "
                "is explained by its own synapses and constants. Each change of quantisation gets its mean "
                "contribution over all orders in which the changes can be applied; together they are the whole "
                "difference.</p>\n"
            )
            parts += [_shown(index, attribution) for index, attribution in enumerate(causes.shown)]
    if distances is not None:
        parts.append(_distances(distances))
    return "".join(parts)


def _rest(causes: Causes) -> str:
    """What the sentence leaves out: how many samples, and those whose spikes are equal."""
    text = f" These are the first {count(causes.samples)} of {count(causes.of)} test samples."
    lost, gained = causes.outcomes_equal
    equal = causes.samples - causes.diverging
    if causes.attributions and equal:
        text += f" All spikes are the same in {count(equal)}"
        text += f", of which {count(lost)} lose their class and {count(gained)} gain it." if lost or gained else "."
    return text if causes.samples < causes.of or equal else ""


def _histogram(causes: Causes) -> Markup:
    rows = [
        [
            Markup(f'{escaped(row.population)} <span class="what">{escaped(WORDS[row.cause])}</span>'),
            part_of(row.samples, causes.diverging),
            fixed(row.mean_step, 0),
            _of_threshold(row.mean_margin),
            part_of(row.off_by_one, row.samples),
            part_of(row.knife_edge, row.samples),
            count(row.lost),
            count(row.gained),
        ]
        for row in causes.rows()
    ]
    columns = [
        Column("First divergence in, and cause", numeric=False),
        Column("Samples"),
        Column("Mean step"),
        Column("Float margin", unit="of threshold"),
        Column("Same spike one step apart"),
        Column("On a knife's edge"),
        Column("Class lost"),
        Column("Class gained"),
    ]
    return table("Causes of the first spike that differs, by population", columns, rows)


def _typical(causes: Causes) -> str:
    """What each change does to V at spikes in general: a first divergence is early and nearest to the threshold."""
    if not causes.typical:
        return ""
    rows = [
        [
            Markup(f'{escaped(t.population)} <span class="what">{escaped(WORDS[t.cause])}</span>'),
            count(t.spikes),
            _of_threshold(t.rms),
            _of_threshold(t.largest),
        ]
        for t in causes.typical
    ]
    columns = [
        Column("Change of V, by", numeric=False),
        Column("Spikes"),
        Column("Root mean square", unit="of threshold"),
        Column("Largest", unit="of threshold"),
    ]
    return table("What each change does to V at spikes of the float network, given its input", columns, rows, "small")


def _shown(index: int, attribution: Attribution) -> str:
    """One sample in full."""
    figures = "".join(
        f'<figure class="chart">{picture}</figure>\n'
        for picture in (waterfall_chart(index, attribution), trace_chart(index, attribution))
    )
    rows = [
        [
            Markup(f"{escaped(s.source)} {count(s.source_neuron)}"),
            number(s.weight),
            number(s.chip_weight),
            count(s.slot),
            count(s.chip_slot),
            _of_threshold(s.effect),
            ", ".join(count(step) for step in s.chip_arrivals) or NOTHING,
        ]
        for s in attribution.synapses
    ]
    columns = [
        Column("Synapse from", numeric=False),
        Column("Weight"),
        Column("On the chip"),
        Column("Slot"),
        Column("On the chip"),
        Column("Changes V by", unit="of threshold"),
        Column("Last arrivals", unit="steps"),
    ]
    caption = f"Sample {attribution.sample}: synapses whose change counts most"
    synapses = table(caption, columns, rows, "small") if rows else ""
    return f'<p>{escaped(attribution.sentence)}</p>\n<div class="grid">{figures}</div>\n{synapses}'


def _distances(distances: SpikeDistances) -> str:
    if not distances.populations:
        return ""
    total, differing = (sum(getattr(p, field) for p in distances.populations) for field in ("trains", "differing"))
    words = (
        f"On {counted(distances.samples, 'sample')}, {count(differing)} of {counted(total, 'spike train')} (a neuron, "
        "a sample) differ. "
    )
    if distances.missing:
        words += f"Van Rossum and Victor-Purpura distances: {distances.missing}."
    else:
        words += (
            f"Distances are means over the trains of the first {counted(distances.compared_samples, 'sample')}, with a "
            f"time constant of {number(distances.tau_ms)} ms ({number(distances.tau_steps)} steps) and a cost of "
            f"{number(distances.cost_per_ms)} per ms ({number(distances.cost_per_step)} per step): a spike that one "
            "engine lacks is 1 in either."
        )
    rows, worst = [], []
    for p in distances.populations:
        rows.append(
            [p.population, count(p.trains), part_of(p.differing, p.trains), *_pair(p.van_rossum, p.victor_purpura),
             *(number(r) for r in (p.float_rate, p.chip_rate)), number(p.chip_rate - p.float_rate)]
        )  # fmt: skip
        worst += [
            [Markup(f"{escaped(p.population)} {count(n.neuron)}"), *_pair(n.van_rossum, n.victor_purpura),
             *(number(r) for r in (n.float_rate, n.chip_rate)), number(n.chip_rate - n.float_rate)]
            for n in p.worst
        ]  # fmt: skip
    measured = [Column("Van Rossum"), Column("Victor-Purpura")]
    rates = [Column("Float", unit="spikes a sample"), Column("Chip", unit="spikes a sample"), Column("Difference")]
    whole = table(
        "Spike trains, by population: distances and mean rates",
        [Column("Population", numeric=False), Column("Trains"), Column("That differ"), *measured, *rates],
        rows,
    )
    by = "rate changes most" if distances.missing else "spikes are farthest apart"
    neurons = table(f"Neurons whose {by}", [Column("Neuron", numeric=False), *measured, *rates], worst, "small")
    return f"<p>{escaped(words)}</p>\n{whole}{neurons if worst else ''}"


def _of_threshold(value: float) -> str:
    """In percent, three digits, however small."""
    return f"{number(100 * value, 3)}%"


def _pair(van_rossum: float | None, victor_purpura: float | None) -> list[str]:
    return [NOTHING if d is None else number(d, 3) for d in (van_rossum, victor_purpura)]
