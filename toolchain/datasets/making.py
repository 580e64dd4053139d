"""Saying that something is being made: data that are not there yet can take minutes, and only the command line speaks.

What makes data calls `report`; who wants to show it wraps the call in `listening`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]
"""Gets what is made, how much of it is done, and how much there is to do."""

_listener: ContextVar[Listener | None] = ContextVar("making", default=None)


def report(what: str, done: int, total: int) -> None:
    """Tell the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Whatever is made inside is reported to this listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
