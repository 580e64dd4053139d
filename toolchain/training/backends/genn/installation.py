"""Which GeNN there is on this machine, what it can generate code for, and what it needs for that.

All that can be known before a model is built is asked here, so that it is said before training starts.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from toolchain.errors import MissingDependencyError
from toolchain.training.backends.genn.gpu import Gpu, find_gpu

Code = Literal["auto", "cuda", "hip", "cpu"]
CODES: tuple[str, ...] = get_args(Code)
GENERATORS = {"cuda": "cuda", "hip": "hip", "cpu": "single_threaded_cpu"}
"""What this project calls them -> what GeNN does."""
OLDEST, BEFORE = (5, 4), (6, 0)
"""The version that this backend is tested with, and the first that may be another program."""
HOW = "docs/genn.md says how to install it; --backend cpu needs nothing"


@dataclass(frozen=True)
class Installation:
    """PyGeNN as it is installed, and the generator that is used of it.

    Attributes
    ----------
    version : of PyGeNN
    code : ``cuda``, ``hip`` or ``cpu``
    gpu : what it runs on, None for the processor
    options : preferences of the generator
    """

    version: str
    code: str
    gpu: Gpu | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def generator(self) -> str:
        """GeNN's name of the generator."""
        return GENERATORS[self.code]

    @property
    def where(self) -> str:
        """For people: what it runs on."""
        return self.gpu.name if self.gpu else "one core of this machine"


def find_installation(code: Code = "auto", device: int = 0) -> Installation:
    """What there is to generate `code` for; `auto` takes a GPU that GeNN was built for, else the processor.

    Parameters
    ----------
    device : number of the GPU

    Raises
    ------
    MissingDependencyError
        If PyGeNN is not installed, of another version or not built for this, or there is no GPU or no compiler.
    """
    try:
        pygenn = import_module("pygenn")
        generators = import_module("pygenn.genn_model").backend_modules
    except ImportError as error:
        reason = "is not installed" if error.name == "pygenn" else f"cannot be imported ({error})"
        raise MissingDependencyError(f"backend genn: PyGeNN {reason}; {HOW}") from error
    version = str(getattr(pygenn, "__version__", "without a version"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not OLDEST <= numbers < BEFORE:
        raise MissingDependencyError(
            f"backend genn: PyGeNN {version} is not a version that this backend knows, which are 5.4 up to 6; {HOW}"
        )
    built = [ours for ours, theirs in GENERATORS.items() if theirs in generators]
    if code == "auto":
        found = next((c for c in built if c != "cpu" and not isinstance(find_gpu(c, device), str)), "cpu")
    else:
        found = code
    if found not in built:
        raise MissingDependencyError(
            f"backend genn: PyGeNN {version} has no part for {found} ({_why_not(found)}); install it again with "
            f"{'CUDA_PATH' if found == 'cuda' else 'HIP_PATH'} set, or give training.genn.code auto"
        )
    _require_compiler(found)
    if found == "cpu":
        # Without it GeNN compiles what it generates without any optimisation (facts: 3.7 times slower).
        return Installation(version, found, None, {"optimize_code": True})
    gpu = find_gpu(found, device)
    if isinstance(gpu, str):
        raise MissingDependencyError(f"backend genn: no GPU for {found}: {gpu}; give training.genn.code cpu")
    return Installation(version, found, gpu, {"manual_device_id": device})


def _require_compiler(code: str) -> None:
    """Raise MissingDependencyError where what GeNN calls to compile is not there."""
    needed = ["make"]
    if code == "cpu":
        needed.append(os.environ.get("CXX", "g++"))
    else:
        variable = {"cuda": "CUDA_PATH", "hip": "HIP_PATH"}[code]
        home = os.environ.get(variable)
        if not home:
            raise MissingDependencyError(
                f"backend genn: {variable} is not set, and GeNN finds the compiler for {code} by it; set it to where "
                f"the toolkit is, as {variable}=/usr/local/{code}"
            )
        needed.append(str(Path(home) / "bin" / {"cuda": "nvcc", "hip": "hipcc"}[code]))
    for program in needed:
        if shutil.which(program.split()[0]) is None:
            raise MissingDependencyError(
                f"backend genn: {program} is not found, and GeNN compiles every network with it; install it (make and "
                "g++ are Debian's build-essential)"
            )


def _why_not(code: str) -> str:
    """Why GeNN has no generator of a kind: it was built without, or lacks a library, which GeNN keeps to itself."""
    name = f"pygenn.{GENERATORS[code]}_backend"
    try:
        import_module(name)
    except ImportError as error:
        return "it was built without" if error.name == name else str(error)
    return "GeNN leaves it out"


def status() -> str:
    """What there is to train with, in words, or what is missing."""
    try:
        found = find_installation()
    except MissingDependencyError as error:
        return str(error).removeprefix("backend genn: ")
    return f"PyGeNN {found.version}, code for {found.code}, on {found.where}"
