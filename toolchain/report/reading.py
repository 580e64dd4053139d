"""Reading the report.json of a bundle, which may hold anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.errors import BundleError

PROMISED = ("verdict", "target", "ladder", "name", "reasons", "resources", "projections", "vendor", "vendor_samples")


def read_report(path: Path) -> dict[str, Any]:
    """The content of a bundle's report.json.

    Raises
    ------
    BundleError
        If there is none or it is damaged.
    """
    file = path / "report.json"
    if not file.is_file():
        raise BundleError(f"bundle {path}: no report.json in it; give a folder that `delayline deploy` made")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"bundle {path}: report.json is damaged ({error!r}); deploy again") from error
    if not isinstance(content, dict) or any(key not in content for key in PROMISED):
        raise BundleError(f"bundle {path}: report.json is damaged (not what `delayline deploy` writes); deploy again")
    return content


@contextmanager
def from_reports(*paths: Path) -> Iterator[None]:
    """Whatever is made in here of the reports of bundles; BundleError where one of them has other types or keys."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        bundles = f"bundle{'' if len(paths) == 1 else 's'} {' and '.join(str(path) for path in paths)}"
        raise BundleError(f"{bundles}: a report.json is damaged ({error!r}); deploy again") from error
