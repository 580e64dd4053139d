"""`delayline inspect`: what lies on which core, and the tables that it reads."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

from toolchain.errors import BundleError


def run(path: Path, rows: int, json: bool) -> Any:
    """The tables of a bundle where its target can show them, otherwise its placement.

    Parameters
    ----------
    rows : how many rows of each table of synapses are shown decoded

    Raises
    ------
    BundleError
        If the folder is no bundle, or damaged.
    """
    from toolchain.deployment.abilities import InspectableTarget
    from toolchain.deployment.bundle import read_bundle

    bundle = read_bundle(path)
    placement = _read_placement(path)
    shown = isinstance(bundle.target, InspectableTarget)
    tables = bundle.target.describe(path, rows=rows) if isinstance(bundle.target, InspectableTarget) else None
    if json:
        lines = None if tables is None else tables.splitlines()
        return {"target": bundle.target.name, "placement": placement, "tables": lines}
    return tables if shown else _placement_text(path, bundle.target.name, placement)


def _read_placement(path: Path) -> list[dict[str, Any]]:
    """Cores of the bundle; it is among the files whose hashes were checked where its manifest lists it."""
    try:
        placement = json_module.loads((path / "placement.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"bundle {path}: placement.json cannot be read ({error}); deploy again") from error
    if not isinstance(placement, list) or not all(isinstance(core, dict) for core in placement):
        raise BundleError(f"bundle {path}: placement.json is no list of cores; deploy again")
    return placement


def _placement_text(path: Path, target: str, placement: list[dict[str, Any]]) -> str:
    try:
        lines = [f"{len(placement)} cores of {target}; its bundles hold no tables that could be shown"]
        for core in placement:
            where = f"chip {core['chip']} core {core['core']}"
            lines.append(f"{where}: {core['population']}, neurons {core['first']}..{core['last']}")
            lines += [f"  {name}: {used:g}" for name, used in core["use"].items()]
            lines += [f"  {name}: {stored}" for name, stored in core["formats"].items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"bundle {path}: placement.json is damaged ({error!r}); deploy again") from error
    return "\n".join(lines)
