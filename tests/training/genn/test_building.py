"""Models are compiled once for each content, and what goes wrong is one line; GeNN's model is played by a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import random_network
from toolchain.errors import MissingDependencyError
from toolchain.training.backends.genn import build_process
from toolchain.training.backends.genn.building import build_and_load, model_folder
from toolchain.training.backends.genn.describe import describe
from toolchain.training.backends.genn.gpu import Gpu
from toolchain.training.backends.genn.installation import Installation

CPU = Installation("5.4.0", "cpu", None, {"optimize_code": True})


NETWORK = random_network("recurrent_masked", np.random.default_rng(0))
DESCRIPTION = describe(
    NETWORK, 50, max_slot=9, min_slope=0.05, learn_tau=["a"], batch=2, slots=3, room=8, adam_betas=(0.9, 0.99)
)


class Model:
    """Loads, or fails; says something as GeNN does."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def build(self, path: str, never_rebuild: bool) -> None:
        assert never_rebuild
        assert list(Path(path).glob("*_CODE/librunner.so"))
        os.write(1, b"reading\n")

    def load(self) -> None:
        if self.failure is not None:
            raise self.failure


class Compiler:
    """Stands in for the process that compiles: prints, and leaves a library or fails."""

    def __init__(self) -> None:
        self.calls, self.said, self.code = 0, b"compiling\n", 0

    def __call__(self, command: list[str], *, stdout: Any, **options: Any) -> Any:
        assert command[:3] == [sys.executable, "-m", "toolchain.training.backends.genn.build_process"]
        folder = Path(command[3])
        build_process.read(folder)
        self.calls += 1
        stdout.write(self.said)
        if self.code == 0:
            (folder / "delayline_x_CODE").mkdir()
            (folder / "delayline_x_CODE" / "librunner.so").write_bytes(b"")
        return subprocess.CompletedProcess(command, self.code)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr("subprocess.run", made)
    return made


def test_a_model_is_compiled_once(compiler: Compiler, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
    assert compiler.calls == 1
    assert capfd.readouterr() == ("", "")


def test_the_process_gets_what_the_code_depends_on(tmp_path: Path) -> None:
    build_process.write(tmp_path, DESCRIPTION, CPU)
    description, installation = build_process.read(tmp_path)
    assert description.digest() == DESCRIPTION.digest()
    assert [p.model for p in description.populations] == [p.model for p in DESCRIPTION.populations]
    assert [p.update for p in description.projections] == [p.update for p in DESCRIPTION.projections]
    assert [p.row_length for p in description.projections] == [p.row_length for p in DESCRIPTION.projections]
    assert (installation.generator, installation.options) == (CPU.generator, CPU.options)


def test_content_is_what_the_code_depends_on(tmp_path: Path) -> None:
    others = [
        Installation("5.4.1", "cpu", None, {"optimize_code": True}),
        Installation("5.4.0", "cpu", None, {}),
        Installation("5.4.0", "cuda", Gpu("A", 1)),
        Installation("5.4.0", "cuda", Gpu("B", 1)),
    ]
    folders = {model_folder(tmp_path, "abc", found) for found in (CPU, *others)} | {model_folder(tmp_path, "abd", CPU)}
    assert len(folders) == 6


@pytest.mark.parametrize("left", ["nothing", "half", "no library"])
def test_a_build_that_was_killed_is_begun_again(compiler: Compiler, tmp_path: Path, left: str) -> None:
    folder = model_folder(tmp_path, DESCRIPTION.digest(), CPU)
    if left == "no library":
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
        next(folder.glob("*_CODE/librunner.so")).unlink()
    elif left == "half":
        (folder / "delayline_x_CODE").mkdir(parents=True)
        (folder / "delayline_x_CODE" / "neuronUpdate.o").write_bytes(b"half")
    before = compiler.calls
    build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
    assert compiler.calls == before + 1
    assert not list(folder.glob("*_CODE/neuronUpdate.o"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"x.cc:3: error: odd\n", r"for cpu \(x.cc:3: error: odd\); mend the compiler"),
        (b"", r"for cpu \(it said nothing\)"),
        (b"terminate called\nwhat(): optimizeBlockSize: NVCC failed\n", r"\(terminate called\)"),
        (b'  File "errors.py", line 1\nRuntimeError: Parse error\n', r"\(RuntimeError: Parse error\)"),
        (b"cuda runtime error 2: out of memory\n", r"out of memory on one core .* smaller"),
    ],
)
def test_failures_are_one_line_with_the_log_beside_it(
    compiler: Compiler, tmp_path: Path, said: bytes, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    compiler.said, compiler.code = said, -6
    with pytest.raises(MissingDependencyError, match=expected) as caught:
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
    log = model_folder(tmp_path, DESCRIPTION.digest(), CPU) / "build.log"
    assert "\n" not in str(caught.value)
    assert str(log) in str(caught.value)
    assert log.read_bytes() == said
    assert capfd.readouterr() == ("", "")
    compiler.code = 0
    build_and_load(Model(), DESCRIPTION, CPU, tmp_path)  # and once it is mended


@pytest.mark.parametrize("failure", [RuntimeError("cudaMalloc: out of memory"), MemoryError("out of memory")])
def test_a_model_that_does_not_fit_is_known_when_it_is_loaded(
    compiler: Compiler, tmp_path: Path, failure: Exception
) -> None:
    with pytest.raises(MissingDependencyError, match=r"out of memory .* a smaller training\.genn\.samples_at_once"):
        build_and_load(Model(failure), DESCRIPTION, CPU, tmp_path)
    assert compiler.calls == 1
    build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
    assert compiler.calls == 1


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDependencyError, match=r"cannot write the cache of compiled models.*DELAYLINE_CACHE"):
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path / "file")
