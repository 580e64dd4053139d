"""Make the project's environment: `python3 toolchain/bootstrap/setup_env.py`, which `make setup` runs.

Needs the standard library alone and runs on Python 3.8 and newer. Says in one line what it did.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType, ModuleType
from typing import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
USAGE = "usage: setup_env.py [--newest | --print-uv]"


def main(arguments: Sequence[str], root: Path = ROOT, env: Mapping[str, str] | None = None) -> int:
    """Do the set-up and return the exit status.

    Parameters
    ----------
    arguments : nothing for `.venv`; `--newest` for `.venv-newest`; `--print-uv` for uv's path alone
    root : the checkout
    env : the environment variables; this process's own if None

    Returns
    -------
    0 done, 2 bad input, 4 a dependency is missing.
    """
    _let_import_toolchain()
    from toolchain.bootstrap import environment
    from toolchain.bootstrap.interpreters import Search
    from toolchain.bootstrap.process import EXIT_BAD_INPUT, EXIT_MISSING, SetupError

    variables = dict(os.environ if env is None else env)
    try:
        if not arguments:
            lines = environment.set_up(root, variables, Search(variables))
        elif list(arguments) == ["--newest"]:
            lines = environment.set_up_second(root, variables, Search(variables))
        elif list(arguments) == ["--print-uv"]:
            print(environment.get_uv_path(root, variables, Search(variables)))
            return 0
        else:
            print(USAGE, file=sys.stderr)
            return EXIT_BAD_INPUT
    except SetupError as error:
        print(f"{environment.PREFIX}{error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A full disk, a folder that can't be written: the system's own words name the object.
        print(f"{environment.PREFIX}{error}. Mend that, then run the command again.", file=sys.stderr)
        return EXIT_MISSING
    for line in lines:
        print(f"{environment.PREFIX}{line}")
    return 0


def _let_import_toolchain() -> None:
    """Let `toolchain.bootstrap` be imported without running `toolchain/__init__.py`.

    Run as a script by a Python that has none of our dependencies, and may be older than 3.10, this needs
    the package's name and place but nothing of what it imports.
    """
    if "toolchain" not in sys.modules:
        package = ModuleType("toolchain")
        package.__path__ = [str(ROOT / "toolchain")]
        sys.modules["toolchain"] = package


def _stop(signum: int, frame: FrameType | None) -> None:
    # As an exception, it passes through the code that ends the running command.
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
