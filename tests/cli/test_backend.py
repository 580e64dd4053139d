"""`--backend`: what trains, and what is said where it cannot, before anything is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.runner import Finished, run_cli

Run = Callable[..., Finished]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on a machine without PyGeNN."""
    monkeypatch.setitem(sys.modules, "pygenn", None)
    return lambda *words: run_cli(capsys, monkeypatch, *words)


@pytest.mark.parametrize("dry", [[], ["--dry-run"], ["--seeds", "2"]])
def test_absent_genn_is_one_line_and_leaves_no_run(run: Run, tmp_path: Path, dry: list[str]) -> None:
    runs = tmp_path / "runs"
    done = run("train", "sequence", "--backend", "genn", "--runs", str(runs), *dry)
    assert done.code == 4
    (line,) = [text for text in done.err.splitlines() if "PyGeNN" in text]
    assert line.startswith("MissingDependencyError: backend genn: PyGeNN")
    assert "--backend cpu" in line
    assert not runs.exists()


def test_a_recipe_for_a_gpu_trains_on_a_processor(run: Run, tmp_path: Path) -> None:
    """Also one whose optimiser could not be on the device."""
    overrides = ["training.genn.code=cuda", "training.genn.samples_at_once=64", "training.epochs=1"]
    overrides += ["training.genn.adam=device", "network.populations.output.learn_tau_mem=true"]
    sets = [word for key in overrides for word in ("--set", key)]
    done = run("train", "sequence", "--backend", "cpu", "--runs", str(tmp_path), *sets)
    assert done.code == 0, done.err
    assert "backend:" not in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sequence", "--backend", "gen"], "training.backend: input should be 'cpu' or 'genn'"),
        (
            ["sequence", "--set", "training.genn.code=opencl"],
            "training.genn.code: input should be 'auto', 'cuda', 'hip'",
        ),
        (["sequence", "--set", "training.genn.samples_at_once=0"], "samples_at_once: input should be greater than or"),
        (["--resume", "run", "--backend", "cpu"], "--resume run: takes no RECIPE, --set, --backend or --seeds"),
    ],
)
def test_bad_choices_are_refused(run: Run, words: list[str], message: str) -> None:
    done = run("train", *words)
    assert done.code == 2
    assert message in done.err.replace("\n", " ")


@pytest.mark.parametrize("backend", ["cpu", "genn"])
def test_processes_that_mpi_started(run: Run, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """Without mpi4py they would each train for themselves."""
    from toolchain.training.backends.genn.ranks import find_ranks

    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    find_ranks.cache_clear()
    try:
        done = run("train", "sequence", "--backend", backend)
    finally:
        find_ranks.cache_clear()
    assert done.code == 4
    assert "one of 2 processes" in done.err
