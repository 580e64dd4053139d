"""A plan: which neurons sit on which core of which chip, what that takes of every limit, and why.

From a quantised network, or before training from sizes and largest delays alone; what fits then fits after training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hardware_targets.spinnaker.advice import too_much_memory
from hardware_targets.spinnaker.keys import SendingVertex, VertexKeys, allocate_keys
from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.limits import BOARD, Board, SpinnakerLimits
from hardware_targets.spinnaker.memory import CoreBytes, core_bytes, extension_bytes
from hardware_targets.spinnaker.placing import Place, place_cores
from hardware_targets.spinnaker.planner import DELAYED, Given, choose_layout, reasons, room_for
from hardware_targets.spinnaker.problem import Problem
from toolchain.deployment.target import Resource
from toolchain.errors import TargetLimitError


@dataclass(frozen=True)
class PlannedCore:
    """One core: neurons `first`..`last` of a population, or what delays their spikes further.

    Attributes
    ----------
    vertex : population, with ``_delayed`` for its delay extension
    index : number of the core in its vertex
    place : None where there are several boards, of which only sPyNNaker knows which chips are taken
    """

    vertex: str
    population: str
    extension: bool
    index: int
    first: int
    last: int
    place: Place | None

    @property
    def size(self) -> int:
        """Neurons on it."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Plan:
    """Cores in sPyNNaker's order: populations, then delay extensions.

    Attributes
    ----------
    layout : neurons a core, slots and stages
    reasons : population -> why its cores are as they are, a sentence for people
    board, boards : version of the boards, and how many there are
    """

    layout: Layout
    reasons: Mapping[str, str]
    board: Board
    boards: int
    cores: tuple[PlannedCore, ...]
    limits: SpinnakerLimits

    def of(self, vertex: str) -> list[PlannedCore]:
        """Cores of a vertex."""
        return [core for core in self.cores if core.vertex == vertex]

    @cached_property
    def keys(self) -> dict[str, VertexKeys]:
        """Vertex that sends -> its keys, in their order."""
        layout = self.layout
        stages = dict.fromkeys(layout.sources, 0) | {f"{n}{DELAYED}": s for n, s in layout.stages.items()}
        vertices = [
            SendingVertex(
                name, s, tuple(c.size for c in self.of(name)), not layout.problem[self.of(name)[0].population].simulated
            )
            for name, s in stages.items()
        ]
        return dict(zip(stages, allocate_keys(vertices, self.limits), strict=True))

    @property
    def misplaced(self) -> tuple[str, ...]:
        """Projections whose synapses sPyNNaker 7.4.1 would put into wrong rows; none unless that was allowed."""
        return self.layout.misplaced

    @cached_property
    def use(self) -> dict[str, CoreBytes]:
        """Vertex -> memory that each of its cores takes."""
        return _memory(self.layout)

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """What the plan takes of every limit."""
        layout, limits, use = self.layout, self.limits, self.use
        sdram: dict[tuple[int, int], int] = {}
        for core in self.cores:
            if core.place:
                chip = (core.place.x, core.place.y)
                sdram[chip] = sdram.get(chip, 0) + use[core.vertex].sdram
        slots = 2 ** limits["ring_buffer_bits"] * limits["ring_buffer_entry_bytes"]
        senders = sum(len(self.of(vertex)) for vertex in self.keys)
        least = -(-len(self.cores) // (limits["cores_per_chip"] - limits["system_cores_per_chip"]))
        chips = Resource("chips", len(sdram) or least, self.boards * self.board.n_chips, "chips", self.board.source)
        stages = max(layout.stages.values(), default=0)
        return (
            Resource(
                "boards",
                self.boards,
                self.boards,
                "boards",
                f"of version {self.board.version}, {self.board.n_chips} chips",
            ),
            chips,
            Resource("cores", len(self.cores), self.boards * self.board.n_usable(limits), "cores", self.board.source),
            self._row("neurons_per_core", max(layout.neurons.values(), default=0)),
            self._row("delay_stages", stages),
            Resource(
                "sdram_bytes",
                max(sdram.values(), default=0),
                limits["sdram_bytes"],
                "bytes",
                "of the fullest chip: rows and tables",
            ),
            Resource(
                "dtcm_bytes",
                max((u.dtcm for u in use.values()), default=0),
                limits["dtcm_bytes"],
                "bytes",
                "of the fullest core, without the binary's own variables",
            ),
            Resource(
                "ring_buffer_bytes",
                max((use[p].ring for p in layout.slots), default=0),
                slots,
                "bytes",
                limits.table["ring_buffer_bits"].note,
            ),
            Resource(
                "router_entries",
                senders,
                limits["router_entries"],
                "entries",
                "at most, on any chip and before sPyNNaker joins entries",
            ),
        )

    def _row(self, name: str, used: float) -> Resource:
        limit = self.limits.table[name]
        return Resource(name, used, limit.value, limit.unit, limit.note)


def make_plan(
    problem: Problem,
    limits: SpinnakerLimits,
    *,
    boards: int | None = None,
    version: int = BOARD,
    neurons: Mapping[str, int] | None = None,
    allow_misplaced: bool = False,
) -> Plan:
    """Plan a network; parameters and errors as `choose_layout`.

    Also refused are tables that a core's or a chip's memory does not hold.
    """
    board, count = limits.board(version), limits["boards"] if boards is None else boards

    def holds(layout: Layout) -> bool:
        try:
            _place(layout, board, count)
        except TargetLimitError:
            return False
        return True

    choice = choose_layout(
        problem,
        limits,
        boards=boards,
        version=version,
        neurons=neurons,
        allow_misplaced=allow_misplaced,
        holds=holds,
    )
    layout = choice.layout
    use = _memory(layout)
    _check_memory(layout, use)
    try:
        places = _place(layout, board, count)
    except TargetLimitError as error:
        given = Given({name: layout.neurons[name] for name in choice.given}, allow_misplaced)
        fits = room_for(limits, board.n_usable(limits) * count, given, holds)
        needed = sum(use[vertex].sdram * layout.cores(name) for vertex, name in _vertices(layout))
        each = {vertex: taken.sdram for vertex, taken in use.items()}
        held = limits["sdram_bytes"] * board.n_chips * count
        raise TargetLimitError(too_much_memory(layout, needed, held, each, fits)) from error
    cores = tuple(
        PlannedCore(vertex, name, vertex != name, i, first, last, places[v][i] if places else None)
        for v, (vertex, name) in enumerate(_vertices(layout))
        for i, (first, last) in enumerate(_slices(problem[name].size, layout.neurons[name]))
    )
    return Plan(layout, reasons(choice), board, count, cores, limits)


def _vertices(layout: Layout) -> list[tuple[str, str]]:
    """(vertex, population) in sPyNNaker's order."""
    names = [p.name for p in layout.problem.populations]
    return [(name, name) for name in names] + [(f"{name}{DELAYED}", name) for name in layout.stages]


def _memory(layout: Layout) -> dict[str, CoreBytes]:
    """Vertex -> memory that each of its cores takes."""
    return {
        vertex: core_bytes(layout, name) if vertex == name else extension_bytes(layout, name)
        for vertex, name in _vertices(layout)
    }


def _place(layout: Layout, board: Board, boards: int) -> list[list[Place]] | None:
    """Places of each vertex's cores; None for several boards, for which only the sum of bytes is checked."""
    use, limits = _memory(layout), layout.limits
    if boards == 1:
        wanted = [(v, [use[v].sdram] * layout.cores(name)) for v, name in _vertices(layout)]
        return place_cores(wanted, board, limits)
    needed = sum(use[vertex].sdram * layout.cores(name) for vertex, name in _vertices(layout))
    if needed > limits["sdram_bytes"] * board.n_chips * boards:
        raise TargetLimitError(f"network: {needed} bytes of SDRAM are more than {boards} boards have")
    return None


def _slices(size: int, neurons: int) -> list[tuple[int, int]]:
    """First and last neuron of each core; all but the last are full."""
    return [(first, min(first + neurons, size) - 1) for first in range(0, size, neurons)]


def _check_memory(layout: Layout, use: Mapping[str, CoreBytes]) -> None:
    limits = layout.limits
    for vertex, taken in use.items():
        for what, limit in (("dtcm", limits["dtcm_bytes"]), ("sdram", limits["sdram_bytes"])):
            if (used := getattr(taken, what)) > limit:
                name = vertex.removesuffix(DELAYED) if vertex not in layout.neurons else vertex
                raise TargetLimitError(
                    f"{vertex}: a core with {layout.neurons[name]} neurons takes {used} bytes of {what.upper()}, "
                    f"{limits.chip} has {limit} ({used - limit} too many); give fewer neurons a core, or fewer sources"
                )
