"""Models are compiled once for each content, and what goes wrong is one line; GeNN's model is played by a stand-in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from toolchain.errors import MissingDependencyError
from toolchain.training.backends.genn.building import build_and_load, model_folder
from toolchain.training.backends.genn.gpu import Gpu
from toolchain.training.backends.genn.installation import Installation

CPU = Installation("5.4.0", "cpu", None, {"optimize_code": True})


class Model:
    """Builds by writing a library; says something to both streams, and fails if it is told to."""

    def __init__(self, failure: Exception | None = None, said: str = "") -> None:
        self.failure, self.said, self.never_rebuild = failure, said, False

    def build(self, path: str, never_rebuild: bool) -> None:
        self.never_rebuild = never_rebuild
        os.write(1, b"compiling\n")
        subprocess.run(["sh", "-c", 'echo "$SAID" >&2'], check=True, env={**os.environ, "SAID": self.said})
        if self.failure is not None:
            raise self.failure
        code = Path(path, "delayline_x_CODE")
        code.mkdir(exist_ok=True)
        (code / "librunner.so").write_bytes(b"")

    def load(self) -> None:
        pass


def test_a_model_is_compiled_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = model_folder(tmp_path, "abc", CPU)
    first, second = Model(), Model()
    for model in (first, second):
        build_and_load(model, folder, CPU)
    assert (first.never_rebuild, second.never_rebuild) == (False, True)
    assert capfd.readouterr() == ("", "")


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
def test_a_build_that_was_killed_is_begun_again(tmp_path: Path, left: str) -> None:
    folder = model_folder(tmp_path, "abc", CPU)
    if left == "no library":
        build_and_load(Model(), folder, CPU)
        next(folder.glob("*_CODE/librunner.so")).unlink()
    elif left == "half":
        (folder / "delayline_x_CODE").mkdir(parents=True)
        (folder / "delayline_x_CODE" / "neuronUpdate.o").write_bytes(b"half")
    model = Model()
    build_and_load(model, folder, CPU)
    assert not model.never_rebuild
    assert not list(folder.glob("*_CODE/neuronUpdate.o"))


@pytest.mark.parametrize(
    ("failure", "said", "expected"),
    [
        (
            RuntimeError(),
            "x.cc:3: error: no such thing",
            r"for cpu \(x.cc:3: error: no such thing\); mend the compiler",
        ),
        (subprocess.CalledProcessError(2, ["make"]), "", r"\(compiling\)|returned non-zero exit status 2"),
        (
            RuntimeError("cuda runtime error 2: out of memory"),
            "",
            r"out of memory on one core .* smaller",
        ),
        (MemoryError(), "", "out of memory"),
    ],
)
def test_failures_are_one_line_with_the_log_beside_it(
    tmp_path: Path, failure: Exception, said: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = model_folder(tmp_path, "abc", CPU)
    with pytest.raises(MissingDependencyError, match=expected) as caught:
        build_and_load(Model(failure, said), folder, CPU)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / "build.log") in message
    assert "compiling" in (folder / "build.log").read_text()
    assert capfd.readouterr() == ("", "")
    build_and_load(Model(), folder, CPU)  # and once it is mended


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDependencyError, match=r"cannot write the cache of compiled models.*DELAYLINE_CACHE"):
        build_and_load(Model(), model_folder(tmp_path / "file", "abc", CPU), CPU)
