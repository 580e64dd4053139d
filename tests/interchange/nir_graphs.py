"""Small graphs as other tools write them, by nir itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np

Edges = Sequence[tuple[str, str]]


def lif(n: int = 2, **other: Any) -> nir.LIF:
    values = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | other
    return nir.LIF(**{k: np.broadcast_to(np.asarray(v, dtype=np.float64), n).copy() for k, v in values.items()})


def cuba(n: int = 2, **other: Any) -> nir.CubaLIF:
    values = {"tau_mem": 0.01, "tau_syn": 0.004, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
    values |= {"w_in": 1.0} | other
    return nir.CubaLIF(**{k: np.broadcast_to(np.asarray(v, dtype=np.float64), n).copy() for k, v in values.items()})


def li(n: int = 2) -> nir.LI:
    return nir.LI(tau=np.full(n, 0.02), r=np.ones(n), v_leak=np.zeros(n))


def linear(post: int = 2, pre: int = 2, seed: int = 0, mean: float = 1.0) -> nir.Linear:
    return nir.Linear(np.random.default_rng(seed).normal(mean, 0.5, (post, pre)))


def port(n: int = 2) -> tuple[nir.Input, nir.Output]:
    return nir.Input(input_type=np.array([n])), nir.Output(output_type=np.array([n]))


def written(path: Path, nodes: dict[str, Any], edges: Edges, check: bool = False) -> Path:
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=list(edges), type_check=check))
    return path


def chain(path: Path, *middle: Any, n: int = 2) -> Path:
    """input -> n0 -> n1 ... -> output"""
    first, last = port(n)
    names = ["input", *(f"n{i}" for i in range(len(middle))), "output"]
    nodes = dict(zip(names, (first, *middle, last), strict=True))
    return written(path, nodes, list(itertools.pairwise(names)))
