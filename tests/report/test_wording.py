"""Numbers as a report writes them."""

from __future__ import annotations

import math

import pytest

from toolchain.report.wording import count, counted, escaped, fixed, listed, number, percent, plain, share


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (fixed(-0.004, 2), "0.00"),
        (fixed(-0.15, 2), "−0.15"),
        (fixed(1234.5, 1), "1,234.5"),
        (fixed(math.nan, 2), "–"),
        (fixed(-math.inf, 2), "−∞"),
        (percent(0.9315), "93.15%"),
        (percent(math.nan), "–"),
        (count(-12345), "−12,345"),
        (counted(1, "sample"), "1 sample"),
        (counted(0, "entry", "entries"), "0 entries"),
        (number(131072.0), "131,072"),
        (number(0.000123456), "0.0001235"),
        (share(0, 10), "0%"),
        (share(1, 100_000), "<0.1%"),
        (share(1, 3), "33%"),
        (share(1, 0), "–"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (plain("abcdef", 4), "abc…"),
        (escaped("<&\x00"), "&lt;&amp;\ufffd"),
        # Text that turns the direction of what follows, "on loihi2" among it; Hebrew letters need none of it.
        (plain("\u202ename\u2066 \u05d0"), "\ufffdname\ufffd \u05d0"),
    ],
)
def test_written(written: str, expected: str) -> None:
    assert written == expected
