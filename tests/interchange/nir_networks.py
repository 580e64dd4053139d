"""Random networks of every kind that NIR can say, for hypothesis."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from toolchain.network import Network, Population, Projection, TimeConstant, make_projection

SLOTS = (0, 0, 1, 2, 3, 7, 62, 250, 999, 1000)


@st.composite
def networks(draw: st.DrawFn, max_slot: int = 1000, *, fractions: bool = True) -> Network:
    """One or two inputs, one to three hidden populations, loops, skips, masks, time constants for each neuron."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dt_ms = draw(st.sampled_from((1.0, 0.1, 0.5, 1 / 3, 2.0)))

    def tau(size: int, low: float) -> TimeConstant:
        kind = draw(st.sampled_from(("round", "any", "each")))
        if kind == "each":
            return tuple((dt_ms * random.uniform(low, 4 * low, size)).tolist())
        return float(round(dt_ms * low * 2) or 1) if kind == "round" else float(dt_ms * random.uniform(low, 4 * low))

    def population(name: str, kind: str) -> Population:
        size = draw(st.integers(1, 5))
        threshold = float(random.uniform(0.3, 1.5)) if kind == "lif" else 1.0
        return Population(name, kind, size, tau(size, 5.0), tau(size, 1.5), threshold)  # type: ignore[arg-type]

    inputs = [Population(n, "spike_source", draw(st.integers(1, 4))) for n in ("in", "z.in")[: draw(st.integers(1, 2))]]
    hidden = [population(n, "lif") for n in ("c", "a.b", "b")[: draw(st.integers(1, 3))]]
    last = population("out", draw(st.sampled_from(("leaky_readout", "lif"))))
    sizes = {p.name: p.size for p in (*inputs, *hidden, last)}
    chain = [p.name for p in (*hidden, last)]
    edges = [*((p.name, chain[0]) for p in inputs), *itertools.pairwise(chain)]
    more = [(p.name, n) for p in (*inputs, *hidden) for n in chain]
    if last.kind == "lif":
        more.append(("out", "out"))
    edges += [e for e in more if e not in edges and draw(st.booleans())]
    slots = np.array([s for s in SLOTS if s <= max_slot], dtype=np.float64)

    def projection(source: str, target: str) -> Projection:
        shape = (sizes[source], sizes[target])
        weight = random.normal(1.5, 1.5, shape)
        weight[random.random(shape) < 0.1] = 0
        delay = random.choice(random.choice(slots, 3), shape)
        if fractions and draw(st.booleans()):
            delay = np.minimum(delay + random.random(shape), max_slot)
        mask = random.random(shape) < 0.7 if draw(st.booleans()) else None
        return make_projection(source, target, weight, delay, mask)

    order = draw(st.permutations((*inputs, *hidden, last)))
    return Network(dt_ms, tuple(order), tuple(projection(*e) for e in draw(st.permutations(edges))))


def assert_equal(found: Network, expected: Network) -> None:
    """Descriptions and every array, to the bit."""
    assert found.describe() == expected.describe()
    for one, other in zip(found.projections, expected.projections, strict=True):
        for field in ("weight", "delay", "mask"):
            a, b = getattr(one, field), getattr(other, field)
            assert (a is None) == (b is None), (one.name, field)
            assert a is None or (a.dtype == b.dtype and np.array_equal(a, b)), (one.name, field)
