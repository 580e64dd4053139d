"""Links that a multicast packet takes: it crosses one once for all chips beyond, and routers copy it where ways part.

The tree here is that of shortest ways on the board, among which the first in the order of a chip's links is taken. That
of sPyNNaker joins other ways; over many cores its links are as many to within a few percent, one packet's may differ
(`tests/cost/test_routes_board.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from hardware_targets.spinnaker.limits import Board
from hardware_targets.spinnaker.placing import Chip, neighbours
from toolchain.errors import InputError


class Routes:
    """Trees on one board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._parents: dict[Chip, dict[Chip, Chip]] = {}

    def links(self, source: Chip, targets: Iterable[Chip]) -> int:
        """Links of the tree from a chip to others; 0 where all targets are the chip itself.

        Raises
        ------
        InputError
            If a chip is not on the board or no link leads to it.
        """
        parents = self._from(source)
        reached = {source}
        for target in targets:
            chip = target
            while chip not in reached:
                if chip not in parents:
                    raise InputError(
                        f"chip {target} cannot be reached from {source} on a board of version {self._board.version}; "
                        "place the network again"
                    )
                reached.add(chip)
                chip = parents[chip]
        return len(reached) - 1

    def _from(self, source: Chip) -> dict[Chip, Chip]:
        """Chip -> the one before it on its shortest way from the source."""
        if source not in self._parents:
            parents: dict[Chip, Chip] = {}
            seen, queue = {source}, [source]
            for chip in queue:
                for near in neighbours(chip, self._board):
                    if near not in seen:
                        seen.add(near)
                        parents[near] = chip
                        queue.append(near)
            self._parents[source] = parents
        return self._parents[source]
