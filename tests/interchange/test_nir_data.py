"""Spikes in NIR's data files: what nir writes is read, and what we write nir reads to the very step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.networks import random_spikes
from toolchain.errors import InterchangeError
from toolchain.interchange.nir import read_nir_data, write_nir_data

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stored(path: Path, **nodes: Any) -> Path:
    data = {name: nir.NIRNodeData(observables={"spikes": found}) for name, found in nodes.items()}
    nir.write_data(path, nir.NIRGraphData(nodes=data))
    return path


def events(**other: Any) -> nir.EventData:
    values: dict[str, Any] = {
        "idx": np.array([[0, 2, -1], [1, -1, -1]]),
        "time": np.array([[0.001, 0.0205, np.inf], [0.0, np.inf, np.inf]]),
        "n_neurons": 3,
        "t_max": 0.05,
    }
    return nir.EventData(**(values | other))


@quick
@given(
    dt_ms=st.one_of(st.sampled_from((1.0, 0.1, 0.7, 1 / 3)), st.floats(1e-6, 1e3)),
    n_steps=st.integers(1, 2**31 - 1),
    data=st.data(),
)
def test_every_step_comes_back_through_nirs_own_conversion(
    dt_ms: float, n_steps: int, data: st.DataObject, tmp_path: Path
) -> None:
    """Steps anywhere in a recording of any length: the quotient cut off is the step, as nir and others compute it."""
    from toolchain.spikes import bin_events

    steps = np.array(sorted(data.draw(st.sets(st.integers(0, n_steps - 1), max_size=5))), dtype=np.int64)
    spikes = bin_events([(steps, steps % 2)], 2, n_steps)[0]
    path = tmp_path / "d.nir"
    write_nir_data(path, {"hidden": spikes}, dt_ms)
    found = nir.read_data(path).nodes["hidden"].observables["spikes"]
    dt_s = dt_ms / 1000
    assert np.array_equal(np.floor(found.time[0][: steps.size] / dt_s), steps)
    assert int(found.t_max / dt_s) == n_steps
    ours = read_nir_data(path, None)
    assert np.array_equal(ours.times_s[0], found.time[0][: steps.size])
    assert np.array_equal(ours.units[0], steps % 2)
    assert ours.duration_s == found.t_max


def test_rasters_equal_nirs_own(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    spikes = {name: random_spikes(random, 4, n, 50, 0.1) for name, n in (("in", 5), ("hidden", 7))}
    path = tmp_path / "d.nir"
    write_nir_data(path, spikes, 0.1)
    data = nir.read_data(path)
    for name, expected in spikes.items():
        grid = data.nodes[name].observables["spikes"].to_time_gridded(1e-4).data
        ours = read_nir_data(path, name)
        assert (ours.n_units, len(ours.units)) == (expected.n_units, 4)
        for sample in range(4):
            assert np.array_equal(grid[sample].T, expected.dense(sample))
            again = np.zeros_like(grid[sample])
            again[np.floor(ours.times_s[sample] / 1e-4).astype(int), ours.units[sample]] = True
            assert np.array_equal(again, grid[sample])


def test_events_of_nir_are_read_without_their_padding(tmp_path: Path) -> None:
    found = read_nir_data(stored(tmp_path / "d.nir", a=events()), "a")
    assert [t.tolist() for t in found.times_s] == [[0.001, 0.0205], [0.0]]
    assert [u.tolist() for u in found.units] == [[0, 2], [1]]
    assert (found.n_units, found.duration_s, found.dt_s) == (3, 0.05, None)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_rasters_of_nir_are_read_as_beginnings_of_steps(kind: Any, tmp_path: Path) -> None:
    raster = np.random.default_rng(1).random((2, 30, 4)) < 0.2
    found = read_nir_data(stored(tmp_path / "d.nir", a=nir.TimeGriddedData(raster.astype(kind), 0.002)), None)
    assert (found.n_units, found.dt_s) == (4, 0.002)
    assert found.duration_s == pytest.approx(0.06)
    for sample in range(2):
        steps, units = np.nonzero(raster[sample])
        assert np.array_equal(found.units[sample], units)
        assert np.allclose(found.times_s[sample], steps * 0.002, rtol=1e-15)


def test_values_that_say_no_more_than_a_spike_are_taken(tmp_path: Path) -> None:
    known = vars(events())
    ones = nir.ValuedEventData(**known, value=np.ones((2, 3)))
    assert read_nir_data(stored(tmp_path / "d.nir", a=ones), "a").units[0].tolist() == [0, 2]
    halves = nir.ValuedEventData(**known, value=np.full((2, 3), 0.5))
    with pytest.raises(InterchangeError, match=r"node 'a', 'spikes': sample 0 has an event of value 0\.5"):
        read_nir_data(stored(tmp_path / "e.nir", a=halves), "a")


WRONG: dict[str, tuple[Any, str]] = {
    "unit": (events(idx=np.array([[0, 3, -1], [1, -1, -1]])), "sample 0 has a spike of unit 3; must be in 0..2"),
    "late": (events(time=np.full((2, 3), np.inf)), "sample 0 has a spike at inf s"),
    "early": (events(time=np.full((2, 3), -1.0)), "sample 0 has a spike at -1.0 s"),
    "no neurons": (events(n_neurons=0), "has 0 neurons"),
    "flat": (events(idx=np.arange(3), time=np.arange(3.0)), "must be alike"),
    "units as floats": (events(idx=np.zeros((2, 3))), "'idx' is float64"),
    "voltages": (
        nir.TimeGriddedData(np.full((1, 2, 2), 0.3), 0.001),
        r"sample 0 has a value of 0.3; spikes are 0 or 1",
    ),
    "no step": (nir.TimeGriddedData(np.zeros((1, 2, 2), dtype=bool), 0.0), "dt is 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_are_no_spikes_is_refused_by_name(case: str, tmp_path: Path) -> None:
    data, message = WRONG[case]
    with pytest.raises(InterchangeError, match=f"d.nir: node 'a', 'spikes': .*{message}"):
        read_nir_data(stored(tmp_path / "d.nir", a=data), "a")


def test_a_node_has_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = stored(tmp_path / "d.nir", a=events(), b=events())
    with pytest.raises(InterchangeError, match=r"has the data of 2 nodes \(a, b\); name one"):
        read_nir_data(path, None)
    with pytest.raises(InterchangeError, match="has no data of a node 'c'; has a, b"):
        read_nir_data(path, "c")


def test_a_network_is_no_data_file(tmp_path: Path) -> None:
    path = tmp_path / "n.nir"
    nir.write(path, nir.NIRGraph.from_list(nir.Linear(np.ones((2, 2)))))
    with pytest.raises(InterchangeError, match="is no NIR data file"):
        read_nir_data(path, None)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    spikes = random_spikes(np.random.default_rng(0), 1, 2, 5, 0.5)
    with pytest.raises(InterchangeError, match="leave out '/'"):
        write_nir_data(tmp_path / "d.nir", {"a/b": spikes}, 1.0)
    with pytest.raises(InterchangeError, match="a step above 0"):
        write_nir_data(tmp_path / "d.nir", {"a": spikes}, 0.0)
    assert not list(tmp_path.iterdir())
