"""Devices that die, hang or are killed: no finished sample is lost, none is counted twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.devices.chips import FAULT, FRAGILE, LOG, PACE
from tests.validation.bundles import CHIPS, deployed, validated
from toolchain.datasets import load_dataset
from toolchain.deployment.bundle import read_bundle
from toolchain.devices import supervisor
from toolchain.devices.journal import Journal
from toolchain.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")

SAMPLES = 24


@pytest.fixture(scope="module")
def prepared(trained_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on which the emulator has run its first samples already."""
    bundle = deployed(trained_run, tmp_path_factory.mktemp("bundle"))
    validated(bundle, "emulator", samples=SAMPLES)
    return bundle


@pytest.fixture
def bundle(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "loihi2")


def spikes_of(bundle: Path) -> list[int]:
    """Input spikes of each test sample."""
    recipe = read_bundle(bundle).recipe
    counts: list[int] = np.diff(load_dataset(recipe.dataset.task, recipe.dataset.options).test.spikes.offsets).tolist()
    return counts


def test_a_device_that_crashes_is_started_again(bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FRAGILE, "once")
    monkeypatch.setenv(LOG, str(tmp_path / "died"))
    said: list[str] = []
    found = validated(bundle, f"{CHIPS}:fragile", samples=8, said=said).of("fragile")
    assert (found.equal, found.samples, found.failed) == (True, 8, None)
    assert any("died of signal 11" in line and "start it again, 2 samples at a time" in line for line in said)


def test_a_sample_that_kills_a_device_is_named_and_the_others_are_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "TRIES", 2)
    counts = spikes_of(bundle)
    deadly = next(i for i in range(2, 8) if counts[i] not in counts[:i])
    monkeypatch.setenv(FRAGILE, str(counts[deadly]))
    found = validated(bundle, f"{CHIPS}:fragile", "emulator", samples=8)
    said = found.of("fragile").failed
    assert said is not None
    assert f"on sample {deadly} of test it died of signal 9, 2 times; {deadly} finished samples are kept" in said
    assert found.of("emulator").samples == 8, "the other devices are validated all the same"
    assert not found.passed
    healed = validated(bundle, f"{CHIPS}:fragile", samples=deadly).of("fragile")
    assert (healed.equal, healed.samples) == (True, deadly)


def test_a_device_that_hangs_is_given_up(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = spikes_of(bundle)
    monkeypatch.setattr(supervisor, "START_S", 3.0)
    monkeypatch.setattr(supervisor, "TRIES", 1)
    monkeypatch.setenv(FRAGILE, f"hang {counts[0]}")
    before = time.monotonic()
    said = validated(bundle, f"{CHIPS}:fragile", samples=1, timeout_s=0.1).of("fragile").failed
    assert said is not None
    assert "on sample 0 of test it gave no result within 0.1 s" in said
    assert time.monotonic() - before < 60


def test_a_device_that_ends_its_process_well_has_not_answered(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 without a result: it was asked again for ever."""
    monkeypatch.setattr(supervisor, "TRIES", 1)
    monkeypatch.setenv(FAULT, "exit")
    monkeypatch.delenv(LOG, raising=False)
    said = validated(bundle, f"{CHIPS}:odd", samples=1).of("odd").failed
    assert said is not None
    assert "on sample 0 of test it ended with exit code 0 without a result, 1 times" in said
    assert "--vendor-timeout" not in said


def test_what_a_device_has_forked_ends_with_it(bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would hold the lock of the journal, too."""
    monkeypatch.setenv(FAULT, "fork")
    monkeypatch.setenv(LOG, str(tmp_path / "child"))
    assert validated(bundle, f"{CHIPS}:odd", samples=4).of("odd").equal
    child, deadline = int((tmp_path / "child").read_text()), time.monotonic() + 10
    while not ended(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended(child)
    assert validated(bundle, f"{CHIPS}:odd", samples=4).of("odd").equal


def ended(pid: int) -> bool:
    """Whether a process is gone, or only its entry is left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def workers_of(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(entry.name))
    return found


def kill_and_resume(bundle: Path, log: Path, *, kills: int, samples: int, seed: int) -> None:
    """Validate on a slow device, killing it or the validation at random moments, until it is done."""
    chosen = random.Random(seed)
    environment = {**os.environ, LOG: str(log), PACE: "0.1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "toolchain.cli", "validate", str(bundle), "--on", f"{CHIPS}:slow", "--json"]
    command += ["--samples", str(samples)]
    journal = Journal(bundle / "validation/test/slow")
    finished: set[int] = set()
    done = 0
    while done < kills:
        with (log.parent / "said").open("wb") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
            while done < kills:
                time.sleep(chosen.uniform(0.0, 3.0))
                if process.poll() is not None:
                    break
                workers = workers_of(process.pid)
                of_worker = bool(workers) and chosen.random() < 0.5
                victim = workers[0] if of_worker else process.pid
                os.kill(victim, signal.SIGKILL)
                done += 1
                if not of_worker:
                    process.wait()
                now = set(_samples(journal))
                assert finished <= now, "a finished sample is gone"
                finished = now
                if not of_worker:
                    break
            else:
                process.kill()
            process.wait()
            if process.returncode == 0:
                # All done before the last kill: begin anew, so that every kill meets work.
                shutil.rmtree(journal.folder)
                finished = set()
    final = subprocess.run(command, capture_output=True, env=environment, text=True, timeout=300, check=False)
    assert final.returncode == 0, final.stderr
    found = json.loads(final.stdout)
    expected = validated(bundle, "emulator", samples=samples)
    counted = expected.ladder[0].tally
    assert counted is not None
    assert found["ladder"][0]["tally"]["confusion"] == [list(row) for row in counted.confusion]
    assert (found["devices"][0]["equal"], found["devices"][0]["samples"]) == (True, samples)
    assert _samples(journal) == list(range(samples))


def _samples(journal: Journal) -> list[int]:
    """What a journal holds, in order."""
    if not journal.folder.exists():
        return []
    return sorted(s for first, end in journal.ranges() for s in range(first, end))


def test_killed_at_any_moment_it_goes_on(bundle: Path, tmp_path: Path) -> None:
    kill_and_resume(bundle, tmp_path / "log", kills=4, samples=SAMPLES, seed=1)


@pytest.mark.slow
def test_killed_fifty_times_it_goes_on(bundle: Path, tmp_path: Path) -> None:
    validated(bundle, "emulator", samples=160)
    kill_and_resume(bundle, tmp_path / "log", kills=50, samples=160, seed=2)


def test_nothing_of_a_killed_validation_works_on(bundle: Path, tmp_path: Path) -> None:
    """The worker of a validation that was killed ends by itself, soon."""
    environment = {**os.environ, LOG: str(tmp_path / "log"), PACE: "60"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    command = [sys.executable, "-m", "toolchain.cli", "validate", str(bundle), "--on", f"{CHIPS}:slow"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (worker,) = workers_of(process.pid)
    process.kill()
    process.wait()
    while not ended(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ended(worker)
