"""Journals: nothing that was finished is lost, nothing is counted twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.devices import journal as module
from toolchain.devices.journal import Journal, Results, open_journal
from toolchain.errors import InputError

ABOUT = {"bundle": "a", "data": "b"}


def results(first: int, end: int) -> Results:
    """Results that say which samples they are of."""
    samples = np.arange(first, end)
    prints = {"v/out": (samples * 7).astype(np.uint64)}
    return Results(samples.astype(np.int64), prints, {"out": {"wrapped": end - first}}, 0.5, end - first)


def open_now(folder: Path, **about: str) -> Journal:
    with open_journal(folder, {**ABOUT, **about}) as (journal, _):
        return journal


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    journal = open_now(tmp_path)
    journal.keep(0, results(0, 4))
    journal.keep(4, results(4, 6))
    found = journal.read(10)
    assert found.prediction.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.fingerprints["v/out"].tolist() == [0, 7, 14, 21, 28, 35]
    assert (found.overflows, found.seconds, found.covered) == ({"out": {"wrapped": 6}}, 1.0, 6)
    assert (journal.missing(10, 3), journal.finished(10)) == ([(6, 9), (9, 10)], 6)


def test_a_part_of_a_run_says_what_its_overflows_are_of(tmp_path: Path) -> None:
    journal = open_now(tmp_path)
    journal.keep(0, results(0, 8))
    found = journal.read(5)
    assert (found.prediction.size, found.fingerprints["v/out"].size) == (5, 5)
    assert (found.overflows, found.covered) == ({"out": {"wrapped": 8}}, 8)


@settings(max_examples=25, deadline=None)  # every file is flushed to the disk
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=6),
    st.integers(1, 40),
    st.integers(1, 9),
)
def test_every_sample_is_counted_once_whatever_lies_there(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, int]], n: int, at_once: int
) -> None:
    """Runs of a process that was thought dead may overlap those of the one after it."""
    journal = open_now(tmp_path_factory.mktemp("journal"))
    for first, length in runs:
        journal.keep(first, results(first, first + length))
    missing = journal.missing(n, at_once)
    assert all(0 < end - first <= at_once for first, end in missing)
    absent = [s for first, end in missing for s in range(first, end)]
    present = [s for first, end in journal.ranges() for s in range(first, min(end, n))]
    assert sorted(absent + present) == list(range(n))
    assert journal.finished(n) == len(present)
    for first, end in missing:
        journal.keep(first, results(first, end))
    assert journal.read(n).prediction.tolist() == list(range(n))


def test_a_damaged_file_is_missing_again(tmp_path: Path) -> None:
    journal = open_now(tmp_path)
    for first in (0, 4, 8):
        journal.keep(first, results(first, first + 4))
    damaged = tmp_path / "000004-000008.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert journal.read(12).prediction.tolist() == [0, 1, 2, 3]
    assert journal.missing(12, 10) == [(4, 8)]
    damaged.write_bytes((tmp_path / "000000-000004.safetensors").read_bytes())
    assert journal.read(12).prediction.tolist() == [0, 1, 2, 3]


def test_results_of_something_else_are_forgotten(tmp_path: Path) -> None:
    open_now(tmp_path).keep(0, results(0, 4))
    with open_journal(tmp_path, ABOUT) as (journal, changed):
        assert (changed, journal.finished(4)) == ("", 4)
    with open_journal(tmp_path, {**ABOUT, "bundle": "other"}) as (journal, changed):
        assert (changed, journal.finished(4)) == ("bundle", 0)
    open_now(tmp_path, bundle="other").keep(0, results(0, 4))
    with open_journal(tmp_path, {**ABOUT, "bundle": "other"}, anew=True) as (journal, changed):
        assert (changed, journal.finished(4)) == ("", 0)
    (tmp_path / "about.json").write_text("{")
    with open_journal(tmp_path, ABOUT) as (_, changed):
        assert changed == "about.json"


def test_only_one_process_works_on_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    with open_journal(tmp_path, ABOUT), pytest.raises(InputError, match="worked on by another validation; wait"):
        open_now(tmp_path)
    open_now(tmp_path)


def test_a_lock_outlives_neither_its_process_nor_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker inherits it: as long as the worker lives nobody else writes there."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    with open_journal(tmp_path, ABOUT) as (journal, _):
        worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(journal.lock,))
    with pytest.raises(InputError, match="worked on by another"):
        open_now(tmp_path)
    worker.kill()
    worker.communicate()
    open_now(tmp_path)
