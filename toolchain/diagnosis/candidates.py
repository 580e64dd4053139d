"""Changes that may explain what deviates, and how they are put into words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.diagnosis.evidence import Evidence
from toolchain.diagnosis.model import I64, Arithmetic, Constant, Model


@dataclass(frozen=True)
class Change:
    """One change; fields as of `toolchain.diagnosis.findings.Finding`."""

    cause: str
    words: str
    projection: str | None = None
    synapse: tuple[int, int] | None = None
    constant: str | None = None
    expected: int | None = None
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model with changes made, or another reading of the records; `neurons` are those changed, empty for all."""

    changes: tuple[Change, ...]
    model: Model
    neurons: tuple[int, ...] = ()
    evidence: Evidence | None = None


def with_value(model: Model, population: str, constant: str, neurons: I64 | None, value: int) -> Model:
    """The model with one constant of some neurons, or all, at another value."""
    values = model[population].constants[constant].copy()
    values[slice(None) if neurons is None else neurons] = value
    return model.with_constant(population, constant, values)


def constant_change(
    constant: Constant, arithmetic: Arithmetic, dt_ms: float, where: str, expected: I64, low: int, high: int
) -> Change:
    """Words for a constant; `expected` (n,) of the neurons it is about, of which more than one value may be there."""
    values = np.unique(expected)
    first = int(values[0])
    if constant.meanings:
        words = f"{where}: {constant.words} {constant.meanings[low]}, must be: {constant.meanings[first]}"
        return Change(constant.cause, words, constant=constant.name, expected=first, low=low, high=high)
    must = _with_meaning(arithmetic, constant.name, first, dt_ms) if values.size == 1 else "another for each neuron"
    if low == high:
        found = f"is {_with_meaning(arithmetic, constant.name, low, dt_ms)}"
    elif high >= constant.high:
        found = f"is {low} or more"
    elif low <= constant.low:
        found = f"is {high} or less"
    else:
        found = f"is one of {low} to {high}, which these samples cannot tell apart"
    words = f"{where}: {constant.words} {found}, must be {must}"
    return Change(constant.cause, words, constant=constant.name, expected=first, low=low, high=high)


def _with_meaning(arithmetic: Arithmetic, constant: str, value: int, dt_ms: float) -> str:
    meaning = arithmetic.meaning(constant, value, dt_ms)
    return f"{value} ({meaning})" if meaning else str(value)


def bits(one: int, other: int) -> str:
    """Which bits of two stored numbers differ, if it is one; their signs are stored apart."""
    if (one < 0) != (other < 0) and one and other:
        return " (sign differs)" if abs(one) == abs(other) else ""
    different = abs(one) ^ abs(other)
    if different and different & (different - 1) == 0:
        return f" (bit {different.bit_length() - 1} differs)"
    return ""


def weight_change(projection: str, pre: int, post: int, expected: int, low: int, high: int, step: int) -> Change:
    """Words for a weight."""
    name = f"projection {projection}: synapse {pre}->{post}"
    if low == high == 0:
        words = f"{name} is missing, must have weight {expected}"
    elif low == high:
        words = f"{name} has weight {low}, must be {expected}{twos(expected, low, step)}"
    else:
        words = f"{name} has a weight of {low} to {high}, which these samples cannot tell apart, must be {expected}"
    return Change("weight", words, projection, (pre, post), None, expected, low, high)


def twos(expected: int, found: int, step: int) -> str:
    """Differing bit of weights in two's complement or, of weights in steps of 1, in sign and magnitude."""
    if step == 1:
        return bits(expected, found)
    different = (expected ^ found) & 0x1FF
    return f" (bit {different.bit_length() - 1} differs)" if different & (different - 1) == 0 else ""


def slot_change(projection: str, pre: int, post: int, expected: int, low: int, high: int) -> Change:
    """Words for a delay slot."""
    found = (
        f"delay slot {low}" if low == high else f"a delay slot of {low} to {high}, which is the same on these samples"
    )
    words = f"projection {projection}: synapse {pre}->{post} has {found}, must be {expected}"
    if low == high and abs(low - expected) == 1:
        words += f": a step {'late' if low > expected else 'early'}"
    return Change("delay", words, projection, (pre, post), None, expected, low, high)


def rewrite_change(
    projection: str, pre: int, post: int, exists: bool, expected: tuple[int, int], found: tuple[int, int, int]
) -> Change:
    """Words for weight and slot that are both others; `expected` weight, slot; `found` least, largest weight, slot."""
    low, high, slot = found
    weight = f"weight {low}" if low == high else f"a weight of {low} to {high}"
    name = f"projection {projection}: synapse {pre}->{post}"
    if not exists:
        words = f"{name} must not exist, has {weight} and delay slot {slot}"
        return Change("weight", words, projection, (pre, post), None, 0, low, high)
    words = f"{name} has {weight} and delay slot {slot}, must be {expected[0]} and {expected[1]}"
    return Change("weight and delay", words, projection, (pre, post), None, expected[0], low, high)
