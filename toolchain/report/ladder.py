"""The accuracy ladder: names of its rungs, and which loss may be computed at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.report.content import Rung
from toolchain.report.wording import counted

_EXPLANATIONS = (
    ("float", "as trained"),
    ("pruned", "without the synapses that cost least, their work taken over by the others"),
    ("delay", "in whole slots, none longer than the chip can carry"),
    ("weight", "the values that the chip's integers stand for"),
    ("constant", "decays and thresholds likewise"),
    ("emulator", "every sum and product in integers"),
    ("vendor", "the maker's own code"),
    ("chip", "the device itself"),
)


@dataclass(frozen=True)
class LadderRow:
    """A rung with what is computed from it.

    Attributes
    ----------
    correct : samples classified right, where accuracy times samples is a whole number
    loss : points lost against the rung before (negative: gained); None where the samples are not the same
    remark : why there is no loss
    """

    rung: Rung
    correct: int | None
    loss: float | None
    remark: str


def ladder_rows(ladder: Sequence[Rung]) -> list[LadderRow]:
    """Losses between neighbours with the same number of samples, and only those."""
    rows: list[LadderRow] = []
    before: Rung | None = None
    for rung in ladder:
        loss = points_lost(before, rung)
        remark = ""
        if before is not None and before.samples != rung.samples:
            only = " only" if rung.samples < before.samples else ""
            own, other = counted(rung.samples, "sample"), counted(before.samples, "sample")
            remark = f"{own}{only}, so no loss against {other}"
        rows.append(LadderRow(rung, _correct(rung), loss, remark))
        before = rung
    return rows


def points_lost(before: Rung | None, after: Rung | None) -> float | None:
    """Loss in points from one rung to another; None unless both are accuracies on as many samples."""
    if before is None or after is None or before.samples != after.samples:
        return None
    loss = 100 * (before.accuracy - after.accuracy)
    return loss if math.isfinite(loss) else None


def find_rung(ladder: Sequence[Rung], name: str) -> Rung | None:
    """The rung of that name."""
    return next((r for r in ladder if r.rung == name), None)


def rung_label(rung: str, vendor: str) -> str:
    """Name of a rung; the vendor's rung also names its code."""
    label = rung.replace("_", " ")
    return f"{label} ({vendor})" if rung == "vendor" and vendor else label


def explanation(rung: str) -> str:
    """What a rung adds to the one before; empty for one that we do not know."""
    return next((text for word, text in _EXPLANATIONS if word in rung.lower()), "")


def _correct(rung: Rung) -> int | None:
    exact = rung.accuracy * rung.samples
    if not math.isfinite(exact) or abs(exact - round(exact)) > 1e-3:
        return None
    return round(exact)
