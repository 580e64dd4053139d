"""Multicast keys: which key each neuron sends, and which a delay extension sends it again with.

    key of a neuron      = key of its core | neuron << 4 | tick & 15                     4 colour bits
    key of a later stage = key of the extension's core + ((stage - 1) * n + neuron << 4) | tick & 15

n is the number of neurons on that core. Every vertex that projects to any gets a block of keys of one length for all:
the bits above are its number, below it the number of a core, below that neuron and colour. A vertex is a population, or
the delay extension of one; numbers go by the first projection of each population, extensions after all populations.

Source: sPyNNaker 7.4.1 (`pacman`, zoned_routing_info_allocator.py, the flexible one that its configuration chooses;
delay_extension.aplx, disassembled).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardware_targets.limit_file import ChipLimits
from hardware_targets.spinnaker.slots import bits_for
from toolchain.errors import TargetLimitError


@dataclass(frozen=True)
class SendingVertex:
    """A vertex that sends: a population or a delay extension.

    Attributes
    ----------
    name : of the population
    stages : 0 for the population itself, otherwise those of its extension
    cores : neurons on each of its cores
    source : it is a spike source
    """

    name: str
    stages: int
    cores: tuple[int, ...]
    source: bool


@dataclass(frozen=True)
class VertexKeys:
    """Keys of one vertex.

    Attributes
    ----------
    key, mask : of the whole vertex
    atom_bits : bits of a key below the number of the core
    core_keys : of each core
    """

    key: int
    mask: int
    atom_bits: int
    core_keys: tuple[int, ...]

    @property
    def core_mask(self) -> int:
        """Mask of the key of a core."""
        return _mask(self.atom_bits)


def allocate_keys(vertices: Sequence[SendingVertex], limits: ChipLimits) -> list[VertexKeys]:
    """Keys of every vertex, in their order.

    Raises
    ------
    TargetLimitError
        If the keys of all vertices take more bits than a key has.
    """
    atoms = [max(0, max(_n_keys(v, n, limits) for n in v.cores) - 1).bit_length() for v in vertices]
    below = max((bits + _core_bits(v) for v, bits in zip(vertices, atoms, strict=True)), default=0)
    wanted = below + max(0, len(vertices) - 1).bit_length()
    if wanted > limits["key_bits"]:
        raise TargetLimitError(
            f"network: the keys of {len(vertices)} vertices take {wanted} bits, {limits.chip} has "
            f"{limits['key_bits']}; use fewer populations or fewer cores for the largest"
        )
    found = []
    for number, (vertex, bits) in enumerate(zip(vertices, atoms, strict=True)):
        key = number << below
        cores = tuple(key | core << bits for core in range(len(vertex.cores)))
        found.append(VertexKeys(key, _mask(below), bits, cores))
    return found


def _n_keys(vertex: SendingVertex, neurons: int, limits: ChipLimits) -> int:
    """Keys that a core asks for; sources and extensions round their neurons up to a power of two."""
    rounded = 1 << bits_for(neurons) if vertex.source or vertex.stages else neurons
    return int(rounded * max(1, vertex.stages)) << limits["colour_bits"]


def _core_bits(vertex: SendingVertex) -> int:
    return (len(vertex.cores) - 1).bit_length()


def _mask(bits: int) -> int:
    return 0xFFFFFFFF & ~((1 << bits) - 1)
