"""Compiling a model once for each content, out of the sight of whoever trains unless it fails.

A folder of the cache belongs to one content: generated code, GeNN's version, what it generates for and how. A model is
built in a folder of its own within it and moved when it is whole, under a lock, and the mark that it is finished, a
digest of the library, is written last: a build that was killed is begun again, what is left of its processes writes
where nobody reads, and two trainings at once do not build into each other.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from toolchain.errors import MissingDependencyError
from toolchain.storage import write_atomically
from toolchain.training.backends.genn import build_process
from toolchain.training.backends.genn.description import ModelDescription
from toolchain.training.backends.genn.installation import Installation

FINISHED = "finished"
BUILD_LOG, LOAD_LOG = "build.log", "load.log"
LIBRARY = "*_CODE/librunner*"
UNFINISHED = "unfinished-"
"""How folders are called in which a model is being built."""
FAILURES = (RuntimeError, ValueError, LookupError, OSError, MemoryError)
"""What GeNN raises where it loads a model: exceptions of its C++ as Python has them."""
LEAST_FREE = 2**20
"""Bytes of a disk without which a build has failed for want of them; a small model takes a fifth of it."""
NO_MEMORY = ("out of memory", "bad_alloc", "cannot allocate memory")
"""What says that there is none, of a GPU or of the machine: the driver, C++, the system."""


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
    folder = model_folder(cache.resolve(), description.digest(), installation)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(folder):
                _build(folder, description, installation)
            _load(model, folder, installation)
    except OSError as error:
        raise MissingDependencyError(
            f"backend genn: cannot write the cache of compiled models, {folder.parent}: {error.strerror or error}; set "
            "DELAYLINE_CACHE to a folder that can be written and locked and has room"
        ) from error


def _build(folder: Path, description: ModelDescription, installation: Installation) -> None:
    """Fill a folder of the cache, in a process that imports what this one does, wherever it was started."""
    for old in (*folder.glob("*_CODE"), *folder.glob(f"{UNFINISHED}*")):
        shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    build_process.write(place, description, installation)
    log = folder / BUILD_LOG
    with log.open("wb") as file:
        command = [sys.executable, "-m", build_process.__name__, str(place)]
        paths = {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False, cwd=place, env={**os.environ, **paths}
        )
    if done.returncode:
        # On a disk that is full not even the log may say so.
        if b"No space left" in log.read_bytes() or shutil.disk_usage(folder).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise MissingDependencyError(_explained(log, "", installation))
    for built in place.glob("*_CODE"):
        built.rename(folder / built.name)
    shutil.rmtree(place)
    write_atomically(folder / FINISHED, _digest(folder).encode())


def _is_whole(folder: Path) -> bool:
    """Whether what was built is there as it was: a damaged library would end this process when it is loaded."""
    mark = folder / FINISHED
    return mark.is_file() and any(folder.glob(LIBRARY)) and mark.read_bytes() == _digest(folder).encode()


def _digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(library.read_bytes() for library in folder.glob(LIBRARY))).hexdigest()


def _load(model: Any, folder: Path, installation: Installation) -> None:
    log = folder / LOAD_LOG
    with log.open("wb") as file:
        try:
            with _said_into(file):
                model.build(str(folder), never_rebuild=True)
                model.load()
        except FAILURES as error:
            raise MissingDependencyError(_explained(log, str(error), installation)) from error


@contextmanager
def _said_into(file: BinaryIO) -> Iterator[None]:
    """Send what this process and its children print to a file: GeNN and the driver know no other way."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
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


def out_of_memory(installation: Installation, said: str) -> str:
    """That memory is short, by whose words, and what helps."""
    remedy = (
        "give a smaller training.genn.samples_at_once than `delayline train RECIPE --dry-run` plans, as tapes may grow"
        if installation.gpu
        else "use --backend cpu, fewer steps, smaller layers, or smaller batches where training.rates keeps them whole"
    )
    where = installation.gpu.name if installation.gpu else "this machine"
    return f"backend genn: out of memory on {where} ({said}); {remedy}"


def _explained(log: Path, error: str, installation: Installation) -> str:
    """One line: what went wrong, by the first error in what was printed and raised, and where the rest of it is."""
    text = log.read_text(encoding="utf-8", errors="replace")
    raised = [line.strip() for line in error.splitlines() if line.strip()]
    lines = [*raised, *(line.strip() for line in text.splitlines() if line.strip())]
    short = next((line for line in lines if any(word in line.lower() for word in NO_MEMORY)), None)
    if short is not None:
        return f"{out_of_memory(installation, short[:300])}; all that was printed is in {log}"
    # A stack of Python names files with "error" in them, too; its last line says what it was.
    told = [line for line in lines if "error" in line.lower() and not line.startswith(("File ", "raise ", "from "))]
    first = (raised or told or lines or ["it said nothing"])[0]
    if raised:
        return (
            f"backend genn: the compiled model cannot be loaded ({first[:300]}); delete {log.parent}, for it to be "
            f"compiled again, or use --backend cpu; all that was printed is in {log}"
        )
    return (
        f"backend genn: the model cannot be built for {installation.code} ({first[:300]}); mend the compiler, or use "
        f"--backend cpu; all that was printed is in {log}"
    )
