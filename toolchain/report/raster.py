"""The picture of the spikes: one sample, all engines over each other, what differs on top and in colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolchain.report.spike_comparison import ROLES, Comparison, Role
from toolchain.report.svg import MIDTONE, PALETTE, axes, canvas, drawing, inline_svg
from toolchain.report.wording import Markup, count, counted, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_VECTOR_MARKS = 3000
"""Above that, spikes of a role are drawn as pixels: the page stays small and every spike is still there."""

SPARSE = 800
"""Up to here, ticks of shared spikes are drawn larger."""


CROWD = 60
"""Above so many differing spikes of a population their marks shrink, so that each stays a mark of its own."""

QUIET_FROM = 0.85
"""The time axis ends with the spikes where the last one comes before this share of the steps."""


@dataclass(frozen=True)
class Format:
    """Sizes in px: one for a desk, one for a phone."""

    name: str
    width: float
    tallest: float


WIDE = Format("wide", 880, 230)
NARROW = Format("narrow", 358, 190)
_LEFT, _RIGHT, _TITLE, _GAP = 38, 8, 24, 14


def drawn_steps(comparisons: Sequence[Comparison], n_steps: int) -> int:
    """Steps that the picture needs: all, or up to the last spike where nothing happens in much of the time after it."""
    last = max((int(times.max()) for c in comparisons for times, _ in c.groups.values() if times.size), default=0)
    wanted = min(n_steps, int(np.ceil(1.02 * (last + 1))) + 1)
    return wanted if wanted < QUIET_FROM * n_steps else n_steps


def raster_chart(comparisons: Sequence[Comparison], n_steps: int, form: Format, suffix: str = "") -> Markup:
    """Populations above each other over one time axis.

    A spike that all engines share is a quiet tick. Differing ones have a shape and a colour of their own:
    an empty triangle (float only), a disc (not in float), a cross (two integer engines differ).
    """
    heights = [min(form.tallest, max(56.0, 9.0 * c.size)) for c in comparisons]
    with drawing():
        figure = canvas(form.width, sum(heights) + (_TITLE + _GAP) * len(heights) + 30)
        top = 0.0
        for comparison, height in zip(comparisons, heights, strict=True):
            top += _TITLE
            last = comparison is comparisons[-1]
            _draw_population(figure, comparison, n_steps, (top, height, form.width), last)
            top += height + _GAP
        return inline_svg(
            figure,
            key=f"chart-raster-{form.name}{suffix}",
            title="Spikes of " + ", ".join(plain(c.population) for c in comparisons),
            description=" ".join(_described(c) for c in comparisons),
        )


def _described(c: Comparison) -> str:
    by_engine = ", ".join(f"{engine} {count(n)}" for engine, n in c.counts.items())
    return (
        f"{c.population}, {counted(c.size, 'neuron')}: spikes {by_engine}; "
        f"{count(c.number('same'))} shared by all, "
        f"{count(c.number('float'))} in float only, {count(c.number('chip'))} not in float, "
        f"{count(c.number('split'))} on which the other engines differ."
    )


def _draw_population(
    figure: Figure, c: Comparison, n_steps: int, place: tuple[float, float, float], last: bool
) -> None:
    top, height, total_width = place
    width = total_width - _LEFT - _RIGHT
    ax = axes(figure, _LEFT, top, _RIGHT, height)
    ax.set_xlim(-0.5, max(n_steps, 1) - 0.5)
    ax.set_ylim(-0.5, c.size - 0.5)
    ax.set_yticks([0, c.size - 1] if c.size > 1 else [0])
    ax.set_title(
        f"{plain(c.population, 40)} · {counted(c.size, 'neuron')}",
        loc="left",
        fontsize=12,
        color=PALETTE["ink"],
        pad=7,
    )
    ax.tick_params(labelbottom=last)
    if last:
        ax.set_xlabel("step", fontsize=11, color=PALETTE["muted"], labelpad=3)
    # A tick may reach into its neighbours' rows where spikes are few; many of them would merge.
    shortest = 5.0 if c.total <= SPARSE else 3.2 if c.total <= MAX_VECTOR_MARKS else 1.6
    tick = (
        min(2.2 if c.total <= SPARSE else 1.8, max(1.0, 0.5 * width / max(n_steps, 1))),
        min(9.0, max(shortest, 0.75 * height / c.size)),
    )
    for role in ROLES:
        times, units = c.groups[role]
        if times.size > MAX_VECTOR_MARKS:
            _draw_pixels(ax, role, times, units, (width, height), tick)
        elif times.size:
            _draw_marks(ax, role, (times, units), tick, _scale(c.differing))


def _scale(differing: int) -> float:
    """Size of the marks: they cover at most as much as `CROWD` large ones would, but never become dots."""
    return float(min(1.0, max(0.55, np.sqrt(CROWD / max(differing, 1)))))


def _draw_marks(
    ax: Axes,
    role: Role,
    spikes: tuple[NDArray[np.int64], NDArray[np.int64]],
    tick: tuple[float, float],
    scale: float,
) -> None:
    """All marks of a role as one path: small, and one object to a screen reader."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    centres = ax.transData.transform(np.column_stack(spikes).astype(np.float64))
    outline, codes = _shape(role, tick)
    outline = outline if role == "same" else scale * outline
    path = Path(
        (centres[:, None, :] + outline[None, :, :]).reshape(-1, 2),
        np.tile(np.array(codes, dtype=np.uint8), len(centres)),
    )
    path.should_simplify = False
    filled = role == "chip"
    patch = PathPatch(
        path,
        transform=IdentityTransform(),
        facecolor=PALETTE[role] if filled else "none",
        edgecolor="none" if filled else PALETTE[role],
        linewidth=tick[0] if role == "same" else 1.5 * max(scale, 0.7),
        clip_on=False,
    )
    ax.add_patch(patch)


def _shape(role: Role, tick: tuple[float, float]) -> tuple[NDArray[np.float64], list[int]]:
    """Outline of a mark around its centre, px, and the path codes (1 move, 2 line, 79 close)."""
    if role == "same":
        half = tick[1] / 2
        return np.array([(0.0, -half), (0.0, half)]), [1, 2]
    if role == "float":
        return np.array([(-3.4, 2.6), (3.4, 2.6), (0.0, -3.6), (0.0, 0.0)]), [1, 2, 2, 79]
    if role == "chip":
        turn = np.arange(9) * np.pi / 4
        return 3.0 * np.column_stack([np.cos(turn), np.sin(turn)]), [1, *[2] * 7, 79]
    return np.array([(-3.2, -3.2), (3.2, 3.2), (-3.2, 3.2), (3.2, -3.2)]), [1, 2, 1, 2]


def _draw_pixels(
    ax: Axes,
    role: Role,
    times: NDArray[np.int64],
    units: NDArray[np.int64],
    size: tuple[float, float],
    tick: tuple[float, float],
) -> None:
    """The same ticks as a picture of two pixels a px; no spike is left out."""
    scale = 2
    columns, rows = round(scale * size[0]), round(scale * size[1])
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    wide, tall = max(1, round(scale * tick[0])), max(1, round(scale * tick[1]))
    x = ((times - low) / (high - low) * columns - wide / 2).round().astype(np.int64)
    y = ((units - bottom) / (top - bottom) * rows - tall / 2).round().astype(np.int64)
    inked = np.zeros((rows, columns), dtype=np.bool_)
    for dx in range(wide):
        for dy in range(tall):
            inked[np.clip(y + dy, 0, rows - 1), np.clip(x + dx, 0, columns - 1)] = True
    colour = MIDTONE[role]
    picture = np.zeros((rows, columns, 4), dtype=np.uint8)
    picture[inked] = (*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 255)
    ax.imshow(picture, origin="lower", extent=(low, high, bottom, top), aspect="auto", interpolation="none")
