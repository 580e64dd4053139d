"""Where what was made or drawn once is kept: a folder of the user, outside every project."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "DELAYLINE_CACHE"


def cache_folder(name: str) -> Path:
    """Folder for files of this name: below that of `DELAYLINE_CACHE`, else below ``~/.cache/delayline``.

    It need not exist; whoever writes there makes it.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser() / name
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "delayline" / name
