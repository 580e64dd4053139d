"""Findings that are one: an input that is late, a layer that is late, a layer whose reports are late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toolchain.diagnosis.findings import Finding
from toolchain.diagnosis.model import Model

SHIFT = "off by one step"


def merge_layers(findings: Sequence[Finding], model: Model) -> list[Finding]:
    """Join findings on projections that are shifted alike.

    All that leaves a spike source late by as much: the input is. All that reaches a population late, and all that
    leaves it early: it does everything on time, but reports it late. All that reaches it late, itself included: it is.
    """
    late = {f.projection: f.low for f in findings if f.cause == SHIFT and f.projection is not None}
    left = list(findings)
    for cells in model.cells:
        incoming, outgoing = (
            [s.name for s in some] for some in (model.incoming(cells.name), model.outgoing(cells.name))
        )
        itself = f"{cells.name}->{cells.name}"
        if not cells.constants:
            shifts = {late.get(name) for name in outgoing}
            if len(shifts) == 1 and None not in shifts:
                left = _join(
                    left, cells.name, outgoing, f"input {cells.name}: its spikes arrive {_steps(shifts.pop())}"
                )
            continue
        others_in = [n for n in incoming if n != itself]
        others_out = [n for n in outgoing if n != itself]
        shifts = {late.get(name) for name in others_in}
        if len(shifts) != 1 or None in shifts:
            continue
        (shift,) = shifts
        assert shift is not None
        if others_out and itself not in late and {late.get(n) for n in others_out} == {-shift}:
            text = f"population {cells.name}: all that it reports is {_steps(shift)}"
            left = _join(left, cells.name, others_in + others_out, text)
        elif len(incoming) > 1 and {late.get(n) for n in incoming} == {shift}:
            left = _join(
                left, cells.name, incoming, f"population {cells.name}: all that it receives arrives {_steps(shift)}"
            )
    return _all_late(left, model)


def _all_late(findings: list[Finding], model: Model) -> list[Finding]:
    """A network that gets all of its input late does everything late, and looks like one that reports it late."""
    sources = {c.name for c in model.cells if not c.constants}
    inputs = [f for f in findings if f.cause == SHIFT and f.population in sources]
    shifts = {f.low for f in inputs}
    if {f.population for f in inputs} != sources or len(shifts) != 1:
        return findings
    (shift,) = shifts
    if shift is None or shift < 0:
        return findings
    words = f"all that the device reports is {_steps(shift)}"
    return [replace(f, alternatives=(*f.alternatives, words)) if f in inputs else f for f in findings]


def _steps(shift: int | None) -> str:
    assert shift is not None
    return f"{abs(shift)} step{'s' if abs(shift) > 1 else ''} {'late' if shift > 0 else 'early'}"


def _join(findings: list[Finding], population: str, names: list[str], words: str) -> list[Finding]:
    """Put one finding in the place of the first of those on these projections; nothing if they were joined already."""
    mine = [f for f in findings if f.cause == SHIFT and f.projection in names]
    if not mine or len(mine) < len(names):
        return findings
    # Findings that were made together count the same states.
    groups = {(f.population, f.first, f.total): f for f in mine}
    explained, total = (sum(getattr(f, key) for f in groups.values()) for key in ("explained", "total"))
    first, text = mine[0], f"{words}; explains {explained} of {total} deviating states"
    joined = replace(
        first, population=population, neurons=(), text=text, explained=explained, total=total,
        projection=names[0] if len(names) == 1 else None,
    )  # fmt: skip
    at = findings.index(first)
    rest = [f for f in findings if f not in mine]
    rest.insert(sum(f not in mine for f in findings[:at]), joined)
    return rest
