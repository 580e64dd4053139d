"""The package onnx, which writing and reading files need, and the remedy where it is absent."""

from __future__ import annotations

from toolchain.errors import MissingDependencyError

REMEDY = "`pip install 'delayline[onnx]'`"


def require_onnx() -> None:
    """Raise MissingDependencyError if onnx cannot be imported."""
    try:
        import onnx  # noqa: F401 (whether it is there)
    except ImportError as error:
        raise MissingDependencyError(f"onnx cannot be imported ({error}); {REMEDY}") from error
