"""Spikes of inputs are counted by unit, and what does not fit a workload is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.cost.constants import Constant
from toolchain.cost.content import count_rows
from toolchain.cost.counting import count, source_rasters, step_counts, unit_counts
from toolchain.cost.estimates import dominant, energy_parts
from toolchain.cost.interval import Interval, total
from toolchain.cost.workload import CountKind, Sender, Site, Workload
from toolchain.errors import InputError
from toolchain.spikes import bin_events

ends = st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(lambda x: Interval(*sorted(x)))
inside = st.floats(0, 1)


@given(seed=st.integers(0, 500), n_samples=st.integers(0, 4))
def test_units_are_counted_and_drawn_by_source(seed: int, n_samples: int) -> None:
    rng = np.random.default_rng(seed)
    rasters = [rng.random((6, 5)) < 0.3 for _ in range(n_samples)]
    events = [tuple(np.nonzero(r)) for r in rasters]
    spikes = bin_events([(t, u) for t, u in events], 5, 6)[0]
    counted, drawn = unit_counts(spikes, [("x", 2), ("y", 3)]), source_rasters(spikes, [("x", 2), ("y", 3)])
    for sample, raster in enumerate(rasters):
        assert counted["x"][sample].tolist() == raster.sum(axis=0)[:2].tolist()
        assert counted["y"][sample].tolist() == raster.sum(axis=0)[2:].tolist()
        assert (drawn["y"][sample] == raster[:, 2:]).all()


@given(a=ends, b=ends, s=inside, t=inside)
def test_an_interval_holds_whatever_its_parts_hold(a: Interval, b: Interval, s: float, t: float) -> None:
    x, y = a.low + s * (a.high - a.low), b.low + t * (b.high - b.low)
    room = 1e-9 * (1 + a.high) * (1 + b.high)
    for found, value in ((a + b, x + y), (a * b, x * y), (total([a, b, a]), 2 * x + y)):
        assert found.low - room <= value <= found.high + room
    above = b + Interval.exact(1.0)
    assert a.per(above).low - room <= x / (y + 1) <= a.per(above).high + room


@pytest.mark.parametrize("wrong", [(2, 1, 3), (-1, 0, 1), (0, 1, float("inf")), (0, float("nan"), 1)])
def test_a_range_that_does_not_rise_from_zero_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="must rise from 0 on"):
        Interval(*wrong)


def make_workload(lag: int = 0) -> Workload:
    """Three neurons; a spike of neuron i sets off i + 1 events at core 0 and, by neuron 2, 10 at core 1."""
    table = np.array([[1, 0], [2, 0], [3, 10]])
    sender = Sender("p", {"sent": np.array([1, 1, 1])}, {"events": table}, np.array([0, 0, -1]), lag)
    kinds = (CountKind("events", "events", "here"), CountKind("sent", "messages", "there"))
    return Workload(kinds, (Site(0, 0, "p", 0, 1), Site(0, 1, "p", 2, 2)), (sender,), {"events": np.array([5, 7])})


def test_counts_are_spikes_times_tables_and_steps() -> None:
    counts = count(make_workload(), {"p": np.array([[1, 0, 2], [0, 0, 0]])}, 4)
    assert counts.events["events"].tolist() == [1 + 2 * 13 + 4 * 12, 4 * 12]
    assert counts.at_sites["events"].tolist() == [1 + 2 * 3 + 8 * 5, 2 * 10 + 8 * 7]
    assert counts.events["sent"].tolist() == [3, 0]
    row = count_rows(make_workload(), counts)[0]
    assert (row.mean, row.least, row.most, row.deviation) == (61.5, 48, 75, 13.5)


def test_events_fall_into_the_step_in_which_they_are_set_off() -> None:
    raster = np.zeros((1, 4, 3), np.bool_)
    raster[0, 0, 0] = raster[0, 2, 2] = True
    found = step_counts(make_workload(lag=1), {"p": raster}, "events")[0] - [5, 7]
    assert found.tolist() == [[0, 0], [1, 0], [0, 0], [3, 10]]
    # Sent from core 0 by neuron 0, and by neuron 2 from outside.
    assert step_counts(make_workload(), {"p": raster}, "sent")[0].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("spikes", [{}, {"p": np.zeros((1, 2), np.int64)}])
def test_spikes_of_other_neurons_are_refused(
    spikes: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]],
) -> None:
    with pytest.raises(InputError, match=r"spikes of p: .* were given, must be"):
        count(make_workload(), spikes, 4)


def test_energy_is_the_mean_count_times_the_constant_and_says_what_dominates() -> None:
    counts = count(make_workload(), {"p": np.array([[1, 0, 2], [0, 0, 0]])}, 4)
    constants = {
        "a": Constant("a", 2.0, 1.0, 4.0, "pJ", "published", "s", "n"),
        "b": Constant("b", 3.0, 3.0, 3.0, "nJ", "published", "s", "n"),
        "c": Constant("c", None, None, None, "pJ", "unknown", "s", "n"),
    }
    parts = energy_parts(counts, {"events": "a", "sent": "b", "nothing": "a"}, constants)
    assert [p.name for p in parts] == ["sent", "events"]
    assert parts[0].interval.low == parts[0].interval.high == pytest.approx(1.5 * 3e-9)
    assert parts[1].interval.high == pytest.approx(61.5 * 4e-12)
    assert dominant(parts) == "sent make up 97 % of it; most of its range is that of events"
    assert energy_parts(counts, {"events": "c"}, constants) == []
