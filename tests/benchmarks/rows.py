"""Rows of the benchmark table, how they are printed and written, and how one failure leaves the others alone."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict


class Row(TypedDict):
    """One comparison; `ratio` above 1 means that ours is better.

    `ours` and `peer` are medians in `unit`, both of one run on one machine, or `peer` is a goal where there is nobody
    to compare with.
    """

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float


def smaller_is_better(name: str, ours: float, peer: float, unit: str, peer_name: str) -> Row:
    """A row of times or sizes."""
    return Row(name=name, ours=ours, peer=peer, peer_name=peer_name, unit=unit, ratio=peer / ours)


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text with a heading."""
    lines = [f"{'name':<32}{'ours':>12}{'peer':>12}  {'unit':<14}{'ratio':>9}  peer"]
    for row in rows:
        lines.append(
            f"{row['name']:<32}{row['ours']:>12.4g}{row['peer']:>12.4g}  {row['unit']:<14}{row['ratio']:>9.4g}  "
            f"{row['peer_name']}"
        )
    return "\n".join(lines)


def collect(benchmarks: Mapping[str, Callable[[], list[Row]]]) -> tuple[list[Row], list[str]]:
    """Run every benchmark; one that raises is named with its error and costs nobody else's rows.

    Returns
    -------
    rows : of all that ran
    failed : names of those that raised
    """
    rows: list[Row] = []
    failed: list[str] = []
    for name, measure in benchmarks.items():
        try:
            rows += measure()
        except Exception as error:
            print(f"{name}: FAILED, {type(error).__name__}: {error}", flush=True)
            traceback.print_exc()
            failed.append(name)
    return rows, failed


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(rows), indent=2) + "\n", encoding="utf-8")
