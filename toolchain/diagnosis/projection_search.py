"""Changes of whole projections that explain what deviates: late, missing, clipped, at another exponent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from toolchain.diagnosis.candidates import Candidate, Change
from toolchain.diagnosis.evidence import Evidence
from toolchain.diagnosis.model import I64, Model, Synapses

LATEST = 3
"""Steps that a projection is looked for too late or too early."""
LIMITS = 64
"""Limits of weights that are tried, the largest first."""


class ProjectionSearch:
    """Over the projections onto one population, for what deviates in one quantity of it."""

    def __init__(self, evidence: Evidence, model: Model, name: str, quantity: str) -> None:
        self._evidence = evidence
        self._model = model
        self._name = name
        self._watched = evidence.watched(name, quantity)

    def find(self, dirty: I64, samples: I64) -> list[Candidate]:
        """The changes with the fewest parts that explain most, and clean ones only if there are any.

        Parameters
        ----------
        dirty : neurons that deviate; a few of them are tried first, in `samples`
        """
        probes = dirty[:4]
        good: list[tuple[int, int, Candidate]] = []
        for synapses, change in self._changes():
            model = self._model.with_synapses(*synapses)
            # A fault of its own in one of the neurons must not hide that of the projection. What fails in one sample
            # fails in all, and most changes do.
            if not all(self._most_are_right(model, probes, some) for some in (samples[:1], samples)):
                continue
            left = self._dirty(model, None, self._evidence.all_samples)
            if np.setdiff1d(left, dirty).size or left.size * 2 > dirty.size:
                continue
            # What helps one neuron of several is a fault of that neuron.
            if left.size and dirty.size - left.size < 2:
                continue
            good.append((left.size, len(change), Candidate(change, model)))
        if not good:
            return []
        best = min(g[:2] for g in good)
        return [candidate for *rank, candidate in good if tuple(rank) == best]

    def _most_are_right(self, model: Model, probes: I64, samples: I64) -> bool:
        wrong = self._dirty(model, probes, samples).size
        return wrong * 2 <= probes.size and wrong < probes.size

    def _dirty(self, model: Model, neurons: I64 | None, samples: I64) -> I64:
        return self._evidence.scan(model, self._name, neurons, samples).dirty(self._watched)

    def _changes(self) -> Iterator[tuple[tuple[Synapses, ...], tuple[Change, ...]]]:
        """Simplest first."""
        incoming = self._model.incoming(self._name)
        for one in incoming:
            yield from self._shifts((one,))
            yield (replace(one, exists=np.zeros_like(one.exists)),), (_change("lost spikes", one, "does not arrive"),)
            low, high = self._evidence.arithmetic.exponents
            for exponent in (e for e in range(low, high + 1) if e != one.exponent):
                words = f"has exponent {exponent}, must be {one.exponent}"
                change = _change("weight exponent", one, words, one.exponent, exponent)
                yield (replace(one, exponent=exponent),), (change,)
            yield from self._limited(one)
        for n in range(2, len(incoming) + 1):
            for some in itertools.combinations(incoming, n):
                yield from self._shifts(some)

    def _shifts(self, some: tuple[Synapses, ...]) -> Iterator[tuple[tuple[Synapses, ...], tuple[Change, ...]]]:
        for late in sorted((d for d in range(-LATEST, LATEST + 1) if d), key=abs):
            way = "late" if late > 0 else "early"
            steps = f"{abs(late)} step{'s' if abs(late) > 1 else ''}"
            changes = tuple(
                _change("off by one step", s, f"arrives {steps} {way}", s.late, s.late + late) for s in some
            )
            yield tuple(replace(s, late=s.late + late) for s in some), changes

    def _limited(self, one: Synapses) -> Iterator[tuple[tuple[Synapses, ...], tuple[Change, ...]]]:
        """Delays and weights that are cut, or kept in too few bits."""
        slots = np.unique(one.slots[one.exists])
        largest = int(slots.max(initial=0))
        for limit in range(largest - 1, -1, -1):
            if (slots > limit).any():
                words = f"has its delay slots clipped to {limit}, they go up to {largest}"
                change = _change("delay clipped", one, words, largest, limit)
                yield (replace(one, slots=np.minimum(one.slots, limit)),), (change,)
        for bits in range(max(largest, 1).bit_length()):
            words = f"has its delay slots in {bits} bits, the higher ones lost; they go up to {largest}"
            yield (replace(one, slots=one.slots & ((1 << bits) - 1)),), (_change("delay clipped", one, words),)
        yield from self._beyond(one, slots)
        step = self._evidence.arithmetic.weights[2]
        for sign, name in ((1, "positive"), (-1, "negative")):
            sizes = np.unique(sign * one.weight[one.exists])
            sizes = sizes[sizes > 0][::-1]
            for limit in _limits(sizes, step):
                words = f"has its {name} weights clipped to {sign * limit}, they go to {sign * int(sizes[0])}"
                weight = np.minimum(one.weight, limit) if sign > 0 else np.maximum(one.weight, -limit)
                change = _change("clipped weight", one, words, sign * int(sizes[0]), sign * limit)
                yield (replace(one, weight=weight),), (change,)

    def _beyond(self, one: Synapses, slots: I64) -> Iterator[tuple[tuple[Synapses, ...], tuple[Change, ...]]]:
        """What carries delays beyond those that a core holds itself is late, early or absent."""
        for least in slots[1:].tolist():
            far = one.exists & (one.slots >= least)
            for late, way in ((1, "late"), (-1, "early")):
                words = f"arrives 1 step {way} where its delay slots are {least} or more"
                change = _change("delay", one, words, 0, late)
                yield (replace(one, slots=np.where(far, one.slots + late, one.slots)),), (change,)
            words = f"does not arrive where its delay slots are {least} or more"
            yield (replace(one, exists=one.exists & ~far),), (_change("lost spikes", one, words),)


def _limits(sizes: I64, step: int) -> list[int]:
    """Limits that cut something: powers of two less a step, and the largest sizes themselves."""
    if not sizes.size:
        return []
    powers = {(1 << b) - s for b in range(1, int(sizes[0]).bit_length() + 1) for s in (0, step)}
    return sorted({x for x in powers | set(sizes[1:LIMITS].tolist()) if 0 < x < sizes[0]}, reverse=True)


def _change(cause: str, one: Synapses, words: str, expected: int | None = None, found: int | None = None) -> Change:
    return Change(cause, f"projection {one.name} {words}", one.name, None, None, expected, found, found)
