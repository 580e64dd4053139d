"""The runner with scripts that hang, die and lie, and that nothing of them is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets import vendor_process
from hardware_targets.loihi.lava_export import write_lava_folder
from hardware_targets.loihi.lava_runner import INTERPRETER_VARIABLE, LAVA, REMEDY, run_lava
from tests.loihi.random_networks import random_network
from toolchain.errors import BundleError, InputError, MissingDependencyError

LAVA_PYTHON = LAVA.interpreter()
MARK = "DELAYLINE_TEST_MARK"


def marked_processes(mark: str) -> list[int]:
    """Processes that run and inherited our mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            running = (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            if running and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def no_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test here ends without a process that it started."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc to look for processes that are left")
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)
    yield
    assert marked_processes(str(tmp_path)) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported folder with 1 sample."""
    network, spikes = random_network(0)
    write_lava_folder(network, spikes.select([0]), None, tmp_path / "bundle")
    return tmp_path / "bundle"


def use_script(folder: Path, text: str) -> None:
    (folder / "network.py").write_text("import pathlib, sys, time\noutput = sys.argv[4]\n" + text)


# What Lava's processes are to the runner: forks, and shared memory that a manager owns.
HANG = """
import multiprocessing, signal
from multiprocessing.managers import SharedMemoryManager

def wait():
    {in_child}
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    manager = SharedMemoryManager()
    manager.start()
    pathlib.Path(__file__).with_name("segment").write_text(manager.SharedMemory(1000).name)
    for _ in range(3):
        multiprocessing.Process(target=wait).start()
    print("sample 1 of 9", flush=True)
    {in_main}
"""


@pytest.mark.parametrize(
    "in_child", ["pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"], ids=["obeys", "ignores SIGTERM"]
)
def test_a_hang_ends_at_the_limit(folder: Path, monkeypatch: pytest.MonkeyPatch, in_child: str) -> None:
    monkeypatch.setattr(vendor_process, "GRACE_S", 1.0 if "SIG_IGN" in in_child else 20.0)
    use_script(folder, HANG.format(in_child=in_child, in_main="time.sleep(600)"))
    with pytest.raises(MissingDependencyError) as caught:
        run_lava(folder, samples=1, timeout_s=2)
    assert str(caught.value) == (
        "lava: no result after the limit of 2 s (last: sample 1 of 9); raise it with --vendor-timeout or run "
        "fewer samples"
    )
    assert caught.value.exit_code == 4
    segment = (folder / "segment").read_text()
    assert not Path("/dev/shm", segment).exists()


def test_processes_that_outlive_a_script_are_ended(folder: Path) -> None:
    use_script(folder, HANG.format(in_child="pass", in_main="import os; os._exit(3)"))
    with pytest.raises(MissingDependencyError, match="failed with exit code 3: no message"):
        run_lava(folder, samples=1, timeout_s=60)
    assert not Path("/dev/shm", (folder / "segment").read_text()).exists()


def test_an_error_that_waits_for_forks_is_reported_at_the_limit(folder: Path) -> None:
    use_script(folder, HANG.format(in_child="pass", in_main="raise OSError('no space left in /dev/shm')"))
    with pytest.raises(MissingDependencyError, match=r"limit of 2 s \(last: OSError: no space left in /dev/shm\);"):
        run_lava(folder, samples=1, timeout_s=2)


def test_ctrl_c_leaves_nothing(folder: Path) -> None:
    use_script(folder, HANG.format(in_child="pass", in_main="time.sleep(600)"))
    caller = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys\n"
            "from hardware_targets.loihi.lava_runner import run_lava\n"
            "run_lava(pathlib.Path(sys.argv[1]), samples=1, timeout_s=600)",
            str(folder),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "segment").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    caller.send_signal(signal.SIGINT)
    _, stderr = caller.communicate(timeout=60)
    assert stderr.strip().endswith("KeyboardInterrupt")
    assert not Path("/dev/shm", (folder / "segment").read_text()).exists()


def test_the_last_words_of_a_script_that_dies_are_reported(folder: Path) -> None:
    use_script(folder, "raise RuntimeError('no \\x1b[31mluck\\n')")
    with pytest.raises(MissingDependencyError, match=r"failed with exit code 1: RuntimeError: no  \[31mluck;"):
        run_lava(folder, samples=1, timeout_s=60)
    use_script(folder, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(MissingDependencyError, match="died of signal 9: no message"):
        run_lava(folder, samples=1, timeout_s=60)


def test_an_interpreter_without_lava_is_named_with_the_remedy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(
        MissingDependencyError, match=f"bare-python cannot import lava-nc; {re.escape(REMEDY)}"
    ) as caught:
        run_lava(folder, samples=1, timeout_s=60, python=str(bare))
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(MissingDependencyError, match=r"absent does not start \(No such file or directory\)"):
        run_lava(folder, samples=1, timeout_s=60)


def good(folder: Path) -> dict[str, NDArray[Any]]:
    """Traces of the right form for 1 sample."""
    with np.load(folder / "samples.npz") as archive:
        shape = (1, int(archive["n_steps"]), 3)
    return {
        "u/h0": np.ones(shape, dtype=np.int32),
        "v/h0": np.full(shape, 2, dtype=np.int32),
        "s/h0": np.ones(shape, dtype=np.bool_),
    }


def leave(folder: Path, write: Callable[[Path], None]) -> None:
    """Make the script leave a file of ours as its traces."""
    prepared = folder / "prepared"
    write(prepared)
    use_script(folder, f"import shutil; shutil.copy({str(prepared)!r}, output)")


def saved(arrays: dict[str, NDArray[Any]], compress: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            (np.savez_compressed if compress else np.savez)(file, **arrays)

    return write


def test_good_traces_are_read(folder: Path) -> None:
    arrays = good(folder)
    leave(folder, saved(arrays))
    traces = run_lava(folder, samples=1, timeout_s=60)
    np.testing.assert_array_equal(traces.u["h0"], arrays["u/h0"])
    np.testing.assert_array_equal(traces.v["h0"], arrays["v/h0"])
    np.testing.assert_array_equal(traces.spikes["h0"], arrays["s/h0"])
    assert traces.seconds > 0


def test_traces_that_are_not_usable_are_refused(folder: Path) -> None:
    arrays = good(folder)

    def with_entry(key: str, array: NDArray[Any]) -> Callable[[Path], None]:
        return saved({**arrays, key: array})

    def plain(content: bytes) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            path.write_bytes(content)

        return write

    def cut(path: Path) -> None:
        saved(arrays)(path)
        path.write_bytes(path.read_bytes()[:-2000])

    def lying_header(path: Path) -> None:
        header = str({"descr": "<i4", "fortran_order": False, "shape": (1, 10**6, 10**6)}).ljust(117) + "\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("u/h0.npy", b"\x93NUMPY\x01\x00v\x00" + header.encode())

    cases: list[tuple[Callable[[Path], None], str]] = [
        (plain(b""), "not a zip file"),
        (plain(b"garbage" * 100), "not a zip file"),
        (cut, "not a zip file"),
        (lying_header, "does not hold what its shape"),
        (saved(arrays, compress=True), "is compressed"),
        (with_entry("u/h0", arrays["u/h0"].astype(np.int64)), "is int64 of shape"),
        (with_entry("u/h0", arrays["u/h0"][:, 1:]), "expected int32 of"),
        (with_entry("u/h0", np.repeat(arrays["u/h0"], 2, axis=0)), "expected int32 of"),
        (with_entry("u/h0", np.array([{}], dtype=object)), "is object"),
        (with_entry("u/h0", np.asfortranarray(arrays["u/h0"])), "row by row"),
        (with_entry("u/h0", arrays["u/h0"][:, :, 1:].copy()), "not of the same populations and sizes"),
        (with_entry("u/h1", arrays["u/h0"]), "not of the same populations and sizes"),
        (with_entry("w/h0", arrays["u/h0"]), "unexpected entry 'w/h0.npy'"),
        (saved({}), "not of the same populations"),
    ]
    for write, message in cases:
        leave(folder, write)
        with pytest.raises(BundleError, match=message):
            run_lava(folder, samples=1, timeout_s=60)
    use_script(folder, "pass")
    with pytest.raises(BundleError, match="No such file"):
        run_lava(folder, samples=1, timeout_s=60)


def test_bad_requests_and_folders_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"2 samples asked for, the folder has 1"):
        run_lava(folder, samples=2, timeout_s=60)
    with pytest.raises(InputError, match="0 samples asked for"):
        run_lava(folder, samples=0, timeout_s=60)
    for limit in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="--vendor-timeout"):
            run_lava(folder, samples=1, timeout_s=limit)
    (folder / "network.py").unlink()
    with pytest.raises(BundleError, match=r"network\.py is missing"):
        run_lava(folder, samples=1, timeout_s=60)
    (folder / "samples.npz").write_bytes(b"PK")
    with pytest.raises(BundleError, match=r"samples\.npz: not usable"):
        run_lava(folder, samples=1, timeout_s=60)


def test_status_names_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sys.executable in LAVA.status()
    fake = tmp_path / "other-python"
    fake.write_text("#!/bin/sh\necho 0.10.0\n")
    fake.chmod(0o755)
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(fake))
    assert LAVA.status() == f"lava-nc 0.10.0 in {fake}"
    assert LAVA.version() == "0.10.0"
    fake.write_text("#!/bin/sh\nexit 1\n")
    assert LAVA.status().startswith(f"lava-nc is not installed in {fake}; `pip install")
    assert LAVA.version() is None
    fake.unlink()
    assert LAVA.status().startswith(f"{INTERPRETER_VARIABLE}={fake} does not run (FileNotFoundError)")


@pytest.mark.lava
def test_an_exception_inside_a_lava_process_ends_at_the_limit(
    folder: Path,
) -> None:
    """Lava hangs for ever when a process model raises, here for a delay beyond its 63."""
    with np.load(folder / "arrays.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    delayed = next(key for key in arrays if key.endswith("_delays") and arrays[key].max() > 0)
    arrays[delayed] = np.where(arrays[delayed] == arrays[delayed].max(), 64, arrays[delayed])
    with (folder / "arrays.npz").open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(MissingDependencyError, match="no result after the limit of 6 s; raise it with"):
        run_lava(folder, samples=1, timeout_s=6, python=LAVA_PYTHON)
