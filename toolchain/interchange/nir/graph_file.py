"""A NIR file as nodes and edges, without believing what it declares.

NIR 1.0 stores a graph as HDF5 groups: ``node/nodes/<name>`` with a dataset ``type`` and one dataset for each parameter,
and ``node/edges``, rows of (from, to). Graphs may lie in graphs; they are inlined here. Links to elsewhere, data in
other files, sizes that the file cannot hold and types that are no numbers are refused before memory is taken.

Source: nir 1.0.8, ``serialization.py`` and ``ir/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.hdf5 import open_hdf5
from toolchain.errors import DatasetError, InterchangeError
from toolchain.interchange.nir.heaps import damaged_heap

F64 = NDArray[np.float64]

MAX_ENTRIES = 2**27
"""Entries of one array: 512 MiB of float32 weights, as much as 11 585 neurons all connected with each other."""
MAX_TOTAL = 2**31
"""Entries of all arrays that are read from one file."""
MAX_NODES = 50_000
"""Nodes of a file: a network with 1000 delay slots in each of 20 projections has 40 000."""
MAX_EDGES = 200_000
MAX_DEPTH = 16
"""Graphs within graphs."""
MAX_NAME = 500
"""Characters of a name."""
MAX_TEXT = 2**26
"""Characters of a text: the description in our metadata holds every time constant."""
DEFLATED = 1032
"""At most so many bytes come from one deflated byte (zlib, technical details)."""
TEXTS_AT_ONCE = 2**27
"""Bytes that reading a few texts may take: each can be as large as the file."""


@contextmanager
def open_nir(path: Path) -> Iterator[NirFile]:
    """Open a NIR file to read; whatever the HDF5 library raises becomes an InterchangeError that names the file."""
    try:
        wrong = damaged_heap(path) if path.is_file() else None
    except OSError as error:
        raise InterchangeError(f"file {path}: cannot be read, {error.strerror}; check it") from error
    if wrong:
        raise InterchangeError(f"file {path}: {wrong}, and cannot be read as HDF5; fetch or write it again")
    try:
        with open_hdf5(path) as file:
            yield NirFile(path, file)
    except DatasetError as error:
        raise InterchangeError(str(error)) from error


@dataclass
class NirFile:
    """An open file and how much has been read of it."""

    path: Path
    file: Any
    entries: int = 0

    def refuse(self, what: str) -> InterchangeError:
        """The error for something in this file."""
        return InterchangeError(f"file {self.path}: {what}")

    def child(self, group: Any, name: str, where: str) -> Any | None:
        """A group or dataset that lies in `group` itself; None where there is none of this name."""
        import h5py

        link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise self.refuse(
                f"{where}: {name!r} is a {type(link).__name__} to {shown(getattr(link, 'path', '?'))}; copy what it "
                "means into the file"
            )
        found = group[name]
        if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
            raise self.refuse(f"{where}: the data of {name!r} lie in other files; copy them into this one")
        return found

    def group(self, group: Any, name: str, where: str) -> Any:
        """A group that must be there."""
        import h5py

        found = self.child(group, name, where)
        if not isinstance(found, h5py.Group):
            raise self.refuse(f"{where}: has no group {name!r}; it is no NIR file, or damaged: write it again")
        return found

    def dataset(self, group: Any, name: str, where: str) -> Any | None:
        """A dataset, or None where there is none of this name."""
        import h5py

        found = self.child(group, name, where)
        if found is not None and not isinstance(found, h5py.Dataset):
            raise self.refuse(f"{where}: {name!r} is a {type(found).__name__}, must be a dataset")
        return found

    def text(self, group: Any, name: str, where: str, limit: int = MAX_NAME) -> str | None:
        """A dataset of one text, or None where there is none of this name."""
        found = self.dataset(group, name, where)
        if found is None:
            return None
        if found.shape not in ((), (1,)) or not is_text(found.dtype):
            raise self.refuse(f"{where}: {name!r} is {found.dtype} of shape {found.shape}, must be one text")
        if found.dtype.itemsize > limit:
            raise self.refuse(f"{where}: {name!r} is declared with {found.dtype.itemsize} bytes; at most {limit}")
        return self.decoded(np.ravel(np.asarray(found[()], dtype=object))[0], f"{where}: {name!r}", limit)

    def attribute(self, group: Any, name: str, where: str) -> object:
        """An attribute that is one text or one number; None where there is none of this name."""
        if name not in group.attrs:
            return None
        found = group.attrs.get_id(name)
        if found.shape not in ((), (1,)) or not (is_text(found.dtype) or found.dtype.kind in "fiu"):
            raise self.refuse(f"{where}: {name} is {found.dtype} of shape {found.shape}; must be one text or number")
        if found.dtype.itemsize > MAX_NAME:
            raise self.refuse(f"{where}: {name} is declared with {found.dtype.itemsize} bytes; at most {MAX_NAME}")
        value = np.ravel(np.asarray(group.attrs[name], dtype=object))[0]
        return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value

    def decoded(self, value: object, what: str, limit: int) -> str:
        """A text that was read, of at most `limit` characters."""
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        if not isinstance(value, str) or len(value) > limit:
            size = len(value) if isinstance(value, str) else 0
            raise self.refuse(
                f"{what} is a {type(value).__name__} of {size} characters; must be a text of at most {limit}"
            )
        return value

    def numbers(self, group: Any, name: str, where: str, kinds: str = "fiu") -> NDArray[Any] | None:
        """A dataset of finite numbers as it is stored, or None where there is none of this name."""
        found = self.dataset(group, name, where)
        if found is None:
            return None
        self.check_size(found, name, where, kinds)
        read: NDArray[Any] = np.asarray(found[()])
        if read.dtype.kind == "f" and not np.all(np.isfinite(read)):
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(read))[0])
            raise self.refuse(f"{where}: {name!r} is {read[place]} at {place}; must be finite")
        return read

    def check_size(self, found: Any, name: str, where: str, kinds: str = "fiu") -> None:
        """Refuse a dataset that declares another type, or more than the file holds or we are willing to hold."""
        if found.shape is None or len(found.shape) > 8 or found.dtype.kind not in kinds or found.dtype.itemsize > 8:
            raise self.refuse(
                f"{where}: {name!r} is {found.dtype} of shape {found.shape}, must be numbers of at most 64 bits"
            )
        entries = 1
        for length in found.shape:
            entries *= int(length)
        chunk = 1
        for length in found.chunks or ():
            chunk *= int(length)
        if entries > MAX_ENTRIES or chunk > max(4 * entries, 2**20):
            raise self.refuse(
                f"{where}: {name!r} declares {entries} entries in chunks of {chunk}; at most {MAX_ENTRIES} are read "
                "from an array"
            )
        self.entries += entries
        if self.entries > MAX_TOTAL:
            raise self.refuse(
                f"{where}: with {name!r} the file declares more than {MAX_TOTAL} entries; split the network"
            )
        stored = int(found.id.get_storage_size())
        if entries * found.dtype.itemsize > DEFLATED * stored:
            raise self.refuse(
                f"{where}: {name!r} declares {entries} entries, but the file holds {stored} bytes of it; write it again"
            )


@dataclass(frozen=True)
class Node:
    """One node of a graph.

    Attributes
    ----------
    name : with those of the graphs around it, joined by dots
    kind : NIR's name of the type; ``Identity`` where an inner graph begins or ends
    file, group : where its parameters are
    """

    name: str
    kind: str
    file: NirFile
    group: Any

    def refuse(self, reason: str) -> InterchangeError:
        """The error that names this node."""
        return self.file.refuse(f"node {shown(self.name)} ({plain(self.kind)}): {reason}")

    def parameter(self, name: str, default: float | None = None) -> F64:
        """A parameter as float64 in its stored shape; `default` where the file has none, else InterchangeError."""
        found = self.file.numbers(self.group, name, f"node {shown(self.name)} ({plain(self.kind)})")
        if found is None:
            if default is None:
                raise self.refuse(f"has no {name!r}; it is damaged, or no NIR 1.0: write it again")
            return np.array(default)
        return found.astype(np.float64)

    def declared(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter, without reading it."""
        found = self.file.dataset(self.group, name, f"node {shown(self.name)} ({plain(self.kind)})")
        if found is None or found.shape is None:
            raise self.refuse(f"has no {name!r}; it is damaged, or no NIR 1.0: write it again")
        return tuple(int(length) for length in found.shape)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """A parameter that is a shape; None where the file has none, or an empty one, which scalar parameters leave."""
        found = self.file.numbers(self.group, name, f"node {shown(self.name)} ({plain(self.kind)})")
        if found is None or found.size == 0:
            return None
        lengths = tuple(int(length) for length in found.ravel())
        size = 1
        for length in lengths:
            size *= length
        if found.ndim > 1 or len(lengths) > 8 or min(lengths) < 1 or size > MAX_ENTRIES:
            raise self.refuse(f"{name!r} is {lengths[:8]}; must be a shape of 1 to {MAX_ENTRIES} units")
        return lengths


@dataclass
class Graph:
    """Nodes by name and edges between them, all inner graphs inlined; every edge once, in the order of the file."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)


def read_graph(file: NirFile) -> Graph:
    """Nodes and edges of a file; parameters are read later, one at a time.

    Raises
    ------
    InterchangeError
        If the file is no NIR graph, too large, an edge ends nowhere or stands twice, or an inner graph has more than
        one way in or out.
    """
    graph = Graph()
    root = file.group(file.file, "node", "the file")
    kind = file.text(root, "type", "node")
    if kind != "NIRGraph":
        raise file.refuse(f"holds a single {shown(str(kind))}; must be a NIRGraph with an Input and an Output")
    _inline(file, root, "", 0, graph)
    return graph


@dataclass
class _Ports:
    """Where edges to and from a node of one graph begin and end: itself, or the ways into and out of an inner graph."""

    into: list[str]
    out: list[str]


def _inline(file: NirFile, group: Any, prefix: str, depth: int, graph: Graph) -> _Ports:
    """Add the nodes of one graph and of those in it; return its own ways in and out."""
    where = f"graph {shown(prefix[:-1])}" if prefix else "the graph"
    if depth > MAX_DEPTH:
        raise file.refuse(f"{where}: lies in more than {MAX_DEPTH} others; write it with fewer levels")
    nodes = file.group(group, "nodes", where)
    if len(nodes) + len(graph.nodes) > MAX_NODES:
        raise file.refuse(f"{where}: has {len(nodes)} nodes; at most {MAX_NODES} are read from a file")
    own = _Ports([], [])
    ends: dict[str, _Ports] = {}
    for name in sorted(nodes):
        full = prefix + name
        if len(full) > MAX_NAME:
            raise file.refuse(f"{where}: node {shown(name)} has a name of {len(full)} characters; at most {MAX_NAME}")
        inner = file.group(nodes, name, where)
        kind = file.text(inner, "type", f"node {shown(full)}")
        if kind is None:
            raise file.refuse(f"node {shown(full)}: has no type; the file is damaged: write it again")
        if kind == "NIRGraph":
            ends[name] = _inline(file, inner, full + ".", depth + 1, graph)
            continue
        if full in graph.nodes or len(graph.nodes) >= MAX_NODES:
            raise file.refuse(
                f"node {shown(full)}: is there twice, or after {MAX_NODES} others; rename or leave out nodes"
            )
        if kind == "Input":
            own.into.append(full)
        elif kind == "Output":
            own.out.append(full)
        inner_end = depth > 0 and kind in ("Input", "Output")
        graph.nodes[full] = Node(full, "Identity" if inner_end else kind, file, inner)
        ends[name] = _Ports([full], [full])
    _add_edges(file, group, where, ends, graph)
    return own


def _add_edges(file: NirFile, group: Any, where: str, ends: dict[str, _Ports], graph: Graph) -> None:
    """Add the edges between the nodes of one graph."""
    known = set(graph.edges)
    for source, target in _pairs_of_names(file, group, where):
        for name in (source, target):
            if name not in ends:
                raise file.refuse(
                    f"{where}: edge {shown(source)} -> {shown(target)}: there is no node {shown(name)}; add it or "
                    "remove the edge"
                )
        ways = (ends[source].out, ends[target].into)
        for name, way, what in ((source, ways[0], "out of"), (target, ways[1], "into")):
            if len(way) != 1:
                raise file.refuse(
                    f"{where}: edge {shown(source)} -> {shown(target)}: there are {len(way)} ways {what} the graph "
                    f"{shown(name)}; must be 1"
                )
        edge = (ways[0][0], ways[1][0])
        if edge in known:
            raise file.refuse(f"{where}: edge {shown(source)} -> {shown(target)} is there twice; leave one")
        known.add(edge)
        graph.edges.append(edge)


def _pairs_of_names(file: NirFile, group: Any, where: str) -> Iterator[tuple[str, str]]:
    """Rows of the dataset of edges."""
    found = file.dataset(group, "edges", where)
    if found is None:
        raise file.refuse(f"{where}: has no edges; the file is damaged, or no NIR 1.0: write it again")
    if found.shape is None or 0 in found.shape:
        return
    if len(found.shape) != 2 or found.shape[1] != 2 or not is_text(found.dtype) or found.dtype.itemsize > MAX_NAME:
        raise file.refuse(f"{where}: edges are {found.dtype} of shape {found.shape}; must be rows of two names")
    n = int(found.shape[0])
    if n > MAX_EDGES:
        raise file.refuse(f"{where}: has {n} edges; at most {MAX_EDGES} are read")
    # A text that many rows share lies in the file once: a few rows at a time, so that reading cannot take more than
    # that.
    at_once = max(1, TEXTS_AT_ONCE // (2 * max(1, file.path.stat().st_size)))
    for first in range(0, n, at_once):
        for row in np.asarray(found[first : first + at_once], dtype=object):
            source, target = (file.decoded(value, f"{where}: edges", MAX_NAME) for value in row)
            yield source, target


def is_text(dtype: Any) -> bool:
    """Whether a dataset holds texts, and no rows of any length: the HDF5 library crashes on damaged types of those."""
    import h5py

    return h5py.check_string_dtype(dtype) is not None


def plain(name: str) -> str:
    """A name from a file as a message may hold it: short, and unable to steer a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name[:100]) + ("..." if len(name) > 100 else "")


def shown(name: str) -> str:
    """As `plain`, in quotation marks."""
    return f"'{plain(name)}'"
