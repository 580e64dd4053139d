"""Graphs of others that mean nothing here: refused by the name of the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from tests.interchange.nir_graphs import Edges, chain, cuba, li, lif, linear, port, written
from toolchain.errors import InterchangeError
from toolchain.interchange.nir import NirAssumptions, read_nir

DT_MS = NirAssumptions(dt_ms=1.0)


def two_ways(one: Any, other: Any) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        first, last = port()
        nodes = {"input": first, "a": one, "b": other, "wa": linear(), "wb": linear(), "lif": lif(), "output": last}
        edges = [
            ("input", "a"),
            ("input", "b"),
            ("a", "wa"),
            ("b", "wb"),
            ("wa", "lif"),
            ("wb", "lif"),
            ("lif", "output"),
        ]
        return written(path, nodes, edges)

    return write


def nodes_and_edges(nodes: dict[str, Any], edges: Edges) -> Callable[[Path], Path]:
    return lambda path: written(path, {"input": port()[0], "output": port()[1]} | nodes, edges)


def just(*middle: Any) -> Callable[[Path], Path]:
    return lambda path: chain(path, *middle)


IN_LIF_OUT = [("input", "lif"), ("lif", "output")]
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bias": (just(nir.Affine(np.ones((2, 2)), np.array([0, 0.5])), lif()), "node 'n0' .Affine.: has a bias of 0.5"),
    "leak": (just(linear(), lif(v_leak=[0.0, 0.1])), "node 'n1' .LIF.: has a v_leak of 0.1"),
    "reset": (just(linear(), cuba(v_reset=-1.0)), "node 'n1' .CubaLIF.: has a v_reset of -1"),
    "threshold 0": (just(linear(), lif(v_threshold=0.0)), "'n1' .LIF.: has a v_threshold of 0"),
    "tau 0": (just(linear(), lif(tau=0.0)), "'n1' .LIF.: has a tau of 0"),
    "not a number": (just(linear(), lif(tau=np.nan)), "node 'n1'.*'tau' is nan"),
    "IF": (just(linear(), nir.IF(np.ones(2), np.ones(2))), "node 'n1' .IF.: has no leak.*train with LIF$"),
    "I": (just(linear(), nir.I(np.ones(2))), "has no leak"),
    "Threshold": (just(nir.Threshold(np.ones(2)), lif()), "'n0' .*Threshold.*: is a neuron without"),
    "pool": (just(nir.SumPool2d(np.array([1]), np.array([1]), np.array([0])), lif()), "'n0' .*pooling"),
    "output behind weights": (just(linear(), lif(), linear()), "'output' .Output.: shows 'n2', a Linear"),
    "two delays": (
        two_ways(nir.Delay(np.full(2, 0.001)), nir.Delay(np.full(2, 0.003))),
        "node 'w[ab]' .* 3 steps late|1 steps late",
    ),
    "algebraic loop": (
        nodes_and_edges(
            {"lif": lif(), "a": linear(), "b": linear()},
            [("input", "a"), ("a", "b"), ("b", "a"), ("a", "lif"), ("lif", "output")],
        ),
        "node 'a' .Linear.: is in, or behind, a loop without a neuron",
    ),
    "graded": (just(linear(), li(), linear(), lif()), "node 'n1' .LI.: never spikes, but feeds 'n2'"),
    "two outputs": (
        nodes_and_edges({"lif": lif(), "more": port()[1]}, [*IN_LIF_OUT, ("lif", "more")]),
        "2 Outputs .'more', 'output'.",
    ),
    "two readouts": (
        nodes_and_edges({"lif": lif(), "li": li()}, [*IN_LIF_OUT, ("lif", "li")]),
        "'lif' .LIF.: is what the Output shows",
    ),
    "dead end": (
        nodes_and_edges({"lif": lif(), "x": lif()}, [*IN_LIF_OUT, ("input", "x")]),
        "2 output populations",
    ),
    "shapes": (just(linear(3, 2), lif(2)), "node 'n1' .LIF.: takes 2 units, but 'n0' gives 3"),
    "negative delay": (just(nir.Delay(np.array([0.0, -0.1])), linear(), lif()), "'n0' .Delay.: has a delay of -0.1 s"),
    "two ways in": (
        nodes_and_edges(
            {
                "g": nir.NIRGraph(
                    {"a": port()[0], "b": port()[0], "n": lif(), "o": port()[1]},
                    [("a", "n"), ("b", "n"), ("n", "o")],
                    type_check=False,
                )
            },
            [("input", "g"), ("g", "output")],
        ),
        "edge 'input' -> 'g': there are 2 ways into the graph 'g'; must be 1",
    ),
    "too many delays": (just(nir.Delay(np.zeros(3)), linear(), lif()), "'n0' .Delay.: has 3 values for 2 units"),
    "endless delay": (just(nir.Delay(np.array([0.0, 1e9])), linear(), lif()), "'n0' .Delay.: .*are both in seconds"),
    "into input": (
        nodes_and_edges({"lif": lif()}, [*IN_LIF_OUT, ("lif", "input")]),
        "'input' .Input.: receives 'lif'",
    ),
    "out of output": (
        nodes_and_edges({"lif": lif()}, [*IN_LIF_OUT, ("output", "lif")]),
        "'output' .Output.: feeds 'lif'",
    ),
    "huge weights": (just(nir.Linear(np.full((2, 2), 1e300)), lif()), "node 'n1' .LIF.: the weight .* 32 bits"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_here_is_refused_by_name(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    path = write(tmp_path / "g.nir")
    with pytest.raises(InterchangeError, match=message) as caught:
        read_nir(path, DT_MS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_step_as_long_as_a_time_constant_is_refused_for_euler(tmp_path: Path) -> None:
    path = chain(tmp_path / "g.nir", linear(), cuba(tau_syn=0.002))
    read_nir(path, NirAssumptions(2.0))
    with pytest.raises(InterchangeError, match=r"node 'n1' .CubaLIF.: has a tau_syn of 0\.002 s, no longer"):
        read_nir(path, NirAssumptions(2.0, "euler"))


@pytest.mark.parametrize(
    "wrong", [{"dt_ms": 0.0}, {"dt_ms": np.nan}, {"hop": "x"}, {"discretisation": "rk4"}, {"synapse": "x"}]
)
def test_an_assumption_that_does_not_exist_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InterchangeError, match="--"):
        NirAssumptions(**wrong)
