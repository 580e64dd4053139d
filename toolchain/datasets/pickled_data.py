"""What a pickle says, without doing what it says.

A pickle is a program for a stack machine: it can import any name and call it, so loading one from elsewhere hands
over the computer. Here the program is only taken apart. Containers, text and numbers are built; a call is kept as a
note, `Made`, of what would have been called on what. Nothing is imported and nothing is called, not even the code of
NumPy or pandas; `pickled_tables` reads their notes. A name that no table of events needs is refused all the same,
so a file that means harm is named as one and not half read.

Source: the op-codes as the standard library's `pickletools` documents them.
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass, field
from typing import Any

from toolchain.errors import DatasetError

MAX_BYTES = 128 * 2**20
MAX_OPERATIONS = 10_000_000
"""An operation makes one object at most, so this bounds memory: the largest published file needs about 1.5 million."""

KNOWN = {
    "builtins": {"slice", "bytes"},
    "__builtin__": {"slice", "bytes"},
    "_codecs": {"encode"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
    "pandas": {"DataFrame", "Series", "Index", "RangeIndex", "StringDtype"},
    "pandas.arrays": {"StringArray"},
    "pandas.core.frame": {"DataFrame"},
    "pandas.core.series": {"Series"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
    "pandas.core.indexes.numeric": {"Int64Index"},
    "pandas.core.internals.managers": {"BlockManager", "SingleBlockManager"},
    "pandas._libs.internals": {"_unpickle_block"},
    "pandas._libs.arrays": {"__pyx_unpickle_NDArrayBacked"},
}
"""Module and names of it that a table of events may mention; they are never looked up."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name that the pickle mentions, such as ``numpy.dtype``."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """What a call would have made: the name that was called, its arguments, and the state set afterwards."""

    by: Name
    arguments: tuple[Any, ...]
    state: Any = field(default=None, repr=False)


class _Mark:
    pass


_MARK = _Mark()
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_LITERALS = _NUMBERS | _TEXTS | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}


def read_pickled_data(content: bytes, file: str) -> Any:
    """Take a pickle apart.

    Parameters
    ----------
    content : the whole pickle, any protocol
    file : what to call it in a message

    Returns
    -------
    lists, tuples, dicts with text as keys, text, bytes, numbers, None, and `Made` where something would be called;
    objects may be shared, so whoever walks through them has to bound the walk

    Raises
    ------
    DatasetError
        If the pickle mentions a name that is not in `KNOWN`, does something that no table needs, is not whole, or has
        more than `MAX_BYTES` bytes or `MAX_OPERATIONS` operations.
    """
    if len(content) > MAX_BYTES:
        raise DatasetError(f"{file}: {len(content)} bytes exceed {MAX_BYTES}; this is no file of the Braille letters")
    machine = _Machine(file)
    try:
        with warnings.catch_warnings():
            # Of escapes in text that no pickler writes.
            warnings.simplefilter("ignore", DeprecationWarning)
            for count, (operation, argument, place) in enumerate(pickletools.genops(content)):
                if count >= MAX_OPERATIONS:
                    raise DatasetError(
                        f"{file}: more than {MAX_OPERATIONS} operations; this is no file of Braille letters"
                    )
                if operation.name == "STOP":
                    return machine.stack.pop()
                machine.do(operation.name, argument, place or 0)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        what = " ".join(str(error).split())[:200]
        raise DatasetError(f"{file}: not a whole pickle ({what}); fetch it again") from error
    raise DatasetError(f"{file}: not a whole pickle (it has no end); fetch it again")


class _Machine:
    """The stack and the memo; every operation either builds plain data or notes what it would have done."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def do(self, operation: str, argument: Any, place: int) -> None:
        """Carry out one operation; ValueError and its like mean that the pickle is damaged."""
        if operation in _LITERALS:
            self.stack.append(argument)
        elif operation in _VALUES:
            self.stack.append(_VALUES[operation])
        elif operation in ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"):
            self.stack.append({"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}[operation]())
        elif operation in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif operation in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif operation == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif operation == "MARK":
            self.stack.append(_MARK)
        elif operation not in ("PROTO", "FRAME"):
            step = getattr(self, f"_{operation.lower()}", None)
            if step is None:
                raise DatasetError(f"{self.file}: {operation} at byte {place} does what no table needs; refused")
            step(*(() if argument is None else (argument,)))

    def _items(self) -> list[Any]:
        """What lies above the last mark; the mark goes too."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                items = self.stack[at + 1 :]
                del self.stack[at:]
                return items
        raise ValueError("no mark")

    def _take(self, kind: type) -> Any:
        value = self.stack.pop()
        if not isinstance(value, kind):
            raise ValueError(f"{type(value).__name__} where {kind.__name__} belongs")
        return value

    def _pop(self) -> None:
        self.stack.pop()

    def _pop_mark(self) -> None:
        self._items()

    def _dup(self) -> None:
        self.stack.append(self.stack[-1])

    def _tuple(self) -> None:
        self.stack.append(tuple(self._items()))

    def _tuple1(self) -> None:
        self._tuple_of(1)

    def _tuple2(self) -> None:
        self._tuple_of(2)

    def _tuple3(self) -> None:
        self._tuple_of(3)

    def _tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            raise ValueError("the stack is empty")
        items = tuple(self.stack[-size:])
        del self.stack[-size:]
        self.stack.append(items)

    def _list(self) -> None:
        self.stack.append(self._items())

    def _append(self) -> None:
        self._append_to([self.stack.pop()])

    def _appends(self) -> None:
        self._append_to(self._items())

    def _append_to(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError(f"appends to {type(target).__name__}")
        target.extend(items)

    def _dict(self) -> None:
        items = self._items()
        self.stack.append({})
        self._set(items)

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self) -> None:
        self._set(self._items())

    def _set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        # Text alone as a key: its hash is salted, so no file can make a dict slow.
        if not isinstance(target, dict) or len(items) % 2 or not all(isinstance(k, str) for k in items[::2]):
            raise ValueError("a dict whose keys are not all text")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _global(self, both: str) -> None:
        module, _, name = both.partition(" ")
        self._mention(module, name)

    def _stack_global(self) -> None:
        name, module = self._take(str), self._take(str)
        self._mention(module, name)

    def _mention(self, module: str, name: str) -> None:
        if name not in KNOWN.get(module, ()):
            called = f"{module}.{name}"[:100]
            raise DatasetError(
                f"{self.file}: it would run {called!r}, which no table of events needs; nothing of it was run, do not "
                f"open it with pickle or pandas"
            )
        self.stack.append(Name(module, name))

    def _reduce(self) -> None:
        arguments, by = self._take(tuple), self._take(Name)
        self.stack.append(Made(by, arguments))

    def _newobj(self) -> None:
        self._reduce()

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Made):
            raise ValueError(f"sets the state of {type(target).__name__}")
        target.state = state
