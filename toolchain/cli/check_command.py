"""`delayline data check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.output import say

if TYPE_CHECKING:
    from toolchain.datasets.checks.inspection import Inspection

SHOWN = 40
"""Classes or speakers that the table lists; --json lists all."""


def run(path: Path, json: bool) -> tuple[Any, int]:
    """Look at a file or folder and return what was found and the exit code."""
    from toolchain.datasets.checks import items
    from toolchain.datasets.checks.isolated import inspect_isolated

    found = []
    for item in items(path):
        say(f"look at {item.path / item.pattern if item.pattern else item.path}")
        found.append(inspect_isolated(item))
    code = 2 if any(inspection.failed for inspection in found) else 0
    if json:
        return {"ok": code == 0, "inspections": [inspection.to_json() for inspection in found]}, code
    for inspection in found:
        _print(inspection)
    return None, code


def _print(found: Inspection) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(found.path), title_justify="left", show_header=False)
    for name, value in rows(found):
        table.add_row(name, escape(value))
    for finding in found.findings:
        table.add_row(
            f"[bold {'red' if finding.level == 'error' else 'yellow'}]{finding.level}[/]", escape(finding.text)
        )
    if not found.findings:
        table.add_row("[bold green]clean[/]", "nothing is wrong with it")
    # Not the width of a terminal that is not there: a line of a log is as long as it has to be.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


def rows(found: Inspection) -> list[tuple[str, str]]:
    """Lines of the table: name and text."""
    kind = {True: "real recordings", False: "synthetic", None: "cannot be told"}[found.real]
    lines = [("what", found.kind), ("real or synthetic", kind), ("published MD5", found.md5)]
    if found.samples is not None:
        lines.append(("samples", str(found.samples)))
    if found.channels is not None:
        lines.append(("channels", str(found.channels)))
    for name, counts in (("classes", found.classes), ("speakers", found.speakers)):
        if counts:
            lines.append((name, f"{len(counts)}: {_counted(counts)}"))
    if found.duration_s:
        lines.append(("duration", "mean {mean:.3f} s, max {max:.3f} s".format(**found.duration_s)))
    if found.events:
        lines.append(("events a sample", "min {min:.0f}, mean {mean:.1f}, max {max:.0f}".format(**found.events)))
    lines += [(name, str(value)) for name, value in found.about.items() if name not in ("real", "n_units", "format")]
    return lines


def _counted(counts: dict[str, int]) -> str:
    listed = [f"{name} {count}" for name, count in list(counts.items())[:SHOWN]]
    return ", ".join(listed) + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")
