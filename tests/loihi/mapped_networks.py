"""Random networks to place, chips with cramped limits, and a recount of what a core takes, synapse by synapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation, IntegerProjection
from hardware_targets.loihi.limits import ChipLimits, read_limits
from toolchain.deployment.target import CoreUse, Placement

LOIHI1, LOIHI2 = read_limits("loihi1"), read_limits("loihi2")


def limited(chip: ChipLimits = LOIHI2, **values: int | None) -> ChipLimits:
    """A chip with some limits changed."""
    table = dict(chip.table)
    for name, value in values.items():
        table[name] = replace(table[name], value=value)
    return ChipLimits("test chip", table, chip.choices)


def chain(inputs: int = 20, hidden: int = 300, largest: int = 62, density: float = 1.0) -> IntegerNetwork:
    """A recurrent layer between input and readout, with random weights and slots."""
    random = np.random.default_rng(0)
    sizes = {"in": inputs, "hidden": hidden, "out": 10}
    edges = (("in", "hidden"), ("hidden", "hidden"), ("hidden", "out"))
    return make_network(sizes, [random_projection(random, sizes, *e, largest, density) for e in edges])


def make_network(sizes: dict[str, int], projections: Sequence[IntegerProjection]) -> IntegerNetwork:
    """A network of populations called in, ..., out."""
    populations = []
    for name, size in sizes.items():
        if name == "in":
            populations.append(IntegerPopulation(name, "spike_source", size))
        elif name == "out":
            populations.append(IntegerPopulation(name, "leaky_readout", size, 700, 200, READOUT_VTH, 1.0))
        else:
            populations.append(IntegerPopulation(name, "lif", size, 700, 200, 100, 1.0))
    return IntegerNetwork(1.0, tuple(populations), tuple(projections))


def random_projection(
    random: np.random.Generator,
    sizes: dict[str, int],
    source: str,
    target: str,
    largest: int = 62,
    density: float = 1.0,
    step: int = 2,
    sign: int = 0,
) -> IntegerProjection:
    """Weights that are multiples of `step`, of both signs or of one, some of them 0; no mask where density is 1."""
    shape = (sizes[source], sizes[target])
    weight = step * random.integers(-256 // step, 254 // step + 1, shape)
    if sign:
        weight = sign * np.minimum(np.abs(weight), 254 // step * step)
    slots = random.integers(0, largest + 1, shape)
    mask = random.random(shape) < density if density < 1 else None
    if mask is not None:
        weight, slots = weight * mask, slots * mask
    return IntegerProjection(source, target, weight.astype(np.int32), 0, slots, mask)


@st.composite
def networks(draw: st.DrawFn) -> IntegerNetwork:
    """Small networks of one to three hidden layers: dense or masked, recurrent, skipping, of few or many slots."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    sizes = {"in": draw(st.integers(1, 12)), **{n: draw(st.integers(1, 40)) for n in names}, "out": 3}
    edges = [("in", names[0]), *zip(names, [*names[1:], "out"], strict=True)]
    edges += [(n, n) for n in names if draw(st.booleans())]
    edges += [("in", "out")] if draw(st.booleans()) else []
    projections = []
    for edge in edges:
        largest, density = draw(st.sampled_from([0, 5, 20, 62])), draw(st.sampled_from([0.05, 0.4, 1.0]))
        step, sign = draw(st.sampled_from([2, 8, 64])), draw(st.sampled_from([0, 1, -1]))
        projections.append(random_projection(random, sizes, *edge, largest, density, step, sign))
    return make_network(sizes, projections)


@st.composite
def chips(draw: st.DrawFn) -> ChipLimits:
    """One of the chips with limits so small that the networks above are split, and eight of them."""
    return limited(
        draw(st.sampled_from([LOIHI1, LOIHI2])),
        neurons_per_core=draw(st.sampled_from([None, 7, 16])),
        synaptic_memory_per_core=draw(st.sampled_from([None, 6000, 30_000])),
        axons_in_per_core=draw(st.sampled_from([None, 100])),
        axons_out_per_core=draw(st.sampled_from([None, 120])),
        delay_cells_per_core=draw(st.sampled_from([None, 256, 1024])),
        cores=draw(st.sampled_from([16, 128])),
        chips=8,
    )


def recount(network: IntegerNetwork, placement: Placement, limits: ChipLimits) -> list[dict[str, int]]:
    """What each core of a placement takes, counted one synapse after the other."""
    incoming: list[list[tuple[IntegerProjection, int, int]]] = []
    for core in placement.cores:
        here = []
        for p in network.projections:
            if p.target == core.population:
                for pre in range(p.weight.shape[0]):
                    for post in range(core.first, core.last + 1):
                        if p.weight[pre, post] and (p.mask is None or p.mask[pre, post]):
                            here.append((p, pre, post))
        incoming.append(here)
    found = []
    for core, here in zip(placement.cores, incoming, strict=True):
        neurons = core.last - core.first + 1
        deepest = max((int(p.slots[pre, post]) for p, pre, post in here), default=0)
        found.append(
            {
                "neurons_per_core": neurons,
                "synaptic_memory_per_core": sum(
                    _cheapest([(pre, int(p.weight[pre, q]), int(p.slots[pre, q])) for r, pre, q in here if r is p],
                              neurons, limits)
                    for p in network.projections if p.target == core.population
                ),
                "axons_in_per_core": len({(p.name, pre) for p, pre, _ in here}),
                "delay_cells_per_core": neurons * min(d for d in (8, 16, 32, 64) if deepest <= d - 2),
                "synapse_formats_per_core": len({p.name for p, _, _ in here}),
                "axons_out_per_core": sum(
                    len({pre for p, pre, _ in other if p.source == core.population and core.first <= pre <= core.last})
                    for other in incoming
                ),
            }
        )  # fmt: skip
    return found


def _cheapest(synapses: list[tuple[int, int, int]], neurons: int, limits: ChipLimits) -> int:
    """Bits of synapses (source, weight, slot) on a core of so many neurons, in the cheapest format that holds them."""
    if not synapses:
        return 0
    weights = [weight for _, weight, _ in synapses]
    weight_bits = min(b for b in limits.choices["weight_bits"].value if _holds(b, weights))
    delay_bits = min(b for b in limits.choices["delay_bits"].value if all(slot < 2**b for _, _, slot in synapses))
    index_bits = [b for b in limits.choices["index_bits"].value if neurons <= 2**b]
    fan_out: dict[int, int] = {}
    for pre, _, _ in synapses:
        fan_out[pre] = fan_out.get(pre, 0) + 1
    dense = len(fan_out) * _axon_bits(neurons, weight_bits + delay_bits)
    indexed = sum(_axon_bits(n, weight_bits + delay_bits + min(index_bits)) for n in fan_out.values())
    return min(dense, indexed)


def _holds(bits: int, weights: list[int]) -> bool:
    """Whether a format of so many weight bits holds all weights, all shifted up alike, of both signs or of one."""
    for shift in range(9):
        shifted = [weight << shift for weight in weights]
        mixed, single = 2 ** (9 - bits), 2 ** (8 - bits)
        if all(w % mixed == 0 and -256 <= w <= 256 - mixed for w in shifted):
            return True
        for sign in (1, -1):
            if all(w % single == 0 and 0 <= sign * w <= 255 for w in shifted):
                return True
    return False


def _axon_bits(synapses: int, bits: int) -> int:
    """Blocks of up to 64 synapses, 10 bits each for the block, whole words of 64 bits."""
    total = 0
    for first in range(0, synapses, 64):
        total += -(-(min(64, synapses - first) * bits + 10) // 64) * 64
    return total


def within(core: CoreUse, limits: ChipLimits) -> bool:
    """Whether a core breaks no limit."""
    values = {name: limits.table[name].value for name in core.use}
    return all(most is None or core.use[name] <= most for name, most in values.items())
