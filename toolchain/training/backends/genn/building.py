"""Compiling a model once for each content, out of the sight of whoever trains unless it fails.

A folder of the cache belongs to one content: generated code, GeNN's version, what it generates for and how. The mark
that it is finished is written last, under a lock, so that a build which was killed is begun again and two trainings at
once do not build into each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolchain.errors import MissingDependencyError
from toolchain.storage import write_atomically
from toolchain.training.backends.genn import build_process
from toolchain.training.backends.genn.description import ModelDescription
from toolchain.training.backends.genn.installation import Installation

FINISHED = "finished"
LOG = "build.log"
FAILURES = (RuntimeError, ValueError, LookupError, OSError, MemoryError)
"""What GeNN raises where it loads a model: exceptions of its C++ as Python has them."""


def model_folder(cache: Path, digest: str, installation: Installation) -> Path:
    """Where a model of this content lies in the cache."""
    gpu = installation.gpu.name if installation.gpu else ""
    key = json.dumps(
        [digest, installation.version, installation.code, gpu, installation.options, platform.machine()],
        sort_keys=True,
    )
    return cache / hashlib.sha256(key.encode()).hexdigest()[:24]


def build_and_load(model: Any, description: ModelDescription, installation: Installation, cache: Path) -> None:
    """Generate and compile a model, unless that has been done, and load it.

    Parameters
    ----------
    model : the `pygenn.GeNNModel` of the description, not built
    cache : folder of compiled models

    Raises
    ------
    MissingDependencyError
        If it cannot be compiled or loaded; what the compiler said lies in its folder.
    """
    folder = model_folder(cache, description.digest(), installation)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w", encoding="utf-8")
    except OSError as error:
        raise MissingDependencyError(
            f"backend genn: cannot write the cache of compiled models, {folder.parent}: {error.strerror}; set "
            "DELAYLINE_CACHE to a folder with room"
        ) from error
    log = folder / LOG
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ((folder / FINISHED).exists() and any(folder.glob("*_CODE/librunner*"))):
            for old in folder.glob("*_CODE"):
                shutil.rmtree(old)
            build_process.write(folder, description, installation)
            with log.open("wb") as file:
                command = [sys.executable, "-m", build_process.__name__, str(folder)]
                done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                raise MissingDependencyError(_explained(log, "", installation))
            write_atomically(folder / FINISHED, b"")
        try:
            with _said_into(log):
                model.build(str(folder), never_rebuild=True)
                model.load()
        except FAILURES as error:
            raise MissingDependencyError(_explained(log, str(error), installation)) from error


@contextmanager
def _said_into(log: Path) -> Iterator[None]:
    """Send what this process and its children print to a file: make and the compiler know no other way."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, back in zip((1, 2), kept, strict=True):
                os.dup2(back, descriptor)
                os.close(back)


def _explained(log: Path, error: str, installation: Installation) -> str:
    """One line: what went wrong, by the first error in what was printed, and where the rest of it is."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in (*text.splitlines(), error) if line.strip()]
    if any("out of memory" in line.lower() for line in lines):
        return (
            f"backend genn: out of memory on {installation.where}; give a smaller training.genn.samples_at_once "
            f"(`delayline train RECIPE --dry-run` says which fits); all that was printed is in {log}"
        )
    # A stack of Python names files with "error" in them, too; its last line says what it was.
    told = [line for line in lines if "error" in line.lower() and not line.startswith(("File ", "raise ", "from "))]
    first = (told or lines or ["it said nothing"])[0]
    return (
        f"backend genn: the model cannot be built for {installation.code} ({first[:300]}); mend the compiler, or use "
        f"--backend cpu; all that was printed is in {log}"
    )
