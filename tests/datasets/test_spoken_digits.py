"""Files of spoken digits: the same however they are made, continued where a run was stopped, and the task on them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.datasets import packed_spikes
from toolchain.datasets import load_dataset
from toolchain.datasets.making import listening
from toolchain.datasets.spike_file import SpikeFile
from toolchain.datasets.spoken_digits import make as make_module
from toolchain.datasets.spoken_digits.make import MadeSample, Maker, file_of, find_maker, make_files
from toolchain.datasets.spoken_digits.plan import Settings, speakers_of
from toolchain.datasets.spoken_digits.voices import LABEL_NAMES
from toolchain.errors import DatasetError, InputError
from toolchain.network_builder import generator

ROOT = Path(__file__).parent.parent.parent
SIZES = {"train": 50, "valid": 4, "test": 21}
MAKER = Maker(2, Settings(), "none")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Samples are drawn and not spoken; which ones were, in the end."""
    made = []

    def sample(maker: Maker, part: str, index: int) -> MadeSample:
        made.append((part, index))
        random = generator(maker.seed, part, index)
        times = np.sort(random.integers(0, 24000, 30)).astype(np.float32) / np.float32(24000)
        return MadeSample(times, random.integers(0, 700, 30).astype(np.int32), index % 20, int(random.integers(40)))

    monkeypatch.setattr(Maker, "sample", sample)
    return made


def contents(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int32], list[int], list[int]]:
    file = SpikeFile.open(path)
    events = file.read(np.arange(file.labels.size))
    assert file.speakers is not None
    return events.times, events.units, file.labels.tolist(), file.speakers.tolist()


def test_the_files_do_not_depend_on_the_number_of_threads(quick: list[tuple[str, int]], tmp_path: Path) -> None:
    files = [make_files(MAKER, tmp_path / str(jobs), SIZES, jobs) for jobs in (1, 3)]
    for part in SIZES:
        assert files[0][part].read_bytes() == files[1][part].read_bytes()
    assert sorted(quick) == sorted(2 * [(part, i) for part, n in SIZES.items() for i in range(n)])
    file = SpikeFile.open(files[0]["test"])
    assert file.label_names == LABEL_NAMES
    assert file.speaker_names == tuple(s.name for part in speakers_of(Settings(), 2).values() for s in part)
    assert file.attributes["generator"] == "delayline synthetic spoken digits"
    assert file.attributes["seed"] == 2
    assert not file.origin.real
    assert "synthetic" in str(file.origin)
    assert [p.name for p in sorted((tmp_path / "1").iterdir())] == [file_of(tmp_path, p).name for p in sorted(SIZES)]


def test_what_is_there_is_not_made_again(
    quick: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_files(MAKER, tmp_path, SIZES)
    small = {part: contents(file_of(tmp_path, part)) for part in SIZES}
    quick.clear()
    seen: list[tuple[int, int]] = []
    with listening(lambda what, done, total: seen.append((done, total))):
        make_files(MAKER, tmp_path, {**SIZES, "train": 30})
        assert (quick, seen) == ([], [])
        make_files(MAKER, tmp_path, {**SIZES, "train": 75})
    assert quick == [("train", i) for i in range(50, 75)]
    assert seen == [(95, 100), (100, 100)]
    times, units, labels, speakers = contents(file_of(tmp_path, "train"))
    assert (labels[:50], speakers[:50]) == small["train"][2:]
    assert np.array_equal(times[:1500], small["train"][0])
    assert np.array_equal(units[:1500], small["train"][1])

    make_files(MAKER, tmp_path / "whole", {**SIZES, "train": 75})
    assert (tmp_path / "whole" / "spoken_digits_train.h5").read_bytes() == file_of(tmp_path, "train").read_bytes()


def test_a_file_of_other_samples_is_not_replaced(quick: list[tuple[str, int]], tmp_path: Path) -> None:
    make_files(MAKER, tmp_path, SIZES)
    before = file_of(tmp_path, "train").read_bytes()
    for other, name in (
        (replace(MAKER, seed=3), "seed"),
        (replace(MAKER, espeak_version="1.51"), "generator_version"),
        (replace(MAKER, causal=True), "causal"),
        (replace(MAKER, settings=Settings(silence_ms=0.0)), "silence_ms"),
    ):
        with pytest.raises(InputError, match=rf"its {name} is .*; give another folder"):
            make_files(other, tmp_path, {**SIZES, "train": 60})
    assert file_of(tmp_path, "train").read_bytes() == before
    with pytest.raises(InputError, match="0 jobs"):
        make_files(MAKER, tmp_path, SIZES, 0)


def test_an_error_leaves_what_is_whole_for_the_next_time(
    quick: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Maker.sample

    def refuse(maker: Maker, part: str, index: int) -> MadeSample:
        if (part, index) == ("train", 45):
            raise DatasetError("espeak-ng: refused")
        return drawn(maker, part, index)

    monkeypatch.setattr(Maker, "sample", refuse)
    with pytest.raises(DatasetError, match="refused"):
        make_files(MAKER, tmp_path, SIZES)
    assert list(tmp_path.glob("*.h5")) == []
    (parts,) = tmp_path.glob(".parts_*")
    assert sorted(f.name[:13] for f in parts.iterdir()) == ["train_0000000", "train_0000020"]
    damaged = min(parts.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:100])
    monkeypatch.setattr(Maker, "sample", drawn)
    quick.clear()
    make_files(MAKER, tmp_path, SIZES)
    assert {i for part, i in quick if part == "train"} == {*range(20), *range(40, 50)}
    make_files(MAKER, tmp_path / "whole", SIZES)
    for part in SIZES:
        assert file_of(tmp_path, part).read_bytes() == file_of(tmp_path / "whole", part).read_bytes()


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """By the real espeak-ng and cochlea; killed when the first chunk is on disk."""
    pytest.importorskip("espeakng_loader", reason="pip install 'delayline[speech]'")
    sizes = ["--train", "40", "--valid", "1", "--test", "1", "--seed", "9"]
    command = [sys.executable, "-m", "toolchain.cli", "data", "make", "spoken_digits", str(tmp_path / "set"), *sizes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "set").glob(".parts_*/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "set").glob("*.h5"))
    kept = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "set").glob(".parts_*/*.safetensors")}
    assert kept
    subprocess.run([*command, "--json", "--jobs", "2"], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert sorted(f.name for f in (tmp_path / "set").iterdir()) == [
        f"spoken_digits_{part}.h5" for part in ("test", "train", "valid")
    ]
    maker = find_maker(9)
    file = SpikeFile.open(file_of(tmp_path / "set", "train"))
    for index in (0, 19, 39):
        sample, events = maker.sample("train", index), file.read(np.array([index]))
        assert np.array_equal(events.times.astype(np.float32), sample.times)
        assert np.array_equal(events.units, sample.units)
        assert file.labels[index] == sample.label


def test_the_task_makes_what_is_not_there_and_says_so(
    quick: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELAYLINE_CACHE", str(tmp_path))
    monkeypatch.setattr("toolchain.datasets.spoken_digits.find_maker", lambda seed: replace(MAKER, seed=seed))
    options = {**SIZES, "dt_ms": 4.0, "steps": 200, "units_per_channel": 5, "seed": 6}
    seen: list[str] = []
    with listening(lambda what, done, total: seen.append(what)):
        dataset = load_dataset("spoken_digits", options)
    assert set(seen) == {"synthetic spoken digits"}
    assert (tmp_path / "spoken_digits" / "seed_6" / "spoken_digits_train.h5").is_file()
    assert [s.labels.size for s in (dataset.train, dataset.valid, dataset.test)] == [50, 4, 21]
    assert (dataset.n_inputs, dataset.n_steps, dataset.n_classes) == (140, 200, 20)
    # Times are even over a second, so a fifth of them lie after 0.8 s.
    assert 0.1 < dataset.binning.late / (75 * 30) < 0.3
    assert dataset.provenance == (
        "synthetic spoken digits (espeak-ng none), synthetic, delayline synthetic spoken digits 1 with espeak-ng none, "
        "seed 6"
    )
    quick.clear()
    smaller = load_dataset("spoken_digits", {**options, "train": 20})
    assert quick == []
    assert smaller.train.labels.tolist() == dataset.train.labels[:20].tolist()
    assert np.array_equal(smaller.train.spikes.times, dataset.train.spikes.select(np.arange(20)).times)


def test_a_folder_that_is_given_is_read_and_never_made(
    quick: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_files(MAKER, tmp_path, SIZES)
    quick.clear()
    options = {"path": str(tmp_path), **SIZES}
    assert load_dataset("spoken_digits", options).train.labels.size == 50
    with pytest.raises(DatasetError, match=r"spoken_digits_train.h5: holds 50 samples, 51 are asked for"):
        load_dataset("spoken_digits", {**options, "train": 51})
    with pytest.raises(DatasetError, match=r"is missing; make it with `delayline data make spoken_digits"):
        load_dataset("spoken_digits", {**options, "path": str(tmp_path / "none")})
    ours = Maker.attributes
    monkeypatch.setattr(Maker, "attributes", lambda self: {**ours(self), "generator": "other"})
    make_files(MAKER, tmp_path / "other", SIZES)
    with pytest.raises(DatasetError, match="was not made by"):
        load_dataset("spoken_digits", {**options, "path": str(tmp_path / "other")})
    assert SIZES["train"] > make_module.CHUNK, "so that more than one chunk was tested"


def test_packing_loses_nothing() -> None:
    random = np.random.default_rng(0)
    samples = [np.unique(random.integers(0, 1400 * 700, size)) for size in (1, 5000, 0, 300)]
    again, head = packed_spikes.unpack(packed_spikes.pack(samples, {"name": "test"}))
    assert head["name"] == "test"
    assert all(np.array_equal(a, b) for a, b in zip(again, samples, strict=True))


def test_samples_made_again_are_those_that_were_packed() -> None:
    """Labels and speakers are equal. Arithmetic in single precision may round otherwise on another processor, and a
    spike at a border of milliseconds then counts elsewhere: one event in a hundred may differ, where unlike samples
    share fewer than half.
    """
    pytest.importorskip("espeakng_loader", reason="pip install 'delayline[speech]'")
    samples, head = packed_spikes.unpack(packed_spikes.FILE.read_bytes())
    maker = find_maker(packed_spikes.SEED)
    if maker.espeak_version != head["espeak_version"]:
        pytest.skip(f"packed with espeak-ng {head['espeak_version']}, here is {maker.espeak_version}")
    assert maker.attributes().items() <= head.items()
    for place, part, index in ((0, "train", 0), (59, "train", 59), (119, "test", 39)):
        made = maker.sample(part, index)
        assert (made.label, made.speaker) == (head["labels"][place], head["speakers"][place])
        ours = packed_spikes.numbers(made.times, made.units)
        assert ours.size == made.times.size, "a cell is silent for a millisecond after a spike"
        assert np.setxor1d(ours, samples[place]).size <= 0.01 * ours.size
    assert np.intersect1d(samples[0], samples[59]).size < 0.5 * samples[0].size


def test_packed_samples_are_a_set_that_the_task_reads(tmp_path: Path) -> None:
    packed_spikes.write_files(tmp_path)
    options = {"path": str(tmp_path), **packed_spikes.SIZES, "dt_ms": 10.0, "steps": 140, "units_per_channel": 10}
    dataset = load_dataset("spoken_digits", options)
    assert (dataset.n_inputs, dataset.n_classes) == (70, 20)
    assert np.bincount(dataset.train.labels).tolist() == [3] * 20
    assert dataset.binning.late == 0
    assert "synthetic spoken digits (espeak-ng 1.52.0), synthetic, " in dataset.provenance
    counts = np.diff(dataset.train.spikes.offsets)
    assert 500 < counts.min() < counts.max() < 70 * 140
    speakers = [set(np.unique(s.speakers).tolist()) for s in (dataset.train, dataset.valid, dataset.test)]  # type: ignore[arg-type]
    assert not speakers[0] & speakers[1]
    assert not (speakers[0] | speakers[1]) & speakers[2]
