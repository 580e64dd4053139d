"""Names of populations as variables of an exported script: readable, safe and unique."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection


def variable_name(wish: str, taken: set[str], reserved: Collection[str]) -> str:
    """A variable name like `wish`, which is added to `taken`.

    Parameters
    ----------
    wish : any text; only letters, digits and underscores of it are kept
    taken : names of other variables; one of them gets a number
    reserved : names that mean something in the script; one of them, or a keyword, gets an underscore
    """
    base = re.sub(r"[^0-9A-Za-z_]+", "_", wish).strip("_").lower() or "population"
    base = f"p{base}" if base[0].isdigit() else base
    base = f"{base}_" if keyword.iskeyword(base) or base in reserved else base
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name
