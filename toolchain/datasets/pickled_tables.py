"""Columns of a pickled table: a dict of columns, a list of rows, or a pandas DataFrame; arrays of NumPy within.

NumPy and pandas write how to call them again. That is read here as a description (`pickled_data.Made`): of an
array its shape, type and values, of a DataFrame the names of its columns and the blocks that hold them. Nothing is
taken on trust: shapes have to agree with what is there, only numbers and lists of objects are arrays, and the values
that are read are counted, for a short pickle can name one list a million times.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import Any

import numpy as np

from toolchain.datasets.pickled_data import MAX_OPERATIONS, Made
from toolchain.errors import DatasetError

NUMBERS = {"f8": "<f8", "f4": "<f4", "i8": "<i8", "i4": "<i4", "i2": "<i2", "i1": "i1", "u1": "u1", "b1": "?"}
_ONE = {"f8": Struct("<d"), "f4": Struct("<f"), "i8": Struct("<q"), "i4": Struct("<i"), "i2": Struct("<h")}


class PickledTable:
    """Reader of one taken-apart pickle.

    Parameters
    ----------
    content : what `read_pickled_data` returned
    file : what to call it in a message
    """

    def __init__(self, content: Any, file: str) -> None:
        self.content = content
        self.file = file
        self._left = MAX_OPERATIONS

    def columns(self, wanted: tuple[str, ...]) -> dict[str, list[Any]]:
        """Values of the wanted columns, row by row; other columns are left alone.

        Raises
        ------
        DatasetError
            If the table is of no known form, or a wanted column is missing or of another length.
        """
        table = self.content
        if _is(table, "DataFrame"):
            found = self._frame_columns(table, wanted)
        elif isinstance(table, dict):
            found = {name: self.values(table[name]) for name in wanted if name in table}
        elif isinstance(table, list) and all(isinstance(row, dict) for row in table):
            found = {name: [row[name] for row in table if name in row] for name in wanted}
        else:
            raise DatasetError(
                f"{self.file}: holds {_kind(table)}; a dict of columns, a list of dicts or a pandas DataFrame is needed"
            )
        missing = [name for name in wanted if name not in found]
        if missing:
            raise DatasetError(f"{self.file}: no column {missing[0]!r}; it needs the columns {', '.join(wanted)}")
        lengths = {name: len(found[name]) for name in wanted}
        if len(set(lengths.values())) != 1:
            raise DatasetError(f"{self.file}: columns of {lengths} rows do not belong together; fetch the file again")
        return found

    def values(self, thing: Any) -> list[Any]:
        """Items of a list, a tuple, an array of one dimension or a pandas Series.

        Raises
        ------
        DatasetError
            If it is something else, or more values were read than the file can hold.
        """
        if isinstance(thing, (list, tuple)):
            self._spend(len(thing))
            return list(thing)
        if _is(thing, "Series"):
            return self._row(self._blocks(self._manager(thing))[0][0])
        return self._row(thing)

    def number(self, thing: Any) -> float | None:
        """A number, or a NumPy scalar as a number; None if it is neither."""
        if isinstance(thing, float):
            return thing
        if isinstance(thing, int) and not isinstance(thing, bool):
            return float(thing) if abs(thing) < 2**53 else None
        if _is(thing, "scalar") and len(thing.arguments) == 2:
            code, content = _type(thing.arguments[0]), _bytes(thing.arguments[1])
            one = _ONE.get(code or "")
            if one is not None and content is not None and len(content) == one.size:
                return float(one.unpack(content)[0])
        return None

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise DatasetError(
                f"{self.file}: names its lists so often that more than {MAX_OPERATIONS} values would be read; refused"
            )

    def _frame_columns(self, frame: Made, wanted: tuple[str, ...]) -> dict[str, list[Any]]:
        manager = self._manager(frame)
        axes = manager.arguments[1] if len(manager.arguments) == 2 else None
        if not isinstance(axes, (list, tuple)) or len(axes) != 2:
            raise self._strange("axes")
        names = self._names(axes[0])
        columns: dict[str, list[Any]] = {}
        for array, placement in self._blocks(manager):
            rows = self._rows(array)
            for place, row in zip(self._places(placement, len(rows)), rows, strict=True):
                if not 0 <= place < len(names):
                    raise self._strange(f"column {place} of {len(names)}")
                if names[place] in wanted:
                    columns[names[place]] = row
        return columns

    def _manager(self, owner: Made) -> Made:
        manager = owner.state.get("_mgr") if isinstance(owner.state, dict) else None
        if not isinstance(manager, Made) or not manager.by.name.endswith("BlockManager"):
            raise DatasetError(
                f"{self.file}: a pandas {owner.by.name} without the block manager of pandas 1.3 and later; read it "
                f"with pandas where you trust it and write a dict of lists"
            )
        return manager

    def _blocks(self, manager: Made) -> list[tuple[Any, Any]]:
        """(values, placement) of each block; a Series writes its block in the older form, as a state."""
        state = manager.state
        if isinstance(state, tuple) and len(state) == 4 and isinstance(state[3], dict):
            old = state[3].get("0.14.1")
            blocks = old.get("blocks") if isinstance(old, dict) else None
            if isinstance(blocks, list) and blocks and all(isinstance(b, dict) and "values" in b for b in blocks):
                return [(b["values"], b.get("mgr_locs")) for b in blocks]
        blocks = manager.arguments[0] if manager.arguments else None
        blocks = list(blocks) if isinstance(blocks, (list, tuple)) else []
        if blocks and all(_is(b, "_unpickle_block") and len(b.arguments) == 3 for b in blocks):
            return [(b.arguments[0], b.arguments[1]) for b in blocks]
        raise self._strange("blocks")

    def _names(self, index: Any) -> list[str]:
        if _is(index, "_new_Index") and len(index.arguments) == 2 and isinstance(index.arguments[1], dict):
            names = self._row(index.arguments[1].get("data"))
            if all(isinstance(name, str) for name in names):
                return names
        raise self._strange("column names")

    def _places(self, placement: Any, count: int) -> list[int]:
        """Which columns the rows of a block are."""
        if _is(placement, "slice") and len(placement.arguments) == 3:
            start, stop, step = placement.arguments
            if all(isinstance(n, int) and 0 <= n < 2**31 for n in (start, stop, step)) and step > 0:
                places = range(start, stop, step)
                if len(places) == count:
                    return list(places)
        elif isinstance(placement, Made):
            row = self._row(placement)
            if len(row) == count and all(isinstance(n, int) for n in row):
                return row
        raise self._strange("places of columns")

    def _row(self, array: Any) -> list[Any]:
        rows = self._rows(array)
        if len(rows) != 1:
            raise self._strange(f"array of {len(rows)} rows where one belongs")
        return rows[0]

    def _rows(self, array: Any) -> list[list[Any]]:
        """An array of one or two dimensions as a list of rows; a single row of one dimension."""
        if _is(array, "__pyx_unpickle_NDArrayBacked") and isinstance(array.state, tuple):
            # Text of pandas 3: its state is (type, array).
            held = [part for part in array.state if _is(part, "_reconstruct")]
            array = held[0] if len(held) == 1 else array
        if _is(array, "_reconstruct") and isinstance(array.state, tuple) and len(array.state) == 5:
            _, shape, kind, fortran, content = array.state
        elif _is(array, "_frombuffer") and len(array.arguments) == 4:
            content, kind, shape, order = array.arguments
            fortran = order == "F"
        else:
            raise DatasetError(f"{self.file}: {_kind(array)} where a list of values belongs; write it with plain lists")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and 0 <= n < 2**31 for n in shape):
            raise self._strange("shape of an array")
        if len(shape) not in (1, 2) or (len(shape) == 2 and 0 in shape):
            raise self._strange(f"array of shape {shape}")
        items = self._items(_type(kind), content)
        if len(items) != math.prod(shape):
            raise self._strange(f"{len(items)} values of an array of shape {shape}")
        if len(shape) == 1:
            return [items]
        n_rows, n_columns = shape
        if fortran:
            return [items[row::n_rows] for row in range(n_rows)]
        return [items[row * n_columns : (row + 1) * n_columns] for row in range(n_rows)]

    def _items(self, code: str | None, content: Any) -> list[Any]:
        if code == "O8" and isinstance(content, list):
            self._spend(len(content))
            return list(content)
        raw = _bytes(content)
        if code not in NUMBERS or raw is None or len(raw) % np.dtype(NUMBERS[code]).itemsize:
            raise DatasetError(f"{self.file}: an array of type {str(code)[:20]!r}; numbers and lists alone are read")
        held = np.frombuffer(raw, NUMBERS[code])
        self._spend(held.size)
        return list(held.tolist())

    def _strange(self, what: str) -> DatasetError:
        return DatasetError(f"{self.file}: the {what} cannot be read; write the table as a dict of lists")


def _is(thing: Any, name: str) -> bool:
    return isinstance(thing, Made) and thing.by.name == name


def _kind(thing: Any) -> str:
    return str(thing.by) if isinstance(thing, Made) else type(thing).__name__


def _type(kind: Any) -> str | None:
    """``f8``, ``O8`` and so on; None for what is no plain little-endian type."""
    if not (_is(kind, "dtype") and kind.arguments and isinstance(kind.arguments[0], str)):
        return None
    state = kind.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    plain = not (isinstance(state, tuple) and len(state) > 4 and (state[2] is not None or state[3] is not None))
    return kind.arguments[0] if order in ("<", "|", "=") and plain else None


def _bytes(thing: Any) -> bytes | None:
    """Bytes however the protocol wrote them."""
    if isinstance(thing, (bytes, bytearray)):
        return bytes(thing)
    if isinstance(thing, str):
        return _latin(thing)
    if _is(thing, "encode") and len(thing.arguments) == 2 and thing.arguments[1] == "latin1":
        return _latin(thing.arguments[0]) if isinstance(thing.arguments[0], str) else None
    if _is(thing, "bytes") and not thing.arguments:
        return b""
    return None


def _latin(text: str) -> bytes | None:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return None
