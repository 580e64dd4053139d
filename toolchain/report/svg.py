"""From a matplotlib figure to SVG inside a page: it takes the page's colours, and can be read aloud.

matplotlib writes fixed colours, fonts and ids. Here each colour of `PALETTE` becomes a custom property of
the stylesheet (so light, dark and paper are one drawing), fonts are left to the page, ids are made unique
to the chart, and title and description are put in front.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from toolchain.report.wording import Markup, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = {
    "ink": "#1d2430",
    "muted": "#586272",
    "rule": "#d6dbe2",
    "same": "#6d7886",
    "float": "#c2500a",
    "chip": "#0a69b3",
    "split": "#a02c8b",
}
"""Role -> colour on a light page; ``--role`` in the stylesheet has the same, and the one for a dark page."""

MIDTONE = {"same": "#7f8996", "float": "#d9702a", "chip": "#2f8fd6", "split": "#bf56ad"}
"""The same roles where a colour cannot follow the page (pixels): legible on white and on near black."""

_NAMES = {colour: name for name, colour in PALETTE.items()}
_XLINK = "{http://www.w3.org/1999/xlink}"
_SVG = "http://www.w3.org/2000/svg"
_INVISIBLE = "fill: none; opacity: 0"
_DROPPED_STYLES = ("font", "stroke-linejoin: miter", "stroke-opacity: 1", "opacity: 1")
_NUMBER = re.compile(r"-?\d+\.\d+")


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in here: matplotlib's own defaults whatever the user's are, text kept as text and never as TeX."""
    import matplotlib

    ours = {
        "svg.fonttype": "none",
        "svg.hashsalt": "delayline",
        "svg.image_inline": True,
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "path.simplify": False,
    }
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith(("backend", "datapath"))}
    with warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks: the page's font draws it, so nothing is lost.
        warnings.simplefilter("ignore")
        with matplotlib.rc_context({**defaults, **ours}):
            yield


def canvas(width: float, height: float) -> Figure:
    """An empty, transparent figure whose unit is the CSS pixel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_alpha(0)
    return figure


def axes(figure: Figure, left: float, top: float, right: float, height: float) -> Axes:
    """Axes in pixels: margins left and right, distance from the top, height; grid and frame kept quiet."""
    total_width, total_height = figure.get_size_inches() * 72
    box = (
        left / total_width,
        1 - (top + height) / total_height,
        1 - (left + right) / total_width,
        height / total_height,
    )
    ax = figure.add_axes(box)
    ax.patch.set_alpha(0)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(PALETTE["muted"])
    ax.spines["bottom"].set_linewidth(1)
    ax.tick_params(colors=PALETTE["muted"], labelsize=11, length=0, pad=5)
    ax.tick_params(axis="x", length=3)
    return ax


def inline_svg(figure: Figure, *, key: str, title: str, description: str) -> Markup:
    """The figure as an ``<svg>`` element with a role, a title and a description.

    Parameters
    ----------
    key : unique in the page; prefix of every id
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # Our own output, not a stranger's file: plain ElementTree is safe here.
    root = ElementTree.fromstring(stream.getvalue())
    for child in list(root):
        if child.tag.endswith("metadata"):
            root.remove(child)
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag.endswith("}style") or c.get("style", "") == _INVISIBLE]:
            parent.remove(child)
    _rewrite(root, key)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("xmlns", _SVG)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-desc")
    for position, (name, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(name, {"id": f"{key}-{name}"})
        element.text = plain(text)
        element.tail = "\n"
        root.insert(position, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _rewrite(root: ElementTree.Element, key: str) -> None:
    """Tags without namespace, colours as custom properties, ids kept only where something refers to them."""
    used = set(re.findall(r"#([\w-]+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.text if element.tag == "text" else None
        element.tail = None
        attributes = dict(element.attrib)
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set(name, f"{key}-{value}")
            elif name == "style":
                element.set(name, _style(value))
            elif name == f"{_XLINK}href":
                element.set("href", f"#{key}-{value[1:]}" if value.startswith("#") else value)
            elif name == "clip-path":
                element.set(name, value.replace("url(#", f"url(#{key}-"))
            elif not value.startswith("rotate(-0 "):
                element.set(name, _rounded(" ".join(value.split()), 4 if name == "transform" else 1))


def _style(style: str) -> str:
    kept = [part.strip() for part in style.split(";")]
    kept = [p for p in kept if (p and not p.startswith(_DROPPED_STYLES)) or p.startswith("font-size") or "bold" in p]
    return re.sub(r"#[0-9a-f]{6}", lambda m: _variable(m.group()), "; ".join(kept))


def _variable(colour: str) -> str:
    return f"var(--{_NAMES[colour]}, {colour})" if colour in _NAMES else colour


def _rounded(value: str, digits: int) -> str:
    return _NUMBER.sub(lambda m: f"{float(m.group()):.{digits}f}".rstrip("0").rstrip("."), value)
