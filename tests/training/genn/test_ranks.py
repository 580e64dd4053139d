"""Several processes with a part of each batch learn what one learns with all of it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import random_network, random_spikes
from tests.oracles.genn_machine import Machine
from tests.training.genn.test_described import LABELS, STEPS, assert_same
from toolchain.errors import MissingDependencyError
from toolchain.objective import Objective
from toolchain.training.backends import RateTarget, make_engine
from toolchain.training.backends.genn import ranks as module
from toolchain.training.backends.genn.engine import GennEngine
from toolchain.training.backends.genn.ranks import Alone, find_ranks


class Threads:
    """Ranks that are threads of this process."""

    def __init__(self, index: int, count: int, given: list[Any], barrier: threading.Barrier) -> None:
        self.index, self.count, self.device = index, count, 0
        self._given, self._barrier = given, barrier

    def add(self, values: NDArray[Any]) -> NDArray[Any]:
        self._given[self.index] = np.array(values)
        self._barrier.wait(20)
        total: NDArray[Any] = sum(self._given[1:], self._given[0])
        self._barrier.wait(20)
        return total

    def wait(self) -> None:
        self._barrier.wait(20)

    def abort(self, status: int) -> None:
        self._barrier.abort()


def together(count: int, do: Callable[[Threads], Any]) -> list[Any]:
    given: list[Any] = [None] * count
    barrier = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda index: do(Threads(index, count, given, barrier)), range(count)))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("rates", [None, {"a": RateTarget(4.0, 0.05)}])
def test_each_rank_gets_the_gradient_of_the_whole_batch(count: int, rates: Any) -> None:
    """Also where a batch has fewer samples than there are ranks."""
    random = np.random.default_rng(3)
    network = random_network("recurrent", random)
    spikes = random_spikes(random, 5, 5, STEPS, 0.2)
    settings: dict[str, Any] = {"max_slot": 9, "objective": Objective(), "rates": rates, "learn_tau": ["a"]}
    ours = make_engine("cpu", network, STEPS, **settings)
    batches = [np.arange(5), np.array([3]), np.array([4, 1])]

    def run(ranks: Threads) -> Any:
        engine = GennEngine(network, STEPS, load=Machine, batch=2, ranks=ranks, **settings)
        return [engine.gradients(spikes, LABELS, batch) for batch in batches], engine.respond(spikes, LABELS)

    every = together(count, run)
    for gradients, responses in every:
        for found, first, batch in zip(gradients, every[0][0], batches, strict=True):
            assert_same(ours.gradients(spikes, LABELS, batch), found)
            for name in ("weight", "delay", "tau_mem"):
                np.testing.assert_array_equal(getattr(found, name), getattr(first, name))
        expected = ours.respond(spikes, LABELS)
        np.testing.assert_allclose(responses.loss, expected.loss, rtol=1e-5)
        np.testing.assert_array_equal(responses.prediction, expected.prediction)
        np.testing.assert_array_equal(responses.neuron_spikes, expected.neuron_spikes)


def test_without_a_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module.SIZES:
        monkeypatch.delenv(name, raising=False)
    find_ranks.cache_clear()
    try:
        assert isinstance(find_ranks(), Alone)
    finally:
        find_ranks.cache_clear()


def test_a_launcher_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    find_ranks.cache_clear()
    try:
        with pytest.raises(MissingDependencyError, match=r"one of 4 processes .*pip install mpi4py"):
            find_ranks()
    finally:
        find_ranks.cache_clear()


class World:
    """The communicator of a process that MPI has started alone."""

    def Get_rank(self) -> int:  # noqa: N802
        return 0

    def Get_size(self) -> int:  # noqa: N802
        return 1

    def Split_type(self, kind: int) -> World:  # noqa: N802
        return self


@pytest.mark.parametrize("fails", [False, True])
def test_an_mpi4py_of_another_mpi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool) -> None:
    """Each process would take itself for the only one, and train on its own; or there is no library at all."""
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    package, found = ModuleType("mpi4py"), ModuleType("mpi4py.MPI")
    if fails:
        (tmp_path / "mpi4py").mkdir()
        (tmp_path / "mpi4py" / "__init__.py").write_text("")
        (tmp_path / "mpi4py" / "MPI.py").write_text("raise RuntimeError('cannot load MPI library\\nlibmpi.so.40')")
        for name in [n for n in sys.modules if n.split(".")[0] == "mpi4py"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)
    else:
        package.MPI = found  # type: ignore[attr-defined]
        found.COMM_WORLD, found.COMM_TYPE_SHARED = World(), 0  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "mpi4py", package)
        monkeypatch.setitem(sys.modules, "mpi4py.MPI", found)
    find_ranks.cache_clear()
    expected = r"does not start \(cannot load MPI library libmpi.so.40\)" if fails else "one of 4 .* sees no other"
    try:
        with pytest.raises(MissingDependencyError, match=expected):
            find_ranks()
    finally:
        find_ranks.cache_clear()
        for name in [n for n in sys.modules if n.split(".")[0] == "mpi4py"]:
            monkeypatch.delitem(sys.modules, name)


needs_mpi = pytest.mark.skipif(
    shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None, reason="needs mpirun and mpi4py"
)


def mpirun(count: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Start Python that often; more processes than cores, and as root, if need be."""
    environment = {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        ["mpirun", "-n", str(count), sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@needs_mpi
def test_two_processes_add_and_end_together(tmp_path: Path) -> None:
    """Sums are equal on both; an error of one ends both, with its exit code."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from toolchain.errors import NetworkError\n"
        "from toolchain.training.backends.genn.folders import own_folders\n"
        "from toolchain.training.backends.genn.ranks import find_ranks\n"
        "ranks = find_ranks()\n"
        "total = ranks.add(np.array([1.5, 0.1], np.float32) * (1 + ranks.index))\n"
        "Path(sys.argv[1], f'{ranks.index}').write_text(repr((ranks.count, total.tolist())))\n"
        "def say(text):\n"
        "    print(text, file=sys.stderr, flush=True)\n"
        "with own_folders(ranks, Path('runs'), None, say) as folders:\n"
        "    print('folder', folders.runs)\n"
        "    if ranks.index == 1 and len(sys.argv) > 2:\n"
        "        raise NetworkError('of rank 1')\n"
        "    ranks.add(np.zeros(1))\n"
    )
    done = mpirun(2, str(script), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "folder runs\n"
    first, second = ((tmp_path / str(rank)).read_text() for rank in range(2))
    expected = (np.float32(1.5) + np.float32(3), np.float32(0.1) + np.float32(0.1) * np.float32(2))
    assert first == second == repr((2, [float(value) for value in expected]))
    failed = mpirun(2, str(script), str(tmp_path), "fail")
    assert failed.returncode == 2
    assert "rank 1: NetworkError: of rank 1" in failed.stderr


@needs_mpi
@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """By the command line, resumed too; needs PyGeNN."""
    pytest.importorskip("pygenn", reason="PyGeNN is not installed")
    overrides = ["--set", "training.epoch_samples=320", "--set", "training.batch_size=20", "--set", "training.epochs=2"]
    command = ["-m", "toolchain.cli", "train", "yin_yang", "--backend", "genn", *overrides, "--runs"]
    lines = []
    for count in (1, 2):
        done = mpirun(count, *command, str(tmp_path / f"of_{count}"))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("test ") == 1
        (run,) = (tmp_path / f"of_{count}").iterdir()
        lines.append([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()])
    for one, two in zip(*lines, strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
        assert two["valid_accuracy"] == one["valid_accuracy"]
    before = (run / "checkpoints" / "last.safetensors").read_bytes()
    resumed = mpirun(2, "-m", "toolchain.cli", "train", "--resume", str(run))
    assert resumed.returncode == 0, resumed.stderr
    assert (run / "checkpoints" / "last.safetensors").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "of_2").iterdir()) == [run.name]
