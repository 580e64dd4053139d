"""`delayline cost`: what an inference costs, bundle beside bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def run(paths: list[Path], json: bool) -> Any:
    """Counts and estimates of bundles, from their reports; BundleError where one has none."""
    from toolchain.report.side_by_side import read_cost, render

    costs = [read_cost(path) for path in paths]
    return costs if json else render(costs)
