"""Names of NIR's nodes as names of populations, which may hold less."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.interchange.nir.graph_file import plain

FORBIDDEN = frozenset("/>\\ ")
LONGEST = 100


def population_names(nodes: Sequence[str]) -> tuple[dict[str, str], str]:
    """A population's name for each node, and a sentence about those that had to change, empty if none had.

    Characters that a population's name may not hold become underscores, and what then is the same gets a number.
    """
    # Names that need no change keep theirs, whatever others become.
    found = {node: node for node in nodes if _allowed(node) == node}
    taken = set(found)
    for node in nodes:
        if node in found:
            continue
        name = base = _allowed(node)
        number = 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        found[node] = name
        taken.add(name)
    changed = [f"{plain(node)} is {name}" for node, name in found.items() if node != name]
    if not changed:
        return found, ""
    more = f" and {len(changed) - 10} more" if len(changed) > 10 else ""
    return found, f"Names that no population can have were changed: {', '.join(changed[:10])}{more}."


def _allowed(node: str) -> str:
    name = "".join("_" if c in FORBIDDEN or not c.isprintable() else c for c in node[:LONGEST])
    return "_" + name[1:] if name[:1] == "." else name or "_"
