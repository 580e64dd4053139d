"""Changes that make a network need less: fewer neurons, shallower delays, fewer synapses, fewer bits.

Each kind of change is to a whole number out of a range. The larger the number, the milder the change, and the more
of every limit the network needs. How large a change is, is said relative to what it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.mapping.problem import Problem, Synapses
from toolchain.network_builder import generator

MOST_TRIED = 3
"""Populations and projections that are tried alone, the largest first; then all of them together."""
MOST_PAIRS = 2**23
"""Pairs of neurons up to which fewer synapses are tried, of one projection or of all: a number is drawn for each."""
MARGIN = 1
"""Percent of synapses by which a sparser projection stays below what fits: the recipe's own draw will be another."""


@dataclass(frozen=True)
class Kind:
    """One kind of change: to a whole number in low..high.

    Attributes
    ----------
    problem : the network changed to a number
    size, describe : how large that change is, and what people read
    margin : by how much less than what fits is said
    """

    low: int
    high: int
    problem: Callable[[int], Problem]
    size: Callable[[int], float]
    describe: Callable[[int], str]
    margin: int = 0


def smaller(problem: Problem) -> Iterator[Kind]:
    """Fewer neurons, synapses or bits."""
    hidden = sorted((p for p in problem.placed if not p.output), key=lambda p: -p.size)
    for population in hidden[:MOST_TRIED]:
        yield fewer_neurons(problem, [population.name])
    if len(hidden) > 1:
        yield fewer_neurons(problem, [p.name for p in hidden])
    yield fewer_bits(problem)
    drawn = sorted((s for s in problem.synapses if s.post * s.pre <= MOST_PAIRS), key=lambda s: -s.post * s.pre)
    for synapses in drawn[:MOST_TRIED]:
        yield fewer_synapses(problem, [synapses])
    if len(drawn) > 1 and sum(s.post * s.pre for s in problem.synapses) <= MOST_PAIRS:
        yield fewer_synapses(problem, drawn)


def fewer_neurons(problem: Problem, names: Sequence[str]) -> Kind:
    """Fewer neurons in one population, or in several by the same share; numbers are of the first of them."""
    sizes = {name: problem[name].size for name in names}
    first = sizes[names[0]]

    def left(value: int) -> dict[str, int]:
        return {name: max(1, size * value // first) for name, size in sizes.items()}

    def changed(value: int) -> Problem:
        remaining = left(value)
        populations = tuple(replace(p, size=remaining.get(p.name, p.size)) for p in problem.populations)
        synapses = tuple(
            s.cut(remaining.get(s.source, s.pre), remaining.get(s.target, s.post)) for s in problem.synapses
        )
        return Problem(populations, synapses)

    def size(value: int) -> float:
        return 1 - value / first

    def describe(value: int) -> str:
        what = "neurons" if problem[names[0]].placed else "channels"
        each = [f"{name} of {n} {what} in place of {sizes[name]}" for name, n in left(value).items()]
        if len(each) > MOST_TRIED:
            each = [each[0], f"and the other {len(each) - 1} hidden populations likewise"]
        return f"{', '.join(each)} ({percent(size(value))} fewer)"

    return Kind(1, first - 1, changed, size, describe)


def shallower_delays(problem: Problem, chip_largest: int) -> Kind:
    """Delays cut at a slot; `chip_largest` is what deployment can cut them at."""
    largest = problem.largest_slot

    def changed(value: int) -> Problem:
        return replace(
            problem, synapses=tuple(replace(s, deepest=np.minimum(s.deepest, value)) for s in problem.synapses)
        )

    def size(value: int) -> float:
        return 1 - value / largest

    def describe(value: int) -> str:
        cut = " or --clip-delays" if value == chip_largest else ""
        less = f"({percent(size(value))} less)"
        return f"delays of at most {value} slots in place of {largest} {less}: training.max_slot{cut}"

    return Kind(0, largest - 1, changed, size, describe)


def longer_steps(problem: Problem) -> Kind:
    """The same delays in milliseconds are fewer slots where a step is longer; numbers are of the largest."""
    largest = problem.largest_slot

    def changed(value: int) -> Problem:
        scaled = [np.rint(s.deepest * (value / largest)).astype(np.int64) for s in problem.synapses]
        return replace(
            problem, synapses=tuple(replace(s, deepest=d) for s, d in zip(problem.synapses, scaled, strict=True))
        )

    def size(value: int) -> float:
        return largest / value - 1

    def describe(value: int) -> str:
        return f"steps {largest / value:.3g} times as long, with the same delays in ms: dt_ms"

    return Kind(1, largest - 1, changed, size, describe)


def fewer_synapses(problem: Problem, thinned: Sequence[Synapses]) -> Kind:
    """Fewer synapses of one projection, or of all by the same share; numbers are percent of those there."""
    names = [s.name for s in thinned]
    drawn: dict[str, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {}

    def thinner(s: Synapses, value: int) -> Synapses:
        if s.name not in drawn:
            drawn[s.name] = s.exists(), generator(0, s.name, "mask").random((s.post, s.pre))
        exists, numbers = drawn[s.name]
        return s.with_synapses(exists & (numbers < value / 100))

    def changed(value: int) -> Problem:
        synapses = tuple(thinner(s, value) if s.name in names else s for s in problem.synapses)
        return replace(problem, synapses=synapses)

    def size(value: int) -> float:
        return 1 - value / 100

    def describe(value: int) -> str:
        fewer = f"({percent(size(value))} fewer)"
        if len(names) > 1:
            return f"every projection with {value} % of its synapses {fewer}"
        density = float(thinned[0].exists().mean())
        return f"{names[0]} of density {value / 100 * density:.3g} in place of {density:.3g} {fewer}"

    return Kind(1, 99, changed, size, describe, MARGIN)


def fewer_bits(problem: Problem) -> Kind:
    """Weights that are multiples of a coarser step."""
    widest = max((s.bits for s in problem.synapses), default=1)

    def changed(value: int) -> Problem:
        return replace(problem, synapses=tuple(replace(s, bits=min(s.bits, value)) for s in problem.synapses))

    def size(value: int) -> float:
        return 1 - value / widest

    def describe(value: int) -> str:
        return f"weights of {value} bits in place of {widest} ({percent(size(value))} fewer)"

    return Kind(1, widest - 1, changed, size, describe)


def percent(share: float) -> str:
    """A share in percent, two digits of it or all whole ones."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
