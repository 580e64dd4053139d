"""Tasks that read files: what is trained, validated and tested on, what was removed, and what is said about it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import wavfile

from tests.datasets.layouts import WORDS, events, fsdd_folder, npz_arrays, shd_file, shd_folder
from toolchain.datasets import Dataset, Samples, from_recordings, load_dataset
from toolchain.datasets.archives import FOLDER_VARIABLE
from toolchain.datasets.cache import VARIABLE
from toolchain.datasets.making import listening
from toolchain.errors import DatasetError, RecipeError
from toolchain.recipe import parse_recipe
from toolchain.training.trainer import prepare

FSDD = Path(__file__).parents[3] / "shared" / "data" / "fsdd"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


def pairs(samples: Samples, sample: int) -> set[tuple[int, int]]:
    part = slice(int(samples.spikes.offsets[sample]), int(samples.spikes.offsets[sample + 1]))
    return set(zip(samples.spikes.times[part].tolist(), samples.spikes.units[part].tolist(), strict=True))


def test_shd_is_binned_as_asked_and_what_that_removes_is_counted(tmp_path: Path) -> None:
    """Against the file read by h5py and taken into steps event by event."""
    folder = shd_folder(tmp_path / "data")
    dataset = load_dataset("shd", {"path": str(folder), "dt_ms": 2.0, "steps": 300, "units_per_channel": 5})
    assert (dataset.n_inputs, dataset.n_steps, dataset.n_classes, dataset.dt_ms) == (140, 300, 20, 2.0)
    kept = total = late = 0
    for samples, name in ((dataset.train, "train"), (dataset.test, "test")):
        with h5py.File(folder / f"shd_{name}.h5") as file:
            assert samples.labels.tolist() == file["labels"][:].tolist()
            assert samples.speakers is not None
            assert samples.speakers.tolist() == file["extra/speaker"][:].tolist()
            for i, (times, units) in enumerate(zip(file["spikes/times"], file["spikes/units"], strict=True)):
                steps = [int(1000 * float(t) // 2) for t in times]
                expected = {(s, int(u) // 5) for s, u in zip(steps, units, strict=True) if s < 300}
                assert pairs(samples, i) == expected
                kept, total = kept + len(expected), total + len(times)
                late += sum(s >= 300 for s in steps)
    assert dataset.binning.late == late
    assert dataset.binning.merged == total - late - kept
    assert late > 0


def test_shd_says_that_it_is_real_and_that_nothing_is_known_of_its_checksum(tmp_path: Path) -> None:
    dataset = load_dataset("shd", {"path": str(shd_folder(tmp_path / "data"))})
    assert dataset.valid.labels.size == 0
    assert "train: Spiking Heidelberg Digits, real recordings, shd_train.h5 of" in dataset.provenance
    assert "md5 unknown" in dataset.provenance
    assert "synthetic" not in dataset.provenance


def test_synthetic_files_in_the_place_of_shd_are_not_called_shd(tmp_path: Path) -> None:
    for name in ("train", "test"):
        shd_file(
            tmp_path / f"shd_{name}.h5",
            [*range(20)],
            [0] * 20,
            generator="synth-digits",
            generator_version="2",
            what="spoken by a machine",
        )
    dataset = load_dataset("shd", {"path": str(tmp_path)})
    assert "spoken by a machine, synthetic, synth-digits 2" in dataset.provenance
    assert "Heidelberg" not in dataset.provenance
    assert "real" not in dataset.provenance


def test_the_folder_may_be_named_by_the_environment_and_hold_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shd_folder(tmp_path / "data" / "SHD")
    plain = load_dataset("shd", {"path": str(folder)})
    for file in folder.iterdir():
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "data"))
    dataset = load_dataset("shd", {})
    assert np.array_equal(dataset.train.spikes.times, plain.train.spikes.times)
    assert np.array_equal(dataset.test.spikes.units, plain.test.spikes.units)


def test_speakers_of_the_training_file_can_be_tested_on(tmp_path: Path) -> None:
    options = {"path": str(shd_folder(tmp_path)), "test": {"speaker": 1}}
    dataset = load_dataset("shd", options)
    assert dataset.train.speakers is not None
    assert set(dataset.train.speakers.tolist()) == {0}
    assert dataset.test.speakers is not None
    assert set(dataset.test.speakers.tolist()) == {1}
    assert "tested on speakers 1 of the training file" in dataset.provenance
    for speakers, message in (([4], "4 is not in the training set of task shd; known: 0, 1"), ([0, 1], "all speakers")):
        with pytest.raises(RecipeError, match=message):
            load_dataset("shd", {**options, "test": {"speaker": speakers}})


def test_ssc_has_three_splits_and_may_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"word{i}" for i in range(35)]
    for seed, name in enumerate(("train", "valid", "test")):
        shd_file(tmp_path / f"ssc_{name}.h5", [*range(35)] * (3 - seed), [0] * 35 * (3 - seed), seed=seed, keys=words)
    direct = load_dataset("ssc", {"path": str(tmp_path)})
    monkeypatch.setattr(from_recordings, "CACHED_FROM", 0)
    for first in (True, False):
        told: list[tuple[str, int, int]] = []
        with listening(lambda *what: told.append(what)):  # noqa: B023
            mapped = load_dataset("ssc", {"path": str(tmp_path)})
        finished = [what for what, done, total in told if done == total]
        assert finished == [f"steps of ssc_{name}.h5" for name in ("train", "valid", "test")] * first
        for split in ("train", "valid", "test"):
            ours, theirs = getattr(mapped, split), getattr(direct, split)
            assert isinstance(ours.spikes.times.base, np.memmap)
            assert np.array_equal(ours.spikes.times, theirs.spikes.times)
            assert np.array_equal(ours.spikes.units, theirs.spikes.units)
            assert np.array_equal(ours.spikes.offsets, theirs.spikes.offsets)
            assert np.array_equal(ours.labels, theirs.labels)
        assert mapped.binning == direct.binning
    assert (mapped.n_classes, mapped.valid.labels.size) == (35, 70)


def own(path: Path, n: int, **more: Any) -> str:
    return str(shd_file(path, [i % 2 for i in range(n)], [i % 3 for i in range(n)], keys=("a", "b"), **more))


def test_own_files_one_for_each_split(tmp_path: Path) -> None:
    options = {s: own(tmp_path / f"{s}.h5", n, seed=n) for s, n in (("train", 12), ("valid", 4), ("test", 6))}
    dataset = load_dataset("spikes", options)
    assert [s.labels.size for s in (dataset.train, dataset.valid, dataset.test)] == [12, 4, 6]
    assert dataset.n_classes == 2


def test_one_own_file_and_a_fraction_of_it(tmp_path: Path) -> None:
    """3 of 10 of each class; the seed decides which."""
    path = own(tmp_path / "all.h5", 20)
    dataset = load_dataset("spikes", {"train": path, "test": {"fraction": 0.3}})
    assert np.bincount(dataset.test.labels).tolist() == [3, 3]
    assert np.bincount(dataset.train.labels).tolist() == [7, 7]
    whole = load_dataset("spikes", {"train": path, "test": own(tmp_path / "other.h5", 2)}).train
    found = [pairs(s, i) for s in (dataset.train, dataset.test) for i in range(s.labels.size)]
    assert sorted(map(sorted, found)) == sorted(sorted(pairs(whole, i)) for i in range(20))
    other = load_dataset("spikes", {"train": path, "test": {"fraction": 0.3, "seed": 1}})
    assert not np.array_equal(other.test.spikes.times, dataset.test.spikes.times)
    assert "tested on 0.3 of each class, seed 0" in dataset.provenance
    held = load_dataset("spikes", {"train": path, "test": {"speaker": [0, 2]}})
    assert held.train.speakers is not None
    assert set(held.train.speakers.tolist()) == {1}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda o, d: {**o, "test": o["train"]}, RecipeError, "train, valid and test must be different files"),
        (lambda o, d: {**o, "test": {"fraction": 0.01}}, RecipeError, "0 of 12 samples would be tested on"),
        (lambda o, d: {**o, "test": {"fraction": 1.5}}, RecipeError, "fraction"),
        (lambda o, d: {**o, "train": str(d / "none.h5")}, DatasetError, "none.h5: does not exist"),
        (lambda o, d: {**o, "valid": own(d / "v.h5", 4, n_units=800)}, DatasetError, "valid set has 2 classes and 800"),
        (lambda o, d: {**o, "valid": str(shd_file(d / "v.h5", [0], [0], keys=("b", "a")))}, DatasetError, "otherwise"),
        (lambda o, d: {**o, "dt_ms": 0.0}, RecipeError, "dt_ms"),
    ],
)
def test_own_files_that_do_not_go_together_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any], Path], dict[str, Any]], error: type[Exception], message: str
) -> None:
    options = {"train": own(tmp_path / "train.h5", 12), "test": own(tmp_path / "test.h5", 6)}
    with pytest.raises(error, match=message):
        load_dataset("spikes", change(options, tmp_path))


def test_fsdd_official_test_set_is_the_first_five_recordings(tmp_path: Path) -> None:
    dataset = load_dataset("fsdd", {"path": str(fsdd_folder(tmp_path / "d"))})
    assert (dataset.train.labels.size, dataset.test.labels.size) == (100, 100)
    assert dataset.speaker_names == ("ann", "bob")
    first = npz_arrays(0)
    for i in range(50):
        part = slice(int(first["offsets"][i]), int(first["offsets"][i + 1]))
        steps, units = first["times"][part] // 10, first["units"][part]
        assert pairs(dataset.test, i) == set(zip(steps.tolist(), units.tolist(), strict=True))
    assert dataset.binning.late == 0
    assert "Free Spoken Digit Dataset through a cochlea, real recordings, speakers ann, bob" in dataset.provenance


def test_fsdd_speakers_are_held_out_by_name_or_number(tmp_path: Path) -> None:
    folder = str(fsdd_folder(tmp_path / "d", ("ann", "bob", "eve")))
    for speaker in ("bob", 1, ["bob"]):
        dataset = load_dataset("fsdd", {"path": folder, "test": {"speaker": speaker}})
        assert dataset.test.speakers is not None
        assert set(dataset.test.speakers.tolist()) == {1}
        assert dataset.train.labels.size == 200
    with pytest.raises(
        RecipeError, match=r"theo is not in the training set of task fsdd; known: 0 .ann., 1 .bob., 2 .eve"
    ):
        load_dataset("fsdd", {"path": folder, "test": {"speaker": "theo"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": np.full(5, 700, dtype=np.uint16)}, "5 units"),
        ({"labels": np.full(100, 10, dtype=np.uint8)}, r"labels 10..10 are not in 0..9"),
        ({"time_unit_s": np.float64(0)}, "time_unit_s is 0.0"),
        ({"time_unit_s": np.float64(np.nan)}, "time_unit_s is nan"),
        ({"times": np.zeros(3)}, "times is float64"),
        ({"offsets": np.zeros((2, 2), dtype=np.int64)}, r"offsets is int64\(2, 2\)"),
        ({"offsets": np.array([0], dtype=np.int64)}, "do not belong to 1 offsets"),
        ({"offsets": np.zeros(0, dtype=np.int64)}, "do not belong to 0 offsets"),
    ],
)
def test_arrays_that_are_not_spikes_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "ann.npz", **{**npz_arrays(0), **change})
    with pytest.raises(DatasetError, match=message):
        load_dataset("fsdd", {"path": str(tmp_path)})


def test_files_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no <speaker>.npz and no <digit>_"):
        load_dataset("fsdd", {"path": str(tmp_path)})
    for name, message in (("0_ann_0.wav", "cannot be converted"), ("ann.wav", "is not called <digit>_<speaker>")):
        (tmp_path / name).touch()
        with pytest.raises(DatasetError, match=message):
            load_dataset("fsdd", {"path": str(tmp_path)})
    file = tmp_path / "ann.npz"
    np.savez(file, **{**npz_arrays(0), "labels": np.array([{}], dtype=object)})
    with pytest.raises(DatasetError, match="cannot be read as npz, Object arrays cannot be loaded"):
        load_dataset("fsdd", {"path": str(tmp_path)})
    for content in (b"", b"text", (tmp_path / "ann.npz").read_bytes()[:200]):
        file.write_bytes(content)
        with pytest.raises(DatasetError, match=r"ann.npz: cannot be read as npz"):
            load_dataset("fsdd", {"path": str(tmp_path)})
    arrays = npz_arrays(0)
    del arrays["recording"]
    np.savez(file, **arrays)
    with pytest.raises(DatasetError, match="lacks the arrays recording"):
        load_dataset("fsdd", {"path": str(tmp_path)})


@pytest.mark.parametrize("task", ["shd", "ssc", "fsdd"])
def test_a_task_without_its_files_says_what_to_point_it_at(task: str, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=f"task {task}: no folder given; set dataset.options.path or {FOLDER_VARIABLE}"
    ):
        load_dataset(task, {})
    with pytest.raises(DatasetError, match=f"task {task}: .*nowhere does not exist"):
        load_dataset(task, {"path": str(tmp_path / "nowhere")})
    with pytest.raises(DatasetError, match="holds no "):
        load_dataset(task, {"path": str(tmp_path)})


def recipe(path: Path, training: dict[str, Any], dt_ms: float = 1.0) -> Any:
    return parse_recipe(
        {
            "name": "small",
            "dataset": {"task": "shd", "options": {"path": str(path)}},
            "network": {
                "dt_ms": dt_ms,
                "populations": {
                    "input": {"kind": "spike_source"},
                    "output": {"kind": "leaky_readout", "tau_mem_ms": 20.0, "tau_syn_ms": 5.0},
                },
                "projections": [{"from": "input", "to": "output", "weight": 1.0}],
            },
            "training": training,
        },
        "test",
    )


def test_a_set_without_validation_samples_needs_some_of_its_own(tmp_path: Path) -> None:
    shd_folder(tmp_path)
    with pytest.raises(RecipeError, match=r"task shd has no validation set of its own; give .fraction: 0.1"):
        prepare(recipe(tmp_path, {}))
    for validation, size in (({"fraction": 0.25}, 20), ({"speaker": 1}, 40)):
        task = prepare(recipe(tmp_path, {"validation": validation}))
        assert (task.dataset.valid.labels.size, task.dataset.train.labels.size) == (size, 80 - size)
        assert task.dataset.provenance.endswith(f"({size} samples)")


def test_a_step_is_as_long_in_the_network_as_in_the_data(tmp_path: Path) -> None:
    shd_folder(tmp_path)
    with pytest.raises(RecipeError, match=r"network.dt_ms: 2, but dataset.options.dt_ms is 1; give both the same"):
        prepare(recipe(tmp_path, {"validation": {"fraction": 0.5}}, dt_ms=2.0))


def test_speakers_may_be_named_in_the_validation_of_a_recipe(tmp_path: Path) -> None:
    folder = str(fsdd_folder(tmp_path / "d", ("ann", "bob", "eve")))
    plain = recipe(tmp_path, {"validation": {"speaker": ["eve", 0]}}).model_dump(by_alias=True, exclude_none=True)
    plain["dataset"] = {"task": "fsdd", "options": {"path": folder}}
    dataset: Dataset = prepare(parse_recipe(plain, "test")).dataset
    assert dataset.valid.speakers is not None
    assert set(dataset.valid.speakers.tolist()) == {0, 2}
    assert "validated on speakers eve, 0 (100 samples)" in dataset.provenance


def test_more_events_than_half_precision_can_tell_apart_are_merged_not_lost(tmp_path: Path) -> None:
    row = events(np.random.default_rng(0), 5000, 1.9)
    for name in ("train", "test"):
        shd_file(tmp_path / f"shd_{name}.h5", [0], [0], rows=[row], keys=WORDS)
    dataset = load_dataset("shd", {"path": str(tmp_path), "steps": 1000})
    assert dataset.train.spikes.times.size * 2 + dataset.binning.merged + dataset.binning.late == 2 * 5000
    assert dataset.binning.late == 2 * int(np.count_nonzero(row[0].astype(np.float64) >= 1.0))


def test_recordings_go_through_the_cochlea_once(tmp_path: Path) -> None:
    """Ten tones, of which those with numbers below 5 are tested on; in a clone they lie one folder below."""
    folder = tmp_path / "clone" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for number in (4, 5):
            tone = np.sin(2 * np.pi * (200 + 100 * digit) * np.arange(400) / 8000)
            wavfile.write(folder / f"{digit}_ann_{number}.wav", 8000, (20_000 * tone).astype(np.int16))
    options = {"path": str(tmp_path / "clone"), "steps": 100}
    dataset = load_dataset("fsdd", options)
    assert dataset.test.labels.tolist() == dataset.train.labels.tolist() == list(range(10))
    assert (dataset.n_inputs, dataset.speaker_names) == (700, ("ann",))
    assert dataset.train.spikes.times.size > 100
    assert "Free Spoken Digit Dataset through the cochlea, real recordings, speakers ann" in dataset.provenance
    again = load_dataset("fsdd", options)
    assert np.array_equal(again.train.spikes.times, dataset.train.spikes.times)
    assert [p.name for p in (tmp_path / "clone").iterdir()] == ["recordings"], "nothing is written there"


@pytest.mark.skipif(not FSDD.is_dir(), reason="the spikes of real speech are not beside this checkout")
def test_spikes_of_real_speech_are_read_whole() -> None:
    """Sizes as their README says; five speakers, ten digits, fifty recordings."""
    dataset = load_dataset("fsdd", {"path": str(FSDD), "steps": 2000})
    assert (dataset.train.labels.size, dataset.test.labels.size) == (2250, 250)
    assert np.bincount(dataset.test.labels).tolist() == [25] * 10
    assert dataset.speaker_names == ("george", "jackson", "lucas", "nicolas", "theo")
    total = 0
    for name in dataset.speaker_names:
        with np.load(FSDD / f"{name}.npz", allow_pickle=False) as arrays:
            total += arrays["times"].size
    kept = dataset.train.spikes.times.size + dataset.test.spikes.times.size
    assert (kept + dataset.binning.merged, dataset.binning.late) == (total, 0)
