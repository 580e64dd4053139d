"""Spike files: what was written is read, and nothing in a file is believed before it was looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from toolchain.datasets.checks import Item
from toolchain.datasets.checks.isolated import inspect_isolated
from toolchain.datasets.spike_file import SpikeFile, SpikeFileWriter
from toolchain.errors import DatasetError, InputError

NAMES = ("yes", "no", "näh")
Row = tuple[Any, Any, int, int]


def write(path: Path, rows: list[Row], **more: Any) -> Path:
    """A file of rows (times, units, label, speaker) over 10 units and `NAMES`."""
    with SpikeFileWriter(path, n_units=10, label_names=NAMES, what="made for a test", real=False, **more) as file:
        for times, units, label, speaker in rows:
            file.add(times, np.array(units, dtype=np.int64), label, speaker)
    return path


@st.composite
def rows(draw: st.DrawFn) -> Row:
    times = draw(st_numpy.arrays(np.float32, st.integers(0, 20), elements=st.floats(0, 4, width=32)))
    units = draw(st_numpy.arrays(np.int64, times.size, elements=st.integers(0, 9)))
    return times, units, draw(st.integers(0, 2)), draw(st.integers(0, 4))


@given(st.lists(rows(), max_size=40), st.data())
@settings(deadline=None, max_examples=30)
def test_what_was_written_is_read_in_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Row], data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("files") / "a.h5", samples)
    file = SpikeFile.open(path)
    assert file.labels.tolist() == [label for *_, label, _ in samples]
    assert (file.n_units, file.label_names, file.origin.real) == (10, NAMES, False)
    if samples:
        assert file.speakers is not None
        assert file.speakers.tolist() == [speaker for *_, speaker in samples]
    n = len(samples)
    wanted = data.draw(st.lists(st.integers(0, n - 1), max_size=50)) if n else []
    events = file.read(np.array(wanted, dtype=np.int64))
    assert [str(a.dtype) for a in events] == ["float64", "int32", "int64"]
    for place, sample in enumerate(wanted):
        part = slice(int(events.offsets[place]), int(events.offsets[place + 1]))
        times, units = samples[sample][:2]
        order = np.argsort(times, kind="stable")
        assert np.array_equal(events.times[part], times[order])
        assert np.array_equal(events.units[part], units[order])
    assert events.offsets[-1] == events.times.size
    assert file.disordered == 0


def raw(path: Path, **changes: Any) -> Path:
    """A file in the published layout, made with h5py alone; `changes` replaces datasets by functions of the file."""
    with h5py.File(path, "w") as f:
        for name, dtype, rows in (
            ("spikes/times", np.float16, ([0.5, 0.25, 1.0], [], [0.125])),
            ("spikes/units", np.uint16, ([699, 3, 3], [], [0])),
        ):
            made = f.create_dataset(name, (3,), dtype=h5py.vlen_dtype(np.dtype(dtype)))
            for i, row in enumerate(rows):
                if row:
                    made[i] = np.array(row, dtype=dtype)
        f["labels"] = np.array([1, 0, 1], dtype=np.uint16)
        f["extra/keys"] = np.array([b"zero", b"one"])
        f["extra/speaker"] = np.array([4, 5, 4], dtype=np.uint16)
        f["extra/meta_info/age"] = np.arange(12)
        for name, change in changes.items():
            name = name.replace("__", "/")
            if name in f:
                del f[name]
            change(f, name)
    return path


def test_the_published_layout_is_read_and_taken_as_recorded(tmp_path: Path) -> None:
    file = SpikeFile.open(raw(tmp_path / "a.h5"))
    assert (file.n_units, file.label_names, file.origin.real, file.attributes) == (700, ("zero", "one"), True, {})
    assert file.labels.tolist() == [1, 0, 1]
    assert file.speakers is not None
    assert file.speakers.tolist() == [4, 5, 4]
    events = file.read(np.array([2, 1, 0]))
    assert events.times.tolist() == [0.125, 0.25, 0.5, 1.0]
    assert events.units.tolist() == [0, 3, 699, 3]
    assert events.offsets.tolist() == [0, 1, 1, 4]
    assert file.disordered == 1


def test_times_of_half_precision_are_cast_before_arithmetic(tmp_path: Path) -> None:
    """Two seconds in µs overflow half precision."""
    path = write(tmp_path / "a.h5", [([2.0], [0], 0, 0)], times_dtype="float16")
    assert (SpikeFile.open(path).read(np.array([0])).times * 1e6).tolist() == [2e6]


def test_attributes_say_where_the_events_come_from(tmp_path: Path) -> None:
    more = {"generator": "synth", "generator_version": "2", "seed": 7}
    origin = SpikeFile.open(write(tmp_path / "a.h5", [], attributes=more)).origin
    assert str(origin) == "made for a test, synthetic, synth 2, seed 7"
    made = raw(tmp_path / "b.h5")
    with h5py.File(made, "a") as file:
        file.attrs["generator"] = "somebody's"
    assert not SpikeFile.open(made).origin.real
    with h5py.File(made, "a") as file:
        file.attrs["real"] = True
    assert SpikeFile.open(made).origin.real


def test_text_of_a_file_cannot_steer_a_terminal(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", [], attributes={"licence": "\x1b[2Jfree"})
    assert SpikeFile.open(path).attributes["licence"] == "\ufffd[2Jfree"


def vlen(dtype: Any, *rows: Any) -> Callable[[Any, str], None]:
    def change(f: Any, name: str) -> None:
        made = f.create_dataset(name, (len(rows),), dtype=h5py.vlen_dtype(np.dtype(dtype)))
        for i, row in enumerate(rows):
            if row:
                made[i] = np.array(row, dtype=dtype)

    return change


def plain(values: Any) -> Callable[[Any, str], None]:
    return lambda f, name: f.create_dataset(name, data=values)


def virtual(f: Any, name: str) -> None:
    layout = h5py.VirtualLayout((3,), dtype=np.int64)
    layout[:] = h5py.VirtualSource("elsewhere.h5", "labels", (3,))
    f.create_virtual_dataset(name, layout)


def n_units(value: Any) -> Callable[[Any, str], None]:
    return lambda f, name: f.attrs.__setitem__("n_units", value)


def nothing(f: Any, name: str) -> None:
    """The dataset is left out."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spikes__times": nothing}, "no dataset 'spikes/times'"),
        ({"labels": nothing}, "no dataset 'labels'"),
        (
            {"spikes__times": plain(np.zeros((3, 4)))},
            "'spikes/times' is float64 of shape .3, 4., must be one row of any",
        ),
        ({"spikes__times": vlen(np.int32, [1], [], [2])}, "'spikes/times' is int32 .* of a type of kind f"),
        ({"spikes__units": vlen(np.float32, [1], [], [2])}, "'spikes/units' is float32 .* of a type of kind i/u"),
        ({"spikes__times": vlen(np.float16, [1], [])}, "'spikes/times' has 2 rows for 3 labels"),
        ({"labels": plain(np.zeros(3))}, "'labels' is float64"),
        ({"labels": plain(np.array([0, 2, 0]))}, r"sample 1 has label 2, outside 0..1; extra/keys names"),
        ({"labels": plain(np.array([0, 0, -1]))}, r"sample 2 has label -1, outside 0..1"),
        ({"labels": lambda f, n: f.create_dataset(n, (2**40,), "i8", chunks=(1024,))}, "has 1099511627776 entries; at"),
        ({"labels": lambda f, n: f.__setitem__(n, h5py.SoftLink("/extra/speaker"))}, "a SoftLink to '/extra/speaker'"),
        ({"labels": lambda f, n: f.__setitem__(n, h5py.ExternalLink("b.h5", "/x"))}, "an? ExternalLink to '/x'; copy"),
        ({"labels": virtual}, "the data of 'labels' lie in other files"),
        ({"labels": lambda f, n: f.create_group(n)}, "'labels' is a Group, must be a dataset"),
        ({"labels": plain(h5py.Empty("i8"))}, "'labels' is int64 of shape None"),
        ({"extra__speaker": plain(np.array([1, 2]))}, "2 speakers for 3 samples"),
        ({"extra__speaker": plain(np.array([1, 2, -1]))}, "sample 2 has speaker -1"),
        ({"spikes__times": vlen(np.float16, [0.5, 0.25, np.nan], [], [0.1])}, "sample 0 has an event at nan s"),
        ({"spikes__times": vlen(np.float16, [0.5, 0.25, 1], [], [-0.5])}, "sample 2 has an event at -0.5 s"),
        ({"spikes__times": vlen(np.float16, [0.5, 0.25, np.inf], [], [1])}, "sample 0 has an event at inf s"),
        ({"spikes__times": vlen(np.float16, [0.5, 0.25], [], [1])}, "sample 0 has 2 times and 3 units"),
        (
            {"spikes__units": vlen(np.uint16, [1, 2, 3], [], [700])},
            r"sample 2 .* unit 700, outside 0..699; set the attri",
        ),
        ({"spikes__units": vlen(np.int16, [1, -2, 3], [], [0])}, r"sample 0 .* unit -2, outside 0..699"),
        ({"spikes__units": vlen(np.uint64, [1, 2**64 - 1, 3], [], [0])}, r"unit 18446744073709551615, outside"),
        ({"n_units": n_units(0)}, "attribute n_units is 0"),
        ({"n_units": n_units("many")}, "attribute n_units is 'many'"),
        ({"n_units": n_units(3)}, r"unit 699, outside 0..2"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, changes: Any, message: str) -> None:
    path = raw(tmp_path / "a.h5", **changes)
    with pytest.raises(DatasetError, match=message) as caught:
        SpikeFile.open(path).read(np.arange(3))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(5000)])
def test_what_is_no_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"a.h5 .{len(content)} bytes.: cannot be read as HDF5"):
        SpikeFile.open(path)
    with pytest.raises(DatasetError, match="does not exist"):
        SpikeFile.open(tmp_path / "b.h5")


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_file_cut_short_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = raw(folder / "whole.h5").read_bytes()
    path = folder / "a.h5"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DatasetError, match="cannot be read as HDF5"):
        SpikeFile.open(path)


@pytest.mark.parametrize("seed", range(6))
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    """In a process of its own: some changes make the HDF5 library crash, or never come back."""
    random = np.random.default_rng(seed)
    path = raw(tmp_path / "a.h5")
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8).copy()
    content[random.integers(0, content.size, 5)] = random.choice([0, 1, 255], 5)
    path.write_bytes(content.tobytes())
    found = inspect_isolated(Item(path), patience_s=5.0)
    assert found.failed or found.samples == 3
    assert all("could not be looked at" not in finding.text for finding in found.findings)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (([0.5, np.nan], [1, 2], 0, 0), "sample 1 has times nan..nan s"),
        (([-0.5], [1], 0, 0), "sample 1 has times -0.5..-0.5 s"),
        (([1e39], [1], 0, 0), "sample 1 has times 1e.39..1e.39 s; give float32 seconds"),
        (([0.5], [10], 0, 0), r"sample 1 has units 10..10, outside 0..9"),
        (([0.5, 1], [1], 0, 0), "sample 1 has times of shape .2,. and int64 units of shape .1,."),
        (([0.5], [1], 3, 0), r"sample 1 has label 3, outside 0..2"),
        (([0.5], [1], 0, None), "sample 1 has speaker None, unlike those before"),
        (([0.5], [1], 0, -1), "sample 1 has speaker -1"),
    ],
)
def test_a_sample_that_cannot_be_in_a_file_is_refused_and_nothing_stays(tmp_path: Path, row: Row, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path / "a.h5", [([0.5], [1], 0, 0), row])
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", [([0.5], [1], 0, 0)])
    before = path.read_bytes()
    writer = SpikeFileWriter(path, n_units=1, label_names=("a",), what="x", real=True)

    def interrupted() -> None:
        with writer:
            writer.add([0.0], np.array([0]), 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*a.h5: .*; free or choose another place"):
        write(tmp_path / "file" / "a.h5", [])
