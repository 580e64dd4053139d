"""`make demo` on its smallest task: what it says with the vendor's code, without it, and when something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from toolchain.cli import demo


@pytest.fixture(autouse=True)
def smallest_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "RECIPES", ("sequence",))


@pytest.mark.lava
def test_ends_with_a_pass_and_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("verdict: pass")
    assert "equals lava on 8 samples" in lines[1]
    assert Path(lines[2].strip()).is_file()


def test_does_not_fail_for_want_of_lava_and_claims_no_pass(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("DELAYLINE_LAVA_PYTHON", str(python))
    assert demo.main() == 0
    streams = capsys.readouterr()
    assert streams.out.strip().startswith("verdict: no pass, for the vendor's code is missing here")
    assert "pip install lava-nc==0.10.0" in streams.err


def test_one_failure_is_a_failure() -> None:
    def outcome(verdict: str, missing: bool) -> demo.Outcome:
        return demo.Outcome("x", verdict, "", Path("x"), missing)

    assert demo.headline([outcome("pass", False), outcome("fail", False)]) == "verdict: fail"
    assert demo.headline([outcome("fail", True), outcome("fail", False)]) == "verdict: fail"
    assert demo.headline([outcome("pass", False)] * 2) == "verdict: pass"
