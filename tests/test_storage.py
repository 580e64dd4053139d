"""Files at rest: whole or absent, and whatever is in them, reading ends in data or in one kind of error."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from numpy.typing import NDArray

from toolchain.errors import CheckpointError, InputError
from toolchain.storage import HEADER_KEY, load_arrays, save_arrays, write_atomically, write_json

DTYPES = [np.float32, np.float64, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32, np.bool_]
ARRAYS: dict[str, NDArray[Any]] = {
    "in->a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "mask": np.array([1, 0], np.uint8),
}
HEADER = {"format": 1, "network": {"dt_ms": 0.5, "names": ["in", "a"]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def whole(folder: Path) -> bytes:
    """The bytes of a good file."""
    save_arrays(folder / "whole", ARRAYS, HEADER)
    return (folder / "whole").read_bytes()


def refused(path: Path, content: bytes) -> bool:
    """Whether a file with this content is refused; any exception but CheckpointError is a failure."""
    path.write_bytes(content)
    message = ""
    try:
        load_arrays(path)
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message
    assert not message or str(path) in message
    return bool(message)


def container(metadata: Any, tensors: dict[str, Any] | None = None, data: bytes = b"") -> bytes:
    """A safetensors file put together by hand, from its specification: length, JSON header, data."""
    header = json.dumps({"__metadata__": metadata, **(tensors or {})}).encode()
    return struct.pack("<Q", len(header)) + header + data


def dtypes() -> st.SearchStrategy[Any]:
    return st.sampled_from(DTYPES)


@given(
    st.dictionaries(st.text(max_size=5), stnp.arrays(dtypes(), stnp.array_shapes(min_dims=0, min_side=0)), max_size=3)
)
@settings(deadline=None, max_examples=80)
def test_arrays_and_header_come_back_as_they_were(folder: Path, arrays: dict[str, NDArray[Any]]) -> None:
    arrays.pop("__metadata__", None)
    save_arrays(folder / "round", arrays, HEADER)
    found, header = load_arrays(folder / "round")
    assert header == HEADER
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_arrays_come_back_whatever_their_layout_in_memory(folder: Path) -> None:
    array = np.arange(24, dtype=np.int32).reshape(4, 6)
    layouts = {"F": np.asfortranarray(array), "T": array.T, "step": array[::2, ::-3], "big": array.astype(">i4")}
    save_arrays(folder / "layout", layouts, {})
    found, _ = load_arrays(folder / "layout")
    for name, layout in layouts.items():
        assert np.array_equal(found[name], layout), name


@given(st.dictionaries(st.text(max_size=5), st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
), max_size=4))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_any_json_header_comes_back(folder: Path, header: dict[str, Any]) -> None:
    save_arrays(folder / "header", {}, header)
    assert load_arrays(folder / "header")[1] == header


def test_a_file_cut_at_any_length_is_refused(folder: Path, whole: bytes) -> None:
    path = folder / "cut"
    for length in range(len(whole)):
        assert refused(path, whole[:length]), f"cut to {length} of {len(whole)} bytes"
    assert not refused(path, whole)


def test_a_flipped_bit_anywhere_is_refused_or_harmless(folder: Path, whole: bytes) -> None:
    path = folder / "flipped"
    found = [
        refused(path, whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :])
        for i in range(len(whole))
        for bit in range(8)
    ]
    assert any(found[:64]), "a wrong length of the header is noticed"


@given(st.binary(max_size=60), st.integers(0, 2**64 - 1))
@settings(deadline=None, max_examples=200)
@example(b"", 2**62)
def test_garbage_is_refused(folder: Path, content: bytes, length: int) -> None:
    assert refused(folder / "garbage", content)
    assert refused(folder / "garbage", struct.pack("<Q", len(content)) + content)
    assert refused(folder / "garbage", struct.pack("<Q", length) + content)


@pytest.mark.parametrize(
    "header",
    ["", "{", "[]", "1", "null", '"a"', "NaN", "1" * 5000, "[" * 100_000, '{"a":' * 100_000, "\x00"],
    ids=lambda text: repr(text[:8]),
)
def test_a_header_that_is_no_mapping_is_refused(folder: Path, header: str) -> None:
    assert refused(folder / "header", container({HEADER_KEY: header}))


def test_a_file_of_another_program_is_refused(folder: Path) -> None:
    for metadata in ({}, {"format": "pt"}):
        path = folder / "foreign"
        path.write_bytes(container(metadata))
        with pytest.raises(CheckpointError, match=f"no {HEADER_KEY} header"):
            load_arrays(path)


@pytest.mark.parametrize(("dtype", "size"), [("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F4", 1), ("X9", 1), (7, 1)])
def test_a_type_of_number_that_numpy_lacks_is_refused(folder: Path, dtype: str, size: int) -> None:
    tensor = {"dtype": dtype, "shape": [2 if dtype == "F4" else 1], "data_offsets": [0, size]}
    assert refused(folder / "dtype", container({HEADER_KEY: "{}"}, {"a": tensor}, b"\x07" * size))


SHAPES = (
    ([2**40], [0, 4]),
    ([2**63, 4], [0, 0]),
    ([0, 2**62], [0, 0]),
    ([0] * 99, [0, 0]),
    ([1], [4, 8]),
    ([-1], [0, 4]),
)


@pytest.mark.parametrize(("shape", "offsets"), SHAPES)
def test_a_shape_that_the_data_do_not_have_is_refused(folder: Path, shape: list[int], offsets: list[int]) -> None:
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    assert refused(folder / "shape", container({HEADER_KEY: "{}"}, {"a": tensor}, b"\x00" * 4))


def test_what_is_no_file_is_said_not_to_exist(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(CheckpointError, match=r"bundle .* does not exist"):
            load_arrays(path, what="bundle")


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=30)
def test_a_written_file_holds_the_content_and_replaces_the_old(folder: Path, content: bytes) -> None:
    path = folder / "new" / "deep" / "file.bin"
    write_atomically(path, content)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]
    assert path.stat().st_mode & 0o777 == 0o644


class Boom(BaseException):
    """Stands for a key press, or whatever else may come between."""


FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize(("cause", "raised"), [(FULL_DISK, InputError), (Boom(), Boom)], ids=["full disk", "stopped"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, cause: BaseException, raised: type[BaseException]
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise cause

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(raised) as caught:
        write_atomically(path, b"new" * 1000)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    if raised is InputError:
        assert str(caught.value).startswith(f"cannot write {path}: No space left on device")


def test_the_content_is_on_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, bytes]] = []
    path = tmp_path / "file"
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        done.append(("fsync", os.pread(handle, 99, 0)))
        fsync(handle)

    def watched_replace(source: str, target: Path) -> None:
        done.append(("replace", Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(path, b"content")
    assert done == [("fsync", b"content"), ("replace", b"content")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "below", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(InputError, match="cannot write") as caught:
            write_atomically(path, b"x")
        assert str(path) in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_json_is_readable_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, None], "ü": 0.1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": [1, None], "ü": 0.1}
    assert path.read_text(encoding="utf-8").endswith("}\n")
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(path, {"x": value})
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == [1, None]
