"""Find the Python to build the environment with.

Order of search: `$PYTHON`; a `python3.10` on PATH; pyenv's 3.10; and, where there is none (nor one that
uv can get), the newest Python that delayline supports. Python 3.10 comes first since lava-nc 0.10.0
installs there alone without help.

A name on PATH proves nothing: pyenv leaves a `python3.10` there that only prints an error. So every
candidate is run, under a time limit, and asked what it is.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Iterable, Iterator, Mapping, NamedTuple, Tuple

from toolchain.bootstrap.process import EXIT_BAD_INPUT, SetupError, run

Version = Tuple[int, int, int]

WANTED = (3, 10)
OLDEST = (3, 10)
NEWEST_TESTED = (3, 13)

# Python 2 answers too, so that an old $PYTHON can be named with its version.
PROBE = (
    "import sys; print('|'.join(['.'.join(map(str, sys.version_info[:3])), sys.version_info[3],"
    " getattr(getattr(sys, 'implementation', None), 'name', ''), getattr(sys, 'abiflags', ''),"
    " sys.executable]))"
)
VERSIONED_NAME = re.compile(r"python3\.\d+$")


class Interpreter(NamedTuple):
    """A Python that ran.

    Parameters
    ----------
    executable : its real path, outside any virtual environment
    version : major, minor, micro
    source : where it was found: `$PYTHON`, `PATH`, `pyenv` or `uv`
    plain : a released CPython with its global lock, which is what wheels are built for
    """

    executable: str
    version: Version
    source: str
    plain: bool = True

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor version."""
        return self.version[:2]

    @property
    def name(self) -> str:
        """For messages: `Python 3.10.13`."""
        return "Python " + ".".join(map(str, self.version))


class Search(NamedTuple):
    """A search for interpreters in one environment.

    Parameters
    ----------
    env : the environment variables: PATH, PYTHON, PYENV_ROOT, HOME
    running : the interpreter that runs this, always a candidate
    time_limit : seconds that each candidate has to answer
    """

    env: Mapping[str, str]
    running: str = sys.executable
    time_limit: float = 10.0

    def chosen(self) -> Interpreter | None:
        """Return the interpreter that `$PYTHON` names, or None where it is not set.

        Raises
        ------
        SetupError
            If it does not run, or is older than 3.10.
        """
        value = self.env.get("PYTHON", "")
        if not value:
            return None
        path = shutil.which(value, path=self.env.get("PATH", os.defpath)) or value
        found = self.probe(path, "$PYTHON")
        limit = ".".join(map(str, OLDEST))
        remedy = f"Set PYTHON to a Python {limit} or newer, or unset it to let set-up search."
        if found is None:
            raise SetupError(f"$PYTHON is {value}, which does not run as a Python. {remedy}", EXIT_BAD_INPUT)
        if found.minor < OLDEST:
            raise SetupError(
                f"$PYTHON is {value}, {found.name}, older than the {limit} that delayline needs. {remedy}",
                EXIT_BAD_INPUT,
            )
        return found

    def wanted(self) -> Interpreter | None:
        """Return the first Python 3.10 on PATH or among pyenv's, or None."""
        name = "python{}.{}".format(*WANTED)
        paths = [*self._on_path(name), *self._in_pyenv("{}.{}.".format(*WANTED))]
        return next((found for found in self._that_run(paths) if found.minor == WANTED and found.plain), None)

    def newest(self, other_than: tuple[int, int] | None = None) -> Interpreter | None:
        """Return the newest Python that delayline is tested on, else the oldest of the newer ones.

        Parameters
        ----------
        other_than : a minor version to leave out
        """
        usable = [
            found for found in self.every() if found.plain and found.minor >= OLDEST and found.minor != other_than
        ]

        def rank(found: Interpreter) -> tuple[bool, int, Version]:
            tested = found.minor <= NEWEST_TESTED
            return tested, found.minor[1] if tested else -found.minor[1], found.version

        return max(usable, key=rank, default=None)

    def every(self) -> Iterator[Interpreter]:
        """Yield each Python 3 of the machine once, the running one first."""
        paths = [self.running, *self._on_path("python3"), *self._on_path("python")]
        for folder in self._path():
            paths += [os.path.join(folder, name) for name in _names(folder) if VERSIONED_NAME.match(name)]
        return self._that_run([*paths, *self._in_pyenv("3.")])

    def probe(self, path: str, source: str) -> Interpreter | None:
        """Run a candidate and return what it is, or None where it fails, hangs or is no Python."""
        result = run([path, "-c", PROBE], timeout=self.time_limit, env=self.env)
        fields = result.stdout.strip().split("|")
        if not result.ok or len(fields) != 5 or not re.match(r"\d+\.\d+\.\d+$", fields[0]):
            return None
        version, level, implementation, flags, executable = fields
        major, minor, micro = map(int, version.split("."))
        # An environment's python is a link to the real one, which outlives that environment.
        executable = os.path.realpath(executable or path)
        if source == "PATH" and executable.startswith(os.path.realpath(self._pyenv_root()) + os.sep):
            source = "pyenv"
        plain = level == "final" and implementation == "cpython" and "t" not in flags
        return Interpreter(executable, (major, minor, micro), source, plain)

    def _that_run(self, paths: Iterable[str]) -> Iterator[Interpreter]:
        seen = set()
        for path in paths:
            found = self.probe(path, "PATH")
            if found is not None and found.executable not in seen:
                seen.add(found.executable)
                yield found

    def _path(self) -> list[str]:
        return [folder for folder in self.env.get("PATH", os.defpath).split(os.pathsep) if folder]

    def _on_path(self, name: str) -> list[str]:
        # All of them, not the first alone: a shim that fails may hide one that runs.
        return [os.path.join(folder, name) for folder in self._path() if name in _names(folder)]

    def _pyenv_root(self) -> str:
        return self.env.get("PYENV_ROOT") or os.path.join(self.env.get("HOME", ""), ".pyenv")

    def _in_pyenv(self, prefix: str) -> list[str]:
        versions = os.path.join(self._pyenv_root(), "versions")
        names = [name for name in _names(versions) if name.startswith(prefix)]
        newest_first = sorted(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], reverse=True)
        return [os.path.join(versions, name, "bin", "python") for name in newest_first]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
