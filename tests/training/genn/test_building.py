"""Models are compiled once for each content, and what goes wrong is one line; GeNN's model is played by a stand-in."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.networks import random_network
from toolchain.errors import MissingDependencyError
from toolchain.training.backends.genn import build_process, program
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


@pytest.mark.parametrize("left", ["nothing", "half", "no library", "damaged library"])
def test_a_build_that_was_killed_is_begun_again(compiler: Compiler, tmp_path: Path, left: str) -> None:
    folder = model_folder(tmp_path, DESCRIPTION.digest(), CPU)
    if left in ("no library", "damaged library"):
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
        library = next(folder.glob("*_CODE/librunner.so"))
        library.unlink()
        if left == "damaged library":
            library.write_bytes(b"half")
    elif left == "half":
        for name in ("delayline_x_CODE", "unfinished-1/delayline_x_CODE"):
            (folder / name).mkdir(parents=True)
            (folder / name / "neuronUpdate.o").write_bytes(b"half")
    before = compiler.calls
    build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
    assert compiler.calls == before + 1
    assert not list(folder.rglob("neuronUpdate.o"))
    assert not list(folder.glob("unfinished-*"))


def test_what_is_compiled_is_of_this_program_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A working folder may hold another version of the package; GeNN fails, as it is absent or refuses the batch."""
    (tmp_path / "toolchain").mkdir()
    (tmp_path / "toolchain" / "__init__.py").write_text("raise SystemExit('of the working folder')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingDependencyError):
        build_and_load(Model(), DESCRIPTION, CPU, Path("cache"))
    log = model_folder(tmp_path / "cache", DESCRIPTION.digest(), CPU) / "build.log"
    assert "of the working folder" not in log.read_text()
    assert "toolchain/training/backends/genn/build_process.py" in log.read_text()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"x.cc:3: error: odd\n", r"for cpu \(x.cc:3: error: odd\); mend the compiler"),
        (b"", r"for cpu \(it said nothing\)"),
        (b"terminate called\nwhat(): optimizeBlockSize: NVCC failed\n", r"\(terminate called\)"),
        (b'  File "errors.py", line 1\nRuntimeError: Parse error\n', r"\(RuntimeError: Parse error\)"),
        (b"cuda runtime error 2: out of memory\n", r"on this machine \(cuda .*: out of memory\); .*smaller layers"),
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


GPU = Installation("5.4.0", "cuda", Gpu("A", 1))


@pytest.mark.parametrize(
    ("installation", "failure", "remedy"),
    [
        (
            GPU,
            RuntimeError("cudaMalloc: out of memory"),
            r"on A \(cudaMalloc: out of memory\); give a smaller training\.genn\.samples_at_once than",
        ),
        (CPU, MemoryError("std::bad_alloc"), r"on this machine \(std::bad_alloc\); use --backend cpu"),
    ],
)
def test_a_model_that_does_not_fit_is_known_when_it_is_loaded(
    compiler: Compiler, tmp_path: Path, installation: Installation, failure: Exception, remedy: str
) -> None:
    with pytest.raises(MissingDependencyError, match=f"out of memory {remedy}"):
        build_and_load(Model(failure), DESCRIPTION, installation, tmp_path)
    assert compiler.calls == 1
    build_and_load(Model(), DESCRIPTION, installation, tmp_path)
    assert compiler.calls == 1


def test_a_model_whose_arrays_do_not_fit_is_not_described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*of: Any) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(program, "to_pygenn", refuse)
    with pytest.raises(MissingDependencyError, match=r"out of memory on this machine \(Unable to allocate 9 GiB\)"):
        program.Program(DESCRIPTION, CPU, tmp_path)


def test_what_the_compiler_said_is_no_cause_of_what_cannot_be_loaded(compiler: Compiler, tmp_path: Path) -> None:
    compiler.said = b"g++ -Werror x.cc\nwarning: out of memory is tried again\n"
    with pytest.raises(MissingDependencyError, match=r"cannot be loaded \(driver too old\); delete .*, for it to be"):
        build_and_load(Model(RuntimeError("driver too old")), DESCRIPTION, CPU, tmp_path)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDependencyError, match=r"cannot write the cache of compiled models.*DELAYLINE_CACHE"):
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path / "file")


@pytest.mark.parametrize("said", [b"", b"x.o: No space left on device\n"])
def test_a_cache_without_room(compiler: Compiler, tmp_path: Path, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full its log is empty."""
    compiler.said, compiler.code = said, 1
    if not said:
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(MissingDependencyError, match=r"No space left on device; set DELAYLINE_CACHE .* and has room"):
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path)


def test_a_cache_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As file systems of clusters without a lock manager."""

    def refuse(file: Any, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(MissingDependencyError, match=r"No locks available; set DELAYLINE_CACHE to a folder that can"):
        build_and_load(Model(), DESCRIPTION, CPU, tmp_path)
