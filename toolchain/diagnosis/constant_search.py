"""Constants of neurons that, at another value, explain what deviates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolchain.diagnosis.candidates import Candidate, Change, constant_change, with_value
from toolchain.diagnosis.evidence import STATES_AT_ONCE, Evidence, Look, differences
from toolchain.diagnosis.model import I64, Constant, Model, Reported
from toolchain.diagnosis.ranges import Range, exact_range

AT_MOST_NEURONS = 64
"""Neurons of which the values that explain them are worked out; a value for all of a population is tested on all."""

MOST_STATES, MOST_TRIED = 300_000_000, 2
"""Where bisection finds none, all values are tried of so many neurons, if no more states are replayed for each."""


class ConstantSearch:
    """Over the constants of some stages, for what deviates in one quantity of one population."""

    def __init__(self, evidence: Evidence, model: Model, name: str, quantity: str, stages: Sequence[int]) -> None:
        self._evidence = evidence
        self._model = model
        self._name = name
        self._quantity = quantity
        self._watched = evidence.watched(name, quantity)
        self._constants = [c for c in evidence.arithmetic.constants if c.stage in stages]
        self._rows = {c.name: i for i, c in enumerate(evidence.arithmetic.constants)}

    def for_neuron(self, neuron: int) -> list[Candidate]:
        """All single constants that explain every state of a neuron, choices first."""
        mine = np.array([neuron], dtype=np.int64)
        look = self._evidence.look(self._model, self._name, self._evidence.all_samples, mine)
        found = []
        for constant in self._ordered():
            for low, high in self._values(look, constant):
                model = with_value(self._model, self._name, constant.name, mine, low)
                found.append(self._candidate(constant, model, mine, low, high))
        return found or self._pairs(look, mine, mine)

    def for_population(self, dirty: I64, samples: I64) -> list[Candidate]:
        """Single constants that, at one value for all neurons, explain every state of the population."""
        everyone = np.arange(self._model[self._name].size, dtype=np.int64)
        looks = self._looks(dirty, samples)
        found = []
        for constant in self._ordered():
            values = [self._columns(look, constant) for look in looks]
            if constant.meanings:
                common = set.intersection(*(set(v) for v in values))  # type: ignore[arg-type]
                spans = [(v, v) for v in sorted(common)]
            else:
                spans = _common(values)  # type: ignore[arg-type]
            for low, high in spans:
                span = self._everywhere(constant, low, high)
                if span is not None:
                    model = with_value(self._model, self._name, constant.name, None, span[0])
                    found.append(self._candidate(constant, model, None, *span))
        if not found and looks:
            found = self._pairs(looks[0], dirty[: looks[0].constants.shape[1]], everyone)
            found = [c for c in found if not self._scan(c.model)]
        return found

    def widen(self, candidate: Candidate) -> Candidate:
        """The same for the whole population, if the constant is one for all and the value explains all of them."""
        (change,) = candidate.changes if len(candidate.changes) == 1 else (None,)
        constant = next((c for c in self._constants if change and c.name == change.constant), None)
        if constant is None or change is None or not constant.shared or change.low is None or change.high is None:
            return candidate
        span = self._everywhere(constant, change.low, change.high)
        if span is None:
            return candidate
        model = with_value(self._model, self._name, constant.name, None, span[0])
        return self._candidate(constant, model, None, *span)

    def _ordered(self) -> list[Constant]:
        """Choices before numbers; of what comes late in a step before what its beginning would have to explain."""
        return sorted(self._constants, key=lambda c: (not c.meanings, -c.stage))

    def _looks(self, dirty: I64, samples: I64) -> list[Look]:
        some = dirty[:AT_MOST_NEURONS]
        return [self._evidence.look(self._model, self._name, s, n) for s, n in self._evidence.parts(samples, some)]

    def _difference(self, look: Look, row: int, values: I64) -> I64:
        constants = look.constants.copy()
        constants[row] = values
        run = self._evidence.arithmetic.run(constants, look.arrivals, look.reported)
        return differences(self._watched, look.reported, run)

    def _columns(self, look: Look, constant: Constant) -> Range | list[int]:
        """Of a number the range of each neuron, of a choice the values that explain all neurons."""
        row = self._rows[constant.name]
        if not constant.meanings:
            span = exact_range(
                lambda values: self._difference(look, row, values), look.constants[row], constant.low, constant.high
            )
            few = (constant.high - constant.low) * look.arrivals[0, ..., 0].size <= MOST_STATES
            return self._all_values(look, constant) if few and not span.found.any() else span
        return [
            value
            for value in range(constant.low, constant.high + 1)
            if not self._difference(look, row, np.full_like(look.constants[row], value)).any()
            and (look.constants[row] != value).any()
        ]

    def _all_values(self, look: Look, constant: Constant) -> Range:
        """Every value there is, of neurons whose states do not rise or fall with it: inputs of both signs, or a wrap.

        Of several ranges the one nearest to what must be.
        """
        n = look.constants.shape[1]
        low, high, found = (
            look.constants[self._rows[constant.name]].copy(),
            np.zeros(n, np.int64),
            np.zeros(n, np.bool_),
        )
        high[:] = low
        for j in range(min(n, MOST_TRIED)):
            values = np.arange(constant.low, constant.high + 1, dtype=np.int64)
            wide = max(1, STATES_AT_ONCE // max(look.arrivals[0, ..., j].size, 1))
            good = [
                part[~(self._of_values(look, constant, j, part) != 0).any(axis=0)]
                for part in np.array_split(values, -(-values.size // wide))
            ]
            fits = np.concatenate(good)
            if fits.size:
                runs = np.split(fits, np.flatnonzero(np.diff(fits) > 1) + 1)
                nearest = min(runs, key=lambda run, at=low[j]: int(np.abs(run - at).min()))  # type: ignore[misc]
                low[j], high[j], found[j] = nearest[0], nearest[-1], True
        return Range(low, high, found)

    def _of_values(self, look: Look, constant: Constant, neuron: int, values: I64) -> I64:
        """Differences of one neuron, a column for each value."""
        n = values.size
        reported = Reported(
            *(None if a is None else np.repeat(a[..., [neuron]], n, axis=-1) for a in vars(look.reported).values())
        )
        constants = np.repeat(look.constants[:, [neuron]], n, axis=1)
        constants[self._rows[constant.name]] = values
        arrivals = np.repeat(look.arrivals[..., [neuron]], n, axis=3)
        run = self._evidence.arithmetic.run(constants, arrivals, reported)
        return differences(self._watched, reported, run)

    def _values(self, look: Look, constant: Constant) -> list[tuple[int, int]]:
        """Of one neuron: values that explain it."""
        found = self._columns(look, constant)
        if isinstance(found, Range):
            return [(int(found.low[0]), int(found.high[0]))] if found.found[0] else []
        return [(value, value) for value in found]

    def _everywhere(self, constant: Constant, low: int, high: int) -> tuple[int, int] | None:
        """What is left of a range of values where every neuron is to be explained, in the order of all samples."""
        for start in dict.fromkeys((low, high, (low + high) // 2)):
            if self._scan(with_value(self._model, self._name, constant.name, None, start)):
                continue
            for end in dict.fromkeys((high, low)):
                if end != start and not self._scan(with_value(self._model, self._name, constant.name, None, end)):
                    return min(start, end), max(start, end)
            good, reach = start, (high if start == low else low)
            while abs(reach - good) > 1:
                middle = (good + reach) // 2
                if self._scan(with_value(self._model, self._name, constant.name, None, middle)):
                    reach = middle
                else:
                    good = middle
            return min(start, good), max(start, good)
        return None

    def _scan(self, model: Model) -> int:
        """States that deviate in the whole population."""
        return self._evidence.scan(model, self._name).states(self._watched)

    def _pairs(self, look: Look, neurons: I64, changed: I64) -> list[Candidate]:
        """Two constants that one parameter sets: the first from the steps at which nothing arrives."""
        found: list[Candidate] = []
        for first, second, channel, words in self._evidence.arithmetic.together:
            if self._quantity != "u" or look.difference("u") is None:
                continue
            shown = look.difference("u")
            assert shown is not None, "it was reported"
            quiet = np.broadcast_to(look.arrivals[channel] == 0, shown.shape).reshape(-1, shown.shape[-1])
            a, b = self._rows[first], self._rows[second]
            known = {c.name: c for c in self._constants}

            def masked(values: I64, a: int = a, quiet: np.ndarray = quiet) -> I64:  # type: ignore[type-arg]
                return np.where(quiet, self._difference(look, a, values), 0)

            span = exact_range(masked, look.constants[a], known[first].low, known[first].high)
            low, high = int(span.low.max()), int(span.high.min())
            if not span.found.all() or low > high:
                continue
            moved = look.constants.copy()
            moved[a] = low
            other = Look(moved, look.arrivals, look.reported, look.replayed)
            gain = exact_range(
                lambda values, other=other, b=b: self._difference(other, b, values),  # type: ignore[misc]
                moved[b], known[second].low, known[second].high,
            )  # fmt: skip
            if not gain.found.all() or gain.low.max() > gain.high.min():
                continue
            model = with_value(self._model, self._name, first, changed, low)
            model = with_value(model, self._name, second, changed, int(gain.low.max()))
            where = self._where(neurons if changed.size < self._model[self._name].size else None)
            one = constant_change(
                known[first], self._evidence.arithmetic, self._model.dt_ms, where, look.constants[a], low, high
            )
            change = replace_words(one, f"{one.words}; {words} is another, as {second} goes with it")
            found.append(Candidate((change,), model, tuple(int(n) for n in neurons) if changed is neurons else ()))
        return found

    def _where(self, neurons: I64 | None) -> str:
        size = self._model[self._name].size
        if neurons is None or size == 1:
            return f"population {self._name}"
        return f"population {self._name}, neuron {', '.join(str(n) for n in neurons)}"

    def _candidate(self, constant: Constant, model: Model, neurons: I64 | None, low: int, high: int) -> Candidate:
        expected = self._model[self._name].constants[constant.name]
        expected = expected if neurons is None else expected[neurons]
        change = constant_change(
            constant, self._evidence.arithmetic, self._model.dt_ms, self._where(neurons), expected, low, high
        )
        return Candidate((change,), model, () if neurons is None else tuple(int(n) for n in neurons))


def replace_words(change: Change, words: str) -> Change:
    """The same change in other words."""
    return replace(change, words=words)


def _common(ranges: list[Range]) -> list[tuple[int, int]]:
    """What the ranges of all neurons have in common; of those that have one if that is most of them."""
    low = np.concatenate([r.low[r.found] for r in ranges])
    high = np.concatenate([r.high[r.found] for r in ranges])
    if not low.size or low.max() > high.min():
        return []
    return [(int(low.max()), int(high.min()))]
