"""Spikes are sorted by who has them; sets of (step, neuron) are the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.report.spike_comparison import ROLES, Role, compare, role_labels

Spikes = set[tuple[int, int]]
SPIKES = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3)))


def arrays(spikes: Spikes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = np.array(sorted(spikes), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


@given(SPIKES, SPIKES, SPIKES)
def test_three_engines(floating: Spikes, emulated: Spikes, vendor: Spikes) -> None:
    rasters = {"float": floating, "emulator": emulated, "lava": vendor}
    (found,) = compare({e: {"hidden": arrays(s)} for e, s in rasters.items()}, {"hidden": 4})
    expected: dict[Role, Spikes] = {
        "same": floating & emulated & vendor,
        "float": floating - emulated - vendor,
        "chip": (emulated & vendor) - floating,
        "split": emulated ^ vendor,
    }
    for role in ROLES:
        times, units = found.groups[role]
        assert set(zip(times.tolist(), units.tolist(), strict=True)) == expected[role], role
    assert found.total == len(floating | emulated | vendor)
    assert found.counts == {engine: len(s) for engine, s in rasters.items()}


@given(SPIKES, SPIKES)
def test_two_engines_differ_in_two_ways_only(floating: Spikes, emulated: Spikes) -> None:
    (found,) = compare({"float": {"h": arrays(floating)}, "emulator": {"h": arrays(emulated)}}, {})
    assert (found.number("float"), found.number("chip")) == (len(floating - emulated), len(emulated - floating))
    assert found.number("split") == 0
    assert "split" not in role_labels(["float", "emulator"])


@pytest.mark.parametrize(
    ("floating", "emulated", "shifted"),
    [
        ({(3, 1)}, {(4, 1)}, 1),
        ({(3, 1)}, {(5, 1)}, 0),
        ({(3, 1)}, {(4, 2)}, 0),
        ({(3, 1), (5, 1)}, {(4, 1)}, 1),
        ({(3, 1), (5, 1)}, {(4, 1), (6, 1)}, 2),
    ],
)
def test_spikes_moved_by_one_step(floating: Spikes, emulated: Spikes, shifted: int) -> None:
    (found,) = compare({"float": {"h": arrays(floating)}, "emulator": {"h": arrays(emulated)}}, {"h": 3})
    assert found.shifted == shifted


def test_an_engine_that_did_not_record_a_population_is_left_out_of_it() -> None:
    input_only = {"input": arrays({(0, 0)})}
    found = compare({"float": {**input_only, "h": arrays({(1, 1)})}, "emulator": input_only}, {"input": 1, "h": 2})
    assert [(c.population, list(c.counts), c.differing) for c in found] == [
        ("input", ["float", "emulator"], 0),
        ("h", ["float"], 0),
    ]
