"""Which GeNN there is on this machine, and what it can generate code for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Installation:
    """PyGeNN as it is installed, and the generator that is used of it.

    Attributes
    ----------
    version : of PyGeNN
    code : ``cuda``, ``hip`` or ``single_threaded_cpu``
    options : what the generator is told
    """

    version: str
    code: str
    options: dict[str, Any] = field(default_factory=dict)
