"""How many steps later a population does here what it does in a tool that passes spikes on within a step.

There, a spike of step s that a synapse delays by d steps arrives at step s + d, and at s + 1 + d where it goes round a
loop. Here it arrives at s + 1 + k for slot k. If population p does everything L(p) steps later here, the spikes are the
same with

    k = d + L(target) - L(source) - 1    and in a loop    k = d

L is the same for all populations of a loop, and else the longest path from an input, so that k >= 0 everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable


def loops(names: Collection[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The number of the loop that each population is in; populations share it if each reaches the other.

    Numbers rise along the edges between loops.

    Source: Tarjan, Depth-first search and linear graph algorithms, 1972; without recursion.
    """
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    found: list[list[str]] = []
    for root in names:
        if root in index:
            continue
        work = [(root, iter(after[root]))]
        index[root] = low[root] = len(index)
        open_[root] = None
        while work:
            name, rest = work[-1]
            follower = next(rest, None)
            if follower is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    members: list[str] = []
                    while not members or members[-1] != name:
                        members.append(open_.popitem()[0])
                    found.append(members)
            elif follower not in index:
                index[follower] = low[follower] = len(index)
                open_[follower] = None
                work.append((follower, iter(after[follower])))
            elif follower in open_:
                low[name] = min(low[name], index[follower])
    # Tarjan finds a loop after all that it leads to.
    return {name: number for number, members in enumerate(reversed(found)) for name in members}


def latencies(names: Collection[str], edges: Collection[tuple[str, str]]) -> dict[str, int]:
    """L of each population, steps: 0 where nothing but its own loop leads to it."""
    loop = loops(names, edges)
    level = dict.fromkeys(loop.values(), 0)
    for source, target in sorted(edges, key=lambda edge: loop[edge[0]]):
        if loop[source] != loop[target]:
            level[loop[target]] = max(level[loop[target]], level[loop[source]] + 1)
    return {name: level[number] for name, number in loop.items()}


def uneven(names: Collection[str], edges: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Edges for which it matters whether a spike takes a step: they skip a stage, or lie in a loop of several
    populations.

    Without any, a tool that passes spikes on within a step gives the same spikes, L(p) steps earlier.
    """
    loop, level = loops(names, edges), latencies(names, edges)
    return [
        (source, target)
        for source, target in edges
        if (loop[source] == loop[target] and source != target)
        or (loop[source] != loop[target] and level[target] != level[source] + 1)
    ]
