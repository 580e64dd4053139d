from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.datasets.cochlea.recordings_folder import list_recordings
from toolchain.errors import InputError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_speech_commands_are_labelled_by_folder_and_speakers_by_hash(tmp_path: Path) -> None:
    names = ["yes/0a7c_nohash_0.wav", "yes/ff00_nohash_1.wav", "no/0a7c_nohash_0.wav", "_background_noise_/tap.wav"]
    listing = list_recordings(touch(tmp_path, *names, "README.md"))
    assert listing.scheme == "folders"
    assert [str(p) for p in listing.paths] == ["no/0a7c_nohash_0.wav", "yes/0a7c_nohash_0.wav", "yes/ff00_nohash_1.wav"]
    assert listing.label_names == ("no", "yes")
    assert listing.labels == (0, 1, 1)
    assert listing.speaker_names == ("0a7c", "ff00")
    assert listing.speakers == (0, 0, 1)
    assert listing.left_out == 1


def test_fsdd_is_labelled_by_name(tmp_path: Path) -> None:
    listing = list_recordings(touch(tmp_path, "10_theo_0.wav", "9_ann_12.WAV", "nine_ann_0.wav", ".9_ann_1.wav"))
    assert listing.scheme == "fsdd"
    assert listing.label_names == ("9", "10", "nine")
    assert listing.labels == (1, 0, 2)
    assert listing.speaker_names == ("ann", "theo")
    assert listing.speakers == (1, 0, 0)
    assert listing.left_out == 1


def test_speakers_are_left_open_where_one_is_not_known(tmp_path: Path) -> None:
    listing = list_recordings(touch(tmp_path, "a/0a_nohash_0.wav", "b/hello.wav"))
    assert listing.speakers is None
    assert listing.speaker_names == ()


@pytest.mark.parametrize(
    ("names", "scheme", "words"),
    [
        ((), "auto", "0 WAV files"),
        (("_x/a.wav",), "auto", "1 WAV files, none of which"),
        (("1_a_0.wav", "x/y.wav"), "auto", "both 1_a_0.wav and folders"),
        (("train/zero/a.wav",), "auto", "convert each split"),
        (("zero.wav",), "auto", "LABEL_SPEAKER_TAKE"),
        (("x/1_a_0.wav",), "fsdd", "lie in"),
        (("1_a_0.wav",), "folders", "LABEL/file.wav"),
        (("1_a_0.wav",), "names", "'names': must be one of"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, names: tuple[str, ...], scheme: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list_recordings(touch(tmp_path, *names), scheme)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list_recordings(tmp_path / "nowhere")
