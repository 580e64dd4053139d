"""A network back from an ONNX file of ours, exactly: what would be written of it must be what was read.

The description in the metadata and the tensors make a network; the network is assembled again, and every node,
function, input, output and tensor of the file must be the same. So a graph that computes something else than its
metadata say, for whatever reason, is refused by the name of the first node that differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.target import Quantised, Target, find_target
from toolchain.errors import DelaylineError, InterchangeError
from toolchain.interchange.onnx.assemble import FORMAT, LARGEST, PREFIX, assemble, digest
from toolchain.interchange.onnx.delivery import DOMAIN
from toolchain.interchange.onnx.float_step import NUMBERS, float_graph, network_arrays
from toolchain.interchange.onnx.package import require_onnx
from toolchain.interchange.onnx.step_graph import StepGraph
from toolchain.interchange.onnx.wire import TakenApart, as_text, shown, take_apart
from toolchain.network import Network, network_from_description

OUR_OPERATORS = ("Transpose", "Scan", "Identity")
"""Standard operators of a model outside its functions."""
UNREADABLE = (
    DelaylineError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    IndexError,
    RecursionError,
)
"""What arises when tensors and metadata are not of one network."""
DEEPEST = 8
DIFFERENT = "the graph does not compute what its metadata say: export the network again"


@dataclass(frozen=True)
class OnnxContent:
    """What an ONNX file of ours holds.

    Attributes
    ----------
    network : as trained; of quantised ones the network that the integers stand for
    target, quantised : the target in whose integers it is and the network in them; None of a float network
    provenance : where it is from, as it was written
    """

    network: Network
    target: Target | None
    quantised: Quantised | None
    provenance: Mapping[str, Any]


def read_onnx(path: Path) -> OnnxContent:
    """Read a file that `write_onnx` wrote; nothing in it is executed.

    Raises
    ------
    InterchangeError
        If it is not one: naming the first operator that is not ours, the first node that differs, or the tensor or
        entry that is damaged.
    InputError
        If it is in the integers of a target that is not installed.
    MissingDependencyError
        If onnx is not installed.
    """
    require_onnx()
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise InterchangeError(f"file {path}: has {size} bytes, an ONNX file at most {LARGEST}; give another")
        content = path.read_bytes()
    except OSError as error:
        raise InterchangeError(f"file {path}: {error.strerror or error}; give the path of an ONNX file") from error
    parts = take_apart(content, str(path))
    _refuse_foreign(parts.model, path)
    entries = _entries(parts.model, path)
    found, graph = _network(entries, parts, path)
    # A description can have as many populations as a file has bytes: they are assembled only if it has their tensors.
    _refuse_missing(parts.tensors, graph.tensors(), path)
    again = assemble(
        graph,
        states=bool(entries["states"]),
        provenance=entries["provenance"],
        version=as_text(parts.model.producer_version),
    )
    _compare(parts, take_apart(again.SerializeToString(), str(path)), path)
    return found


def _entries(model: Any, path: Path) -> dict[str, Any]:
    """Our metadata, as they were given to `assemble`."""
    pairs = [(as_text(entry.key), as_text(entry.value)) for entry in model.metadata_props]
    texts = {key.removeprefix(PREFIX): value for key, value in pairs if key.startswith(PREFIX)}
    if "format" not in texts:
        raise InterchangeError(
            f"file {path}: has no {PREFIX}format in its metadata, so `delayline export` has not written it; networks "
            "of other tools come as NIR"
        )
    if texts["format"] != str(FORMAT):
        raise InterchangeError(
            f"file {path}: is of format {shown(texts['format'])}, this version reads {FORMAT}; use the version that "
            "wrote it"
        )
    entries: dict[str, Any] = {}
    for key, kind in (("numbers", str), ("sha256", str), ("states", bool), ("description", dict), ("provenance", dict)):
        text = texts.get(key)
        try:
            value: Any = text if kind is str else json.loads(text or "")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, kind):
            raise InterchangeError(f"file {path}: metadata {PREFIX}{key} is missing or damaged; export it again")
        entries[key] = value
    return entries


def _network(entries: Mapping[str, Any], parts: TakenApart, path: Path) -> tuple[OnnxContent, StepGraph]:
    """What metadata and tensors describe, and how it would be written."""
    numbers, description, tensors = entries["numbers"], entries["description"], parts.tensors
    if digest(tensors) != entries["sha256"]:
        raise InterchangeError(
            f"file {path}: its tensors are not those that were written, by their SHA-256; the file is damaged or was "
            "changed: export it again"
        )
    provenance = entries["provenance"]
    target = None if numbers == NUMBERS else find_target(numbers)
    try:
        if target is None:
            arrays = network_arrays(tensors, description["network"])
            network = network_from_description(description["network"], arrays)
            return OnnxContent(network, None, None, provenance), float_graph(network)
        if not isinstance(target, StepGraphTarget):
            raise InterchangeError(f"the integers of target {numbers} cannot be read")
        quantised = target.from_step(tensors, description)
        return OnnxContent(quantised.trained, target, quantised, provenance), target.step_graph(quantised)
    except UNREADABLE as error:
        why = shown(f"{type(error).__name__}: {error}", 300)
        raise InterchangeError(
            f"file {path}: tensors and metadata make no network ({why}); the file is damaged: export it again"
        ) from error


def _refuse_foreign(model: Any, path: Path) -> None:
    """Name the first operator that we do not write."""
    for node in _nodes(model.graph, 0, path):
        ours = node.op_type in OUR_OPERATORS if node.domain in ("", "ai.onnx") else node.domain == DOMAIN
        if not ours:
            made = ", ".join(map(as_text, node.output)) or "nothing"
            named = shown(node.name) if node.name else f"without a name that makes {shown(made)}"
            operator = shown(node.op_type or "without a name")
            domain = f" of domain {shown(node.domain)}" if node.domain else ""
            raise InterchangeError(
                f"file {path}: node {named} is operator {operator}{domain}, which no network of delayline "
                "has; networks of other tools come as NIR"
            )


def _nodes(graph: Any, depth: int, path: Path) -> Iterator[Any]:
    """Nodes in order, those of an inner graph after the node that holds it."""
    if depth > DEEPEST:
        raise InterchangeError(f"file {path}: graphs lie more than {DEEPEST} deep in each other; ours have one inside")
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner, depth + 1, path)


def _refuse_missing(theirs: Iterable[str], ours: Iterable[str], path: Path) -> None:
    """Name the first tensor of the network that a file does not have."""
    there = set(theirs)
    for name in ours:
        if name not in there:
            raise InterchangeError(f"file {path}: tensor {shown(name)} is missing; {DIFFERENT}")


def _compare(theirs: TakenApart, ours: TakenApart, path: Path) -> None:
    """Refuse a file that is not what we would write of the network in it, naming the first difference."""
    _refuse_missing(theirs.tensors, ours.tensors, path)
    refused = DIFFERENT
    for name, there in theirs.tensors.items():
        here = ours.tensors.get(name)
        if here is None:
            raise InterchangeError(f"file {path}: tensor {shown(name)} belongs to no part of the network; {refused}")
        if there.dtype != here.dtype or there.shape != here.shape or not np.array_equal(there, here):
            raise InterchangeError(f"file {path}: tensor {shown(name)} is not that of the network; {refused}")
    for what, one, other in _pieces(theirs.model, ours.model):
        if one != other:
            raise InterchangeError(f"file {path}: {what} is not as the network has it; {refused}")


def _pieces(theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name and both sides of everything that a model consists of, its smallest named parts first."""
    for their_function, our_function in zip(theirs.functions, ours.functions, strict=False):
        for node, ours_node in zip(their_function.node, our_function.node, strict=False):
            yield f"a {node.op_type} in function {shown(their_function.name)}", _raw(node), _raw(ours_node)
        yield f"function {shown(their_function.name)}", _raw(their_function), _raw(our_function)
    their_nodes, our_nodes = list(_all_nodes(theirs.graph)), list(_all_nodes(ours.graph))
    for node, ours_node in zip(their_nodes, our_nodes, strict=False):
        yield f"node {shown(node.name or node.op_type)}", _raw(node), _raw(ours_node)
    yield "the number of nodes", len(their_nodes), len(our_nodes)
    yield "an input or output", _raw(theirs.graph), _raw(ours.graph)
    yield "the model around its graph", _raw(theirs), _raw(ours)


def _all_nodes(graph: Any) -> Iterator[Any]:
    """Nodes of the graph, those of an inner one before the node that holds it."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from attribute.g.node
        yield node


def _raw(message: Any) -> bytes:
    found: bytes = message.SerializeToString(deterministic=True)
    return found
