"""Records that are late: of one quantity against the others, of spikes, or of all that a population reports."""

from __future__ import annotations

import itertools

import numpy as np

from toolchain.diagnosis.candidates import Candidate, Change
from toolchain.diagnosis.evidence import Evidence
from toolchain.diagnosis.model import I64, QUANTITIES, Model

RECORDS_LATE = (1, 2)
ALL = "all that it reports is"


class LateRecords:
    """Other readings of what one population reported."""

    def __init__(self, evidence: Evidence, model: Model, name: str) -> None:
        self._evidence = evidence
        self._model = model
        self._name = name
        self._late = [steps for steps in RECORDS_LATE if steps < evidence.n_steps]
        self._now = evidence.scan(model, name)

    def of(self, quantity: str) -> list[Candidate]:
        """A record of u or v that is late against the others.

        Arrivals that are late look the same in u alone: v, which takes u as reported, tells the two apart.
        """
        if quantity == "spikes" or "v" not in self._now.counts or not self._now.counts["v"].any():
            return []
        for late in self._late:
            other = self._evidence.with_late((quantity,), self._name, late)
            sample, _, neuron = self._now.first["v"] or (0, 0, 0)
            if other.scan(self._model, self._name, np.array([neuron]), np.array([sample])).total:
                continue
            after = other.scan(self._model, self._name).counts
            if not after[quantity].any() and not after["v"].any():
                return [self._candidate(f"its {quantity} is recorded", late, other)]
        return []

    def whole(self) -> tuple[str, I64, Candidate] | None:
        """All that the population reports being late, or its spikes against its own u and v.

        Where it rests at 0 the first looks like late arrivals at it and early ones at its targets; so it is told from
        late arrivals by what its targets do. Late spikes show in v, which is reset where they must be. To be looked
        for in all populations before anything else, as all that they reach would be blamed.

        Returns
        -------
        the quantity that shows it, the neurons that deviate in it, and the change; None if nothing is late
        """
        reported = self._evidence.quantities(self._name)
        dirty = self._now.dirty(reported)
        if not dirty.size:
            return None
        quantity = max(reported, key=lambda q: np.count_nonzero(self._now.counts[q]))
        sample, step, _ = self._now.first[quantity] or (0, 0, 0)
        kinds: list[tuple[tuple[str, ...], str]] = [(QUANTITIES, ALL)]
        if "spikes" in reported and "v" in reported:
            kinds.append((("spikes",), "its spikes are recorded"))
        for (quantities, what), late in itertools.product(kinds, self._late):
            if step >= self._evidence.n_steps - late:
                continue  # what the end of the record cuts off proves nothing
            other = self._evidence.with_late(quantities, self._name, late)
            if not self._most_are_right(other, dirty[:4], np.array([sample])):
                continue
            if not self._most_are_right(other, dirty, None):
                continue
            if quantities == QUANTITIES and self._elsewhere(other) >= self._elsewhere(self._evidence):
                continue
            return quantity, self._now.dirty((quantity,)), self._candidate(what, late, other)
        return None

    def like_arrivals(self, dirty: I64) -> list[Candidate]:
        """All that the population reports being late, where nothing that it reaches tells that from late arrivals."""
        for late in self._late:
            other = self._evidence.with_late(QUANTITIES, self._name, late)
            if other.scan(self._model, self._name, dirty[:1]).total or other.scan(self._model, self._name).total:
                continue
            if self._elsewhere(other) == self._elsewhere(self._evidence):
                return [self._candidate(ALL, late, other)]
        return []

    def _candidate(self, what: str, late: int, evidence: Evidence) -> Candidate:
        words = f"population {self._name}: {what} {late} step{'s' if late > 1 else ''} late"
        change = Change("off by one step", words, expected=0, low=late, high=late)
        return Candidate((change,), self._model, (), evidence)

    def _elsewhere(self, evidence: Evidence) -> int:
        """States that deviate in what the population reaches."""
        targets = {s.target for s in self._model.outgoing(self._name)} - {self._name}
        return sum(evidence.scan(self._model, t).total for t in targets if evidence.quantities(t))

    def _most_are_right(self, evidence: Evidence, neurons: I64, samples: I64 | None) -> bool:
        """Whether these neurons deviate nowhere; of four or more a quarter may have faults of their own."""
        some = None if samples is None else neurons
        wrong = evidence.scan(self._model, self._name, some, samples).dirty(evidence.quantities(self._name))
        return wrong.size <= neurons.size // 4
