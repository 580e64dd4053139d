"""The stamp in an environment: what it was made from, so that a second set-up does nothing.

It is removed before the environment is touched and written last. An environment without one was never
finished, and is made again from nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Mapping, NamedTuple

from toolchain.bootstrap.interpreters import Interpreter

NAME = "delayline-setup.json"
CONSTRAINTS = "toolchain/bootstrap/constraints.txt"
SOURCES = ("pyproject.toml", CONSTRAINTS, "toolchain/bootstrap/*.py")
PACKAGES = ("toolchain", "hardware_targets", "models")


class Stamp(NamedTuple):
    """What a finished environment was made from.

    Parameters
    ----------
    inputs : digest of the files that decide its contents
    interpreter : real path of its Python
    interpreter_state : size and time of that file, which an upgrade changes
    requested : what `$PYTHON` was, or nothing
    version : of its Python
    source : where that was found
    lava : version of lava-nc and how it runs, or `absent`
    """

    inputs: str
    interpreter: str
    interpreter_state: str
    requested: str
    version: list[int]
    source: str
    lava: str

    @property
    def python(self) -> Interpreter:
        """The interpreter, as it was found then."""
        major, minor, micro = self.version
        return Interpreter(self.interpreter, (major, minor, micro), self.source)

    def is_current(self, root: Path, venv: Path, env: Mapping[str, str]) -> bool:
        """Whether the environment is what a set-up would make now."""
        return (
            self.inputs == inputs_digest(root)
            and self.has_interpreter()
            and (venv / "bin" / "python").exists()
            and self._is_requested(env)
        )

    def has_interpreter(self) -> bool:
        """Whether its Python is still there, unchanged."""
        return bool(self.interpreter_state) and self.interpreter_state == file_state(self.interpreter)

    def _is_requested(self, env: Mapping[str, str]) -> bool:
        value = env.get("PYTHON", "")
        if value in ("", self.requested):
            return True
        found = shutil.which(value, path=env.get("PATH", os.defpath))
        return found is not None and os.path.realpath(found) == self.interpreter


def read_stamp(venv: Path) -> Stamp | None:
    """Return the stamp of an environment, or None where it has none that can be read."""
    try:
        fields: dict[str, Any] = json.loads((venv / NAME).read_text(encoding="utf-8"))
        return Stamp(**fields)
    except (OSError, ValueError, TypeError):
        return None


def write_stamp(venv: Path, stamp: Stamp) -> None:
    """Write the stamp in one step: it is whole or not there."""
    partial = venv / (NAME + ".partial")
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(stamp._asdict(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, venv / NAME)


def remove_stamp(venv: Path) -> None:
    """Say that the environment is not to be trusted from here on."""
    with suppress(FileNotFoundError):
        (venv / NAME).unlink()


def inputs_digest(root: Path) -> str:
    """Return the digest of all that decides what is installed: files, their place, our packages."""
    digest = hashlib.sha256(str(root).encode())
    for pattern in SOURCES:
        for path in sorted(root.glob(pattern)):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    # The editable install lists our packages by name, so one more of them needs it again.
    digest.update(" ".join(name for name in PACKAGES if (root / name).is_dir()).encode())
    return digest.hexdigest()


def file_state(path: str) -> str:
    """Return size and time of a file, or nothing where it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"
