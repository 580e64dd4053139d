"""What pruning removed and what that saved, on the page."""

from __future__ import annotations

from toolchain.deployment.target import Pruned
from toolchain.report.tables import Column, part_of, table
from toolchain.report.wording import NOTHING, Markup, arrow, count, counted, escaped


def pruning_section(pruned: Pruned | None) -> str:
    """Two tables, or nothing where pruning was not asked for."""
    if pruned is None:
        return ""
    whole = sum(p.synapses for p in pruned.projections)
    sentence = f"{counted(pruned.removed, 'synapse')} of {count(whole)} removed; the others make up for them."
    if pruned.longest_slot is not None:
        slot = count(pruned.longest_slot)
        sentence += f" All with a delay beyond slot {slot} went, for what their delay alone takes of a core."
    rows = [
        [arrow(p.projection), count(p.synapses), part_of(p.removed, p.synapses), count(p.synapses - p.removed)]
        for p in pruned.projections
    ]
    columns = [Column("Projection", numeric=False), Column("Synapses"), Column("Pruned"), Column("Left")]
    saved = [
        [s.name.replace("_", " "), *(NOTHING if n is None else Markup(_amount(n, s.unit)) for n in (s.before, s.after))]
        for s in pruned.savings
    ]
    headings = [Column("Resource", numeric=False), Column("Before"), Column("After")]
    return (
        f"<p>{sentence}</p>\n"
        f"{table('Synapses, by projection', columns, rows)}{table('What pruning saved', headings, saved, 'small')}"
    )


def _amount(number: int, unit: str) -> str:
    return f'{count(number)} <span class="unit">{escaped(unit)}</span>'
