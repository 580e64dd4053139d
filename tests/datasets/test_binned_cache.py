"""The cache of binned spikes: what comes out is what went in, whatever happened to the files in between."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_spikes
from toolchain.datasets.binned_cache import binned_once
from toolchain.datasets.cache import VARIABLE
from toolchain.errors import InputError
from toolchain.spikes import Binning, SpikeTrains, concatenate

PARTS = [random_spikes(np.random.default_rng(s), n, 7, 20, 0.3) for s, n in ((1, 4), (2, 1), (3, 6))]
OPTIONS = {"dt_ms": 1.0, "steps": 20}


class Source:
    """A file, and how often its spikes were made."""

    def __init__(self, path: Path) -> None:
        self.path, self.made = path, 0
        path.write_bytes(b"some events")

    def parts(self) -> Iterator[tuple[SpikeTrains, Binning]]:
        self.made += 1
        return iter([(part, Binning(i, 10 * i)) for i, part in enumerate(PARTS)])

    def spikes(self, **more: object) -> SpikeTrains:
        trains, binning = binned_once(self.path, {**OPTIONS, **more}, self.parts)
        assert binning == Binning(3, 30)
        whole = concatenate(PARTS)
        for field in ("times", "units", "offsets", "n_units", "n_steps"):
            assert np.array_equal(getattr(trains, field), getattr(whole, field))
        return trains


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return Source(tmp_path / "a.h5")


def entries(source: Source) -> list[Path]:
    return sorted((source.path.parent / "cache" / "binned").iterdir())


def test_spikes_are_made_once_and_mapped(source: Source) -> None:
    assert isinstance(source.spikes().times.base, np.memmap)
    assert isinstance(source.spikes().times.base, np.memmap)
    assert source.made == 1
    assert len(entries(source)) == 1
    source.spikes(steps=21)
    assert source.made == 2, "other options are another entry"
    assert len(entries(source)) == 2


def test_a_changed_file_is_binned_again_in_the_same_place(source: Source) -> None:
    source.spikes()
    state = source.path.stat()
    os.utime(source.path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    source.spikes()
    source.path.write_bytes(b"more events")
    source.spikes()
    assert source.made == 3
    assert len(entries(source)) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["times.i32", "units.i32", "offsets.i64", "entry.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, replace_by_folder])
def test_a_damaged_entry_is_made_again(source: Source, name: str, damage: Callable[[Path], None]) -> None:
    source.spikes()
    damage(entries(source)[0] / name)
    source.spikes()
    source.spikes()
    assert source.made == 2
    assert len(entries(source)) == 1, "nothing is left lying about"


@pytest.mark.parametrize(
    "change",
    [{"n_samples": 3}, {"n_events": -1}, {"n_units": 1}, {"n_steps": "many"}, {"crc32": {}}, {"made_from": {}}],
)
def test_an_entry_that_says_something_else_is_made_again(source: Source, change: dict[str, object]) -> None:
    source.spikes()
    entry = entries(source)[0] / "entry.json"
    entry.write_text(json.dumps({**json.loads(entry.read_text()), **change}))
    source.spikes()
    assert source.made == 2


def test_an_interruption_leaves_nothing(source: Source) -> None:
    def broken() -> Iterator[tuple[SpikeTrains, Binning]]:
        yield PARTS[0], Binning(0, 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        binned_once(source.path, OPTIONS, broken)
    assert entries(source) == []


def test_what_a_killed_process_left_is_taken_away_after_a_day(source: Source) -> None:
    source.spikes()
    place = entries(source)[0].parent
    old, new = place / ".new-old", place / ".new-recent"
    for left in (old, new):
        left.mkdir()
        (left / "times.i32").write_bytes(b"1234")
    yesterday = time.time() - 90_000
    os.utime(old, (yesterday, yesterday))
    source.spikes(steps=21)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_cache_that_cannot_be_written_names_the_way_out(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(source.path / "cache"))
    with pytest.raises(InputError, match=f"cannot be written, .*; set {VARIABLE} to a folder with room"):
        source.spikes()


def test_silent_samples_are_kept(source: Source) -> None:
    silent = random_spikes(np.random.default_rng(0), 3, 2, 5, 0.0)
    trains, _ = binned_once(source.path, OPTIONS, lambda: [(silent, Binning(0, 0))])
    again, _ = binned_once(source.path, OPTIONS, list)
    assert trains.n_samples == again.n_samples == 3
    assert again.times.size == 0
