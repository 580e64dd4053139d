"""Find uv, or get the pinned one from PyPI with whatever Python there is.

uv resolves and installs in seconds, checks every file against the hashes in constraints.txt, and can
fetch a Python. A private one goes to `.venv-tools`, so the user's own tools are left as they are.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Iterable, Mapping

from toolchain.bootstrap.interpreters import WANTED, Interpreter, Search
from toolchain.bootstrap.process import Result, SetupError, run

OLDEST_UV = (0, 9, 0)  # the oldest that the tests of this set-up were run with
OLDEST_FOR_UV = (3, 8)  # the oldest Python that uv's package installs on
TOOLS = ".venv-tools"

# What pip is told about the network, for a private uv: who configured pip alone need not configure uv too.
PIP_TO_UV = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}


def pinned(constraints: str, name: str) -> str:
    """Return the requirement of one package with its hashes, without its marker.

    Parameters
    ----------
    constraints : the text of constraints.txt
    name : a package that has one version there

    Returns
    -------
    The requirement, a line for each hash, as pip and uv read it.

    Raises
    ------
    SetupError
        If the package is not pinned there.
    """
    pattern = rf"^{re.escape(name)}==(\S+)(?: ;.*?)? \\\n((?:    --hash=\S+(?: \\)?\n)+)"
    match = re.search(pattern, constraints, flags=re.MULTILINE)
    if match is None:
        raise SetupError(
            f"constraints.txt pins no {name} with hashes. Run: git checkout toolchain/bootstrap/constraints.txt"
        )
    return f"{name}=={match[1]} \\\n{match[2]}"


class Uv:
    """A uv that runs.

    Parameters
    ----------
    executable : its path
    env : the environment that it is run with
    keep_open : file descriptors that its processes inherit (the lock on the environment)
    """

    def __init__(self, executable: str, env: Mapping[str, str], keep_open: tuple[int, ...] = ()) -> None:
        self.executable = executable
        # An active environment is not ours to install into.
        self.env = {key: value for key, value in env.items() if key != "VIRTUAL_ENV"}
        self.keep_open = keep_open

    def run(self, *arguments: str, timeout: float = 1800.0) -> Result:
        """Run `uv` with the arguments; quietly, since its output is read on failure only."""
        argv = [self.executable, *arguments]
        return run(argv, timeout=timeout, env=self.env, keep_open=self.keep_open)

    def must(self, what: str, *arguments: str) -> None:
        """Run `uv`, and raise a SetupError that says what failed and why unless it succeeds."""
        result = self.run(*arguments)
        if not result.ok:
            raise SetupError(f"{what} failed: {result.reason()}. Mend that, then run the command again.")

    def python(self, search: Search) -> Interpreter | None:
        """Return a Python 3.10 that uv has or can install; None where it can't.

        Parameters
        ----------
        search : asks the interpreter what it is
        """
        version = ".".join(map(str, WANTED))
        found = self._find_python(version, search)
        if found is None:
            # One retry: without a network each costs seconds, and there is another Python to go on with.
            retries = {"UV_HTTP_RETRIES": "1", **self.env}
            argv = [self.executable, "python", "install", "--quiet", "--no-bin", version]
            if run(argv, timeout=180.0, env=retries, keep_open=self.keep_open).ok:
                found = self._find_python(version, search)
        return found

    def _find_python(self, version: str, search: Search) -> Interpreter | None:
        # Its own ones alone: those on PATH were searched before, and uv stops at a pyenv shim that fails.
        find = ["python", "find", "--managed-python", "--no-python-downloads", "--no-project", "--system"]
        result = self.run(*find, version, timeout=30.0)
        return search.probe(result.stdout.strip(), "uv") if result.ok else None


def get_uv(root: Path, env: Mapping[str, str], search: Search, constraints: str) -> Uv:
    """Return the uv on PATH if it is new enough, else a private one, installed if need be.

    Parameters
    ----------
    root : the checkout, which has or gets `.venv-tools`
    env : the environment variables
    search : finds the Python that a private uv is installed with
    constraints : the text of constraints.txt, which pins uv

    Raises
    ------
    SetupError
        If there is no uv and it cannot be installed.
    """
    own = shutil.which("uv", path=env.get("PATH", os.defpath))
    if own is not None and _version(own) >= OLDEST_UV:
        return Uv(own, env)
    tools = root / TOOLS
    requirement = pinned(constraints, "uv")
    wanted = tuple(map(int, requirement.split()[0].partition("==")[2].split(".")))
    private = tools / "bin" / "uv"
    if _version(str(private)) != wanted:
        _install(tools, requirement, search.every(), env)
        if _version(str(private)) != wanted:
            raise SetupError(f"{private} was installed but does not run. Put a uv that runs on PATH.")
    return Uv(str(private), {**_from_pip(tools, env), **env})


def _version(uv: str) -> tuple[int, ...]:
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", run([uv, "--version"], timeout=10.0).stdout)
    return tuple(map(int, match.groups())) if match else ()


def _install(tools: Path, requirement: str, pythons: Iterable[Interpreter], env: Mapping[str, str]) -> None:
    """Install the pinned uv as `tools/bin/uv`: in a venv, or with a pip that is there already."""
    tried = [python for python in pythons if python.version >= OLDEST_FOR_UV]
    with_pip = ["--require-hashes", "--no-deps", "--quiet", "--disable-pip-version-check", "--no-input"]
    for python in tried:
        # Debian has a Python that cannot make a venv (no ensurepip) until python3-venv is installed.
        made = run([python.executable, "-m", "venv", "--clear", str(tools)], timeout=300.0, env=env)
        if made.ok:
            argv = [str(tools / "bin" / "python"), "-m", "pip", "install", *with_pip]
            return _pip(argv, tools, requirement, env)
    shutil.rmtree(tools, ignore_errors=True)
    for python in tried:
        if run([python.executable, "-m", "pip", "--version"], timeout=60.0, env=env).ok:
            tools.mkdir()
            argv = [python.executable, "-m", "pip", "install", *with_pip, "--target", str(tools)]
            return _pip(argv, tools, requirement, env)
    names = ", ".join(python.name for python in tried)
    raise SetupError(
        f"uv is missing, and none of these can make a venv or run pip: {names or 'no Python 3.8 or newer'}. "
        "Install uv, or venv for one of them (Debian: apt-get install python3-venv)."
    )


def _pip(argv: list[str], tools: Path, requirement: str, env: Mapping[str, str]) -> None:
    listed = tools / "uv.txt"
    listed.write_text(requirement, encoding="utf-8")
    result = run([*argv, "--requirement", str(listed)], timeout=900.0, env=env)
    if not result.ok:
        raise SetupError(f"pip could not install uv: {result.reason()}. Install uv, or give pip its index.")


def _from_pip(tools: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for uv that say what the user's pip configuration says."""
    result = run([str(tools / "bin" / "python"), "-m", "pip", "config", "list"], timeout=60.0, env=env)
    settings = {}
    for line in result.stdout.splitlines():
        key, _, value = line.partition("=")
        # pip lists `global.cert='...'` and `:env:.cert='...'`, the stronger ones last.
        variable = PIP_TO_UV.get(key.rpartition(".")[2])
        if variable is not None:
            settings[variable] = value.strip("'\"")
    return settings
