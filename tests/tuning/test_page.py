"""What docs/in_the_loop.md shows does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.runner import run_cli
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "in_the_loop.md"


@pytest.mark.slow
def test_commands_of_the_page_run_from_top_to_bottom(tmp_path: Path) -> None:
    (code,) = blocks(PAGE, "sh")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-euc", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "device after" in done.stdout
    assert (tmp_path / "runs/digits_tuned-1/loihi2/report.json").is_file()


def test_device_of_the_page_can_be_tuned_on(
    bundles: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (code,) = blocks(PAGE, "python")
    (tmp_path / "desk.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    words = ("tune", str(bundles["loihi2"]), "--on", "desk:chip", "--epochs", "1", "--samples", "64")
    limits = ("--valid-samples", "20", "--test-samples", "20", "--no-vendor", "--runs", str(tmp_path))
    done = run_cli(capsys, monkeypatch, *words, *limits)
    assert done.code == 0, done.err
    assert "tuned on desk" in done.out


def test_settings_of_the_mismatch_are_on_the_page() -> None:
    from dataclasses import fields

    from toolchain.devices.mismatch import Mismatch

    for setting in fields(Mismatch):
        assert f"| `{setting.name}=" in PAGE.read_text(encoding="utf-8"), setting.name
