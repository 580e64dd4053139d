"""The search for a Python: its order, and candidates that fail, hang or are not what their name says."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

import pytest

from tests.bootstrap import fakes
from toolchain.bootstrap.interpreters import Interpreter, Search
from toolchain.bootstrap.process import EXIT_BAD_INPUT, SetupError


def search(tmp_path: Path, *folders: str, python: str = "", time_limit: float = 10.0) -> Search:
    """Return a search with these folders as PATH, and pyenv in `tmp_path/pyenv`."""
    path = os.pathsep.join(str(tmp_path / folder) for folder in folders)
    env = {"PATH": path, "PYENV_ROOT": str(tmp_path / "pyenv"), "PYTHON": python}
    return Search(env, running=str(tmp_path / "no-python"), time_limit=time_limit)


def place(found: Interpreter | None) -> tuple[str, str] | None:
    return None if found is None else (found.executable, found.source)


def in_pyenv(tmp_path: Path, version: str) -> str:
    return fakes.python(tmp_path / "pyenv" / "versions" / version / "bin" / "python", version)


def test_python_variable_wins_whatever_its_version(tmp_path: Path) -> None:
    fakes.python(tmp_path / "a" / "python3.10", "3.10.4")
    chosen = fakes.python(tmp_path / "b" / "snake", "3.12.1")
    assert place(search(tmp_path, "a", python=chosen).chosen()) == (chosen, "$PYTHON")
    assert place(search(tmp_path, "a", "b", python="snake").chosen()) == (chosen, "$PYTHON")
    assert search(tmp_path, "a").chosen() is None


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("3.9.2", "$PYTHON is {path}, Python 3.9.2, older than the 3.10 that delayline needs. "),
        ("2.7.18", "$PYTHON is {path}, Python 2.7.18, older than the 3.10 that delayline needs. "),
        (None, "$PYTHON is {path}, which does not run as a Python. "),
    ],
)
def test_python_variable_that_will_not_do_is_an_error(tmp_path: Path, version: str | None, said: str) -> None:
    path = tmp_path / "a" / "python"
    if version is None:
        fakes.script(path, "exit 127")
    else:
        fakes.python(path, version)
    with pytest.raises(SetupError) as error:
        search(tmp_path, python=str(path)).chosen()
    remedy = "Set PYTHON to a Python 3.10 or newer, or unset it to let set-up search."
    assert str(error.value) == said.format(path=path) + remedy
    assert error.value.exit_code == EXIT_BAD_INPUT


def test_path_comes_before_pyenv_and_its_newest_patch_before_others(tmp_path: Path) -> None:
    in_pyenv(tmp_path, "3.10.9")
    patched = in_pyenv(tmp_path, "3.10.13")
    in_pyenv(tmp_path, "3.12.1")
    assert place(search(tmp_path, "a").wanted()) == (patched, "pyenv")
    on_path = fakes.python(tmp_path / "a" / "python3.10", "3.10.4")
    assert place(search(tmp_path, "a").wanted()) == (on_path, "PATH")


def test_shim_that_fails_hides_no_python_behind_it(tmp_path: Path) -> None:
    fakes.script(tmp_path / "shims" / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    real = fakes.python(tmp_path / "bin" / "python3.10", "3.10.4")
    assert place(search(tmp_path, "shims", "bin").wanted()) == (real, "PATH")


def test_shim_that_runs_is_pyenvs(tmp_path: Path) -> None:
    real = in_pyenv(tmp_path, "3.10.13")
    (tmp_path / "shims").mkdir()
    (tmp_path / "shims" / "python3.10").symlink_to(real)
    assert place(search(tmp_path, "shims").wanted()) == (real, "pyenv")


def test_candidate_that_hangs_is_ended_and_passed_over(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    fakes.script(tmp_path / "a" / "python3.10", f"sleep 600 & echo $! > {shlex.quote(str(pid))}; wait")
    real = fakes.python(tmp_path / "b" / "python3.10", "3.10.4")
    assert place(search(tmp_path, "a", "b", time_limit=1.0).wanted()) == (real, "PATH")
    with pytest.raises(ProcessLookupError):
        # What it started is ended too, or would be found here.
        _wait_until_gone(int(pid.read_text()))


def _wait_until_gone(pid: int) -> None:
    """Raise ProcessLookupError once the process is gone; a zombie counts, its parent was killed too."""
    for _ in range(400):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            raise ProcessLookupError
        time.sleep(0.01)


@pytest.mark.parametrize(
    "other", [{"version": "3.12.1"}, {"version": "3.10.4", "implementation": "pypy"}, {"version": "nonsense"}]
)
def test_name_that_lies_is_not_believed(tmp_path: Path, other: dict[str, str]) -> None:
    fakes.python(tmp_path / "a" / "python3.10", **other)  # type: ignore[arg-type]
    assert search(tmp_path, "a").wanted() is None


@pytest.mark.parametrize(
    ("versions", "other_than", "newest"),
    [
        (["3.11.2", "3.13.0", "3.12.7"], None, "3.13.0"),
        (["3.12.1", "3.12.10", "3.12.9"], None, "3.12.10"),
        (["3.14.0", "3.11.2"], None, "3.11.2"),  # tested before untested
        (["3.15.0", "3.14.2"], None, "3.14.2"),  # and the nearest untested before farther ones
        (["3.9.18", "3.8.1"], None, None),
        (["3.10.13", "3.9.18"], (3, 10), None),
        (["3.13.0", "3.11.2"], (3, 13), "3.11.2"),
    ],
)
def test_newest(tmp_path: Path, versions: list[str], other_than: tuple[int, int] | None, newest: str | None) -> None:
    for version in versions:
        in_pyenv(tmp_path, version)
    found = search(tmp_path, "a").newest(other_than)
    assert (found and found.name) == (newest and f"Python {newest}")


def test_newest_leaves_out_what_wheels_are_not_built_for(tmp_path: Path) -> None:
    fakes.python(tmp_path / "a" / "python3.13", "3.13.1", flags="t")
    fakes.python(tmp_path / "b" / "python3.13", "3.13.0", level="candidate")
    fakes.python(tmp_path / "c" / "python3", "3.12.0", implementation="pypy")
    plain = fakes.python(tmp_path / "c" / "python3.11", "3.11.2")
    assert place(search(tmp_path, "a", "b", "c").newest()) == (plain, "PATH")


def test_running_interpreter_is_a_candidate(tmp_path: Path) -> None:
    running = fakes.python(tmp_path / "odd" / "interpreter", "3.12.1")
    found = Search({"PATH": "", "PYENV_ROOT": str(tmp_path / "pyenv")}, running=running).newest()
    assert place(found) == (running, "PATH")


def test_interpreter_of_an_environment_is_the_one_it_was_made_from(tmp_path: Path) -> None:
    real = fakes.python(tmp_path / "usr" / "python3.10", "3.10.4")
    text = Path(real).read_text()
    link = tmp_path / "venv" / "python3.10"
    link.parent.mkdir()
    link.symlink_to(real)
    Path(real).write_text(text.replace(real, str(link)))
    assert place(search(tmp_path, "venv").wanted()) == (real, "PATH")
