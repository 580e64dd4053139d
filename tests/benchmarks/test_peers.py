"""The environment of the other frameworks: when it is made, and the line that says why it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.benchmarks.peers.environment import ROOT, SIMULATORS, TRAINING, Environment, PeersMissingError, peers_python
from tests.bootstrap import fakes


def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "PYENV_ROOT": str(tmp_path / "pyenv"), "HOME": str(tmp_path)}


def pyenv(tmp_path: Path, version: str) -> Path:
    return tmp_path / "pyenv" / "versions" / version / "bin" / "python"


def test_peers_0_leaves_them_out(tmp_path: Path) -> None:
    with pytest.raises(PeersMissingError, match=r"^PEERS=0 asks to leave other frameworks out$"):
        peers_python(tmp_path, {"PEERS": "0"})
    assert not list(tmp_path.iterdir())


def test_without_python_3_11_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.peers.environment.WANTED", (3, 7))
    with pytest.raises(PeersMissingError, match=r"no Python 3\.7 was found .* install one \(pyenv install 3\.7\)"):
        peers_python(tmp_path, environment(tmp_path))


def test_it_is_made_once_and_again_when_the_requirements_change(tmp_path: Path) -> None:
    fakes.python(pyenv(tmp_path, "3.11.7"), "3.11.7")
    (pyenv(tmp_path, "3.11.7").parent / "new-uv").touch()  # what the fake's pip installs, whatever it is asked for
    made = peers_python(tmp_path, environment(tmp_path))
    assert made == tmp_path / ".venv-peers" / "bin" / "python"
    mark = made.parent / "mark"
    mark.touch()
    assert peers_python(tmp_path, environment(tmp_path)) == made
    assert mark.exists(), "up to date, so left as it was"
    (tmp_path / ".venv-peers" / "requirements.txt").write_text("torch==1.0\n")
    peers_python(tmp_path, environment(tmp_path))
    assert not mark.exists()


def test_a_package_that_cannot_be_had_is_one_line_and_the_next_run_tries_again(tmp_path: Path) -> None:
    fakes.python(pyenv(tmp_path, "3.11.7"), "3.11.7", pip=False)
    for _ in range(2):
        with pytest.raises(PeersMissingError, match=r"^installing into \.venv-peers failed: [^\n]+$"):
            peers_python(tmp_path, environment(tmp_path))


@pytest.mark.parametrize("environment", [TRAINING, SIMULATORS], ids=lambda e: e.venv)
def test_versions_are_pinned_and_the_project_depends_on_none_of_them(environment: Environment) -> None:
    lines = [line for line in environment.requirements.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9]+==[0-9.]+", line) for line in lines), lines
    names = {line.partition("==")[0] for line in lines} - {"numpy"}
    for path in ("pyproject.toml", "toolchain/bootstrap/constraints.in", "toolchain/bootstrap/constraints.txt"):
        text = (ROOT / path).read_text()
        assert not [name for name in names if re.search(rf'^["\s]*{name}[=><\s"]', text, re.MULTILINE)], path


def test_each_environment_has_a_folder_of_its_own(tmp_path: Path) -> None:
    fakes.python(pyenv(tmp_path, "3.11.7"), "3.11.7")
    (pyenv(tmp_path, "3.11.7").parent / "new-uv").touch()
    made = {peers_python(tmp_path, environment(tmp_path), which) for which in (TRAINING, SIMULATORS)}
    assert made == {tmp_path / folder / "bin" / "python" for folder in (".venv-peers", ".venv-simulators")}
