"""Which recordings lie in a folder, what is said in each, and by whom: read off names, as public data sets have them.

    folders   LABEL/anything.wav, as Speech Commands; LABEL/SPEAKER_nohash_0.wav names the speaker
    fsdd      LABEL_SPEAKER_TAKE.wav, all in one folder, as the Free Spoken Digit Dataset

Folders and files whose name starts with a dot or an underscore (`_background_noise_`) are left out, and counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import InputError

SCHEMES = ("auto", "folders", "fsdd")
_FSDD = re.compile(r"([^_]+)_([^_]+)_(\d+)", re.ASCII)
_SPEECH_COMMANDS = re.compile(r"([0-9a-f]+)_nohash_(\d+)", re.ASCII)


@dataclass(frozen=True)
class Listing:
    """WAV files of a folder in the order of their names.

    Attributes
    ----------
    scheme : the one that names were read by, "folders" or "fsdd"
    paths : relative to the folder
    labels, speakers : of each file; speakers None where they are not known for all
    label_names, speaker_names : numbers by value, then the rest by the alphabet
    left_out : files below names that start with a dot or an underscore
    """

    folder: Path
    scheme: str
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    label_names: tuple[str, ...]
    speakers: tuple[int, ...] | None
    speaker_names: tuple[str, ...]
    left_out: int


def list_recordings(folder: Path, scheme: str = "auto") -> Listing:
    """Find all WAV files of a folder with their labels and speakers.

    Raises
    ------
    InputError
        If there is no such folder or scheme, no WAV file, or one whose name or place the scheme does not allow.
    """
    if scheme not in SCHEMES:
        raise InputError(f"labels {scheme!r}: must be one of {', '.join(SCHEMES)}")
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist; give one with WAV files")
    found = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.suffix.lower() == ".wav" and p.is_file())
    paths = [p for p in found if not any(part.startswith((".", "_")) for part in p.parts)]
    if not paths:
        raise InputError(
            f"folder {folder}: {len(found)} WAV files, none of which can be used; give one with recordings"
        )
    if scheme == "auto":
        scheme = _scheme_of(folder, paths)
    labels, speakers = _by_folders(folder, paths) if scheme == "folders" else _by_names(folder, paths)
    label_names, speaker_names = _in_order(set(labels)), _in_order({s for s in speakers if s is not None})
    known = all(s is not None for s in speakers)
    return Listing(
        folder,
        scheme,
        tuple(paths),
        tuple(label_names.index(name) for name in labels),
        label_names,
        tuple(speaker_names.index(s) for s in speakers if s is not None) if known else None,
        speaker_names if known else (),
        len(found) - len(paths),
    )


def _scheme_of(folder: Path, paths: list[Path]) -> str:
    depths = {len(p.parts) for p in paths}
    if depths == {1}:
        return "fsdd"
    if 1 not in depths:
        return "folders"
    flat = next(p for p in paths if len(p.parts) == 1)
    raise InputError(
        f"folder {folder}: holds both {flat} and folders with WAV files; say what labels them: --labels folders or fsdd"
    )


def _by_folders(folder: Path, paths: list[Path]) -> tuple[list[str], list[str | None]]:
    for path in paths:
        if len(path.parts) != 2:
            raise InputError(
                f"file {folder / path}: must lie as LABEL/file.wav below {folder}; convert each split by itself, or "
                "use --labels fsdd for LABEL_SPEAKER_TAKE.wav"
            )
    matches = [_SPEECH_COMMANDS.fullmatch(p.stem) for p in paths]
    return [p.parts[0] for p in paths], [m[1] if m else None for m in matches]


def _by_names(folder: Path, paths: list[Path]) -> tuple[list[str], list[str | None]]:
    labels: list[str] = []
    speakers: list[str | None] = []
    for path in paths:
        match = _FSDD.fullmatch(path.stem)
        if not match or len(path.parts) != 1:
            raise InputError(
                f"file {folder / path}: must be called LABEL_SPEAKER_TAKE.wav, as 7_theo_0.wav, and lie in {folder}; "
                "rename it, or sort files into a folder for each label and use --labels folders"
            )
        labels.append(match[1])
        speakers.append(match[2])
    return labels, speakers


def _in_order(names: set[str]) -> tuple[str, ...]:
    def key(name: str) -> tuple[bool, int, str]:
        number = name.isascii() and name.isdigit()
        return not number, int(name) if number else 0, name

    return tuple(sorted(names, key=key))
