"""What to say of a network that needs more cores or memory than there are: by how much, and changes with which it fits.

Every change was tried: the changed network is planned again, and only what then fits is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.limits import BOARD, SpinnakerLimits
from hardware_targets.spinnaker.problem import Problem, ProblemPopulation


def too_many_cores(layout: Layout, room: int, limits: SpinnakerLimits, fits: Callable[[Problem], bool]) -> str:
    """One line with the numbers and the changes.

    Parameters
    ----------
    layout : the one that needs fewest cores of those that were found
    room : cores of all boards
    fits : whether a changed network fits
    """
    needed, largest = layout.n_cores, _largest_population(layout)
    board = limits.board(BOARD)
    boards = -(-needed // board.n_usable(limits))
    # More than one board of four chips are no machine: what is larger than one is made of the large ones.
    more = [f"--chips {boards * board.n_chips}"] if boards <= limits["boards_of_largest_system"] else []
    return (
        f"network: needs {needed} cores, {room} are usable ({needed - room} too many); {largest.name} takes "
        f"{layout.cores(largest.name)} of them with {layout.neurons[largest.name]} neurons each; "
        f"{_way_out(layout, more, fits)}"
    )


def too_much_memory(
    layout: Layout, needed: int, held: int, each: Mapping[str, int], fits: Callable[[Problem], bool]
) -> str:
    """The same for tables that the chips of a board do not hold.

    Parameters
    ----------
    needed, held : SDRAM of all tables, and of all chips, bytes
    each : population or delay extension -> SDRAM of each of its cores, bytes
    """
    largest = max(each, key=lambda vertex: each[vertex])
    room = layout.limits["sdram_bytes"]
    over = f"{needed - held} too many" if needed > held else f"too many for {room} a chip"
    return (
        f"network: its tables take {needed} bytes of SDRAM, the chips of the board have {held} ({over}); a core of "
        f"{largest} takes {each[largest]}; {_way_out(layout, ['more chips (--chips)'], fits)}"
    )


def _way_out(layout: Layout, more: list[str], fits: Callable[[Problem], bool]) -> str:
    problem, largest, changes = layout.problem, _largest_population(layout), list(more)
    longest = max((p.longest for p in problem.projections), default=0)
    if shorter := _largest(longest, lambda ticks: fits(problem.cut_at(ticks))):
        changes.append(f"delays of at most {shorter} ticks in place of {longest} (training.max_slot {shorter - 1})")
    if fewer := _largest(largest.size, lambda size: fits(_resized(problem, largest.name, size))):
        changes.append(f"{fewer} neurons in {largest.name} in place of {largest.size}")
    return f"it would fit with {', or '.join(changes)}" if changes else "make it smaller in several ways"


def _largest_population(layout: Layout) -> ProblemPopulation:
    return max(layout.problem.populations, key=lambda p: layout.cores(p.name))


def _largest(below: int, fits: Callable[[int], bool]) -> int:
    """The largest number below one that does not fit, found by halving; 0 if none was found that fits."""
    low, high = 0, below
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _resized(problem: Problem, name: str, size: int) -> Problem:
    """The same with another number of neurons in a population; rows are counted as they were."""
    return replace(
        problem, populations=tuple(replace(p, size=size) if p.name == name else p for p in problem.populations)
    )
