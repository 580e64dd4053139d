"""Two deployments beside each other, from what their report.json says: accuracy, losses, resources, cost.

The difference of two accuracies has Newcombe's interval (1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-
SIM779>3.0.CO;2-I, method 10), made of the two Wilson intervals as if the samples were independent; where both read the
same samples that is too wide, never too narrow. Where both come from one trained network and one test set, which
samples each read right follows from those that flipped against the float network they share, and McNemar's exact test
compares them sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from toolchain.cost.content import LABEL
from toolchain.report.reading import from_reports, read_report

Content = Mapping[str, Any]
TRAINED = "trained network (best.safetensors)"
"""Under this name provenance has the hash of the network before anything was done to it."""
ERRORS = ("synapses", "zeroed", "clipped", "rms_error", "delays_moved", "delays_clipped", "delays_extended")
ESTIMATE = ("low", "value", "high", "note")


def compare_bundles(first: Path, second: Path) -> dict[str, Any]:
    """Compare two bundles; what comes back is what ``delayline report A B --json`` prints.

    Returns
    -------
    keys ``bundles``, ``same_network``, ``same_data``, ``ladder``, ``paired``, ``resources``, ``projections``, ``cost``;
    in every row ``a`` and ``b`` are the two bundles, None where one has nothing of it, and differences are b less a

    Raises
    ------
    BundleError
        If one of them has no report, or a damaged one.
    """
    a, b = read_report(first), read_report(second)
    with from_reports(first, second):
        return {
            "bundles": {"a": _identity(first, a), "b": _identity(second, b)},
            "same_network": _same(a, b, "sha256", TRAINED),
            "same_data": _same(a, b, "data") and _same(a, b, "binning"),
            "ladder": _ladder(a, b),
            "paired": paired(a, b),
            "resources": _resources(a, b),
            "projections": _projections(a, b),
            "cost": _cost(a, b),
        }


def _identity(path: Path, content: Content) -> dict[str, Any]:
    provenance = content.get("provenance") or {}
    keys = ("name", "target", "verdict", "reasons", "vendor", "vendor_equal", "vendor_samples")
    return {
        "path": str(path),
        **{key: content.get(key) for key in keys},
        **{key: provenance.get(key) for key in ("run", "data", "seed", "delayline")},
    }


def _same(a: Content, b: Content, *keys: str) -> bool:
    """Whether both provenances have the same value there; False where one has none."""
    values = []
    for content in (a, b):
        value: Any = content.get("provenance")
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        values.append(value)
    return values[0] is not None and values[0] == values[1]


def _ladder(a: Content, b: Content) -> list[dict[str, Any]]:
    """Every rung that one of them has, in the order of the ladders, with loss against its own rung before."""
    rungs = {which: _with_losses(content["ladder"]) for which, content in (("a", a), ("b", b))}
    rows = []
    for name in _merged([r["rung"] for r in a["ladder"]], [r["rung"] for r in b["ladder"]]):
        one, two = rungs["a"].get(name), rungs["b"].get(name)
        rows.append({"rung": name, "a": one, "b": two, **_difference(one, two)})
    return rows


def _with_losses(ladder: Sequence[Content]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    before: Content | None = None
    for rung in ladder:
        tally = rung.get("tally") or {}
        same = before is not None and before["samples"] == rung["samples"]
        found[rung["rung"]] = {
            "accuracy": float(rung["accuracy"]),
            "samples": int(rung["samples"]),
            "low": tally.get("low"),
            "high": tally.get("high"),
            "loss_points": 100 * (before["accuracy"] - rung["accuracy"]) if before is not None and same else None,
        }
        before = rung
    return found


def _difference(one: Content | None, two: Content | None) -> dict[str, Any]:
    """Points by which the second is better, with an interval where both have one."""
    if one is None or two is None:
        return {"difference_points": None, "low_points": None, "high_points": None}
    low, high = None, None
    if None not in (one["low"], one["high"], two["low"], two["high"]):
        low, high = newcombe((two["accuracy"], two["low"], two["high"]), (one["accuracy"], one["low"], one["high"]))
        low, high = 100 * low, 100 * high
    return {"difference_points": 100 * (two["accuracy"] - one["accuracy"]), "low_points": low, "high_points": high}


def newcombe(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float]:
    """Interval of the difference of two fractions, first less second, each given as (fraction, low, high) of Wilson.

    d - sqrt((p1 - l1)^2 + (u2 - p2)^2)   to   d + sqrt((u1 - p1)^2 + (p2 - l2)^2)
    """
    (p1, l1, u1), (p2, l2, u2) = first, second
    return p1 - p2 - math.hypot(p1 - l1, u2 - p2), p1 - p2 + math.hypot(u1 - p1, p2 - l2)


def paired(a: Content, b: Content) -> dict[str, Any] | None:
    """The two emulators sample by sample; None unless both report their flips against one float network on one set.

    Returns
    -------
    ``samples``, ``only_a`` and ``only_b`` (samples that one of them alone reads right), ``p_value`` (McNemar, exact)
    """
    if not (_same(a, b, "sha256", TRAINED) and _same(a, b, "data") and _same(a, b, "binning")):
        return None
    flips = [content.get("flips") for content in (a, b)]
    against = [f["against"] for f in flips if f]
    if len(against) < len(flips) or against[0]["shared"] != against[1]["shared"]:
        return None
    lost, gained = ([set(x[key]) for x in against] for key in ("lost", "gained"))
    only_a = sorted((lost[1] - lost[0]) | (gained[0] - gained[1]))
    only_b = sorted((lost[0] - lost[1]) | (gained[1] - gained[0]))
    return {
        "samples": against[0]["shared"],
        "only_a": only_a,
        "only_b": only_b,
        "p_value": sign_test(len(only_a), len(only_b)),
    }


def sign_test(one: int, other: int) -> float:
    """P value, two-sided: how likely so uneven a split is if either way were as likely; 1 without any."""
    n = one + other
    tail = sum(math.comb(n, k) for k in range(min(one, other) + 1))
    # Whole numbers until the end: 2^n overflows a float from 1024 samples on.
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def _resources(a: Content, b: Content) -> list[dict[str, Any]]:
    found = [{r["name"]: r for r in content["resources"]} for content in (a, b)]
    rows = []
    for name in _merged(found[0], found[1]):
        one, two = (f.get(name) for f in found)
        unit = (one or two or {}).get("unit", "")
        rows.append({"name": name, "unit": unit, "a": _used(one), "b": _used(two)})
    return rows


def _used(resource: Content | None) -> dict[str, Any] | None:
    return None if resource is None else {"used": resource["used"], "limit": resource["limit"]}


def _projections(a: Content, b: Content) -> list[dict[str, Any]]:
    found = [{p["projection"]: {key: p[key] for key in ERRORS} for p in content["projections"]} for content in (a, b)]
    return [
        {"projection": name, "a": found[0].get(name), "b": found[1].get(name)} for name in _merged(found[0], found[1])
    ]


def _cost(a: Content, b: Content) -> list[dict[str, Any]]:
    """Estimates of one inference by name, with ends that are None where no constant is public; empty without any."""
    found = [(content.get("cost") or {}).get("estimates") or {} for content in (a, b)]
    rows = []
    for name in _merged(found[0], found[1]):
        one, two = ({key: f[name].get(key) for key in ESTIMATE} if name in f else None for f in found)
        unit = next(f[name].get("unit", "") for f in found if name in f)
        rows.append({"name": name, "label": LABEL, "unit": unit, "a": one, "b": two})
    return rows


def _merged(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Names of both in the order of the first; one that only the second has comes after its predecessor there."""
    names, second = list(first), list(second)
    position = 0 if set(names) & set(second) else len(names)
    for name in second:
        if name in names:
            position = names.index(name) + 1
        else:
            names.insert(position, name)
            position += 1
    return names
