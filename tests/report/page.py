"""Reads a report as a browser would: its text, headings, tables and attributes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree


class Page(HTMLParser):
    """Visible text, tables by caption, attributes, and whether every tag is closed in order."""

    VOID = ("meta", "br", "img", "hr", "link", "input")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str, str | None]] = []
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.caption = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.tables[self.caption].append([])
        if tag in ("th", "td"):
            self.tables[self.caption][-1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "caption" in self.open:
            self.caption = data
            self.tables[data] = []
        elif "th" in self.open or "td" in self.open:
            self.tables[self.caption][-1][-1] += data
        if "h1" in self.open or "h2" in self.open:
            self.headings[-1] += data

    def row(self, caption: str, start: str) -> list[str]:
        (found,) = (row for row in self.tables[caption] if row and row[0].startswith(start))
        return found


def svgs(html: str) -> list[ElementTree.Element]:
    """All drawings of a page, each parsed as XML."""
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
