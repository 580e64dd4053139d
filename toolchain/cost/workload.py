"""What a spike of each neuron sets off on a placed network, and what every step takes without one.

A count of events is linear in spikes: what one spike of neuron i sets off does not depend on any other spike. So a
table with a row for each neuron, and the number of its spikes, give every count exactly; that of an event at a core has
a column for each core, from which the load of a core follows. Who knows what lies where, a target, makes the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class CountKind:
    """Something that is counted: its name, what it is counted in, and what exactly counts as one."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Site:
    """A core and the neurons on it, `last` included; `what` they are if not neurons that are updated."""

    chip: int
    core: int
    population: str
    first: int
    last: int
    what: str = "neurons"


@dataclass(frozen=True, eq=False)
class Sender:
    """What the spikes of a population set off, `lag` steps after them.

    Attributes
    ----------
    population : whose spikes they are
    lag : steps; above 0 for what sends a spike again later
    per_spike : kind -> (size,) what one spike of each neuron sets off, wherever that is
    at_sites : kind -> (size, n_sites) what it sets off at each core
    sent_from : (size,) number of the core that sends, -1 for none
    """

    population: str
    per_spike: Mapping[str, I64]
    at_sites: Mapping[str, I64]
    sent_from: I64
    lag: int = 0

    def total(self, kind: str) -> I64:
        """What one spike of each neuron sets off in all, (size,)."""
        found = np.zeros(self.sent_from.size, dtype=np.int64)
        if kind in self.per_spike:
            found = found + self.per_spike[kind]
        if kind in self.at_sites:
            found = found + self.at_sites[kind].sum(axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Workload:
    """Everything that is counted of a placed network.

    Attributes
    ----------
    kinds : what is counted, in the order in which it is shown
    sites : its cores
    senders : who sends what
    per_step : kind -> (n_sites,) what every step takes at each core
    """

    kinds: tuple[CountKind, ...]
    sites: tuple[Site, ...]
    senders: tuple[Sender, ...]
    per_step: Mapping[str, I64] = field(default_factory=dict)
