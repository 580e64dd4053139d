"""Cores and links of a packet, followed through the routing tables that sPyNNaker makes on its virtual board."""

from __future__ import annotations

import numpy as np
import pytest

from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.workload import build_workload
from tests.cost.test_spinnaker_workload import BOARD, cores_of
from tests.oracles.spynnaker_board import BoardJob, BoardResult, installed, run_on_board
from tests.spinnaker.mapped import DELAYED, LIMITS, plan_of, random_case
from tests.spinnaker.test_tables_board import sparse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]"),
]
STEPS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""Of link 0 to 5, as the hardware numbers them."""


def follow(board: BoardResult, key: int, start: tuple[int, int]) -> tuple[set[tuple[int, int, int]], int]:
    """Cores that a packet with this key reaches, and links that it crosses; without an entry it goes straight on."""
    reached: set[tuple[int, int, int]] = set()
    links, queue = 0, [(start, -1)]
    while queue:
        (x, y), came = queue.pop()
        matching = [entry for entry in board.routes.get((x, y), []) if key & entry[1] == entry[0]]
        assert len(matching) <= 1
        processors, out = (matching[0][2], matching[0][3]) if matching else ([], [came])
        reached |= {(x, y, p) for p in processors}
        for link in out:
            assert link >= 0, "a packet that starts where no entry is"
            links += 1
            queue.append(((x + STEPS[link][0], y + STEPS[link][1]), link))
    return reached, links


def assert_same(network: IntegerNetwork, neurons: dict[str, int], board: BoardResult) -> tuple[int, int]:
    """Cores equal; returns links of a packet of every core, ours and sPyNNaker's."""
    assert board.error is None
    cores = cores_of(plan_of(network, neurons))
    workload = build_workload(network, cores, LIMITS, BOARD)
    ours = theirs = 0
    for sender in workload.senders:
        vertex = sender.population + (DELAYED if sender.lag else "")
        if vertex not in board.machine_keys:
            continue
        homes = [i for i, c in enumerate(cores) if c.population == vertex]
        for home, (key, _) in zip(homes, board.machine_keys[vertex], strict=True):
            first = cores[home].first
            position = cores[home].position
            assert position is not None
            reached, links = follow(board, key, position)
            mine = np.flatnonzero(sender.at_sites["messages"][first])
            assert {(*(cores[i].position or ()), cores[i].core) for i in mine} == reached
            ours, theirs = ours + int(sender.per_spike["hops"][first]), theirs + links
    return ours, theirs


def test_packets_reach_the_cores_that_we_say_over_about_as_many_links() -> None:
    cases = [
        *(random_case(seed) for seed in (3, 4, 8, 11)),
        (sparse({"in": 300, "hidden": 500, "out": 90}, 0), {"in": 9, "hidden": 3, "out": 2}),
        (sparse({"in": 64, "hidden": 900, "out": 40}, 1), {"in": 1, "hidden": 4, "out": 40}),
    ]
    boards = run_on_board([BoardJob(network, neurons) for network, neurons in cases], timeout_s=900)
    totals = [assert_same(*case, board) for case, board in zip(cases, boards, strict=True)]
    ours, theirs = (sum(t[i] for t in totals) for i in (0, 1))
    assert 0 < 0.95 * ours <= theirs <= 1.05 * ours
