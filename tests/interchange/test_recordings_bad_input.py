"""Files of recordings that are damaged, hostile or say too little: one line, and nothing is written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.interchange.recording_files import camera, grouped, one_sample
from toolchain.errors import DelaylineError, InterchangeError
from toolchain.interchange.recordings import gather as gather_module
from toolchain.interchange.recordings.found import Found
from toolchain.interchange.recordings.gather import Request, gather
from toolchain.interchange.recordings.hdf5_file import read_hdf5
from toolchain.interchange.recordings.npz_file import read_npz
from toolchain.interchange.recordings.pixels import Pixels


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A process for each HDF5 file takes half a second; test_isolation has it, the others read here."""
    if "isolated" not in request.node.name:
        monkeypatch.setattr(gather_module, "read_isolated", lambda path, pixels, node: read_hdf5(path, pixels))


def npz(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


PLAIN: dict[str, Any] = {"times": [0.1], "units": [0], "time_unit": "s", "labels": [0]}


@pytest.mark.parametrize(
    ("write", "asked", "words"),
    [
        (npz(times=[1.0], units=[0], labels=[0]), {}, "does not say what its times are in, and they may be anything"),
        (npz(**PLAIN), {"unit": "ms"}, "says s itself, --unit says ms"),
        (npz(rasters=np.ones((1, 2, 2)), labels=[0]), {}, "does not say how long they are; give --dt-ms"),
        (npz(rasters=np.ones((1, 2, 2)), labels=[0], dt_ms=1.0), {"dt_ms": 2.0}, "says 1.0 itself, --dt-ms says 2.0"),
        (npz(rasters=np.full((1, 2, 2), 0.5), labels=[0]), {"dt_ms": 1.0}, "no number of spikes, such as 0.5"),
        (npz(rasters=np.ones((2, 2)), labels=[0]), {"dt_ms": 1.0}, r"shape \(2, 2\), must be \(n_samples, n_steps"),
        (npz(x=np.ones(3), weights=[1]), {}, "holds neither times and units nor rasters; there are x, weights"),
        (npz(**{**PLAIN, "times": [-0.1]}), {}, "sample 0: has an event at -0.1 s, before its beginning; give --from"),
        (npz(**{**PLAIN, "times": [np.nan]}), {}, "sample 0 has an event at time nan"),
        (npz(**{**PLAIN, "times": [1e9]}), {}, "lasts 1e.09 s"),
        (npz(**{**PLAIN, "units": [-1]}), {}, "event on unit -1"),
        (npz(**{**PLAIN, "units": [7]}), {"n_units": 5}, "on unit 7, beyond --units 5"),
        (npz(**PLAIN, n_units=0), {}, "outside 0..-1"),
        (npz(**{**PLAIN, "units": [5]}, n_units=5), {}, "sample 0 has an event on unit 5, outside 0..4"),
        (npz(**{**PLAIN, "units": [5]}), {"n_units": 5}, "on unit 5, beyond --units 5"),
        (npz(**{**PLAIN, "units": [0, 1]}), {}, r"times are of shape \(1,\) and units of \(2,\)"),
        (npz(**PLAIN, offsets=[0, 2]), {}, "offsets must rise from 0 to the 1 events"),
        (npz(**PLAIN, offsets=[0, 1], samples=[0]), {}, "has offsets and samples"),
        (npz(**PLAIN, samples=[3]), {}, "has events of samples 3 to 3; there are 1"),
        (npz(**{**PLAIN, "labels": [0, 1]}), {}, "2 labels for 1 samples"),
        (npz(**{**PLAIN, "labels": [4]}, label_names=["a"]), {}, r"label 4 is outside 0..0 of label_names"),
        (npz(**{**PLAIN, "time_unit": "fortnights"}), {}, "its unit of time is 'fortnights'"),
        (
            npz(**{**PLAIN, "times": np.array([None])}),
            {},
            r"array times: holds '\|O'; only .* nothing that has to be unp",
        ),
        (npz(times=[0.1], units=[0], time_unit="s"), {}, "has no labels, and there is no one labels.csv beside it"),
        (npz(times=[0.1], units=[0], time_unit="s"), {"labels": "file"}, "has no labels; give --labels folders"),
        (npz(times=[0.1], units=[0], time_unit="s"), {"labels": "folders"}, "does not lie in a folder of its class"),
        (
            npz(times=[0.1], units=[0], time_unit="s"),
            {"labels": "no.csv"},
            "no.csv: cannot be read as a table of labels",
        ),
        (npz(**PLAIN), {"unit": "years"}, "--unit years: is none of s, ms, us, steps"),
        (npz(**PLAIN), {"pixels": Pixels(None, "up")}, "--polarity up: is none of"),
        (npz(times=[1.5], units=[0], labels=[0]), {"unit": "steps", "dt_ms": 1.0}, "at step 1.5; steps are whole"),
        (lambda path: path.write_bytes(b"RIFF...."), {}, "is neither .npz nor HDF5, it begins with b'RIFF"),
        (lambda path: camera(path), {"unit": "us"}, "no attributes width and height of the camera"),
        (lambda path: camera(path), {"pixels": Pixels((3, 3))}, r"x is 0 to 3, outside 0..2 of a sensor of 3x3"),
        (lambda path: camera(path, p=1, width=4, height=3, label=1), {}, "does not say what its times are in"),
        (lambda path: h5py.File(path, "w").create_dataset("z", data=1).file.close(), {}, "there are z: docs/interch"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_says_what_to_give(
    tmp_path: Path, write: Callable[[Path], object], asked: dict[str, Any], words: str
) -> None:
    write(tmp_path / "a.npz")
    with pytest.raises(InterchangeError, match=words) as caught:
        gather([tmp_path / "a.npz"], tmp_path / "out.h5", Request(**asked))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\n", "has no line for sample 0 of a.npz"),
        ("file,name\na.npz,x\n", "it must name label, and file or sample"),
        ("file,label\na.npz,x\na.npz,y\n", "line 3 has no label, or another than a line before"),
        ("sample,label\n-1,x\n", "line 2 has sample '-1'; number samples from 0"),
        ("file,label\na.npz,\xff\n", "cannot be read as a table of labels"),
        ("", "it must name label"),
    ],
)
def test_tables_of_labels_that_leave_something_open_are_refused(tmp_path: Path, text: str, words: str) -> None:
    one_sample(tmp_path / "a.npz", 0)
    (tmp_path / "t.csv").write_text(text, encoding="latin-1")
    with pytest.raises(InterchangeError, match=words):
        gather([tmp_path / "a.npz"], tmp_path / "out.h5", Request(labels=str(tmp_path / "t.csv")))


def test_a_spike_file_of_ours_is_sent_where_it_belongs(tmp_path: Path) -> None:
    one_sample(tmp_path / "a.npz", 0)
    gather([tmp_path / "a.npz"], tmp_path / "mine.h5", Request(labels="none"))
    with pytest.raises(InterchangeError, match="is a spike file already; name it in a recipe"):
        gather([tmp_path / "mine.h5"], tmp_path / "out.h5", Request())


def groups_with(path: Path, labels: dict[str, int], more: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "w") as file:
        for name in ("r0", "r1", "r2"):
            file[f"{name}/times"], file[f"{name}/units"] = np.arange(2), np.arange(2)
            if name in labels:
                file[name].attrs["label"] = labels[name]
        more(file)


ALL = {"r0": 0, "r1": 1, "r2": 0}


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        (
            {},
            lambda f: f.create_dataset("labels", data=[0, 1, 0]),
            "have no attribute label, and 'labels' does not say",
        ),
        ({"r0": 0, "r2": 1}, lambda f: None, "group 'r1' has no label, as others have; give --labels"),
        (ALL, lambda f: f.__setitem__("r3", h5py.SoftLink("/r0")), "'r3' is a link to elsewhere"),
        (ALL, lambda f: f.create_group("about"), "group 'about' has no times and units of one sample, as 'r0' has"),
        (ALL, lambda f: f.create_group("zzz"), "group 'zzz' has no times and units of one sample, as 'r0' has"),
    ],
)
def test_groups_of_which_one_is_otherwise_are_refused_by_its_name(
    tmp_path: Path, labels: dict[str, int], more: Callable[[h5py.File], object], words: str
) -> None:
    groups_with(tmp_path / "a.h5", labels, more)
    with pytest.raises(InterchangeError, match=words):
        gather([tmp_path / "a.h5"], tmp_path / "out.h5", Request(unit="ms"))


def test_labels_that_are_not_wanted_need_not_be_whole_isolated(tmp_path: Path) -> None:
    groups_with(tmp_path / "a.h5", {"r0": 0}, lambda f: None)
    assert gather([tmp_path / "a.h5"], tmp_path / "out.h5", Request(unit="ms", labels="none")).n_samples == 3
    with pytest.raises(InterchangeError, match="group 'r1' has no label, as others have"):
        gather([tmp_path / "a.h5"], tmp_path / "out.h5", Request(unit="ms"))


def test_numbers_of_one_file_and_names_of_another_are_not_put_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **PLAIN, label_names=["left"])
    np.savez(tmp_path / "b.npz", **PLAIN)
    with pytest.raises(InterchangeError, match=r"b.npz: has numbers as labels, and .*a.npz has names"):
        gather([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "out.h5", Request())


def test_data_that_lie_elsewhere_are_not_followed(tmp_path: Path) -> None:
    camera(tmp_path / "real.h5", width=4, height=3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events/x"] = h5py.ExternalLink("real.h5", "/events/x")
        file["events/y"] = h5py.SoftLink("/nowhere")
        file["events/t"] = np.arange(4)
    with pytest.raises(InterchangeError, match="is a link to elsewhere; copy the data into the file"):
        gather([tmp_path / "a.h5"], tmp_path / "out.h5", Request(unit="us", labels="none"))


def damaged(content: bytearray, data: st.DataObject) -> bytes:
    """A file with bytes changed, put in or cut off."""
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        kind = data.draw(st.sampled_from(["flip", "flip", "cut", "insert"]))
        if kind == "cut":
            del content[max(at, 8) :]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif content:
            content[min(at, len(content) - 1)] = data.draw(st.integers(0, 255))
    return bytes(content)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_npz_is_refused_in_one_line_or_holds_spikes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(path, times=np.arange(6.0), units=np.arange(6) % 3, offsets=[0, 2, 6], labels=[0, 1], time_unit="ms")
    path.write_bytes(damaged(bytearray(path.read_bytes()), data))
    assert_refused_or_sound(lambda: read_npz(path), path)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_arrays_under_our_names_are_refused_in_one_line_or_are_spikes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.npz"
    names = st.sampled_from(
        ["times", "units", "offsets", "samples", "labels", "n_units", "dt_ms", "time_unit", "rasters"]
    )
    dtypes = st.sampled_from(["<f8", "<f2", ">i8", "<u8", "|b1", "<U2", "|S2", "<c8"])
    arrays = st.dictionaries(
        names, npst.arrays(dtypes, npst.array_shapes(min_dims=0, min_side=0, max_side=3)), min_size=1
    )
    np.savez(path, **data.draw(arrays))
    assert_refused_or_sound(lambda: read_npz(path), path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_small_hdf5_is_refused_in_one_line_or_holds_spikes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Structure, not bytes: what a flipped byte does to the library happens in a process of its own."""
    path = tmp_path_factory.mktemp("hdf5") / "a.h5"
    names = ["times", "t", "units", "x", "y", "p", "offsets", "samples", "labels", "label"]
    places = st.sampled_from(["", "events/", "spikes/", "a/", "samples/b/", "times/"])
    dtypes = st.sampled_from(["<f8", "<i4", "|u1", "|S3", "|b1"])
    with h5py.File(path, "w") as file:
        for _ in range(data.draw(st.integers(0, 7))):
            name = data.draw(places) + data.draw(st.sampled_from(names))
            array = data.draw(npst.arrays(dtypes, npst.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)))
            try:
                file[name] = array
            except (ValueError, RuntimeError, KeyError, TypeError, OSError):
                continue
            if data.draw(st.booleans()):
                value = data.draw(st.sampled_from([3, -1, "ms", "x", 1.5, np.zeros(2)]))
                file[name].attrs[
                    data.draw(st.sampled_from(["unit", "width", "height", "n_units", "dt_ms", "label"]))
                ] = value
    assert_refused_or_sound(lambda: read_hdf5(path, Pixels((4, 4))), path)


def assert_refused_or_sound(read: Callable[[], Found], path: Path) -> None:
    message = ""
    try:
        found = read()
    except DelaylineError as error:
        message = str(error)
    if message:
        assert "\n" not in message
        assert path.name in message
        return
    assert found.units.size == found.times.size == found.offsets[-1]
    assert found.labels is None or len(found.labels) == found.n_samples


@pytest.mark.slow
def test_damaged_hdf5_is_refused_in_one_line_whatever_the_library_does_isolated(tmp_path: Path) -> None:
    """Bytes flipped in every part of real files: links, heaps, headers, data."""
    random = np.random.default_rng(0)
    grouped(tmp_path / "groups.h5")
    camera(tmp_path / "camera.h5", width=4, height=3, time_unit="us", label=1)
    for round_ in range(40):
        source = tmp_path / ("groups.h5" if round_ % 2 else "camera.h5")
        content = bytearray(source.read_bytes())
        if round_ % 5 == 0:
            del content[int(random.integers(8, len(content))) :]
        for at in random.integers(0, min(len(content), 3000), 4):
            content[at] = random.integers(0, 256)
        content[:8] = source.read_bytes()[:8]
        (tmp_path / "a.h5").write_bytes(content)
        message = ""
        try:
            gather([tmp_path / "a.h5"], tmp_path / "out.h5", Request(unit="us", labels="none", from_first=True))
        except DelaylineError as error:
            message = str(error)
        assert "\n" not in message
        assert not message or "a.h5" in message


@pytest.mark.parametrize(("name", "most"), [("times", 10**8), ("units", 10**8), ("samples", 10**8), ("labels", 10**7)])
def test_more_than_is_gathered_is_refused_by_its_header(tmp_path: Path, name: str, most: int) -> None:
    """Ten megabytes unpack to 150 million events, which took 3.5 GB before they were counted."""
    for n, words in ((most + 1, f"at most {most} are read"), (most, "is truncated or damaged")):
        header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({n},), }}".encode()
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with pytest.raises(InterchangeError, match=words):
            read_npz(tmp_path / "a.npz")


def test_what_says_to_be_larger_than_it_is_takes_no_memory(tmp_path: Path) -> None:
    """A header of 2^40 numbers in a few bytes, and zeros that are packed a thousand times."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("times.npy", array)
    with pytest.raises(InterchangeError, match="array times: says that it holds 1099511627776 numbers"):
        read_npz(tmp_path / "a.npz")
    with (
        zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("times.npy", "w") as file,
    ):
        file.write(b"\x93NUMPY" + bytes(2**20))
    entry = zipfile.ZipFile(tmp_path / "b.npz").infolist()[0]
    content = (tmp_path / "b.npz").read_bytes().replace(entry.file_size.to_bytes(4, "little"), b"\xff\xff\xff\xfe")
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(
        InterchangeError, match=r"array times (goes beyond 4294967296 bytes|: is of NumPy)|array times: is"
    ):
        read_npz(tmp_path / "b.npz")
