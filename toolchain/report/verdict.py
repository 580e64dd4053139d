"""The top of the page: pass or fail, in how many points, and whether the chip's own code agrees."""

from __future__ import annotations

from toolchain.report.content import Report
from toolchain.report.ladder import find_rung, points_lost
from toolchain.report.wording import Markup, count, counted, escaped, fixed, percent

_MARKS = {"pass": "✓", "fail": "✗"}


def verdict_panel(report: Report) -> Markup:
    """Verdict, one sentence on accuracy, one on equality, and the reasons for a failure."""
    kind = report.verdict if report.verdict in _MARKS else "other"
    mark = f'<span aria-hidden="true">{_MARKS[kind]}</span> ' if kind in _MARKS else ""
    reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in report.reasons)
    return Markup(
        f'<div class="verdict {kind}">\n<p class="word">{mark}{escaped(report.verdict.capitalize())}</p>\n'
        f'<p class="sentence">{accuracy_sentence(report)} {equality_sentence(report)}</p>\n'
        + (f'<ul class="reasons">{reasons}</ul>\n' if reasons else "")
        + f"</div>\n{_facts(report)}"
    )


def accuracy_sentence(report: Report) -> Markup:
    """Float accuracy, emulator accuracy and the points between them."""
    start, end = find_rung(report.ladder, "float"), find_rung(report.ladder, "emulator")
    if start is None or end is None:
        return Markup("Accuracy of the float network and of the emulator was not measured.")
    loss = points_lost(start, end)
    sentence = (
        f"Accuracy goes from {escaped(percent(start.accuracy))} in float to "
        f"{escaped(percent(end.accuracy))} in the emulator"
    )
    if loss is None:
        return Markup(f"{sentence}, on {count(start.samples)} and {counted(end.samples, 'sample')}.")
    return Markup(f"{sentence}: {_change(loss)} on {counted(end.samples, 'sample')}.")


def _change(loss: float) -> str:
    text = fixed(abs(loss), 2)
    if text == "0.00":
        return "no loss"
    unit = "point" if text == "1.00" else "points"
    return f"{text} {unit} {'lost' if loss > 0 else 'gained'}"


def equality_sentence(report: Report) -> Markup:
    """Equal to the vendor's code, the first difference, or not compared."""
    vendor = escaped(report.vendor)
    if report.first_divergence is not None:
        d = report.first_divergence
        return Markup(
            f"The emulator and {vendor} first differ in sample {count(d.sample)} at step {count(d.step)}: "
            f"{escaped(d.quantity)} of neuron {count(d.neuron)} in {escaped(d.layer)} is {count(d.ours)} in "
            f"the emulator, {count(d.theirs)} in {vendor}."
        )
    if report.tables is not None:
        if report.tables.equal:
            words, synapses = counted(report.tables.words, "word"), counted(report.tables.synapses, "synapse")
            return Markup(f"Every one of {words} that {vendor} writes for its cores, {synapses} among them, is ours.")
        return Markup(f"{vendor} writes other tables: {escaped(report.tables.difference or 'not said where')}.")
    if report.vendor_samples < 1:
        return Markup(
            f"It was not compared with {vendor}." if report.vendor else "It was not compared with vendor code."
        )
    if report.vendor_equal:
        return Markup(f"Every spike, u and v is equal to {vendor} on {counted(report.vendor_samples, 'sample')}.")
    return Markup(f"Not equal to {vendor} on {counted(report.vendor_samples, 'sample')}.")


def _facts(report: Report) -> str:
    """The figures that people look for, large."""
    start, end = find_rung(report.ladder, "float"), find_rung(report.ladder, "emulator")
    facts = []
    if start is not None:
        facts.append(("float", percent(start.accuracy)))
    if end is not None:
        facts.append(("emulator", percent(end.accuracy)))
    loss = points_lost(start, end)
    if loss is not None:
        facts.append(("points gained" if loss < 0 else "points lost", fixed(abs(loss), 2)))
    if report.tables is not None:
        facts.append((f"words compared with {report.vendor}", count(report.tables.words)))
    else:
        facts.append((f"samples compared with {report.vendor or 'vendor code'}", count(report.vendor_samples)))
    cores = len({(c.chip, c.core) for c in report.placement.cores})
    chips = len({c.chip for c in report.placement.cores})
    if cores:
        on = f" on {chips} chips" if chips > 1 else ""
        facts.append((f"{'core' if cores == 1 else 'cores'}{on}", count(cores)))
    items = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{items}</dl>\n'
