"""What to say of a network that does not fit: the limit, by how much, and the smallest changes that make it fit.

Every change is tried: the changed network is split again, and only what then fits is offered. Of each kind the
mildest that fits is looked for from the mild end in growing strides, then by halving. The order of trying and of the
answers is fixed, and so is how much is tried at most.
"""

from __future__ import annotations

import math
from bisect import bisect_left

from hardware_targets.loihi.limits import ChipLimits
from hardware_targets.loihi.mapping.changes import (
    Kind,
    fewer_neurons,
    longer_steps,
    percent,
    shallower_delays,
    smaller,
)
from hardware_targets.loihi.mapping.problem import Problem
from hardware_targets.loihi.mapping.splitting import Shortfall, SliceUse, Split, split_network, surely_too_large
from toolchain.errors import Exceeded, Remedy, TargetLimitError

SHOWN = 3
MOST_COUNTED = 100_000
"""Slices that are counted in search of changes: some two seconds. What was found until then is shown."""


def explain(problem: Problem, limits: ChipLimits, chips: int, shortfall: Shortfall) -> TargetLimitError:
    """What to raise for a network that does not fit: a line for the limit, and one for each change."""
    changes = smallest_changes(problem, limits, chips, shortfall)
    head = _exceeded(limits, chips, shortfall)
    s, unit = shortfall, limits.table[shortfall.limit].unit
    exceeded = Exceeded(
        s.limit, s.used, s.available, unit, s.where, s.population, s.projection, s.neurons, tuple(changes)
    )
    if not changes:
        head += "; no change was found with which it would fit, make it smaller in several ways"
        return TargetLimitError(head, exceeded=exceeded)
    head += "; it would fit with" + (" any one of" if len(changes) > 1 else "")
    return TargetLimitError("\n".join([head, *(f"  {change.text}" for change in changes)]), exceeded=exceeded)


def _exceeded(limits: ChipLimits, chips: int, s: Shortfall) -> str:
    times = s.used / s.available
    by = f"{s.used - s.available} too many, {times:.{3 if times >= 1.1 else 4}g} times the limit"
    if s.limit == "cores":
        on = "" if chips == 1 else f" on {chips} chips"
        return f"network: needs {s.used} cores, {limits.chip} has {s.available}{on} ({by}); {s.where}"
    if s.limit == "slot_max":
        return f"{s.where}: delay slot {s.used} exceeds {s.available} on {limits.chip} ({by})"
    unit = limits.table[s.limit].unit
    return f"{s.where} takes {s.used} {unit} of {s.limit}, {limits.chip} has {s.available} ({by})"


def smallest_changes(problem: Problem, limits: ChipLimits, chips: int, shortfall: Shortfall) -> list[Remedy]:
    """Up to three changes, the smallest first, each of which alone makes the network fit.

    Only where there are fewer than three, those are tried that need delays of a shallower buffer besides.
    """
    search = _Search(limits, chips)
    shallower = shallower_delays(problem, limits["slot_max"])
    search.add(shallower)
    if shortfall.limit == "slot_max":
        # Nothing else makes a slot smaller.
        search.add(longer_steps(problem))
        return search.smallest
    if shortfall.limit == "cores" and (more := _more_chips(problem, limits, chips)):
        search.found.append(more)
    for kind in smaller(problem):
        search.add(kind)
    for depth in reversed(limits.choices["delay_depths"].value):
        slot = depth - limits["delay_slots_unusable"]
        if len(search.found) < SHOWN and shallower.low <= slot <= shallower.high:
            first = shallower.describe(slot), shallower.size(slot)
            for kind in smaller(shallower.problem(slot)):
                search.add(kind, first)
    if len(search.found) < SHOWN:
        for population in problem.populations:
            if not population.placed:
                search.add(fewer_neurons(problem, [population.name]))
    return search.smallest


def _more_chips(problem: Problem, limits: ChipLimits, chips: int) -> Remedy | None:
    """As many chips as the network needs, if there is a system of that size."""
    split = split_network(SliceUse(problem, limits), limits["chips_of_largest_system"])
    if isinstance(split, Shortfall):
        return None
    needed = -(-len(split.slices) // limits["cores"])
    share = needed / chips - 1
    text = f"{needed} chips in place of {chips} ({percent(share)} more): --chips {needed}"
    return Remedy(text, share, len(split.slices), needed)


class _Search:
    """Changes found so far, for so many chips."""

    def __init__(self, limits: ChipLimits, chips: int) -> None:
        self.limits, self.chips = limits, chips
        self.found: list[Remedy] = []
        self._counted = 0

    @property
    def smallest(self) -> list[Remedy]:
        """Those that are shown; of changes of one size those found first, for sorting keeps their order."""
        return sorted(self.found, key=lambda change: change.share)[:SHOWN]

    def add(self, kind: Kind, first: tuple[str, float] | None = None) -> None:
        """Find the mildest change of a kind, on top of one that was made already, if it is worth showing."""
        before = first[1] if first else 0.0
        worst = self.smallest[-1].share - before if len(self.found) >= SHOWN else math.inf
        # From which number on a change is small enough to be shown.
        numbers = range(kind.low, kind.high + 1)
        found = self._mildest(kind, kind.low + bisect_left(numbers, True, key=lambda n: kind.size(n) < worst))
        if found is None:
            return
        value, cores = found
        text, share = kind.describe(value), before + kind.size(value)
        chips = -(-cores // self.limits["cores"])
        if first is None:
            self.found.append(Remedy(text, share, cores, chips))
        elif text not in {change.text for change in self.found}:
            self.found.append(Remedy(f"{first[0]}, and {text}", share, cores, chips))

    def _mildest(self, kind: Kind, low: int) -> tuple[int, int] | None:
        """The largest number from `low` on with which the network fits, less the margin, and the cores it then takes.

        None if there is none.
        """
        fitting, failing, stride = None, kind.high + 1, 1
        while fitting is None and failing > low and self._counted < MOST_COUNTED:
            value = max(low, failing - stride)
            if self._fits(kind, value):
                fitting = value
            else:
                failing, stride = value, 2 * stride
        if fitting is None:
            return None
        while failing - fitting > 1 and self._counted < MOST_COUNTED:
            middle = (fitting + failing) // 2
            fitting, failing = (middle, failing) if self._fits(kind, middle) else (fitting, middle)
        said = max(kind.low, fitting - kind.margin)
        cores = self._fits(kind, said)
        return (said, cores) if cores else None

    def _fits(self, kind: Kind, value: int) -> int:
        """Cores that the changed network takes, 0 if it does not fit."""
        slice_use = SliceUse(kind.problem(value), self.limits)
        split = None if surely_too_large(slice_use, self.chips) else split_network(slice_use, self.chips)
        self._counted += slice_use.counted
        return len(split.slices) if isinstance(split, Split) else 0
