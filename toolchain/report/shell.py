"""What every page has around its sections: head, style sheet, contents."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from toolchain.report.wording import escaped

Section = tuple[str, str, str]
"""Id, title and body, HTML; a section without a body is left out, and so is its entry in the contents."""


def page_of(title: str, header: str, sections: Sequence[Section]) -> str:
    """The page: no script, no network, no other file."""
    present = [(key, heading, body) for key, heading, body in sections if body]
    contents = "".join(f'<li><a href="#{key}">{escaped(heading)}</a></li>' for key, heading, _ in present)
    bodies = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h">\n<h2 id="{key}-h">{escaped(heading)}</h2>\n{body}</section>\n'
        for key, heading, body in present
    )
    style = resources.files("toolchain.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n"
        f"<main>\n<header>\n{header}</header>\n"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n{bodies}</main>\n</body>\n</html>\n'
    )
