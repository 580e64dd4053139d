"""Where sPyNNaker puts the cores of a network on one board.

It goes through populations, then delay extensions, in their order, and fills chip after chip: from the chip where it
started last while that has a free core, then on to neighbours, nearest first. What sits on a chip may not take more
than its SDRAM; sPyNNaker counts some bytes more than we do (recordings, parameters), so where SDRAM runs out before
cores do, it may go on to the next chip earlier. On a real machine some cores and chips are missing, and only sPyNNaker
knows them.

Source: sPyNNaker 7.4.1 (`pacman`, application_placer.py; `spinn_machine`, virtual_machine.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hardware_targets.limit_file import ChipLimits
from hardware_targets.spinnaker.limits import Board
from toolchain.errors import TargetLimitError

Chip = tuple[int, int]
LINKS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""Steps to the neighbours of a chip, in the order of its links."""


@dataclass(frozen=True)
class Place:
    """A core: chip and number on it."""

    x: int
    y: int
    core: int


@dataclass
class _State:
    """What the placer remembers from one vertex to the next."""

    order: list[Chip]
    free: dict[Chip, list[int]]
    bytes_free: dict[Chip, int]
    full: set[Chip] = field(default_factory=set)
    starts: list[Chip] = field(default_factory=list)
    next_start: int = 0


def place_cores(vertices: Sequence[tuple[str, Sequence[int]]], board: Board, limits: ChipLimits) -> list[list[Place]]:
    """Places of all cores of each vertex.

    Parameters
    ----------
    vertices : name, and the SDRAM that each of its cores takes, bytes; in sPyNNaker's order
    board : the one board there is

    Raises
    ------
    TargetLimitError
        If there are not enough cores, or a core or a vertex finds no chip with enough SDRAM.
    """
    state = _State(list(board.cores), _free_cores(board, limits), dict.fromkeys(board.cores, limits["sdram_bytes"]))
    return [_place_vertex(name, wanted, state, board, limits) for name, wanted in vertices]


def _free_cores(board: Board, limits: ChipLimits) -> dict[Chip, list[int]]:
    taken = limits["system_cores_per_chip"]
    free = {chip: list(range(taken, cores)) for chip, cores in board.cores.items()}
    first = next(iter(free))
    free[first] = free[first][limits["system_cores_per_board"] :]
    return free


def _place_vertex(name: str, wanted: Sequence[int], state: _State, board: Board, limits: ChipLimits) -> list[Place]:
    """Try starts until the whole vertex can be placed from one; nothing is taken before that."""
    restored, state.starts = state.starts, []
    while True:
        start = _next_start(restored, state)
        if start is None:
            most = max(wanted)
            raise TargetLimitError(
                f"{name}: no chip is left for its {len(wanted)} cores, of which one takes up to {most} bytes of "
                f"SDRAM, on a board of {board.n_chips} chips with {limits['sdram_bytes']} bytes each; take more "
                "boards, or fewer neurons"
            )
        state.starts.append(start)
        placed = _spread(start, wanted, state, board)
        if placed is not None:
            for place, size in zip(placed, wanted, strict=True):
                state.free[place.x, place.y].remove(place.core)
                state.bytes_free[place.x, place.y] -= size
            return placed


def _next_start(restored: list[Chip], state: _State) -> Chip | None:
    while restored:
        if (chip := restored.pop(0)) not in state.full:
            return chip
    while state.next_start < len(state.order):
        chip = state.order[state.next_start]
        state.next_start += 1
        if chip not in state.full:
            return chip
    return None


def _spread(start: Chip, wanted: Sequence[int], state: _State, board: Board) -> list[Place] | None:
    """Cores from a chip on, chip after chip; None if the neighbourhood has too few."""
    seen: set[Chip] = set()
    queue, placed = [start], []
    cores: list[int] = []
    chip, room = start, 0
    for size in wanted:
        while not cores or size > room:
            if not queue:
                return None
            chip = queue.pop(0)
            if not state.free[chip]:
                state.full.add(chip)
                continue
            seen.add(chip)
            if size > state.bytes_free[chip]:
                continue
            cores, room = list(state.free[chip]), state.bytes_free[chip]
            for near in neighbours(chip, board):
                if near not in state.full and near not in seen and near not in queue:
                    queue.append(near)
        placed.append(Place(*chip, cores.pop(0)))
        room -= size
    return placed


def neighbours(chip: Chip, board: Board) -> list[Chip]:
    """Chips at the other end of the links of one, in the order of its links."""
    x, y = chip
    near = [(x + dx, y + dy) for link, (dx, dy) in enumerate(LINKS) if (x, y, link) not in board.down]
    if board.wraps:
        near = [(x % board.width, y % board.height) for x, y in near]
    return [other for other in near if other in board.cores]
