"""Make `.venv-peers` and `.venv-simulators`, the environments of the other frameworks, on demand.

There are two, as Brian 2 needs an older NumPy than the rest have. They are apart from the project's own: nothing here
may depend on PyTorch. pip installs them, not uv, since who has a CPU build of PyTorch at hand has usually told pip of
it; the one of PyPI for Linux carries CUDA and takes gigabytes, but runs on a CPU all the same.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.bootstrap.interpreters import Search
from toolchain.bootstrap.process import run

ROOT = Path(__file__).parents[3]
WANTED = (3, 11)
INSTALL_LIMIT_S = 1200.0


@dataclass(frozen=True)
class Environment:
    """An environment: its folder, the file with its packages, and what they are."""

    venv: str
    requirements: Path
    says: str


TRAINING = Environment(".venv-peers", Path(__file__).with_name("requirements.txt"), "PyTorch, DCLS, snnTorch")
SIMULATORS = Environment(".venv-simulators", Path(__file__).with_name("simulators.txt"), "Brian 2")


class PeersMissingError(Exception):
    """Why the other frameworks can't be run, in one line."""


def peers_python(root: Path = ROOT, env: Mapping[str, str] | None = None, environment: Environment = TRAINING) -> Path:
    """Return the interpreter of an environment, which is made if it is not there or out of date.

    Raises
    ------
    PeersMissingError
        If PEERS=0 asks to do without, there is no Python 3.11, or a package cannot be installed.
    """
    variables = dict(os.environ if env is None else env)
    if variables.get("PEERS", "1") == "0":
        raise PeersMissingError("PEERS=0 asks to leave other frameworks out")
    venv = root / environment.venv
    python, made_from = venv / "bin" / "python", venv / "requirements.txt"
    wanted = environment.requirements.read_text(encoding="utf-8")
    if python.exists() and made_from.is_file() and made_from.read_text(encoding="utf-8") == wanted:
        return python
    search = Search(variables)
    base = next((found for found in search.every() if found.plain and found.minor == WANTED), None)
    if base is None:
        version = ".".join(map(str, WANTED))
        raise PeersMissingError(
            f"no Python {version} was found to make {environment.venv} with; install one (pyenv install {version})"
        )
    print(f"making {environment.venv} with {base.name}: {environment.says}", file=sys.stderr, flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1")
    for what, argv in (
        (f"making {environment.venv}", [base.executable, "-m", "venv", str(venv)]),
        (f"installing into {environment.venv}", [str(python), *pip, "--requirement", str(environment.requirements)]),
    ):
        result = run(argv, timeout=INSTALL_LIMIT_S, env=variables)
        if not result.ok:
            raise PeersMissingError(f"{what} failed: {result.reason()}")
    made_from.write_text(wanted, encoding="utf-8")
    return python
