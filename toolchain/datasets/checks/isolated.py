"""The look at a file in a process of its own: the HDF5 library may crash on a damaged file, or never come back.

Seen with HDF5 2.0: one flipped byte in a heap of rows makes it walk in a circle, others end the process. So the process
that asked stays, reads how far the other is, and says where it stopped.

    python -m toolchain.datasets.checks.isolated PATH [PATTERN]

prints lines of JSON: {"done": n} now and then, {"inspection": ...} at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from toolchain.datasets.archives import unpacked
from toolchain.datasets.checks import inspect_item, spike_file_check
from toolchain.datasets.checks.inspection import Inspection, Item, from_json
from toolchain.errors import InputError

PATIENCE_S = 60.0
"""Without a sign of life for so long a process is given up; it gives one every 64 samples, which take milliseconds."""
MAX_BYTES = 16 * 2**30
"""Address space of the process; a damaged length must not take all of the memory there is."""


def inspect_isolated(
    item: Item, progress: Callable[[int], None] = lambda done: None, patience_s: float = PATIENCE_S
) -> Inspection:
    """As `inspect_item`, whatever the file does to the libraries that read it.

    Parameters
    ----------
    progress : told how many samples are done
    patience_s : seconds without a sign of life after which the file is given up
    """
    try:
        if spike_file_check.takes(item):
            unpacked(item.path)  # may take a minute, and needs no patience: what unpacks cannot hang
    except InputError as error:
        found = Inspection(str(item.path), "archive")
        found.error(str(error))
        return found
    command = [sys.executable, "-m", "toolchain.datasets.checks.isolated", str(item.path.absolute())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [*command, item.pattern], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    done, gave_up = 0, False
    answer: Inspection | None = None

    def give_up() -> None:
        nonlocal gave_up
        gave_up = True
        process.kill()

    def watch() -> threading.Timer:
        timer = threading.Timer(patience_s, give_up)
        timer.daemon = True
        timer.start()
        return timer

    timer = watch()
    try:
        for line in process.stdout:
            timer.cancel()
            message = json.loads(line)
            if "inspection" in message:
                answer = from_json(message["inspection"])
                answer.path = str(item.path)
                break
            done = int(message["done"])
            progress(done)
            timer = watch()
    finally:
        timer.cancel()
        if answer is None and sys.exc_info()[0] is not None:
            process.kill()  # nobody waits for it any more
        rest = process.communicate()[1]
    if answer is not None:
        return answer
    found = Inspection(str(item.path), "cannot be read")
    if gave_up:
        found.error(
            f"file {item.path}: the library that reads it did not come back within {patience_s:g} s, {done} samples "
            "in; it is damaged: fetch or write it again"
        )
    elif process.returncode < 0:
        found.error(
            f"file {item.path}: the library that reads it crashed with signal {-process.returncode}, {done} samples "
            "in; it is damaged: fetch or write it again"
        )
    else:
        found.error(f"file {item.path}: could not be looked at, {' '.join(rest.split())[-300:] or 'no reason given'}")
    return found


def _main(path: str, pattern: str) -> None:
    limit_memory()

    def tell(message: dict[str, object]) -> None:
        os.write(1, (json.dumps(message) + "\n").encode())

    inspection = inspect_item(Item(Path(path), pattern), lambda done: tell({"done": done}))
    # In one write of its own stream: a pipe takes it in pieces, so it is not left to `os.write`.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        out.write(json.dumps({"inspection": inspection.to_json()}) + "\n")


def limit_memory() -> None:
    """Give this process no more than `MAX_BYTES` of address space."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):
        pass  # not on this system, or there is a lower limit already


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
