"""YAML in and out of plain data, and ``--set key.path=value``, without surprises."""

from __future__ import annotations

import re
from typing import Any

import yaml

from toolchain.errors import RecipeError

MAX_YAML_NODES = 100_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but 1e-3 is a number, as in YAML 1.2 and as anybody writes it, and not a text."""


class _Dumper(yaml.SafeDumper):
    """Puts quotes around a text that `_Loader` would take for a number."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$", re.ASCII), list("-+.0123456789")
    )


def load_yaml(text: str, origin: str) -> Any:
    """Read YAML into plain data of which no two places share a part; `origin` names it in errors."""
    try:
        return _unshared(_Loader(text).get_single_data(), [MAX_YAML_NODES])
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # PyYAML lets whatever its constructors raise through: 2001-99-99 is a ValueError, !!bool x a KeyError.
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or type(error).__name__).split())
        raise RecipeError(f"{origin}{where}: not YAML that a recipe can hold: {problem}; correct it") from error


def _unshared(node: Any, left: list[int]) -> Any:
    """Copy in which an alias is a copy of its anchor, so that an override changes one place only."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {MAX_YAML_NODES} nodes")
    if isinstance(node, dict):
        return {key: _unshared(value, left) for key, value in node.items()}
    return [_unshared(value, left) for value in node] if isinstance(node, list) else node


def apply_override(data: dict[str, Any], override: str) -> None:
    """Put the value of ``key.path=value`` into plain data, in place; raises RecipeError if it fits nowhere."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise RecipeError(f"--set {override!r}: must be key.path=value, as in --set training.epochs=5")
    value = load_yaml(text, f"--set {override!r}")
    node: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not (key.isascii() and key.isdigit()) or int(key) >= len(node):
                raise RecipeError(f"--set {path}: {key!r} must be an index below {len(node)}")
            if last:
                node[int(key)] = value
            else:
                node = node[int(key)]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            else:
                node = node.setdefault(key, {})
        else:
            raise RecipeError(f"--set {path}: {'.'.join(keys[:depth])} is a value and has no key {key!r}")


def dump_yaml(content: Any) -> str:
    """Plain data as YAML that `load_yaml` reads back equal."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False)
    return text
