"""Where a deployment comes from, on the page: nested data as nested lists, commands and hashes as they are typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.report.tables import folded, spoken
from toolchain.report.wording import NOTHING, Markup, counted, escaped, value_text

HASHES = "sha256"
COMMANDS = "repeat"


def provenance_list(data: Mapping[str, Any]) -> Markup:
    """Nested data as nested definition lists; hashes and text of many lines are folded away."""
    items = "".join(f"<div><dt>{escaped(_title(k))}</dt><dd>{_entry(k, v)}</dd></div>" for k, v in data.items())
    return Markup(f"<dl>{items}</dl>")


def _title(key: str) -> str:
    return {HASHES: "SHA-256", COMMANDS: "to repeat"}.get(key, spoken(key))


def _entry(key: str, value: Any) -> Markup:
    if key == HASHES and isinstance(value, Mapping) and value:
        items = "".join(f"<div><dt>{escaped(k)}</dt><dd>{escaped(v)}</dd></div>" for k, v in value.items())
        return folded(f"of {counted(len(value), 'file')}", f'<dl class="hashes">{items}</dl>')
    if key == COMMANDS and isinstance(value, (list, tuple)) and value:
        return Markup("".join(f"<code>{escaped(line)}</code>" for line in value))
    return _value(value)


def _value(value: Any) -> Markup:
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, (list, tuple)):
        if all(not isinstance(item, (Mapping, list, tuple)) for item in value):
            return escaped(", ".join(value_text(item) for item in value) or NOTHING)
        return Markup("<ul>" + "".join(f"<li>{_value(item)}</li>" for item in value) + "</ul>")
    text = value_text(value)
    if "\n" in text.strip():
        lines = text.count("\n") + 1
        return Markup(f"<details><summary>{counted(lines, 'line')}</summary><pre>{escaped(text)}</pre></details>")
    return escaped(text)


def _mapping(value: Mapping[str, Any]) -> Markup:
    """A list, in which short innermost lists, as of packages, are one line."""
    if not value:
        return Markup(NOTHING)
    items = []
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner and all(_scalar(v) for v in inner.values()):
            shown = escaped(", ".join(f"{k} {value_text(v)}" for k, v in inner.items()))
        else:
            shown = _value(inner)
        items.append(f"<div><dt>{escaped(spoken(key))}</dt><dd>{shown}</dd></div>")
    return Markup(f"<dl>{''.join(items)}</dl>")


def _scalar(value: Any) -> bool:
    return not isinstance(value, (Mapping, list, tuple)) and "\n" not in str(value)
