"""Which class is read for which: the confusion matrix of the chip beside that of float, classes, samples that flip."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.report.content import Flips, Report, Rung, Tally
from toolchain.report.ladder import find_rung, rung_label
from toolchain.report.tables import OPEN_ROWS, Column, folded, table
from toolchain.report.wording import NOTHING, Markup, count, counted, escaped, fixed, listed, percent

CLASSES_SHOWN = 40
"""A larger matrix has cells that nobody can read; its most frequent confusions are listed all the same."""
PAIRS_SHOWN = 3
FLIPS_SHOWN = 200
SIGNIFICANT = 0.05


def confusion_section(report: Report) -> str:
    """Matrix, accuracy of classes on every rung, flipped samples; nothing where nothing was counted."""
    before, after = find_rung(report.ladder, "float"), find_rung(report.ladder, "emulator")
    if after is None or after.tally is None:
        return ""
    tally = after.tally
    base = before.tally if before is not None and before.samples == after.samples else None
    parts = [f"<p>{escaped(_worst(tally))}</p>\n"]
    if tally.classes <= CLASSES_SHOWN:
        parts.append(_matrix("the emulator", tally, base))
        if base is not None:
            parts.append(folded("The same in float", _matrix("float", base, None)))
    else:
        words = f"The matrix of {tally.classes} classes is too large for a page; report.json has it."
        parts.append(f"<p>{words}</p>\n")
    parts.append(_classes(report.ladder, report.vendor))
    if report.flips is not None:
        parts.append(flips_part(report.flips))
    return "".join(parts)


def _worst(tally: Tally) -> str:
    """The most frequent confusions, in words."""
    pairs = [
        (n, label, read)
        for label, row in enumerate(tally.confusion)
        for read, n in enumerate(row)
        if n and read != label
    ]
    if not pairs:
        return "The emulator reads every sample right."
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    named = [f"{label} as {_class(read, tally)} ({count(n)})" for n, label, read in pairs[:PAIRS_SHOWN]]
    wrong = sum(n for n, _, _ in pairs)
    return f"The emulator reads {counted(wrong, 'sample')} wrong. Most often: {listed(named)}."


def _class(read: int, tally: Tally) -> str:
    return "none" if read == tally.classes else str(read)


def _matrix(name: str, tally: Tally, base: Tally | None) -> Markup:
    """Counts as a table whose cells are tinted by their share of the row; changes against `base` beside them."""
    none_read = any(row[-1] for row in tally.confusion) or (base and any(row[-1] for row in base.confusion))
    reads = range(tally.classes + 1 if none_read else tally.classes)
    rows = []
    for label, row in enumerate(tally.confusion):
        total = sum(row)
        cells = []
        for read in reads:
            change = row[read] - base.confusion[label][read] if base else 0
            cells.append(_cell(row[read], total, read == label, change))
        right = percent(row[label] / total, 1) if total else NOTHING
        rows.append([Markup(str(label)), *cells, right])
    columns = [Column("True class", numeric=False), *(Column(_class(read, tally)) for read in reads), Column("Right")]
    about = ", changes against float raised" if base else ""
    return table(f"Classes read in {name}, by true class{about}", columns, rows, "confusion")


def _cell(n: int, total: int, right: bool, change: int) -> Markup:
    if not n and not change:
        return Markup('<span class="zero">0</span>')
    heat = n / total if total else 0.0
    kind = "right" if right else "wrong"
    moved = f'<sup class="{"up" if change > 0 else "down"}">{change:+d}</sup>'.replace("-", "−") if change else ""
    return Markup(f'<span class="heat {kind}" style="--heat:{heat:.2f}">{count(n)}{moved}</span>')


def _classes(ladder: Sequence[Rung], vendor: str) -> str:
    """Share of each class that each rung reads right."""
    counted_rungs = [(r, r.tally) for r in ladder if r.tally is not None]
    if not counted_rungs:
        return ""
    classes = max(t.classes for _, t in counted_rungs)
    rows = []
    for label in range(classes):
        cells = []
        for _, tally in counted_rungs:
            total = sum(tally.confusion[label])
            cells.append(percent(tally.confusion[label][label] / total, 1) if total else NOTHING)
        rows.append([Markup(str(label)), *cells, count(sum(counted_rungs[0][1].confusion[label]))])
    columns = [
        Column("Class", numeric=False),
        *(Column(rung_label(r.rung, vendor)) for r, _ in counted_rungs),
        Column("Samples"),
    ]
    result = table("Samples of each class that are read right, by rung", columns, rows)
    return result if classes <= OPEN_ROWS else folded(f"Accuracy of {counted(classes, 'class', 'classes')}", result)


def flips_part(flips: Flips) -> str:
    """The paired comparison of emulator and float, and every sample that is read differently."""
    sentence = against_sentence(flips)
    if not flips.samples:
        return f"<h3>Samples that change their class</h3>\n<p>{escaped(sentence)}</p>\n"
    rows = []
    for f in flips.samples[:FLIPS_SHOWN]:
        effect = "lost" if f.float_class == f.label else "gained" if f.chip_class == f.label else "wrong in both"
        rows.append(
            [
                Markup(count(f.sample)),
                count(f.label),
                _read(f.float_class),
                _read(f.chip_class),
                Markup(f'<span class="effect {effect.split()[0]}">{effect}</span>'),
            ]
        )
    columns = [
        Column("Sample"),
        Column("True class"),
        Column("Float reads"),
        Column("Emulator reads"),
        Column("Effect", numeric=False),
    ]
    result = table("Samples that float and emulator read differently", columns, rows, "small")
    if len(flips.samples) > FLIPS_SHOWN:
        result = Markup(f"{result}<p>The first {FLIPS_SHOWN} are listed; report.json has all.</p>\n")
    shown = result if len(rows) <= OPEN_ROWS else folded(f"All {counted(len(flips.samples), 'sample')}", result)
    return f"<h3>Samples that change their class</h3>\n<p>{escaped(sentence)}</p>\n{shown}"


def _read(label: int) -> str:
    return "none" if label < 0 else count(label)


def against_sentence(flips: Flips) -> str:
    """What the paired test says, without a claim that it cannot make."""
    a = flips.against
    if not flips.samples:
        return f"Float and emulator read the same class of each of {counted(a.shared, 'sample')}."
    return (
        f"Of {counted(a.shared, 'sample')}, {count(len(a.lost))} right in float are wrong in the emulator, "
        f"{count(len(a.gained))} the reverse, {count(len(a.moved))} wrong in both as another class. McNemar's exact "
        f"test gives p = {p_value(a.p_value)}; {judged(a.p_value)}."
    )


def judged(p: float) -> str:
    """What a p value says of a split; SIGNIFICANT is the usual 5 %, and one test of many may pass it by chance."""
    if p < SIGNIFICANT:
        return "so uneven a split would be rare by chance"
    return "chance alone can split them like that: no evidence of a difference"


def p_value(p: float) -> str:
    """A p value with what digits it deserves."""
    return "less than 0.001" if p < 0.001 else fixed(p, 3 if p < 0.1 else 2)
