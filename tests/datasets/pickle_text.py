"""Pickles made by hand, for the tests must not be able to run one either."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Call(NamedTuple):
    """What the pickle would call when it is loaded."""

    module: str
    name: str
    arguments: tuple[object, ...] = ()


def pickled(thing: object) -> bytes:
    """A pickle of protocol 2 of lists, tuples, dicts, text, numbers and calls."""
    return b"\x80\x02" + _code(thing) + b"."


def _code(thing: object) -> bytes:
    match thing:
        case Call(module, name, arguments):
            return f"c{module}\n{name}\n".encode() + _code(tuple(arguments)) + b"R"
        case None:
            return b"N"
        case bool():
            return b"\x88" if thing else b"\x89"
        case int():
            return b"J" + struct.pack("<i", thing)
        case float():
            return b"G" + struct.pack(">d", thing)
        case str():
            return b"X" + struct.pack("<I", len(thing.encode())) + thing.encode()
        case list():
            return b"](" + b"".join(map(_code, thing)) + b"e"
        case tuple():
            return b"(" + b"".join(map(_code, thing)) + b"t"
        case dict():
            return b"}(" + b"".join(_code(k) + _code(v) for k, v in thing.items()) + b"u"
    raise TypeError(type(thing))
