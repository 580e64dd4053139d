"""Networks that nobody draws on a whiteboard: odd names, steps and sizes, and populations that nothing reaches."""

from __future__ import annotations

import runpy
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hardware_targets.spinnaker import spinnaker1
from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.rounding import round_population
from hardware_targets.spinnaker.slots import check_step
from hardware_targets.spinnaker.spynnaker_export import write_spynnaker_folder
from hardware_targets.spinnaker.spynnaker_runner import compare_tables
from hardware_targets.spinnaker.table_comparison import compare_words
from hardware_targets.spinnaker.tables import build_tables
from tests.oracles.spynnaker_board import installed
from tests.spinnaker.exported import neurons, samples
from tests.spinnaker.mapped import plan_of, population, projection
from toolchain.errors import InputError, NetworkError, TargetLimitError
from toolchain.network import Network, Population, make_projection

NAMES = [
    *(("x", "a", "A", "X"), ("a", "b_to_c", "a_to_b", "c"), ("a", "a.a", "a_a", "a_")),
    *(("größe", "\"q'", "日本", "λ"), ("class", "lambda", "sim", "arrays"), ("{}", "{0}", "%s", "#")),
]


def chain(names: tuple[str, ...], size: int = 3) -> IntegerNetwork:
    """A source and populations in a row, each list of synapses with weights of its own, both signs."""
    populations = (
        population(names[0], size, kind="spike_source"),
        *(neurons(n, size, threshold=2.0) for n in names[1:]),
    )
    random = np.random.default_rng(len("".join(names)))
    made = (
        projection(a, b, random.integers(-9000, 20000, (size, size)), random.integers(1, 9, (size, size)))
        for a, b in pairwise(names)
    )
    return IntegerNetwork(1.0, populations, tuple(made))


@pytest.mark.parametrize("names", NAMES)
def test_no_two_names_share_a_variable_or_an_array(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the script builds is the network: every list is where it was asked for."""
    network = chain(names)
    write_spynnaker_folder(network, plan_of(network), samples(network), None, tmp_path, readout="first_spike")
    built = Recorder()
    # What the script imports from its folder is for running it; here it only builds.
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "spynnaker_samples", ModuleType("spynnaker_samples"))
    running = ModuleType("spynnaker_running")
    monkeypatch.setattr(running, "main", None, raising=False)
    monkeypatch.setitem(sys.modules, "spynnaker_running", running)
    script = runpy.run_path(str(tmp_path / "network.py"))
    with np.load(tmp_path / "arrays.npz") as arrays:
        script["build"](built, dict(arrays), SimpleNamespace(spike_times=lambda first, size: [], populations={}))
    wanted = {
        (p.source, p.target, kind): int(p.weight[p.of_type(which)].sum())
        for p in network.projections
        for which, kind in enumerate(("excitatory", "inhibitory"))
    }
    shifts = {n: network[n].shifts for n in names[1:]}
    found = {
        (a, b, kind): round(rows[:, 2].sum() * 2 ** (15 - shifts[b][kind == "inhibitory"]))
        for a, b, kind, rows in built.lists
    }
    assert found == wanted


class Recorder:
    """PyNN, as far as the script uses it to build; keeps what is projected where."""

    def __init__(self) -> None:
        self.lists: list[tuple[str, str, str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None

    def FromListConnector(self, rows: Any, column_names: list[str]) -> Any:  # noqa: N802
        return rows

    def Population(self, size: int, cell: Any, *, label: str, additional_parameters: Any) -> Any:  # noqa: N802
        return SimpleNamespace(label=label, initialize=lambda v: None)

    def Projection(self, a: Any, b: Any, rows: Any, kind: Any, *, receptor_type: str) -> None:  # noqa: N802
        self.lists.append((a.label, b.label, receptor_type, rows))


def test_a_population_called_as_a_delay_extension_is_refused() -> None:
    weight, delay = np.full((2, 300), 5), np.full((2, 300), 50)
    populations = (population("in", 2, kind="spike_source"), population("in_delayed", 300))
    network = IntegerNetwork(1.0, populations, (projection("in", "in_delayed", weight, delay),))
    assert plan_of(network).layout.stages == {}, "where nothing is extended it is a name like any other"
    with pytest.raises(InputError, match=r"population in_delayed: .* delay extension of in; rename"):
        plan_of(network, {"in_delayed": 256})


def unconnected() -> IntegerNetwork:
    """Every synapse onto the hidden population was rounded away."""
    none = np.zeros((2, 3), dtype=np.int64)
    populations = (population("in", 2, kind="spike_source"), population("hidden", 3), population("out", 2))
    onto_out = projection("hidden", "out", np.full((3, 2), 4), np.ones((3, 2), dtype=np.int64))
    return IntegerNetwork(1.0, populations, (projection("in", "hidden", none, none), onto_out))


def test_a_population_without_a_synapse_has_tables_that_can_be_compared() -> None:
    tables = build_tables(unconnected(), plan_of(unconnected()))
    regions = {(c.core.vertex, c.core.first, c.core.last): c.regions for c in tables.cores}
    empty = {k: {n: w for n, w in of.items() if w.size} for k, of in regions.items()}
    assert empty != regions
    assert compare_words(empty, tables).equal
    assert not compare_words({k: {} for k in regions}, tables).equal


@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]")
@pytest.mark.parametrize("network", [unconnected(), *(chain(names) for names in NAMES)])
def test_spynnaker_lays_them_out_as_we_do(network: IntegerNetwork, tmp_path: Path) -> None:
    write_spynnaker_folder(network, plan_of(network), samples(network, 1), None, tmp_path, readout="first_spike")
    assert compare_tables(tmp_path, build_tables(network, plan_of(network)), timeout_s=300).difference is None


@pytest.mark.parametrize("dt_ms", [1.0, 0.1, 0.3, 0.57, 0.55, 0.001, 2.5, 50.0])
def test_steps_of_whole_microseconds_are_kept(dt_ms: float) -> None:
    check_step(dt_ms)


@pytest.mark.parametrize(
    ("dt_ms", "nearest"), [(1 / 3, "0.333"), (0.0104, "0.01"), (4e-5, "0.001"), (1234.5671, "1234.567")]
)
def test_a_step_that_spynnaker_would_replace_is_refused(dt_ms: float, nearest: str) -> None:
    with pytest.raises(TargetLimitError, match=rf"whole microseconds .* train with dt_ms: {nearest}$"):
        check_step(dt_ms)
    populations = (Population("in", "spike_source", 1), Population("out", "leaky_readout", 1))
    network = Network(dt_ms, populations, (make_projection("in", "out", np.ones((1, 1)), np.zeros((1, 1))),))
    with pytest.raises(TargetLimitError, match="whole microseconds"):
        spinnaker1.quantise(network, samples(chain(("a", "b"), 1), 1, 5), clip_delays=False)


def test_a_time_constant_beyond_the_numbers_of_the_chip_is_named() -> None:
    slow = Population("slow", "lif", 2, (20.0, 70_000.0), 5.0)
    with pytest.raises(NetworkError, match=r"population slow: tau_mem_ms of 70000 ms exceeds 65535, .*; train with"):
        round_population(slow, 1.0, 1.0, (0, 0))


def test_samples_in_which_a_neuron_could_spike_twice_are_refused() -> None:
    """At 50 ms a step a refractory period of 65.5 s, the longest there is, is 1310 steps."""
    populations = (Population("in", "spike_source", 1), Population("out", "lif", 1, 500.0, 100.0, single_spike=True))
    network = Network(50.0, populations, (make_projection("in", "out", np.ones((1, 1)), np.zeros((1, 1))),))
    once = chain(("a", "b"), 1)
    assert spinnaker1.quantise(network, samples(once, 1, 1310), clip_delays=False).integers.dt_ms == 50.0
    with pytest.raises(TargetLimitError, match=r"population out: .* silent for 1310 steps of 50 ms, .* have 1311"):
        spinnaker1.quantise(network, samples(once, 1, 1311), clip_delays=False)
