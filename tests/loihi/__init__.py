"""Tests of the Loihi target; those marked `needs_lava` compare with the real lava-nc."""

from __future__ import annotations

import importlib.util
import os

import pytest

from hardware_targets.loihi.lava_runner import INTERPRETER_VARIABLE

# Looked for, never imported: importing Lava sets how this process may start others.
_lava_is_here = INTERPRETER_VARIABLE in os.environ or importlib.util.find_spec("lava") is not None
needs_lava = pytest.mark.skipif(
    not _lava_is_here, reason=f"lava-nc is not installed and {INTERPRETER_VARIABLE} is not set"
)
