"""The Python that has a vendor's package, ours or another, and running an exported script with it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hardware_targets.vendor_process import Ended, run_session, version_in
from toolchain.errors import BundleError, InputError, MissingDependencyError, UnansweredError

SCRIPT_NAME = "network.py"
MISSING = 4
"""Exit code of an exported script that cannot import the vendor's package."""


@dataclass(frozen=True)
class VendorPython:
    """Where a vendor's package is looked for.

    Attributes
    ----------
    vendor : for messages
    package : its name as pip has it
    variable : environment variable that names the interpreter; without it the one that runs this
    remedy : what to do where the package is missing
    when_slow : what to do where a run passes its limit
    """

    vendor: str
    package: str
    variable: str
    remedy: str
    when_slow: str

    def interpreter(self, python: str | None = None) -> str:
        """The interpreter that was asked for, that of the variable, or ours."""
        return python or os.environ.get(self.variable) or sys.executable

    def version(self) -> str | None:
        """Version of the package where it would run, or None; imports nothing of it."""
        return self._find_version()[0]

    def status(self) -> str:
        """One line for `doctor`: the version and the interpreter, or what is missing and the remedy."""
        version, problem = self._find_version()
        return f"{self.package} {version} in {self.interpreter()}" if version else problem

    def run(
        self,
        folder: Path,
        arguments: list[str],
        scratch: Path,
        timeout_s: float,
        *,
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run the script of an exported folder to its end.

        Parameters
        ----------
        folder : that has the script
        scratch : folder in which it runs
        timeout_s : limit on the wall time, seconds
        python : interpreter; None is that of the variable, or ours
        environment : that of the process; ours if left out

        Returns
        -------
        how it ended, with an exit code

        Raises
        ------
        BundleError
            If the folder has no script.
        InputError
            If `timeout_s` is out of range.
        MissingDependencyError
            If the interpreter does not start.
        UnansweredError
            If the run passes its limit.
        """
        script = folder.resolve() / SCRIPT_NAME
        if not script.is_file():
            raise BundleError(f"bundle {folder}: {SCRIPT_NAME} is missing; deploy again")
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise InputError(f"{self.vendor}: --vendor-timeout {timeout_s} must be finite and above 0 s")
        python = self.interpreter(python)
        try:
            ended = run_session([python, str(script), *arguments], scratch, timeout_s, environment=environment)
        except OSError as error:
            raise MissingDependencyError(
                f"{self.vendor}: interpreter {python} does not start ({error.strerror}); {self.remedy}"
            ) from error
        if ended.code is None:
            raise UnansweredError(
                f"{self.vendor}: no result after the limit of {timeout_s:g} s"
                f"{f' (last: {ended.last})' if ended.last else ''}; {self.when_slow}"
            )
        return ended

    def _find_version(self) -> tuple[str | None, str]:
        """Version of the package, or None and why not."""
        python = self.interpreter()
        try:
            version = version_in(python, self.package)
        except (OSError, subprocess.TimeoutExpired) as error:
            name = type(error).__name__
            return None, f"{self.variable}={python} does not run ({name}); name a Python interpreter"
        return (version, "") if version else (None, f"{self.package} is not installed in {python}; {self.remedy}")
