"""Contrast of the style sheet's colours, by the formula of WCAG 2.2 (relative luminance), in light, dark and print."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import pytest

from toolchain.report.svg import MIDTONE, PALETTE

CSS = resources.files("toolchain.report").joinpath("report.css").read_text(encoding="utf-8")
TEXT, PICTURE = 4.5, 3.0
"""What WCAG 2.2 asks of text (1.4.3) and of marks in pictures (1.4.11)."""
THEMES = {
    name: dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))
    for name, block in zip(("light", "dark", "print"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True)
}


def channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def luminance(rgb: tuple[float, float, float]) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(top: str, under: str, part: float) -> tuple[float, float, float]:
    red, green, blue = (part * a + (1 - part) * b for a, b in zip(channels(top), channels(under), strict=True))
    return red, green, blue


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)


@pytest.mark.parametrize("theme", THEMES)
def test_text_is_legible(theme: str) -> None:
    colours = THEMES[theme]
    for text, ground in itertools.product(("ink", "muted", "chip", "pass", "fail"), ("page", "card")):
        assert contrast(channels(colours[text]), channels(colours[ground])) >= TEXT, (text, ground)


@pytest.mark.parametrize("theme", THEMES)
def test_marks_stand_out_from_the_page(theme: str) -> None:
    colours = THEMES[theme]
    for mark in ("same", "float", "chip", "split"):
        assert contrast(channels(colours[mark]), channels(colours["page"])) >= PICTURE, mark
        assert contrast(channels(MIDTONE[mark]), channels(colours["page"])) >= PICTURE, mark


@pytest.mark.parametrize("theme", THEMES)
def test_numbers_are_legible_on_their_tint(theme: str) -> None:
    """Where a tint is strongest: cells of a confusion matrix, a full core, the row that a core leads to."""
    colours = THEMES[theme]
    tints = re.findall(r"color-mix\(in srgb, var\(--(\w+)\) (?:calc\((\d+)% \+ (\d+)% \* var\(--heat\)\)|(\d+)%)", CSS)
    assert len(tints) >= 5
    for colour, base, slope, fixed in tints:
        part = (int(fixed) if fixed else int(base) + int(slope)) / 100
        ground = mixed(colours[colour], colours["page"], part)
        assert contrast(channels(colours["ink"]), ground) >= TEXT, (colour, part)


def test_charts_and_style_sheet_agree_on_the_colours_of_a_light_page() -> None:
    assert {name: THEMES["light"][name] for name in PALETTE} == PALETTE
