from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from tests.datasets.cochlea.wavs import spoken, write_wav
from toolchain.datasets.cochlea import conversion
from toolchain.datasets.cochlea.conversion import Settings, cache_folder, convert_folder
from toolchain.datasets.cochlea.recordings_folder import list_recordings
from toolchain.datasets.spike_file import SpikeFile
from toolchain.errors import InputError


@pytest.fixture(autouse=True)
def no_shared_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DELAYLINE_CACHE", raising=False)


def content(path: Path) -> list[object]:
    file = SpikeFile.open(path)
    events = file.read(np.arange(file.labels.size))
    speakers = None if file.speakers is None else file.speakers.tolist()
    return [file.labels.tolist(), speakers, file.label_names, *(a.tolist() for a in events)]


def test_a_folder_becomes_one_spike_file(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits", ("0", "1", "2"))
    seen: list[tuple[int, int]] = []
    done = convert_folder(folder, tmp_path / "out.h5", jobs=2, progress=lambda n, of: seen.append((n, of)))
    file = SpikeFile.open(tmp_path / "out.h5")
    assert file.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert file.speakers is not None
    assert file.speakers.tolist() == [0, 1] * 3
    assert file.label_names == ("0", "1", "2")
    assert file.speaker_names == ("a", "b")
    assert file.n_units == 700
    assert file.origin.real
    assert "digits through the cochlea" in str(file.origin)
    assert seen == [(n, 6) for n in range(1, 7)]
    assert done.n_samples == 6
    assert done.n_spikes == file.read(np.arange(6)).times.size > 500
    assert done.seconds == pytest.approx(0.6)
    assert (done.reused, done.mixed, done.skipped, done.notes) == (0, 0, (), ())
    assert done.rates_hz == {8_000: 6}
    assert done.channels_without_sound == 231


def test_the_result_depends_on_neither_jobs_nor_order_nor_cache(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits")
    first = convert_folder(folder, tmp_path / "a.h5", jobs=1)
    convert_folder(folder, tmp_path / "b.h5", jobs=4)
    again = convert_folder(folder, tmp_path / "a.h5", jobs=3)
    assert (first.reused, again.reused) == (0, 4)
    assert content(tmp_path / "a.h5") == content(tmp_path / "b.h5")
    # Another file before it leaves a recording's spikes what they are.
    write_wav(folder / "0_a_9.wav", seed=99)
    more = convert_folder(folder, tmp_path / "a.h5", jobs=2)
    assert more.reused == 4
    a, b = (SpikeFile.open(tmp_path / name).read(np.array([n])).times for name, n in (("a.h5", 4), ("b.h5", 3)))
    np.testing.assert_array_equal(a, b)


def test_seed_and_direction_are_part_of_the_cache(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits")
    found = []
    for settings in (Settings(), Settings(seed=1), Settings(causal=True)):
        done = convert_folder(folder, tmp_path / "a.h5", settings=settings)
        assert done.reused == 0
        found.append(str(content(tmp_path / "a.h5")))
    assert len(set(found)) == 3
    attributes = SpikeFile.open(tmp_path / "a.h5").attributes
    assert json.loads(str(attributes["settings"])) == {"causal": True, "labels": "fsdd"}


def test_the_cache_lies_beside_the_file_or_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder(tmp_path / "a.h5") == tmp_path / ".a.h5.cache"
    monkeypatch.setenv("DELAYLINE_CACHE", str(tmp_path / "kept"))
    assert cache_folder(tmp_path / "a.h5") == tmp_path / "kept" / "cochlea"
    convert_folder(spoken(tmp_path / "digits"), tmp_path / "a.h5")
    assert len(list((tmp_path / "kept").rglob("*.safetensors"))) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "digits", "kept"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    folder = spoken(tmp_path / "digits")
    convert_folder(folder, tmp_path / "a.h5")
    expected = content(tmp_path / "a.h5")
    for path in (tmp_path / ".a.h5.cache").rglob("*.safetensors"):
        whole = bytearray(path.read_bytes())
        whole[-3] ^= 1
        path.write_bytes(bytes(whole) if damage is None else damage)
    assert convert_folder(folder, tmp_path / "a.h5").reused == 0
    assert content(tmp_path / "a.h5") == expected


def test_all_broken_recordings_are_named_before_anything_is_written(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits")
    (folder / "0_c_0.wav").write_bytes(b"no sound")
    wavfile.write(folder / "1_c_0.wav", 8_000, np.zeros(800, dtype=np.int16))
    with pytest.raises(InputError) as failed:
        convert_folder(folder, tmp_path / "a.h5")
    for words in ("2 of 6 recordings", "0_c_0.wav", "1_c_0.wav", "all are 0", "--skip-broken"):
        assert words in str(failed.value)
    assert "\n" not in str(failed.value)
    assert not (tmp_path / "a.h5").exists()


def test_broken_recordings_are_skipped_counted_and_listed(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits")
    (folder / "0_c_0.wav").write_bytes(b"no sound")
    done = convert_folder(folder, tmp_path / "a.h5", skip_broken=True)
    assert [str(path) for path, _ in done.skipped] == ["0_c_0.wav"]
    file = SpikeFile.open(tmp_path / "a.h5")
    assert file.labels.tolist() == [0, 0, 1, 1]
    assert file.attributes["skipped"] == 1
    assert json.loads(str(file.attributes["skipped_files"])) == ["0_c_0.wav"]


def test_nothing_to_convert_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "0_c_0.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match="none of 1 recordings"):
        convert_folder(folder, tmp_path / "a.h5", skip_broken=True)
    with pytest.raises(InputError, match="is a folder"):
        convert_folder(spoken(tmp_path / "more"), tmp_path)
    with pytest.raises(InputError, match="0 jobs"):
        convert_folder(tmp_path / "more", tmp_path / "a.h5", jobs=0)


def test_a_long_list_of_what_was_skipped_fits_into_an_attribute(tmp_path: Path) -> None:
    listing = list_recordings(spoken(tmp_path / "digits"))
    skipped = tuple((Path(f"{n}_{'x' * 200}_0.wav"), "why") for n in range(1_000))
    attributes = conversion._attributes(Settings(), listing, skipped)
    assert attributes["skipped"] == 1_000
    assert len(str(attributes["skipped_files"])) < 32_000
    assert json.loads(str(attributes["skipped_files"]))[-1] == "..."


def test_channels_and_notes_are_counted(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits")
    stereo = np.random.default_rng(0).integers(-9_000, 9_000, (1_600, 2)).astype(np.int16)
    wavfile.write(folder / "0_s_0.wav", 16_000, stereo)
    for _ in range(2):  # the second time from the cache
        done = convert_folder(folder, tmp_path / "a.h5")
        assert done.mixed == 1
        assert done.rates_hz == {8_000: 4, 16_000: 1}


def test_a_full_disk_is_no_broken_recording(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "digits")
    (tmp_path / ".a.h5.cache").write_text("a file where the cache should be")
    with pytest.raises(InputError, match="cannot write"):
        convert_folder(folder, tmp_path / "a.h5", skip_broken=True)
    assert not (tmp_path / "a.h5").exists()


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed at any moment, it leaves whole entries of the cache and no spike file; the next run ends the same."""
    folder = tmp_path / "digits"
    for n in range(30):
        write_wav(folder / f"{n % 3}_a_{n}.wav", seed=n, seconds=0.5)
    convert_folder(folder, tmp_path / "whole.h5")
    command = [sys.executable, "-m", "toolchain.cli", "data", "convert", str(folder), str(tmp_path / "a.h5")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cache = tmp_path / ".a.h5.cache"
    deadline = time.monotonic() + 60
    while len(list(cache.rglob("*.safetensors"))) < 5 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = len(list(cache.rglob("[!.]*.safetensors")))
    assert kept >= 5
    done = convert_folder(folder, tmp_path / "a.h5")
    assert done.reused == kept
    assert content(tmp_path / "a.h5") == content(tmp_path / "whole.h5")
    shutil.rmtree(cache)
