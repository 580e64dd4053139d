"""Compiling a model, once for each content."""
from __future__ import annotations
from pathlib import Path
from typing import Any
from toolchain.training.backends.genn.description import ModelDescription
from toolchain.training.backends.genn.installation import Installation

def build(model: Any, description: ModelDescription, installation: Installation, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    model.build(str(cache))
    model.load()
