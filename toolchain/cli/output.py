"""Where output goes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from toolchain.errors import TargetLimitError


def say(text: str) -> None:
    """One line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def emit(result: Any, json: bool, code: int = 0) -> None:
    """Print a result (text, or data as JSON; nothing of None) and end with an exit code."""
    if json and result is not None:
        print(json_module.dumps(result, indent=2))
    elif result:
        print(result)
    if code:
        raise typer.Exit(code)


@contextmanager
def misfit_as_json(json: bool, network: str, target: str) -> Iterator[None]:
    """Where JSON is asked for, print that a network does not fit as JSON too, before the error goes on its way."""
    try:
        yield
    except TargetLimitError as error:
        if json:
            emit({"fits": False, "network": network, "target": target, **error.to_json()}, json)
        raise


def percent(fraction: float) -> str:
    """A fraction as a percentage with two digits."""
    return f"{100 * fraction:.2f} %"


def ladder_lines(ladder: list[dict[str, Any]]) -> list[str]:
    """The accuracy ladder as aligned text; a loss is given only between rungs with the same samples."""
    lines = []
    before: dict[str, Any] | None = None
    for rung in ladder:
        change = ""
        if before and before["samples"] == rung["samples"]:
            change = f"  {100 * (rung['accuracy'] - before['accuracy']):+6.2f}"
        lines.append(f"  {rung['rung']:<20} {percent(rung['accuracy']):>9}  {rung['samples']:>6} samples{change}")
        before = rung
    return lines
