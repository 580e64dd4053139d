"""ONNX files of networks, float or in a target's integers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.target import Quantised, Target
from toolchain.errors import InterchangeError
from toolchain.interchange.onnx.assemble import assemble
from toolchain.interchange.onnx.float_step import float_graph
from toolchain.interchange.onnx.step_graph import StepGraph
from toolchain.network import Network
from toolchain.storage import write_atomically


def quantised_graph(target: Target, quantised: Quantised) -> StepGraph:
    """The step of a quantised network; InterchangeError if its target writes none."""
    if not isinstance(target, StepGraphTarget):
        raise InterchangeError(
            f"target {target.name}: does not say its arithmetic in operators of ONNX; export the float network instead"
        )
    return target.step_graph(quantised)


def write_onnx(
    path: Path,
    network: Network | tuple[Target, Quantised],
    *,
    states: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> int:
    """Write a network; returns the size of the file in bytes.

    Parameters
    ----------
    network : in float, or a target and a network in its integers
    states : whether the model offers the states of all populations
    provenance : where the network is from, JSON types; kept in the metadata

    Raises
    ------
    InterchangeError
        If it does not fit an ONNX file.
    InputError
        If the file cannot be written.
    MissingDependencyError
        If onnx is not installed.
    """
    graph = float_graph(network) if isinstance(network, Network) else quantised_graph(*network)
    content: bytes = assemble(graph, states=states, provenance=provenance).SerializeToString(deterministic=True)
    write_atomically(path, content)
    return len(content)
