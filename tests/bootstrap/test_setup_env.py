"""The set-up: what it says and does, when it does nothing, and what an interrupted one leaves behind."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bootstrap import fakes
from toolchain.bootstrap.environment import set_up, set_up_second
from toolchain.bootstrap.interpreters import Search
from toolchain.bootstrap.process import EXIT_BAD_INPUT, EXIT_MISSING, SetupError
from toolchain.bootstrap.setup_env import main
from toolchain.bootstrap.stamp import NAME, read_stamp
from toolchain.bootstrap.uv_tool import get_uv, pinned

ROOT = Path(__file__).resolve().parents[2]


class Checkout(NamedTuple):
    """A checkout with a fake uv on PATH, where `pyenv` holds the interpreters."""

    root: Path
    bin: Path
    pyenv: Path
    uv: fakes.FakeUv

    def env(self, python: str = "") -> dict[str, str]:
        return {"PATH": str(self.bin), "PYENV_ROOT": str(self.pyenv), "PYTHON": python}

    def add_python(self, version: str) -> str:
        return fakes.python(self.pyenv / "versions" / version / "bin" / "python", version)

    def search(self, env: Mapping[str, str]) -> Search:
        return Search(env, running=str(self.root / "no-python"))

    def set_up(self, python: str = "") -> list[str]:
        """Run a set-up; return its lines without the seconds, which vary."""
        env = self.env(python)
        return [_without_seconds(line) for line in set_up(self.root, env, self.search(env))]

    def set_up_second(self) -> list[str]:
        env = self.env()
        return [_without_seconds(line) for line in set_up_second(self.root, env, self.search(env))]

    @property
    def stamp(self) -> Path:
        return self.root / ".venv" / NAME

    @property
    def constraints(self) -> Path:
        return self.root / "toolchain" / "bootstrap" / "constraints.txt"


def _without_seconds(line: str) -> str:
    head, found, tail = line.partition(" in ")
    return f"{head} in _{tail[tail.index(' s') :]}" if found and " s" in tail else line


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, folder = tmp_path / "a checkout", tmp_path / "bin"
    (root / "toolchain" / "bootstrap").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    made = Checkout(root, folder, tmp_path / "pyenv", fakes.FakeUv(folder, root))
    made.constraints.write_text(fakes.CONSTRAINTS, encoding="utf-8")
    return made


def test_first_set_up_makes_all_and_says_so_in_one_line(checkout: Checkout) -> None:
    python = checkout.add_python("3.10.13")
    assert checkout.set_up() == [
        "Python 3.10.13 (pyenv), 1 packages into .venv in _ s, lava-nc 0.10.0",
    ]
    venv = checkout.root / ".venv"
    assert checkout.uv.calls("venv") == [f"venv --quiet --no-project --prompt delayline --python {python} {venv}"]
    packages, ourselves = checkout.uv.calls("pip install")
    assert "--require-hashes --no-build --constraints" in packages
    assert packages.endswith("--extra dev --extra distances --extra lava --extra onnx --extra speech --extra spinnaker")
    assert "--no-deps --build-constraints" in ourselves
    assert ourselves.endswith(f"--editable {checkout.root}")


def test_second_set_up_runs_nothing(checkout: Checkout) -> None:
    checkout.add_python("3.10.13")
    checkout.set_up()
    checkout.uv.forget()
    assert checkout.set_up() == [".venv is up to date (Python 3.10.13, lava-nc 0.10.0)"]
    assert checkout.uv.calls() == []


def test_changed_pins_are_installed_into_the_environment_there_is(checkout: Checkout) -> None:
    checkout.add_python("3.10.13")
    checkout.set_up()
    checkout.uv.forget()
    with checkout.constraints.open("a", encoding="utf-8") as file:
        file.write("rich==15.0.0 \\\n    --hash=sha256:44\n")
    checkout.set_up()
    assert checkout.uv.calls("venv") == []
    assert len(checkout.uv.calls("pip install")) == 2


def test_new_package_of_ours_is_made_importable(checkout: Checkout) -> None:
    checkout.add_python("3.10.13")
    checkout.set_up()
    checkout.uv.forget()
    (checkout.root / "models").mkdir()
    checkout.set_up()
    assert any("--editable" in call for call in checkout.uv.calls("pip install"))


@pytest.mark.parametrize("lost", ["python of .venv", "stamp", "interpreter upgraded", "garbled stamp"])
def test_environment_not_to_be_trusted_is_made_anew(checkout: Checkout, lost: str) -> None:
    python = Path(checkout.add_python("3.10.13"))
    checkout.set_up()
    checkout.uv.forget()
    stale = checkout.root / ".venv" / "stale"
    stale.touch()
    if lost == "python of .venv":
        (checkout.root / ".venv" / "bin" / "python").unlink()
    elif lost == "stamp":
        checkout.stamp.unlink()
    elif lost == "garbled stamp":
        checkout.stamp.write_text('{"inputs": ', encoding="utf-8")
    else:
        python.write_text(python.read_text().replace("3.10.13|", "3.10.14|") + "\n")
    checkout.set_up()
    assert len(checkout.uv.calls("venv")) == 1
    assert not stale.exists()


def test_failed_install_leaves_no_stamp_and_the_next_set_up_repairs_it(checkout: Checkout) -> None:
    checkout.add_python("3.10.13")
    hash_error = "error: Failed to download `rich==15.0.0`\n  cause: Hash mismatch for `rich==15.0.0`\n\n Computed:"
    checkout.uv.write(pip_install=f"echo {shlex.quote(hash_error)} >&2; exit 1")
    with pytest.raises(SetupError) as error:
        checkout.set_up()
    assert str(error.value) == (
        "installing packages into .venv failed: Failed to download `rich==15.0.0`; "
        "Hash mismatch for `rich==15.0.0`. Mend that, then run the command again."
    )
    assert not checkout.stamp.exists()
    checkout.uv.write()
    checkout.uv.forget()
    checkout.set_up()
    assert len(checkout.uv.calls("venv")) == 1
    assert checkout.stamp.exists()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_set_up_leaves_no_stamp_and_the_next_one_repairs_it(checkout: Checkout, signum: signal.Signals) -> None:
    checkout.add_python("3.10.13")
    started, pid = checkout.bin / "started", checkout.bin / "pid"
    checkout.uv.write(
        pip_install=f"echo $$ > {shlex.quote(str(pid))}; touch {shlex.quote(str(started))}; exec sleep 600"
    )
    call = "import sys; from toolchain.bootstrap import setup_env as s; from pathlib import Path; " + (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "signal.signal(signal.SIGTERM, s._stop); sys.exit(s.main([], Path(sys.argv[1])))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", call, str(checkout.root)],
        env={**checkout.env(), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    ) as process:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signum)
        assert process.wait() != 0
    assert not checkout.stamp.exists()
    if signum == signal.SIGKILL:
        # Its uv outlives it, and keeps the lock until it ends.
        os.kill(int(pid.read_text()), signal.SIGKILL)
    checkout.uv.write()
    checkout.set_up()
    assert checkout.stamp.exists()


def test_without_3_10_the_newest_python_is_used_and_uv_asked_once(checkout: Checkout) -> None:
    checkout.add_python("3.11.2")
    checkout.add_python("3.13.0")
    assert checkout.set_up() == [
        "Python 3.13.0 (pyenv) as no 3.10 was found, 1 packages into .venv in _ s, "
        "lava-nc 0.10.0 through the import shim"
    ]
    assert len(checkout.uv.calls("python install")) == 1
    checkout.set_up()
    with (checkout.root / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    checkout.set_up()
    assert len(checkout.uv.calls("python install")) == 1


def test_python_3_10_that_uv_can_install_comes_before_newer_ones(checkout: Checkout) -> None:
    checkout.add_python("3.13.0")
    fetched = fakes.python(checkout.bin / "fetched" / "python3.10", "3.10.22")
    managed = shlex.quote(str(checkout.bin / "managed"))
    checkout.uv.write(python_install=f"echo {shlex.quote(fetched)} > {managed}")
    assert checkout.set_up() == ["Python 3.10.22 (uv), 1 packages into .venv in _ s, lava-nc 0.10.0"]


def test_lava_on_newer_python_is_checked_against_its_hashes(checkout: Checkout) -> None:
    checkout.add_python("3.12.1")
    checkout.set_up()
    lava = checkout.uv.calls("pip install")[-1]
    assert "--no-deps --require-hashes --no-build --python-version 3.10 --requirements" in lava
    listed = Path(lava.partition("--requirements ")[2]).read_text(encoding="utf-8")
    assert listed == "lava-nc==0.10.0 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n"


def test_lava_that_cannot_be_installed_is_reported_and_not_fatal(checkout: Checkout) -> None:
    checkout.add_python("3.13.0")
    checkout.uv.write(pip_install='case "$*" in *lava-nc.txt) echo "error: no such wheel" >&2; exit 1 ;; esac')
    assert checkout.set_up() == [
        "lava-nc 0.10.0 is absent (no such wheel); Lava checks are skipped. "
        "Install Python 3.10 (pyenv install 3.10), then: make clean setup",
        "Python 3.13.0 (pyenv) as no 3.10 was found, 1 packages into .venv in _ s, lava-nc absent",
    ]
    assert checkout.set_up() == [".venv is up to date (Python 3.13.0, lava-nc absent)"]


def test_python_variable_changes_the_environment_and_unset_keeps_it(checkout: Checkout) -> None:
    checkout.add_python("3.10.13")
    chosen = checkout.add_python("3.12.1")
    checkout.set_up()
    said = "Python 3.12.1 ($PYTHON), 1 packages into .venv in _ s, lava-nc 0.10.0 through the import shim"
    assert checkout.set_up(chosen) == [said]
    current = [".venv is up to date (Python 3.12.1, lava-nc 0.10.0 through the import shim)"]
    assert checkout.set_up(chosen) == current
    assert checkout.set_up() == current
    checkout.constraints.touch()
    assert checkout.set_up() == current


def test_no_python_that_will_do_is_an_error_with_a_remedy(checkout: Checkout) -> None:
    checkout.add_python("3.9.18")
    with pytest.raises(SetupError) as error:
        checkout.set_up()
    assert str(error.value) == (
        "newest Python found is 3.9.18, older than the 3.10 that delayline needs. "
        "Install Python 3.10 (pyenv install 3.10), or set PYTHON to one."
    )
    assert error.value.exit_code == EXIT_MISSING


def test_second_environment_has_the_newest_other_python(checkout: Checkout) -> None:
    checkout.add_python("3.10.13")
    checkout.set_up()
    alone = "the core tests ran on Python 3.10.13 alone, as no other Python 3.10 to 3.13 was found"
    assert checkout.set_up_second() == [alone]
    checkout.add_python("3.14.1")
    assert checkout.set_up_second() == [alone]
    checkout.add_python("3.12.1")
    assert checkout.set_up_second() == ["Python 3.12.1 (pyenv), 0 packages into .venv-newest in _ s"]
    assert checkout.set_up_second() == [".venv-newest is up to date (Python 3.12.1)"]
    stamp = read_stamp(checkout.root / ".venv")
    assert stamp is not None
    assert stamp.python.minor == (3, 10)


@pytest.mark.parametrize(("version", "used"), [("0.13.9", True), ("0.9.0", True), ("0.8.17", False)])
def test_uv_on_path_is_used_if_new_enough(checkout: Checkout, version: str, used: bool) -> None:
    checkout.uv.write(version=version)
    checkout.add_python("3.11.2")
    env = checkout.env()
    _offer_uv(checkout, "3.11.2")
    uv = get_uv(checkout.root, env, checkout.search(env), fakes.CONSTRAINTS)
    private = checkout.root / ".venv-tools" / "bin" / "uv"
    assert uv.executable == str(checkout.bin / "uv" if used else private)


@pytest.mark.parametrize("venv", [True, False])
def test_private_uv_is_pinned_and_made_without_venv_too(checkout: Checkout, venv: bool) -> None:
    (checkout.bin / "uv").unlink()
    python = checkout.pyenv / "versions" / "3.11.2" / "bin" / "python"
    fakes.python(python, "3.11.2", venv=venv)
    _offer_uv(checkout, "3.11.2")
    env = checkout.env()
    uv = get_uv(checkout.root, env, checkout.search(env), fakes.CONSTRAINTS)
    tools = checkout.root / ".venv-tools"
    assert uv.executable == str(tools / "bin" / "uv")
    assert (tools / "uv.txt").read_text(encoding="utf-8") == "uv==0.13.9 \\\n    --hash=sha256:33\n"


def _offer_uv(checkout: Checkout, version: str) -> None:
    """Let the fake pip of this interpreter, and of a venv made with it, install the pinned uv."""
    fakes.script(checkout.pyenv / "versions" / version / "bin" / "new-uv", "echo 'uv 0.13.9 (some build)'")


def test_no_way_to_get_uv_is_an_error_with_a_remedy(checkout: Checkout) -> None:
    (checkout.bin / "uv").unlink()
    fakes.python(checkout.pyenv / "versions/3.11.2/bin/python", "3.11.2", venv=False, pip=False)
    with pytest.raises(SetupError) as error:
        checkout.set_up()
    assert str(error.value) == (
        "uv is missing, and none of these can make a venv or run pip: Python 3.11.2. "
        "Install uv, or venv for one of them (Debian: apt-get install python3-venv)."
    )


def test_pin_that_is_not_there_is_an_error_with_a_remedy() -> None:
    with pytest.raises(SetupError, match=r"^constraints.txt pins no lava with hashes\. Run: git checkout "):
        pinned(fakes.CONSTRAINTS, "lava")


def test_command_prints_one_line_and_its_exit_status_says_what_went_wrong(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.add_python("3.10.13")
    assert main([], checkout.root, checkout.env()) == 0
    assert capsys.readouterr().out.startswith("set-up: Python 3.10.13 (pyenv), 1 packages into .venv in ")
    assert main([], checkout.root, checkout.env("/no/python")) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.startswith("set-up: $PYTHON is /no/python, which does not run")
    assert main(["--print-uv"], checkout.root, checkout.env()) == 0
    assert capsys.readouterr().out == f"{checkout.bin / 'uv'}\n"
    assert main(["--typo"], checkout.root, checkout.env()) == EXIT_BAD_INPUT
    checkout.constraints.unlink()
    assert main([], checkout.root, checkout.env()) == EXIT_MISSING
    assert str(checkout.constraints) in capsys.readouterr().err


def test_script_runs_without_our_dependencies(tmp_path: Path) -> None:
    """An interpreter without site-packages runs it, and never `toolchain/__init__.py`."""
    shutil.copytree(ROOT / "toolchain" / "bootstrap", tmp_path / "toolchain" / "bootstrap")
    (tmp_path / "toolchain" / "__init__.py").write_text("import numpy\n", encoding="utf-8")
    setup_env = tmp_path / "toolchain" / "bootstrap" / "setup_env.py"
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(setup_env), "--typo"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (
        EXIT_BAD_INPUT,
        "usage: setup_env.py [--newest | --print-uv]\n",
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_starts_with_the_first_python_that_runs(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    fakes.script(tmp_path / "bin" / "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    fakes.script(tmp_path / "bin" / "python", 'case "$1" in -c) ;; *) echo "ran $*" ;; esac')
    make = shutil.which("make")
    assert make is not None
    result = subprocess.run(
        [make, "setup"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "ran toolchain/bootstrap/setup_env.py\n")
