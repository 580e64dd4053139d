"""Make `.venv`: choose a Python, install what constraints.txt pins, install delayline itself."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Mapping, NamedTuple, Sequence

from toolchain.bootstrap.interpreters import NEWEST_TESTED, OLDEST, WANTED, Interpreter, Search
from toolchain.bootstrap.process import SetupError
from toolchain.bootstrap.stamp import (
    CONSTRAINTS,
    Stamp,
    file_state,
    inputs_digest,
    read_stamp,
    remove_stamp,
    write_stamp,
)
from toolchain.bootstrap.uv_tool import Uv, get_uv, pinned

MAIN = ".venv"
SECOND = ".venv-newest"
LOCK = ".venv.lock"
PREFIX = "set-up: "


def set_up(root: Path, env: Mapping[str, str], search: Search) -> list[str]:
    """Make `.venv` with the preferred Python, or find it made.

    Parameters
    ----------
    root : the checkout
    env : the environment variables
    search : finds the interpreters

    Returns
    -------
    The lines to say, the main one last.

    Raises
    ------
    SetupError
        If there is no Python that will do, no uv, or a package cannot be installed.
    """
    stamp = read_stamp(root / MAIN)
    if stamp is not None and stamp.is_current(root, root / MAIN, env):
        return _nothing_to_do(MAIN, stamp)
    with _lock(root) as descriptor:
        stamp = read_stamp(root / MAIN)
        if stamp is not None and stamp.is_current(root, root / MAIN, env):
            return _nothing_to_do(MAIN, stamp)
        started = time.monotonic()
        # What an environment was made with it keeps, so nothing is searched or fetched a second time.
        kept = stamp.python if stamp is not None and stamp.has_interpreter() else None
        python = search.chosen() or kept or search.wanted()
        uv = _uv(root, env, search, descriptor)
        python = python or uv.python(search) or _newest(search)
        building = _Building(root, root / MAIN, uv, stamp, python, env.get("PYTHON", ""))
        return building.make(["dev", "distances", "lava", "onnx", "speech", "spinnaker"], started)


def set_up_second(root: Path, env: Mapping[str, str], search: Search) -> list[str]:
    """Make `.venv-newest` with the newest tested Python whose version is not that of `.venv`.

    No such Python is no error: the line returned says so, and there is no `.venv-newest` then.
    """
    main = read_stamp(root / MAIN)
    if main is None:
        raise SetupError(f"{MAIN} is not made yet, so its Python can't be compared. Run: make setup")
    free = {key: value for key, value in env.items() if key != "PYTHON"}
    with _lock(root) as descriptor:
        stamp = read_stamp(root / SECOND)
        if stamp and stamp.python.minor != main.python.minor and stamp.is_current(root, root / SECOND, free):
            return _nothing_to_do(SECOND, stamp)
        started = time.monotonic()
        python = search.newest(other_than=main.python.minor)
        if python is None or python.minor > NEWEST_TESTED:
            shutil.rmtree(root / SECOND, ignore_errors=True)
            limits = " to ".join(".".join(map(str, minor)) for minor in (OLDEST, NEWEST_TESTED))
            alone = f"the core tests ran on {main.python.name} alone, as no other Python {limits} was found"
            return [alone]
        uv = _uv(root, env, search, descriptor)
        building = _Building(root, root / SECOND, uv, stamp, python, "")
        return building.make(["dev", "distances", "onnx", "speech"], started)


def get_uv_path(root: Path, env: Mapping[str, str], search: Search) -> str:
    """Return the path of a uv that runs, for `make constraints`."""
    with _lock(root) as descriptor:
        return _uv(root, env, search, descriptor).executable


def _newest(search: Search) -> Interpreter:
    python = search.newest()
    if python is None:
        found = max((found.version for found in search.every()), default=None)
        newest = "none" if found is None else ".".join(map(str, found))
        limit = ".".join(map(str, OLDEST))
        raise SetupError(
            f"newest Python found is {newest}, older than the {limit} that delayline needs. "
            f"Install Python {limit} (pyenv install {limit}), or set PYTHON to one."
        )
    return python


class _Building(NamedTuple):
    """One environment being made."""

    root: Path
    venv: Path
    uv: Uv
    stamp: Stamp | None
    python: Interpreter
    requested: str

    def make(self, extras: Sequence[str], started: float) -> list[str]:
        """Install everything and write the stamp; killed at any point, it leaves none.

        Parameters
        ----------
        extras : extras of pyproject.toml to install
        started : time.monotonic() at the start of the set-up
        """
        if sys.stderr.isatty():
            sys.stderr.write(f"{PREFIX}making {self.venv.name} with {self.python.name} ...\r")
        inputs = inputs_digest(self.root)
        remove_stamp(self.venv)
        if not self._is_whole():
            # Not `uv venv --clear`: it refuses what a set-up killed half-way through clearing leaves.
            if self.venv.is_symlink():
                self.venv.unlink()
            elif self.venv.exists():
                shutil.rmtree(self.venv)
            self.uv.must(
                f"making {self.venv.name} with {self.python.name}",
                *("venv", "--quiet", "--no-project", "--prompt", "delayline"),
                *("--python", self.python.executable, str(self.venv)),
            )
        self._install_packages(extras)
        lines = []
        lava = ""
        if "lava" in extras:
            lava, line = self._install_lava()
            lines += [line] if line else []
        made = Stamp(
            inputs,
            self.python.executable,
            file_state(self.python.executable),
            self.requested,
            list(self.python.version),
            self.python.source,
            lava,
        )
        write_stamp(self.venv, made)
        lines.append(self._said(lava, time.monotonic() - started))
        return lines

    def _is_whole(self) -> bool:
        """Whether a finished environment with this very Python is there, to be brought up to date."""
        return (
            self.stamp is not None
            and self.stamp.interpreter == self.python.executable
            and self.stamp.has_interpreter()
            and (self.venv / "bin" / "python").exists()
        )

    def _install_packages(self, extras: Sequence[str]) -> None:
        pip = ["pip", "install", "--quiet", "--python", str(self.venv / "bin" / "python")]
        constraints = str(self.root / CONSTRAINTS)
        # The project apart from what it needs: a folder has no hash. Its own build is pinned all the same.
        self.uv.must(
            f"installing packages into {self.venv.name}",
            *pip,
            *("--require-hashes", "--no-build", "--constraints", constraints),
            *("--requirements", str(self.root / "pyproject.toml")),
            *(word for extra in extras for word in ("--extra", extra)),
        )
        self.uv.must(
            f"installing delayline into {self.venv.name}",
            *pip,
            *("--no-deps", "--build-constraints", constraints, "--editable", str(self.root)),
        )

    def _install_lava(self) -> tuple[str, str]:
        """Return the state of lava-nc and, where it is absent, the line that says so.

        From Python 3.11 on lava-nc's metadata refuses to install and its import fails on one dataclass
        default. Told that the Python is 3.10, uv installs the wheel, which is pure Python; the import is
        put right by the shim in hardware_targets. What Lava imports besides is in our extra `lava`.
        """
        requirement = pinned((self.root / CONSTRAINTS).read_text(encoding="utf-8"), "lava-nc")
        version = requirement.split()[0].partition("==")[2]
        if self.python.minor == WANTED:
            return version, ""
        listed = self.venv / "lava-nc.txt"
        listed.write_text(requirement, encoding="utf-8")
        result = self.uv.run(
            *("pip", "install", "--quiet", "--python", str(self.venv / "bin" / "python")),
            *("--no-deps", "--require-hashes", "--no-build", "--python-version", ".".join(map(str, WANTED))),
            *("--requirements", str(listed)),
        )
        if result.ok:
            return f"{version} through the import shim", ""
        wanted = ".".join(map(str, WANTED))
        return "absent", (
            f"lava-nc {version} is absent ({result.reason()}); Lava checks are skipped. "
            f"Install Python {wanted} (pyenv install {wanted}), then: make clean setup"
        )

    def _said(self, lava: str, seconds: float) -> str:
        packages = len(list(self.venv.glob("lib/python*/site-packages/*.dist-info")))
        asked = self.python.source == "$PYTHON" or self.venv.name != MAIN or self.python.minor == WANTED
        found = f"{self.python.name} ({self.python.source})"
        found += "" if asked else " as no 3.10 was found"
        said = f"{found}, {packages} packages into {self.venv.name}"
        return f"{said} in {seconds:.0f} s" + (f", lava-nc {lava}" if lava else "")


def _nothing_to_do(name: str, stamp: Stamp) -> list[str]:
    lava = f", lava-nc {stamp.lava}" if stamp.lava else ""
    return [f"{name} is up to date ({stamp.python.name}{lava})"]


def _uv(root: Path, env: Mapping[str, str], search: Search, descriptor: int) -> Uv:
    uv = get_uv(root, env, search, (root / CONSTRAINTS).read_text(encoding="utf-8"))
    # Should this process be killed outright, its uv goes on for a while: the lock lasts as long.
    uv.keep_open = (descriptor,)
    return uv


@contextmanager
def _lock(root: Path) -> Iterator[int]:
    """Let one set-up at a time work in a checkout; yield the descriptor that holds the lock."""
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"{PREFIX}waiting for another set-up in this checkout\n")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
