"""How a report writes numbers and names: never NaN, a true minus, whatever a user typed escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import Any

NOTHING = "–"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, and those that turn the direction of all text after them."""


class Markup(str):
    """Text that is HTML already; everything else is escaped on its way into the page."""


def plain(value: object, longest: int | None = None) -> str:
    """Text that XML can hold: control characters replaced, cut to `longest` characters."""
    text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return text if longest is None or len(text) <= longest else text[: longest - 1] + "…"


def escaped(value: object) -> Markup:
    """HTML for a value: `Markup` as it is, anything else escaped."""
    return value if isinstance(value, Markup) else Markup(html.escape(plain(value)))


def arrow(projection: str) -> str:
    """``input->hidden`` as people write it."""
    return projection.replace("->", " → ")


def count(value: float) -> str:
    """A whole number with its thousands grouped."""
    return f"{round(value):,}".replace("-", "−") if math.isfinite(value) else NOTHING


def counted(value: float, noun: str, plural: str | None = None) -> str:
    """``1 sample``, ``2,000 samples``."""
    return f"{count(value)} {noun if round(value) == 1 else plural or noun + 's'}"


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals and no negative zero."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else "∞" if value > 0 else "−∞"
    text = f"{value:,.{digits}f}"
    return (text.lstrip("-") if not float(text.replace(",", "")) else text).replace("-", "−")


def number(value: float, digits: int = 4) -> str:
    """A number in `digits` significant digits; whole numbers are written out and grouped."""
    if not math.isfinite(value):
        return fixed(value, 0)
    if value == int(value) and abs(value) < 1e15:
        return count(value)
    return f"{value:,.{digits}g}".replace("-", "−")


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction in percent."""
    return f"{fixed(100 * fraction, digits)}%" if math.isfinite(fraction) else NOTHING


def share(part: float, whole: float) -> str:
    """How much of the whole a part is; a part above zero never reads 0%."""
    if not whole:
        return NOTHING
    fraction = part / whole
    if 0 < fraction < 0.001:
        return "<0.1%"
    return percent(fraction, 1 if fraction < 0.1 and part else 0)


def listed(names: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def value_text(value: Any) -> str:
    """A scalar from JSON-like data."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return fixed(value, 0) if not math.isfinite(value) else f"{value:.10g}"
    return plain(value)
