"""`delayline targets` and `delayline doctor`."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from toolchain import __version__

PACKAGES = ("numpy", "scipy", "numba", "pydantic", "safetensors", "h5py", "scikit-learn", "matplotlib", "typer", "rich")
EXTRAS = {
    "espeakng-loader": "absent; pip install 'delayline[speech]' to make spoken digits",
    "onnx": "absent; pip install 'delayline[onnx]' to write and read ONNX files",
    "onnxruntime": "absent; pip install 'delayline[onnx]' for validate --on onnx",
}


def targets(json: bool) -> Any:
    """All targets with their limits."""
    from toolchain.deployment.target import find_target, target_names

    found = [find_target(name) for name in target_names()]
    if json:
        return [{"name": t.name, "about": t.about, "vendor": t.vendor, "limits": t.limits()} for t in found]
    lines = []
    for target in found:
        lines += [f"{target.name}: {target.about}"]
        for limit in target.limits():
            value = "no public figure" if limit["value"] is None else _shown(limit["value"])
            lines.append(
                f"  {limit['name']:<30} {value!s:>9} {limit['unit']}{'  (assumed)' if limit['assumed'] else ''}"
            )
            lines.append(f"  {'':<30} {limit['source']}")
    return "\n".join(lines)


def _shown(value: int | list[int]) -> str:
    """A figure, or the values that a field can have."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def doctor(json: bool) -> Any:
    """Versions of what is needed, and the state of each target's vendor code."""
    from toolchain.deployment.target import find_target, target_names
    from toolchain.training.backends.cpu.engine import available_cores
    from toolchain.training.backends.genn.installation import status

    packages = {}
    for package, remedy in {**dict.fromkeys(PACKAGES, "absent; install delayline again"), **EXTRAS}.items():
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            packages[package] = remedy
    found = {
        "delayline": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "cores": available_cores(),
        **packages,
        "genn backend": status(),
        **{f"{n} vendor code": find_target(n).vendor_status() for n in target_names()},
    }
    return found if json else "\n".join(f"{name + ':':<21} {value}" for name, value in found.items())
