"""Recordings of others: what is in them arrives in the spike file, and what they do not say is asked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from tests.interchange.recording_files import camera, grouped, one_sample
from toolchain.datasets import load_dataset
from toolchain.datasets.checks import Item, inspect_item
from toolchain.datasets.recordings import bin_recordings
from toolchain.datasets.spike_file import SpikeFile
from toolchain.errors import InterchangeError
from toolchain.interchange.recordings import gather as gather_module
from toolchain.interchange.recordings.found import as_printed
from toolchain.interchange.recordings.gather import Gathered, Request, gather
from toolchain.interchange.recordings.hdf5_file import is_nir_data, read_hdf5
from toolchain.interchange.recordings.pixels import Pixels


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A process for each HDF5 file takes half a second; test_isolation has it, the others read here."""
    if "isolated" not in request.node.name:
        monkeypatch.setattr(gather_module, "read_isolated", lambda path, pixels, node: read_hdf5(path, pixels))


def gathered(path: Path, out: Path, **asked: Any) -> tuple[Gathered, SpikeFile]:
    """Gather, and let `data check` look at what came of it."""
    done = gather([path], out, Request(**asked))
    checked = inspect_item(Item(out))
    assert not checked.failed, checked.findings
    return done, SpikeFile.open(out)


def rows(file: SpikeFile) -> list[list[tuple[float, int]]]:
    """Events of every sample."""
    events = file.read(np.arange(file.labels.size))
    bounds = zip(events.offsets[:-1], events.offsets[1:], strict=True)
    return [list(zip(events.times[a:b].tolist(), events.units[a:b].tolist(), strict=True)) for a, b in bounds]


@given(
    rasters=npst.arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 5))),
    dt_ms=st.sampled_from([1.0, 0.1, 2.5, 1 / 3]),
)
@settings(max_examples=25, deadline=None)
def test_rasters_come_back_step_for_step(
    tmp_path_factory: pytest.TempPathFactory, rasters: NDArray[np.bool_], dt_ms: float
) -> None:
    """Written, gathered, and binned into steps of the same length as a recipe does it."""
    folder = tmp_path_factory.mktemp("rasters")
    np.savez(folder / "a.npz", rasters=rasters, dt_ms=dt_ms, labels=np.zeros(len(rasters), dtype=int))
    _, file = gathered(folder / "a.npz", folder / "out.h5")
    trains, binning = bin_recordings(file, np.arange(len(rasters)), dt_ms, rasters.shape[1])
    assert (binning.merged, binning.late) == (0, 0)
    assert all(np.array_equal(trains.dense(s).T, raster) for s, raster in enumerate(rasters))


def test_events_keep_their_times_in_every_unit(tmp_path: Path) -> None:
    times, units, offsets = np.array([250, 1000, 3, 40]), np.array([0, 2, 1, 1]), np.array([0, 2, 2, 4])
    for unit, second in (("s", 1), ("ms", 1000), ("us", 1_000_000), ("steps", 500)):
        np.savez(tmp_path / "a.npz", times=times, units=units, offsets=offsets, labels=[1, 0, 1])
        asked = {"unit": unit, "dt_ms": 2.0 if unit == "steps" else None}
        done, file = gathered(tmp_path / "a.npz", tmp_path / "out.h5", **asked)
        expected = [[(250 / second, 0), (1000 / second, 2)], [], [(3 / second, 1), (40 / second, 1)]]
        for ours, theirs in zip(rows(file), expected, strict=True):
            assert np.allclose(ours, theirs, rtol=1e-15, atol=0) if theirs else ours == []
        assert file.labels.tolist() == [1, 0, 1]
        assert (done.n_samples, done.n_events, done.n_units) == (3, 4, 3)
        assert "no file says how many units there are: 3 are used" in done.notes[0]


def test_events_of_samples_may_lie_in_any_order_and_some_samples_be_silent(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", times=[0.5, 0.1, 0.2], units=[0, 1, 2], samples=[2, 0, 2], labels=["b", "a", "b"],
        time_unit="s", n_units=9,
    )  # fmt: skip
    done, file = gathered(tmp_path / "a.npz", tmp_path / "out.h5")
    assert rows(file) == [[(0.1, 1)], [], [(0.2, 2), (0.5, 0)]]
    assert (file.label_names, file.labels.tolist(), file.n_units) == (("a", "b"), [1, 0, 1], 9)
    assert done.labels_by == "file"


def test_counts_of_rasters_are_merged_and_other_arrays_left_out_both_counted(tmp_path: Path) -> None:
    rasters = np.zeros((1, 3, 2), dtype=np.int16)
    rasters[0, 1, 1], rasters[0, 2, 0] = 4, 1
    np.savez(tmp_path / "a.npz", rasters=rasters, weights=np.zeros(3), labels=[0])
    done, file = gathered(tmp_path / "a.npz", tmp_path / "out.h5", dt_ms=1.0)
    assert rows(file) == [[(0.001, 1), (0.002, 0)]]
    assert done.counts == {
        "spikes merged with another of the same unit and step": 3,
        "arrays of other names left out (weights)": 1,
    }


@pytest.mark.parametrize("compound", [False, True])
@pytest.mark.parametrize("place", ["events", "CD/events"])
def test_pixels_of_event_cameras_become_units(tmp_path: Path, place: str, compound: bool) -> None:
    camera(tmp_path / "a.h5", place, compound=compound, width=4, height=3, time_unit="us", label="wave")
    _, file = gathered(tmp_path / "a.h5", tmp_path / "out.h5", from_first=True)
    # (c * 3 + y) * 4 + x, by hand
    assert rows(file) == [[(0.0, 0), (5e-6, 23), (9e-6, 17), (4e-5, 11)]]
    assert (file.n_units, file.label_names) == (24, ("wave",))


@pytest.mark.parametrize(
    ("polarity", "units", "n_units", "counted"),
    [
        ("merge", [0, 11, 5, 11], 12, {"events whose polarity was left out": 4}),
        ("on", [11, 5], 12, {"events of the other polarity than on left out": 2}),
        ("off", [0, 11], 12, {"events of the other polarity than off left out": 2}),
    ],
)
def test_polarities_that_are_merged_or_left_out_are_counted(
    tmp_path: Path, polarity: str, units: list[int], n_units: int, counted: dict[str, int]
) -> None:
    camera(tmp_path / "a.h5")
    pixels = Pixels((4, 3), polarity)
    done, file = gathered(
        tmp_path / "a.h5", tmp_path / "out.h5", pixels=pixels, unit="us", from_first=True, labels="none"
    )
    assert [unit for _, unit in rows(file)[0]] == units
    assert file.n_units == n_units
    assert {k: v for k, v in done.counts.items() if "polarity" in k} == counted


@pytest.mark.parametrize("parent", ["", "samples/", "recordings/"])
def test_groups_are_samples_in_the_order_of_their_numbers(tmp_path: Path, parent: str) -> None:
    grouped(tmp_path / "a.h5", parent)
    _, file = gathered(tmp_path / "a.h5", tmp_path / "out.h5", unit="ms")
    assert [row[1][1] for row in rows(file)] == list(range(11))
    assert [file.label_names[c] for c in file.labels[:3]] == ["even", "odd", "even"]


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("kind", ["npz", "rows", "groups"])
@pytest.mark.parametrize(("unit", "steps_per_unit"), [("s", 1000), ("ms", 1)])
def test_times_of_few_bits_fall_into_the_steps_that_they_print_as(
    tmp_path: Path, bits: int, kind: str, unit: str, steps_per_unit: int
) -> None:
    """A spike in each of 900 steps of 1 ms; 0.007 in 32 bits is below seven steps."""
    steps = np.arange(900)
    times = (steps / steps_per_unit).astype(f"<f{bits // 8}")
    path = tmp_path / "a.h5"
    if kind == "npz":
        np.savez(tmp_path / "a.npz", times=times, units=0 * steps)
        path = tmp_path / "a.npz"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "rows":
            for name, row in (("times", times), ("units", 0 * steps)):
                file.create_dataset(f"spikes/{name}", (1,), dtype=h5py.vlen_dtype(row.dtype))[0] = row
        else:
            file["a/times"], file["a/units"] = times, 0 * steps
    done, spikes = gathered(path, tmp_path / "out.h5", unit=unit, labels="none")
    trains, binning = bin_recordings(spikes, np.arange(1), 1.0, 900)
    assert (binning.merged, trains.times.tolist()) == (0, steps.tolist())
    assert bool([n for n in done.notes if "apart" in n]) == (bits == 16)  # 0.5 to 1 in 16 bits: 2^-11


@given(
    st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([1e-3, 1e-6, 1e-8]), st.sampled_from(["<f2", "<f4"])
)
def test_times_of_few_bits_are_what_numpy_prints(counts: list[int], by: float, dtype: str) -> None:
    """Up to nine digits after the point; below 1000, as whole numbers that a type has are exact and stay."""
    times = np.minimum(np.array(counts) * by, 999).astype(dtype)
    printed = [float(np.format_float_positional(t, unique=True, trim="0")) for t in times]
    fits = np.array([np.round(p, 9) == p for p in printed])
    assert np.array_equal(as_printed(times)[fits], np.array(printed)[fits])


def test_times_are_counted_from_the_earliest_event_wherever_it_stands(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", times=[7, 5, 9], units=[0, 1, 2])
    _, file = gathered(tmp_path / "a.npz", tmp_path / "out.h5", unit="s", labels="none", from_first=True)
    assert rows(file) == [[(0.0, 1), (2.0, 0), (4.0, 2)]]


def test_samples_that_nothing_counts_are_as_many_as_have_events(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", times=[1, 2, 3], units=[0, 1, 0], samples=[2, 0, 2])
    assert gathered(tmp_path / "a.npz", tmp_path / "out.h5", unit="ms", labels="none")[0].n_samples == 3


def test_times_that_their_own_type_has_rounded_away_are_said(tmp_path: Path) -> None:
    """Seconds since 1970 in 32 bits are 2^(30 - 23) s apart."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["times"], file["units"] = np.float32(1_719_000_000) + np.zeros(3, np.float32), np.arange(3)
    done, _ = gathered(path, tmp_path / "out.h5", unit="s", labels="none", from_first=True)
    assert [n for n in done.notes if "a.h5: times are numbers of so few bits that the largest are 128 s apart" in n]


def test_other_datasets_are_counted_and_named(tmp_path: Path) -> None:
    camera(tmp_path / "a.h5", "CD/events", width=4, height=3, time_unit="us")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["CD/indexes"], file["t_offset"], file["events/extra"] = np.zeros(3), 5, np.zeros(2)
    done, _ = gathered(tmp_path / "a.h5", tmp_path / "out.h5", labels="none", from_first=True)
    assert done.counts["datasets and groups of other names left out (events, t_offset, CD/indexes)"] == 3


def test_names_that_are_the_same_number_stay_two_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", times=[0.0, 0.1], units=[0, 1], offsets=[0, 1, 2], labels=["01", "1"], time_unit="s")
    _, file = gathered(tmp_path / "a.npz", tmp_path / "out.h5")
    assert (file.label_names, file.labels.tolist()) == (("01", "1"), [0, 1])


def test_ragged_rows_are_samples(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, dtype in (("times", np.int64), ("units", np.uint8)):
            rows_ = file.create_dataset(f"spikes/{name}", (2,), dtype=h5py.vlen_dtype(dtype))
            rows_[0], rows_[1] = np.array([1, 5], dtype), np.array([2], dtype)
        file["spikes/times"].attrs["unit"] = "milliseconds"
        file["spikes/labels"] = np.array([5, 3])
    done, file_ = gathered(tmp_path / "a.h5", tmp_path / "out.h5")
    assert rows(file_) == [[(0.001, 1), (0.005, 5)], [(0.002, 2)]]
    assert (file_.label_names, file_.labels.tolist()) == (("3", "5"), [1, 0])
    assert "labels 3 to 5 became classes 0 to 1, named by their numbers" in done.notes


def test_folders_name_classes_and_files_of_other_kinds_are_counted(tmp_path: Path) -> None:
    for i, name in enumerate(["left/a", "left/b", "right/a"]):
        one_sample(tmp_path / "data" / f"{name}.npz", i)
    (tmp_path / "data" / "readme.txt").write_text("about")
    one_sample(tmp_path / "data" / ".hidden" / "x.npz", 3)
    done, file = gathered(tmp_path / "data", tmp_path / "out.h5")
    assert (file.label_names, file.labels.tolist(), done.labels_by) == (("left", "right"), [0, 0, 1], "folders")
    assert done.counts == {"files of other kinds left out": 2}
    assert done.n_files == 3


def test_a_table_of_labels_beside_the_files_is_used(tmp_path: Path) -> None:
    for i, name in enumerate(["a", "b"]):
        one_sample(tmp_path / "data" / f"{name}.npz", i)
    (tmp_path / "data" / "labels.csv").write_text("file,label\nb.npz,right\na.npz,left\nc.npz,up\n")
    done, file = gathered(tmp_path / "data", tmp_path / "out.h5")
    assert [file.label_names[c] for c in file.labels] == ["left", "right"]
    assert "1 lines of labels.csv name no sample that was read" in done.notes


def test_labels_are_those_of_the_file_else_of_the_table_else_of_the_folders(tmp_path: Path) -> None:
    for name in ("left", "right"):
        one_sample(tmp_path / "data" / name / "a.npz", 0)
    by = [gathered(tmp_path / "data", tmp_path / "out.h5")[0]]
    (tmp_path / "data" / "labels.csv").write_text("file,label\nleft/a.npz,up\nright/a.npz,down\n")
    by.append(gathered(tmp_path / "data", tmp_path / "out.h5")[0])
    for name in ("left", "right"):
        np.savez(tmp_path / "data" / name / "a.npz", times=[0.25], units=[0], time_unit="s", labels=["in"])
    by.append(gathered(tmp_path / "data", tmp_path / "out.h5")[0])
    assert [done.label_names for done in by] == [("left", "right"), ("down", "up"), ("in",)]


def test_a_table_may_name_samples_of_one_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", times=[0.0, 0.1], units=[0, 1], offsets=[0, 1, 2], time_unit="s")
    (tmp_path / "table.csv").write_text("sample,label\n1,7\n0,12\n")
    _, file = gathered(tmp_path / "a.npz", tmp_path / "out.h5", labels=str(tmp_path / "table.csv"))
    assert (file.label_names, file.labels.tolist()) == (("7", "12"), [1, 0])


def test_what_is_gathered_can_be_trained_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", rasters=random.random((20, 30, 6)) < 0.2, dt_ms=1.0, labels=np.arange(20) % 2)
    gather([tmp_path / "a.npz"], tmp_path / "out.h5", Request(what="my sensor", real=False))
    options = {"train": str(tmp_path / "out.h5"), "test": {"fraction": 0.2}, "dt_ms": 1.0, "steps": 30}
    dataset = load_dataset("spikes", options)
    assert (dataset.train.spikes.n_units, dataset.train.labels.size, dataset.test.labels.size) == (6, 16, 4)
    assert "my sensor, synthetic" in dataset.provenance


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    grouped(tmp_path / "a.h5")
    for name in ("one.out", "two.out"):
        gather([tmp_path / "a.h5"], tmp_path / name, Request(unit="ms"))
    assert (tmp_path / "one.out").read_bytes() == (tmp_path / "two.out").read_bytes()


def test_hdf5_is_read_in_an_isolated_process_whose_errors_are_ours(tmp_path: Path) -> None:
    camera(tmp_path / "a.h5", width=4, height=3, time_unit="us", label="wave")
    _, file = gathered(tmp_path / "a.h5", tmp_path / "out.h5", from_first=True)
    assert [unit for _, unit in rows(file)[0]] == [0, 23, 17, 11]
    with pytest.raises(InterchangeError, match=r"a.h5: x is 0 to 3, outside 0..1"):
        gather([tmp_path / "a.h5"], tmp_path / "out.h5", Request(pixels=Pixels((2, 2))))


@pytest.mark.skipif(
    importlib.util.find_spec("toolchain.interchange.nir") is None, reason="there is no reader of NIR's files"
)
def test_spikes_of_nir_are_read_in_an_isolated_process(tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    events = nir.EventData(
        idx=np.array([[0, 1, 2], [2, 2, -1]]), time=np.array([[0.001, 0.002, 0.004], [0.003, 0.005, np.inf]]),
        n_neurons=3, t_max=0.01,
    )  # fmt: skip
    data = nir.NIRGraphData({"lif": nir.NIRNodeData({"spikes": events})})
    nir.write_data(tmp_path / "a.nir", data)
    assert is_nir_data(tmp_path / "a.nir")
    _, file = gathered(tmp_path / "a.nir", tmp_path / "out.h5", labels="none")
    assert rows(file) == [[(0.001, 0), (0.002, 1), (0.004, 2)], [(0.003, 2), (0.005, 2)]]
    assert file.n_units == 3
