"""Synapses of one neuron that, with another weight or another slot, explain what deviates.

What arrived too much or too little at which steps points at synapses: the spikes of a source, shifted by the slot, fall
on these steps. That only says which are tried. A synapse is found if the replay with it equals every reported state of
the neuron. Several wrong synapses are found one after the other, the one that leaves least first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.diagnosis.candidates import Candidate, Change, rewrite_change, slot_change, weight_change
from toolchain.diagnosis.evidence import STATES_AT_ONCE, Evidence, Look, differences
from toolchain.diagnosis.model import F64, I64, Model, Reported, Synapses
from toolchain.diagnosis.ranges import Range, exact_range

TRIED = 48
"""Synapses, or pairs of synapse and slot, that are tried of each kind."""
MOST_CHANGES = 6
BRUTE_STATES = 400_000_000
"""States that a search through all synapses and slots may replay, where nothing points at any."""


@dataclass(frozen=True)
class Place:
    """A slot of a synapse: number of the projection, source neuron, slot."""

    projection: int
    pre: int
    slot: int


class SynapseSearch:
    """For one neuron, in one quantity."""

    def __init__(
        self, evidence: Evidence, model: Model, name: str, neuron: int, quantity: str, samples: I64 | None = None
    ) -> None:
        self._samples = evidence.all_samples if samples is None else samples
        self._number = np.full(evidence.n_samples, -1, dtype=np.int64)
        self._number[self._samples] = np.arange(self._samples.size)
        self._evidence = evidence
        self._model = model
        self._name = name
        self._neuron = neuron
        self._quantity = quantity
        self._watched = evidence.watched(name, quantity)
        self._incoming = model.incoming(name)
        self._step = evidence.arithmetic.weights[2]
        self._look = self._looked(model)

    def find(self) -> list[Candidate]:
        """Single synapses that explain every state; otherwise one set of several that does; otherwise none."""
        if self._quantity == "spikes":
            return self._everything()
        weights, moves, rewrites = self._ranked(self._look)
        found = self._weights(weights) + self._moves(moves)
        found = found or self._rewrites(rewrites)
        if found:
            return found
        # Taking a synapse out may help more at first than moving it does, and lead nowhere: moves are tried alone, too.
        several = self._several(moves_only=False) or self._several(moves_only=True)
        return [several] if several else self._everything()

    def _looked(self, model: Model) -> Look:
        neurons = np.array([self._neuron], dtype=np.int64)
        return self._evidence.look(model, self._name, self._samples, neurons)

    # What is tried.

    def _ranked(self, look: Look) -> tuple[list[Place], list[Place], list[tuple[Place, int]]]:
        """Places by how much of the excess they would explain: for another weight, another slot, or both."""
        from toolchain.diagnosis.delivery import correlate, count_meetings

        arithmetic = self._evidence.arithmetic
        excess, known, _ = arithmetic.excess(look.constants, look.arrivals, look.reported)
        weights: list[tuple[float, Place]] = []
        moves: list[tuple[float, Place]] = []
        rewrites: list[tuple[float, tuple[Place, int]]] = []
        for number, synapses in enumerate(self._incoming):
            n_pre = synapses.weight.shape[0]
            n_slots = max(arithmetic.largest_slot, int(synapses.slots.max(initial=0))) + 1
            total, count = np.zeros((n_pre, n_slots)), np.zeros((n_pre, n_slots), dtype=np.int64)
            events = self._evidence.events(synapses.source).changed(synapses.lost, synapses.extra)
            correlate(
                events.sample, events.time + synapses.late, events.unit,
                np.ascontiguousarray(excess[:, :, 0]), np.ascontiguousarray(known[:, :, 0]), total, count,
            )  # fmt: skip
            exists, weight, slot = (a[:, self._neuron] for a in (synapses.exists, synapses.weight, synapses.slots))
            pre = np.arange(n_pre)
            own, times = total[pre, np.where(exists, slot, 0)], count[pre, np.where(exists, slot, 0)]
            score = np.where(exists & (times > 0), own**2 / np.maximum(times, 1), 0.0)
            weights += [(float(score[i]), Place(number, int(i), int(slot[i]))) for i in _top(score)]
            charge = arithmetic.charge(look.constants, self._addend(synapses, np.where(exists, weight, 0)))
            gone = np.where(exists, -2 * charge * own - charge**2 * times, 0.0)[:, np.newaxis]
            # What a synapse no longer brings and what it brings instead fall together where spikes follow so closely.
            both = np.zeros((n_pre, n_slots), dtype=np.int64)
            own_slot = np.where(exists, slot + synapses.late, n_slots + known.shape[1])
            count_meetings(*self._evidence.by_unit(synapses.source), own_slot, known[:, :, 0].copy(), both)
            charged = np.where(exists, charge, 0.0)[:, np.newaxis]
            here = 2 * charged * total - charged**2 * (count - 2 * both)
            other = np.arange(n_slots) != np.where(exists, slot, -1)[:, np.newaxis]
            # A slot beyond the end of the samples brings nothing.
            score = np.where(other & exists[:, np.newaxis], gone + here, 0.0)
            moves += [(float(score.flat[i]), Place(number, *_pair(i, n_slots))) for i in _top(score)]
            brought = total + charged * both
            score = np.where(other & (count > 0), gone + brought**2 / np.maximum(count, 1), 0.0)
            for i in _top(score):
                place = Place(number, *_pair(i, n_slots))
                mean = brought[place.pre, place.slot] / count[place.pre, place.slot]
                rewrites.append((float(score.flat[i]), (place, self._stored(synapses, mean))))
        return _best(weights), _best(moves), _best(rewrites)

    def _addend(self, synapses: Synapses, weight: I64) -> I64:
        return weight << synapses.exponent if synapses.exponent >= 0 else weight >> -synapses.exponent

    def _stored(self, synapses: Synapses, charge: float) -> int:
        """The weight that brings most nearly that."""
        low, high, step = self._evidence.arithmetic.weights
        sign = 1 if charge >= 0 else -1
        unit = self._evidence.arithmetic.charge(self._look.constants, self._addend(synapses, np.array([sign * 1024])))
        weight = sign * round(abs(charge) / max(abs(float(unit[0])) / 1024, 1e-12) / step) * step
        return min(max(weight, low), high)

    # How it is tried: one column for each, in each of which one synapse is another.

    def _portions(self, items: list[Any]) -> list[list[Any]]:
        states = self._look.arrivals[0].size
        wide = max(1, STATES_AT_ONCE // max(states, 1))
        return [items[i : i + wide] for i in range(0, len(items), wide)]

    def _columns(self, places: list[Place]) -> tuple[I64, I64, Reported, I64]:
        """Arrivals without each synapse, (channels, n_samples, n_steps, n), its spikes, and what was reported."""
        look, n = self._look, len(places)
        base, train = np.repeat(look.arrivals, n, axis=3), np.zeros((*look.arrivals.shape[1:3], n), dtype=np.int64)
        for column, place in enumerate(places):
            synapses = self._incoming[place.projection]
            if synapses.exists[place.pre, self._neuron]:
                addend = int(self._addend(synapses, synapses.weight[place.pre, [self._neuron]])[0])
                old = self._train(place, int(synapses.slots[place.pre, self._neuron]))
                channel = int(len(base) == 2 and addend < 0)
                base[channel, :, :, column] -= (abs(addend) if len(base) == 2 else addend) * old
            train[:, :, column] = self._train(place, place.slot)
        currents, v, spikes = look.reported.currents, look.reported.v, look.reported.spikes
        reported = Reported(
            None if currents is None else np.repeat(currents, n, axis=3),
            None if v is None else np.repeat(v, n, axis=2),
            None if spikes is None else np.repeat(spikes, n, axis=2),
        )
        return base, train, reported, np.repeat(look.constants, n, axis=1)

    def _train(self, place: Place, slot: int) -> I64:
        """Arrivals of the spikes of one source neuron, (n_samples, n_steps)."""
        synapses = self._incoming[place.projection]
        if synapses.lost is None and synapses.extra is None:
            samples, times, units, _, _ = self._evidence.by_unit(synapses.source)
            mine: Any = slice(*np.searchsorted(units, (place.pre, place.pre + 1)))
        else:
            events = self._evidence.events(synapses.source).changed(synapses.lost, synapses.extra)
            samples, times, mine = events.sample, events.time, events.unit == place.pre
        at, sample = times[mine] + 1 + slot + synapses.late, self._number[samples[mine]]
        found = np.zeros(self._look.arrivals.shape[1:3], dtype=np.int64)
        inside = (at >= 0) & (at < found.shape[1]) & (sample >= 0)
        np.add.at(found, (sample[inside], at[inside]), 1)
        return found

    def _difference(self, places: list[Place], columns: tuple[I64, I64, Reported, I64], weight: I64) -> I64:
        base, train, reported, constants = columns
        addend = np.array([self._addend(self._incoming[p.projection], w) for p, w in zip(places, weight, strict=True)])
        if len(base) == 2:
            more = np.stack((np.maximum(addend, 0) * train, np.maximum(-addend, 0) * train))
        else:
            more = (addend * train)[np.newaxis]
        run = self._evidence.arithmetic.run(constants, base + more, reported)
        return differences(self._watched, reported, run)

    def _ranges(self, places: list[Place], start: list[int]) -> Range:
        """Weights in units of the step that explain every state."""
        low, high, step = self._evidence.arithmetic.weights
        columns = self._columns(places)
        begin = np.array(start, dtype=np.int64) // step
        return exact_range(lambda x: self._difference(places, columns, x * step), begin, low // step, high // step)

    def _weight(self, place: Place) -> int:
        synapses = self._incoming[place.projection]
        exists = synapses.exists[place.pre, self._neuron]
        return int(synapses.weight[place.pre, self._neuron]) if exists else 0

    # What explains all.

    def _weights(self, places: list[Place]) -> list[Candidate]:
        found = []
        for some in self._portions(places):
            span = self._ranges(some, [self._weight(p) for p in some])
            for i in np.flatnonzero(span.found):
                found.append(self._reweighted(some[i], int(span.low[i]), int(span.high[i])))
        return found

    def _reweighted(self, place: Place, low: int, high: int) -> Candidate:
        synapses, step = self._incoming[place.projection], self._step
        change = weight_change(
            synapses.name, place.pre, self._neuron, self._weight(place), low * step, high * step, step
        )
        return self._candidate(change, place, low * step)

    def _moves(self, places: list[Place]) -> list[Candidate]:
        good: dict[tuple[int, int], list[int]] = {}
        for place, fits in zip(places, self._same_weight(places), strict=True):
            if fits:
                good.setdefault((place.projection, place.pre), []).append(place.slot)
        found = []
        for (projection, pre), slots in good.items():
            ordered = np.sort(slots)
            for run in np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1):
                place = Place(projection, pre, int(run[0]))
                found.append(self._candidate(self._moved(place, int(run[-1])), place, self._weight(place)))
        return found

    def _moved(self, place: Place, last: int) -> Change:
        synapses = self._incoming[place.projection]
        expected = int(synapses.slots[place.pre, self._neuron])
        return slot_change(synapses.name, place.pre, self._neuron, expected, place.slot, last)

    def _rewrites(self, places: list[tuple[Place, int]]) -> list[Candidate]:
        found = []
        for some in self._portions(places):
            span = self._ranges([p for p, _ in some], [w for _, w in some])
            for i in np.flatnonzero(span.found):
                place, low, high = some[i][0], int(span.low[i]) * self._step, int(span.high[i]) * self._step
                synapses = self._incoming[place.projection]
                expected = self._weight(place), int(synapses.slots[place.pre, self._neuron])
                exists = bool(synapses.exists[place.pre, self._neuron])
                if exists and low <= expected[0] <= high:
                    # The slot alone does it.
                    found.append(self._candidate(self._moved(place, place.slot), place, expected[0]))
                    continue
                change = rewrite_change(
                    synapses.name, place.pre, self._neuron, exists, expected, (low, high, place.slot)
                )
                found.append(self._candidate(change, place, low))
        return found

    def _candidate(self, change: Change, place: Place, weight: int) -> Candidate:
        return Candidate((change,), self._with(place, weight), (self._neuron,))

    def _with(self, place: Place, weight: int) -> Model:
        synapses = self._incoming[place.projection]
        weights, slots, exists = synapses.weight.copy(), synapses.slots.copy(), synapses.exists.copy()
        at = place.pre, self._neuron
        weights[at], slots[at], exists[at] = weight, place.slot, True
        return self._model.with_synapses(replace(synapses, weight=weights, slots=slots, exists=exists))

    # Several at once.

    def _several(self, *, moves_only: bool) -> Candidate | None:
        """One change after the other, the one that leaves least first."""
        search, changed = self, []
        left = self._states(self._look)
        for _ in range(MOST_CHANGES):
            best = search._best_step(moves_only=moves_only)
            if best is None or best[0] >= left:
                return None
            left, place, weight = best
            changed.append((place.projection, place.pre))
            search = SynapseSearch(
                self._evidence, search._with(place, weight), self._name, self._neuron, self._quantity
            )
            if left == 0:
                changes = tuple(self._change_to(search, *ends) for ends in dict.fromkeys(changed))
                return Candidate(tuple(c for c in changes if c), search._model, (self._neuron,))
        return None

    def _states(self, look: Look) -> int:
        return int(np.count_nonzero(differences(self._watched, look.reported, look.replayed)))

    def _best_step(self, *, moves_only: bool) -> tuple[int, Place, int] | None:
        """Of the places that look best: states that it leaves, place, weight."""
        weights, moves, _ = self._ranked(self._look)
        arithmetic = self._evidence.arithmetic
        excess, known, _ = arithmetic.excess(self._look.constants, self._look.arrivals, self._look.reported)
        tried: list[tuple[Place, int]] = []
        for place in [] if moves_only else weights:
            train = self._train(place, place.slot) * known[:, :, 0]
            amounts = excess[:, :, 0][train > 0]
            synapses = self._incoming[place.projection]
            charge = arithmetic.charge(
                self._look.constants, self._addend(synapses, np.array([self._weight(place)], dtype=np.int64))
            )
            # Most arrivals come alone: the median is what the synapse brings too much.
            for more in dict.fromkeys((float(np.median(amounts)), float(np.mean(amounts)))):
                tried.append((place, self._stored(synapses, more + float(charge[0]))))
        tried += [(place, self._weight(place)) for place in moves]
        best: tuple[int, Place, int] | None = None
        for some in self._portions(tried):
            places = [p for p, _ in some]
            left = self._difference(places, self._columns(places), np.array([w for _, w in some], dtype=np.int64))
            counts = (left != 0).sum(axis=0)
            i = int(np.argmin(counts))
            if best is None or counts[i] < best[0]:
                best = (int(counts[i]), *some[i])
        return best

    def _change_to(self, other: SynapseSearch, projection: int, pre: int) -> Change | None:
        """Words for what a synapse is in another model, with the range of its weight there."""
        ours, theirs = self._incoming[projection], other._incoming[projection]
        at = pre, self._neuron
        place = Place(projection, pre, int(theirs.slots[at]))
        weight = int(theirs.weight[at])
        if ours.slots[at] == theirs.slots[at] and ours.weight[at] == weight:
            return None
        if ours.weight[at] == weight:
            return self._moved(place, place.slot)
        span = other._ranges([place], [weight])
        low, high = int(span.low[0]) * self._step, int(span.high[0]) * self._step
        if ours.slots[at] == theirs.slots[at]:
            return weight_change(ours.name, pre, self._neuron, int(ours.weight[at]), low, high, self._step)
        expected = int(ours.weight[at]), int(ours.slots[at])
        exists = bool(ours.exists[at])
        return rewrite_change(ours.name, pre, self._neuron, exists, expected, (low, high, place.slot))

    # Where nothing points at a synapse.

    def _everything(self) -> list[Candidate]:
        """All weights, then all slots, as far as that many can be replayed: first in one sample that deviates."""
        wrong = differences(self._watched[-1:], self._look.reported, self._look.replayed)
        first = int(np.argmax(wrong.reshape(-1, *self._look.arrivals.shape[1:3]).any(axis=(0, 2))))
        one = SynapseSearch(
            self._evidence, self._model, self._name, self._neuron, self._quantity, self._samples[[first]]
        )
        # Where currents or voltages are known a synapse that they do not point at is hardly ever found.
        most = BRUTE_STATES if self._quantity == "spikes" else BRUTE_STATES // 10
        allowed = most // max(1, one._look.arrivals[0].size)
        active = [
            Place(number, int(pre), int(synapses.slots[pre, self._neuron]))
            for number, synapses in enumerate(self._incoming)
            for pre in np.unique(self._evidence.events(synapses.source).unit)
            if synapses.exists[pre, self._neuron]
        ]
        found: list[Candidate] = []
        # A range takes some forty replays.
        if 40 * len(active) <= allowed:
            found += self._weights([p for p, good in zip(active, one._some_weight(active), strict=True) if good])
        moves = [
            replace(place, slot=slot)
            for place in active
            for slot in range(self._evidence.arithmetic.largest_slot + 1)
            if slot != place.slot
        ]
        if len(moves) <= allowed:
            found += self._moves([p for p, good in zip(moves, one._same_weight(moves), strict=True) if good])
        return found

    def _some_weight(self, places: list[Place]) -> list[bool]:
        """Whether some weight explains every state."""
        found: list[bool] = []
        for some in self._portions(places):
            found += self._ranges(some, [self._weight(p) for p in some]).found.tolist()
        return found

    def _same_weight(self, places: list[Place]) -> list[bool]:
        """Whether the weight that must be explains every state there."""
        found: list[bool] = []
        for some in self._portions(places):
            weight = np.array([self._weight(p) for p in some], dtype=np.int64)
            found += (~(self._difference(some, self._columns(some), weight) != 0).any(axis=0)).tolist()
        return found


def _top(score: F64) -> list[int]:
    """Flat indices of the largest scores above 0, and of all that equal the largest."""
    flat = score.ravel()
    n = min(TRIED, flat.size)
    best = np.argpartition(flat, -n)[-n:] if n else np.zeros(0, dtype=np.int64)
    return [int(i) for i in best if flat[i] > 0]


def _pair(index: int, n_slots: int) -> tuple[int, int]:
    return index // n_slots, index % n_slots


def _best(scored: list[tuple[float, Any]]) -> list[Any]:
    return [item for _, item in sorted(scored, key=lambda s: -s[0])[:TRIED]]
