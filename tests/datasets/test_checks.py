"""`delayline data check`: each kind is known by its content, each flaw of the list is found, nothing makes it fall."""

from __future__ import annotations

import gzip
import itertools
import re
import struct
import subprocess
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.layouts import Row, events, fsdd_folder, npz_arrays, shd_file
from toolchain.datasets import archives
from toolchain.datasets.archives import MAX_UNPACKED
from toolchain.datasets.cache import VARIABLE
from toolchain.datasets.checks import Inspection, Item, inspect_item, items
from toolchain.datasets.checks.inspection import from_json
from toolchain.datasets.checks.isolated import inspect_isolated
from toolchain.datasets.spike_file import SpikeFileWriter
from toolchain.errors import DatasetError

PUBLISHED: dict[str, Any] = {"labels": [*range(20)] * 2, "speakers": [0, 1] * 20}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))


def texts(found: Inspection, level: str) -> str:
    return " | ".join(f.text for f in found.findings if f.level == level)


def test_what_is_counted_is_what_is_in_the_file(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows: list[Row] = [events(random, n) for n in (3, 0, 9)]
    path = shd_file(tmp_path / "a.h5", [1, 1, 0], [7, 7, 2], keys=("a", "b"), rows=rows)
    found = inspect_item(Item(path))
    assert (found.kind, found.real, found.samples, found.channels) == ("spike file in the layout of SHD", True, 3, 700)
    assert (found.classes, found.speakers) == ({"a": 1, "b": 2}, {"2": 1, "7": 2})
    assert found.events == {"min": 0, "mean": 4.0, "max": 9}
    last = [float(times[-1]) if times.size else 0.0 for times, _ in rows]
    assert found.duration_s == {"mean": pytest.approx(sum(last) / 3), "max": max(last)}
    assert texts(found, "warning") == "1 samples have no event"
    assert from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("name", "change", "kind", "warning"),
    [
        ("shd_train.h5", {}, "Spiking Heidelberg Digits, train", "40 samples; the published file has 8156 .*8332"),
        ("shd_test.h5", {"speakers": [4, 5] * 20}, "Spiking Heidelberg Digits, test", "40 samples; .* 2264 .*2088"),
        (
            "shd_test.h5",
            {"speakers": [4, 1] * 20},
            "Spiking Heidelberg Digits, test",
            "only one of the speakers 4 and 5",
        ),
        (
            "shd_train.h5",
            {"speakers": [5, 1] * 20},
            "Spiking Heidelberg Digits, test",
            "is called a training file, but has",
        ),
        ("a.h5", {"speakers": [12, 1] * 20}, "Spiking Heidelberg Digits, train", "speaker 12; the published set"),
        (
            "a.h5",
            {"labels": [3] * 40},
            "Spiking Heidelberg Digits, train",
            "19 of 20 classes have no sample: zero, one",
        ),
        ("a.h5", {"generator": "g"}, "synthetic spike file", ""),
        ("a.h5", {"n_units": 800}, "spike file", ""),
    ],
)
def test_a_file_is_known_by_its_content_and_compared_with_what_is_published(
    tmp_path: Path, name: str, change: dict[str, Any], kind: str, warning: str
) -> None:
    found = inspect_item(Item(shd_file(tmp_path / name, **{**PUBLISHED, **change})))
    assert (found.kind, found.failed) == (kind, False)
    assert found.real == ("generator" not in change)
    assert any(True for f in found.findings if warning and re.search(warning, f.text)) or not warning


def test_sizes_of_the_published_files_are_no_reason_to_warn(tmp_path: Path) -> None:
    rows = [(np.array([0.5], dtype=np.float16), np.array([3], dtype=np.uint16))]
    n = 2264
    path = shd_file(tmp_path / "shd_test.h5", [i % 20 for i in range(n)], [4, 5] * (n // 2), rows=rows * n)
    assert inspect_item(Item(path)).findings == []


def test_speech_commands_are_known_by_their_classes(tmp_path: Path) -> None:
    words = [f"word {i}" for i in range(35)]
    found = inspect_item(Item(shd_file(tmp_path / "a.h5", [*range(35)], [0] * 35, keys=words)))
    assert found.kind == "Spiking Speech Commands, size of no published part"
    assert "35 samples; the published files have 75466, 9981, 20382" in texts(found, "warning")


def row(times: list[float], units: list[int]) -> Row:
    return np.array(times, dtype=np.float16), np.array(units, dtype=np.uint16)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([row([0.1], [1]), row([np.nan], [1])], "sample 1 has an event at nan s"),
        ([row([-0.1], [1]), row([0.1], [1])], "sample 0 has an event at -0.0"),
        ([row([0.1], [1]), row([np.inf], [1])], "sample 1 has an event at inf s"),
        ([row([0.1], [700]), row([0.1], [1])], r"sample 0 has an event on unit 700, outside 0..699"),
        ([row([0.1, 0.2], [1]), row([0.1], [1])], "sample 0 has 2 times and 1 units"),
    ],
)
def test_an_event_that_cannot_be_is_an_error(tmp_path: Path, rows: list[Row], error: str) -> None:
    path = shd_file(tmp_path / "a.h5", [0, 1], [0, 0], rows=rows)
    found = inspect_item(Item(path))
    assert found.failed
    assert re.search(error, texts(found, "error"))


def test_samples_that_are_odd_are_counted(tmp_path: Path) -> None:
    rows = [row([0.2, 0.1], [1, 2]), row([2.5], [1]), row([], []), row([0.3], [3])] * 10
    found = inspect_item(Item(shd_file(tmp_path / "a.h5", rows=rows, **PUBLISHED)))
    assert not found.failed
    for text in (
        "10 samples are not in the order",
        "10 samples last 2 s or longer, up to 2.500 s",
        "10 samples have no",
    ):
        assert text in texts(found, "warning").replace("the events of ", "")


def test_a_file_damaged_in_many_places_is_not_read_to_its_end(tmp_path: Path) -> None:
    n = 64 * 7
    found = inspect_item(Item(shd_file(tmp_path / "a.h5", [0] * n, [0] * n, rows=[row([-1.0], [0])] * n)))
    errors = [f.text for f in found.findings if f.level == "error"]
    assert [f"sample {64 * i} has" in e for i, e in enumerate(errors[:5])] == [True] * 5
    assert "read no further after 5 damaged parts, at sample 319 of 448" in errors[5]


def broken_layouts() -> list[tuple[str, Callable[[Any], None], str]]:
    def replace(name: str, value: Any) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            del file[name]
            if value is not None:
                file[name] = value

        return change

    return [
        ("no labels", replace("labels", None), "no dataset 'labels'"),
        ("float labels", replace("labels", np.zeros(2)), "'labels' is float64"),
        ("text labels", replace("labels", np.array([b"a", b"b"])), "'labels' is "),
        ("label beyond", replace("labels", np.array([0, 20])), "sample 1 has label 20"),
        ("fewer labels", replace("labels", np.zeros(1, dtype=np.int8)), "2 rows for 1 labels"),
        ("square times", replace("spikes/times", np.zeros((2, 5))), "one row of any length"),
        (
            "times are a group",
            lambda f: (f.__delitem__("spikes/times"), f.create_group("spikes/times"))[0],
            "is a Group",
        ),
        ("linked", replace("labels", h5py.SoftLink("/extra/speaker")), "SoftLink"),
        ("elsewhere", replace("spikes/units", h5py.ExternalLink("/etc/passwd", "/x")), "ExternalLink"),
        ("spikes are a dataset", replace("spikes", np.zeros(3)), "no dataset 'spikes/times'"),
    ]


@pytest.mark.parametrize(("change", "error"), [pytest.param(*c[1:], id=c[0]) for c in broken_layouts()])
def test_a_layout_that_is_none_is_an_error(tmp_path: Path, change: Callable[[Any], None], error: str) -> None:
    path = shd_file(tmp_path / "a.h5", [0, 1], [0, 0])
    with h5py.File(path, "a") as file:
        change(file)
    found = inspect_item(Item(path))
    assert found.failed
    assert error in texts(found, "error")


def zipped(path: Path, content: bytes, name: str = "a.h5") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def test_archives_are_looked_into_and_their_md5_is_compared(tmp_path: Path) -> None:
    plain = shd_file(tmp_path / "shd_train.h5", **PUBLISHED)
    direct = inspect_item(Item(plain))
    packed = inspect_item(Item(zipped(tmp_path / "shd_train.h5.zip", plain.read_bytes(), plain.name)))
    assert (direct.md5, packed.md5) == ("unknown", "no")
    assert "the archive is not the published one" in texts(packed, "warning")
    (tmp_path / "x.h5.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert inspect_item(Item(tmp_path / "x.h5.gz")).classes == direct.classes


def test_an_archive_that_would_fill_the_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_UNPACKED == 16 * 2**30
    monkeypatch.setattr(archives, "MAX_UNPACKED", 10**5)
    found = inspect_item(Item(zipped(tmp_path / "a.h5.zip", bytes(10**6))))
    assert "unpacks to more than 100000 bytes" in texts(found, "error")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.h5", b"", "HDF5 file"),
        ("a.h5", b"hello", "HDF5 file"),
        ("a.txt", b"hello", "of no known kind"),
        ("a", b"", "empty file"),
        ("a.npz", b"PK", "npz files"),
        ("a.wav", b"RIFF", "wav files"),
        ("a.h5.zip", b"PK\x03\x04", "HDF5 file"),
        ("a.h5.gz", b"\x1f\x8b", "HDF5 file"),
        ("0_a_0.wav", b"", "recordings of the Free Spoken Digit Dataset"),
    ],
)
def test_what_is_of_no_use_is_an_error_and_no_crash(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    for item in items(tmp_path / name):
        found = inspect_item(item)
        assert (found.kind, found.failed) == (kind, True)


@given(
    st.sampled_from(["a.h5", "a.h5.zip", "a.h5.gz", "a.npz", "0_a_0.wav", "a.bin"]),
    st.binary(max_size=300),
    st.booleans(),
)
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_it_fall_over(tmp_path: Path, name: str, content: bytes, signed: bool) -> None:
    magic = {"h5": b"\x89HDF\r\n\x1a\n", "zip": b"PK\x03\x04", "gz": b"\x1f\x8b\x08\x00", "npz": b"PK\x03\x04"}
    start = magic.get(name.rpartition(".")[2], b"RIFF\x24\x00\x00\x00WAVEfmt ") if signed else b""
    (tmp_path / name).write_bytes(start + content)
    found = inspect_item(Item(tmp_path / name))
    assert found.failed
    assert "\n" not in texts(found, "error")


def test_a_folder_is_all_that_is_in_it(tmp_path: Path) -> None:
    fsdd_folder(tmp_path)
    shd_file(tmp_path / "b.h5", **PUBLISHED)
    shd_file(tmp_path / "a.hdf5", **PUBLISHED)
    (tmp_path / "README.md").write_text("nothing")
    assert list(items(tmp_path)) == [Item(tmp_path, "*.npz"), Item(tmp_path / "a.hdf5"), Item(tmp_path / "b.h5")]


def test_a_folder_without_files_or_nothing_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds none of"):
        list(items(tmp_path))
    with pytest.raises(DatasetError, match="nowhere: does not exist"):
        list(items(tmp_path / "nowhere"))


def test_spikes_of_spoken_digits(tmp_path: Path) -> None:
    found = inspect_item(Item(fsdd_folder(tmp_path), "*.npz"))
    assert (found.kind, found.samples, found.findings) == ("spikes of the Free Spoken Digit Dataset", 200, [])
    assert found.speakers == {"ann": 100, "bob": 100}
    counts = np.concatenate([np.diff(npz_arrays(s)["offsets"]) for s in (0, 1)])
    assert found.events == {"min": counts.min(), "mean": counts.mean(), "max": counts.max()}
    last = [times[a:b].max() * 1e-4 for s in (0, 1) for times, a, b in slices(npz_arrays(s))]
    assert found.duration_s == {"mean": pytest.approx(np.mean(last)), "max": pytest.approx(max(last))}
    arrays = npz_arrays(2)
    arrays["recording"][:] = 0
    arrays["times"] = arrays["times"][::-1]
    np.savez(tmp_path / "eve.npz", **arrays)
    np.savez(tmp_path / "fay.npz", units=arrays["units"])
    found = inspect_item(Item(tmp_path, "*.npz"))
    assert "eve.npz: 90 recordings of a digit have the number of another" in texts(found, "warning")
    assert "events are not in the order of time" in texts(found, "warning")
    assert "fay.npz: lacks the arrays" in texts(found, "error")


def slices(arrays: dict[str, Any]) -> list[tuple[Any, int, int]]:
    offsets = arrays["offsets"].tolist()
    return [(arrays["times"], a, b) for a, b in itertools.pairwise(offsets)]


def sound(path: Path, rate: int = 8000, channels: int = 1, n: int = 800) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes(struct.pack("<h", 7) * n * channels)


def test_recordings_of_spoken_digits(tmp_path: Path) -> None:
    for digit in range(10):
        sound(tmp_path / f"{digit}_ann_0.wav", n=800 + 800 * (digit == 3))
    found = inspect_item(Item(tmp_path, "*.wav"))
    assert (found.real, found.samples, found.speakers) == (True, 10, {"ann": 10})
    assert found.duration_s == {"mean": pytest.approx(0.11), "max": pytest.approx(0.2)}
    assert texts(found, "warning") == "10 recordings; the whole set has 3000"
    sound(tmp_path / "other.wav", rate=44100, channels=2)
    (tmp_path / "4_bob_1.wav").write_bytes(b"RIFF")
    found = inspect_item(Item(tmp_path, "*.wav"))
    for text in ("1 of 12 names are not", "1 recordings have more than one channel", "1 recordings are not at 8000 Hz"):
        assert text in texts(found, "warning")
    assert "4_bob_1.wav: is no wav file that can be read" in texts(found, "error")
    assert found.real is None


def test_a_process_of_its_own_finds_the_same(tmp_path: Path) -> None:
    path = shd_file(tmp_path / "a.h5", **PUBLISHED)
    told: list[int] = []
    assert inspect_isolated(Item(path), told.append) == inspect_item(Item(path))
    assert told == [0]
    folder = fsdd_folder(tmp_path / "d")
    assert inspect_isolated(Item(folder, "*.npz")) == inspect_item(Item(folder, "*.npz"))
    assert "does not unpack" not in texts(inspect_isolated(Item(zipped(tmp_path / "b.h5.zip", b""))), "error")


def test_a_library_that_never_comes_back_is_given_up(tmp_path: Path) -> None:
    """One byte of the heap of rows: the size of an object there, which HDF5 2.0 follows in a circle."""
    path = tmp_path / "a.h5"
    with SpikeFileWriter(path, n_units=9, label_names="ab", what="x", real=True) as file:
        file.add([0.1, 0.2], np.array([1, 2]), 0)
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    # An object: index (2), references (2), reserved (4), size (8), then its data.
    content[heap + 16 + 8 : heap + 16 + 16] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(content)
    found = inspect_isolated(Item(path), patience_s=3.0)
    assert "damaged: fetch or write it again" in texts(found, "error")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import time; print('{\"done\": 7}', flush=True); time.sleep(60)",
            "did not come back within 1 s, 7 samples in",
        ),
        ("import os; os.abort()", "crashed with signal 6, 0 samples in"),
        ("raise SystemExit('no room')", "could not be looked at, no room"),
    ],
)
def test_whatever_becomes_of_the_process_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real([command[0], "-c", code], **options))
    found = inspect_isolated(Item(tmp_path), patience_s=1.0)
    assert message in texts(found, "error")
