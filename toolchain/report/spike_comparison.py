"""Which spikes of one sample do the engines share, and which belong to some of them only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.report.content import Events
from toolchain.report.wording import listed

Role = Literal["same", "float", "chip", "split"]
ROLES: tuple[Role, ...] = ("same", "float", "chip", "split")
FLOAT = "float"


@dataclass(frozen=True)
class Comparison:
    """The spikes of one population in several engines.

    Attributes
    ----------
    counts : engine -> spikes
    groups : role -> (times, units) of the spikes in it:
        ``same``   every engine has them,
        ``float``  the float network has them and no other engine,
        ``chip``   every engine has them but the float network,
        ``split``  the engines that should be equal to the bit are not.
    shifted : spikes of ``float`` with a spike of ``chip`` of the same neuron one step before or after
    """

    population: str
    size: int
    counts: Mapping[str, int]
    groups: Mapping[Role, tuple[NDArray[np.int64], NDArray[np.int64]]]
    shifted: int

    def number(self, role: Role) -> int:
        """Spikes with that role."""
        return int(self.groups[role][0].size)

    @property
    def differing(self) -> int:
        """Spikes that not every engine has."""
        return sum(self.number(role) for role in ROLES if role != "same")

    @property
    def total(self) -> int:
        """Different (neuron, step) pairs at which some engine has a spike."""
        return self.differing + self.number("same")


def compare(rasters: Mapping[str, Events], sizes: Mapping[str, int]) -> list[Comparison]:
    """Compare the engines population by population, in the order of `sizes`.

    A population is compared between the engines that recorded it.
    """
    names = [*sizes, *(name for events in rasters.values() for name in events)]
    recorded = {name: [e for e, events in rasters.items() if name in events] for name in dict.fromkeys(names)}
    return [
        _compare_one(name, {e: rasters[e][name] for e in engines}, sizes.get(name, 1))
        for name, engines in recorded.items()
        if engines
    ]


def _compare_one(name: str, events: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]], size: int) -> Comparison:
    size = max([size, *(int(units.max()) + 1 for _, units in events.values() if units.size)])
    keys = {e: np.unique(np.asarray(t, np.int64) * size + np.asarray(u, np.int64)) for e, (t, u) in events.items()}
    every = np.unique(np.concatenate(list(keys.values())))
    has = {engine: np.isin(every, k) for engine, k in keys.items()}
    n_having = np.sum(list(has.values()), axis=0)
    in_float = has.get(FLOAT, np.zeros(every.size, dtype=np.bool_))
    same = n_having == len(keys)
    only_float = ~same & in_float & (n_having == 1)
    all_but_float = ~same & ~in_float & (n_having == len(keys) - 1) & (FLOAT in keys)
    masks: dict[Role, NDArray[np.bool_]] = {
        "same": same,
        "float": only_float,
        "chip": all_but_float,
        "split": ~(same | only_float | all_but_float),
    }
    groups = {role: (every[mask] // size, every[mask] % size) for role, mask in masks.items()}
    counts = {engine: int(k.size) for engine, k in keys.items()}
    return Comparison(name, size, counts, groups, _shifted(groups["float"], groups["chip"]))


def _shifted(
    first: tuple[NDArray[np.int64], NDArray[np.int64]], second: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> int:
    """Pairs of one spike each, same neuron, one step apart; each spike is in one pair at most."""
    free = set(zip(second[1].tolist(), second[0].tolist(), strict=True))
    pairs = 0
    for unit, time in sorted(zip(first[1].tolist(), first[0].tolist(), strict=True)):
        for other in ((unit, time - 1), (unit, time + 1)):
            if other in free:
                free.remove(other)
                pairs += 1
                break
    return pairs


def role_labels(engines: list[str]) -> dict[Role, str]:
    """What each role means for these engines; roles that they cannot have are left out."""
    others = [e for e in engines if e != FLOAT]
    if len(engines) < 2:
        return {"same": f"spike in {listed(engines)}"}
    labels: dict[Role, str] = {"same": f"in {listed(engines)}"}
    if FLOAT in engines:
        labels["float"] = "in float only"
        labels["chip"] = f"in {listed(others)}, not in float"
    if len(others) > 1:
        labels["split"] = f"{listed(others)} disagree"
    return labels
