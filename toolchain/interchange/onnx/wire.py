"""An ONNX file taken apart without believing it: tensors by ourselves, the little that is left by protobuf.

A protocol buffer of some megabytes can become gigabytes of messages, and a tensor can say that it is of any size, or
that its content lies in another file. So the file is walked field by field: initializers are read where they lie, as
plain arrays that are as long as they say, and only what remains, at most `LARGEST_REST`, is parsed.

Source: the protobuf encoding (protobuf.dev/programming-guides/encoding) and onnx.proto of ONNX 1.17.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError

LARGEST_REST = 16 << 20
"""Bytes of a model without its initializers; they may take a hundred times as much once parsed."""
MOST_FIELDS = 1_000_000
"""Fields of the model and of its graph, tensors included."""
MOST_CHARACTERS = 80
"""Of a text of the file, in a message."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

MODEL_GRAPH, GRAPH_INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
ELSEWHERE = {13: "external_data", 14: "data_location"}

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1"), 4: np.dtype("<u2"), 5: np.dtype("<i2"),
    6: np.dtype("<i4"), 7: np.dtype("<i8"), 9: np.dtype("?"), 11: np.dtype("<f8"),
}  # fmt: skip
"""TensorProto.DataType -> what we write of it."""


@dataclass(frozen=True)
class TakenApart:
    """A model and its tensors.

    Attributes
    ----------
    model : `onnx.ModelProto` without initializers
    tensors : name -> array, read-only, in the order of the file
    """

    model: Any
    tensors: dict[str, NDArray[Any]]


def take_apart(content: bytes, path: str) -> TakenApart:
    """Read the bytes of a file; `path` names it in errors.

    Raises
    ------
    InterchangeError
        If they are no ONNX model, a tensor is not what it says or lies outside, or the rest is too large.
    """
    import onnx
    from google.protobuf.message import DecodeError

    view = memoryview(content)
    rest = bytearray()
    tensors: dict[str, NDArray[Any]] = {}
    try:
        graphs = 0
        for number, whole, inner in _fields(view, path):
            if number != MODEL_GRAPH or inner is None:
                _keep(rest, whole, path)
                continue
            graphs += 1
            if graphs > 1:
                raise InterchangeError(f"file {path}: has a second graph; a model has one: export it again")
            others = bytearray()
            for part, part_whole, part_inner in _fields(inner, path):
                if part == GRAPH_INITIALIZER and part_inner is not None:
                    name, array = _tensor(part_inner, len(tensors), path)
                    if name in tensors:
                        raise InterchangeError(f"file {path}: tensor {shown(name)!r} is there twice; export it again")
                    tensors[name] = array
                else:
                    _keep(others, part_whole, path)
            rest += bytes([MODEL_GRAPH << 3 | BYTES]) + _varint(len(others)) + others
        model = onnx.ModelProto.FromString(bytes(rest))
    except (_DamagedError, DecodeError) as error:
        raise InterchangeError(
            f"file {path} ({len(content)} bytes): is no ONNX model ({error}); it is truncated, damaged or of another "
            "kind"
        ) from error
    return TakenApart(model, tensors)


def as_text(value: str | bytes) -> str:
    """A text of a parsed message, which is bytes where it is no UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", errors="replace")


def shown(value: str | bytes, longest: int = MOST_CHARACTERS) -> str:
    """What a file says, fit for a line of a terminal."""
    # Of a text of a hundred megabytes no more is looked at than can be shown.
    text = as_text(value)
    line = " ".join(text[: 4 * longest].split())
    printable = "".join(c if c.isprintable() else "\ufffd" for c in line)
    whole = len(text) <= 4 * longest and len(printable) <= longest
    return printable if whole else printable[: longest - 3] + "..."


class _DamagedError(Exception):
    """The bytes are no protocol buffer."""


def _keep(rest: bytearray, whole: memoryview, path: str) -> None:
    rest += whole
    if len(rest) > LARGEST_REST:
        raise InterchangeError(
            f"file {path}: its graph takes more than {LARGEST_REST} bytes besides its tensors, which is no network of "
            "ours; give a file that `delayline export` wrote"
        )


def _fields(view: memoryview, path: str) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Number of each field, all of its bytes, and those of its content where it has a length."""
    at = count = 0
    while at < len(view):
        count += 1
        if count > MOST_FIELDS:
            raise InterchangeError(f"file {path}: has more than {MOST_FIELDS} parts, which is no network of ours")
        start = at
        tag, at = _read_varint(view, at)
        kind = tag & 7
        if kind == VARINT:
            _, at = _read_varint(view, at)
            end, inner = at, None
        elif kind == BYTES:
            length, at = _read_varint(view, at)
            end = at + length
            inner = view[at:end]
        elif kind in (FIXED32, FIXED64):
            end, inner = at + (4 if kind == FIXED32 else 8), None
        else:
            raise _DamagedError(f"byte {start} starts no field")
        if end > len(view):
            raise _DamagedError(f"{end - len(view)} bytes are missing at the end of a field")
        yield tag >> 3, view[start:end], inner
        at = end


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise _DamagedError(f"a number at byte {at} has no end")
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _tensor(view: memoryview, index: int, path: str) -> tuple[str, NDArray[Any]]:
    """Name and content of a TensorProto."""
    dims: list[int] = []
    data_type, name, raw = 0, "", memoryview(b"")
    for number, _, inner in _fields(view, path):
        if number == NAME and inner is not None:
            name = bytes(inner).decode("utf-8", errors="replace")
    what = f"file {path}: tensor {shown(name)!r}" if name else f"file {path}: tensor {index}, which has no name,"
    for number, whole, inner in _fields(view, path):
        if number == DIMS:
            values = inner if inner is not None else whole[1:]
            at = 0
            while at < len(values):
                dim, at = _read_varint(values, at)
                dims.append(dim)
                if len(dims) > 8:
                    raise InterchangeError(f"{what} has more than 8 dimensions; no array of ours has")
        elif number == DATA_TYPE and inner is None:
            data_type, _ = _read_varint(whole, 1)
        elif number == RAW_DATA and inner is not None:
            raw = inner
        elif number in ELSEWHERE:
            raise InterchangeError(
                f"{what} says with {ELSEWHERE[number]} that its content lies in another file, which is not read; "
                "export the network again, in one file"
            )
        elif number != NAME:
            raise InterchangeError(f"{what} holds its content in field {number}, not as raw bytes; export it again")
    if data_type not in DTYPES:
        raise InterchangeError(f"{what} is of data type {data_type}, which no network of ours has; export it again")
    dtype = DTYPES[data_type]
    size = math.prod(dims) * dtype.itemsize
    if size != len(raw):
        raise InterchangeError(
            f"{what} says {dtype}{tuple(dims)}, {size} bytes, and holds {len(raw)}; the file is damaged: export it "
            "again"
        )
    if data_type == 9 and len(raw) and max(raw) > 1:
        raise InterchangeError(f"{what} holds bytes other than 0 and 1 as truth values; the file is damaged")
    return name, np.frombuffer(raw, dtype=dtype).reshape(dims)
