"""Published data as they are fetched: ``.h5``, ``.h5.zip`` or ``.h5.gz``, found in a folder, unpacked into the cache.

A zip of a known name is compared with its published MD5. What comes out of an archive has a limit, as an archive of a
few kilobytes can hold a full disk of zeros.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from toolchain.datasets.binned_cache import entry_folder, identity
from toolchain.datasets.cache import VARIABLE as CACHE_VARIABLE
from toolchain.errors import DatasetError, InputError
from toolchain.storage import write_json

FOLDER_VARIABLE = "DELAYLINE_DATA"
SUFFIXES = ("", ".zip", ".gz")
PUBLISHED_MD5 = {
    "shd_train.h5.zip": "f3252aeb598ac776c1b526422d90eecb",
    "shd_test.h5.zip": "1503a5064faa34311c398fb0a1ed0a6f",
    "ssc_train.h5.zip": "d102be95e7144fcc0553d1f45ba94170",
    "ssc_valid.h5.zip": "b4eee3516a4a90dd0c71a6ac23a8ae43",
    "ssc_test.h5.zip": "a35ff1e9cffdd02a20eb850c17c37748",
}
"""Of the files at zenkelab.org/datasets; of the unpacked ones no checksum is published (facts/data.md section 1.1)."""
MAX_UNPACKED = 16 * 2**30
"""Bytes that one archive may become; the largest known, SSC's training set, is a fifth of it."""
PIECE = 2**20


@dataclass(frozen=True)
class Unpacked:
    """A file that can be read, and whether the archive that it came in is the published one.

    `md5` : "yes", "no", or "unknown" where there was no archive or nothing to compare it with
    """

    path: Path
    md5: str = "unknown"


def data_folder(path: str | None, task: str, holds: str) -> Path:
    """The folder that `dataset.options.path` or the environment names; raises DatasetError if there is none."""
    named = path or os.environ.get(FOLDER_VARIABLE)
    if not named:
        raise DatasetError(
            f"task {task}: no folder given; set dataset.options.path or {FOLDER_VARIABLE} to the folder with {holds}"
        )
    folder = Path(named).expanduser()
    if not folder.exists():
        raise DatasetError(f"task {task}: {folder} does not exist; give the folder with {holds}")
    return folder


def find_archive(folder: Path, name: str, below: Sequence[str] = ()) -> Path:
    """A file, or the archive of it, in a folder or its subfolders `below`; raises DatasetError if none is there."""
    for place in (folder, *(folder / b for b in below)):
        for suffix in SUFFIXES:
            if (place / (name + suffix)).is_file():
                return place / (name + suffix)
    raise DatasetError(f"folder {folder}: holds no {name}, {name}.zip or {name}.gz; fetch it or give another folder")


def unpacked(path: Path, limit: int | None = None) -> Unpacked:
    """The file itself, or what is in the archive; that is unpacked into the cache, once.

    Parameters
    ----------
    path : a file; one that ends in .zip or .gz is an archive
    limit : bytes that may come out of it; `MAX_UNPACKED` if left out

    Raises
    ------
    DatasetError
        If the archive is damaged, holds no HDF5 file or more than the limit.
    InputError
        If the cache cannot be written.
    """
    if path.suffix not in (".zip", ".gz"):
        return Unpacked(path)
    limit = MAX_UNPACKED if limit is None else limit
    place = entry_folder("unpacked", path, {})
    entry, target = place / "entry.json", place / path.stem
    made_from = identity(path)
    try:
        known = json.loads(entry.read_bytes())
        if known["made_from"] == made_from and identity(target) == known["file"]:
            return Unpacked(target, str(known["md5"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    md5 = md5_verdict(path)
    try:
        place.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=place)
        try:
            with os.fdopen(handle, "wb") as out:
                _unpack(path, out, limit)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"cache {place}: cannot unpack {path}, {error.strerror or error}; set {CACHE_VARIABLE} to a folder with "
            "room"
        ) from error
    write_json(entry, {"made_from": made_from, "file": identity(target), "md5": md5})
    return Unpacked(target, md5)


def md5_verdict(path: Path) -> str:
    """Whether a file has the published MD5 of its name: "yes", "no", or "unknown" where none is published."""
    published = PUBLISHED_MD5.get(path.name)
    if published is None:
        return "unknown"
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            found.update(piece)
    return "yes" if found.hexdigest() == published else "no"


def _unpack(path: Path, out: IO[bytes], limit: int) -> None:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                _copy(file, out, path, limit)
            return
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path, limit)) as file:
            _copy(file, out, path, limit)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(
            f"file {path} ({path.stat().st_size} bytes): cannot be unpacked, {error}; it is truncated or damaged: "
            "fetch it again"
        ) from error


def _member(archive: zipfile.ZipFile, path: Path, limit: int) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename.endswith((".h5", ".hdf5"))]
    if len(found) != 1:
        raise DatasetError(
            f"file {path}: holds {len(found)} files *.h5, must be one; unpack it and give the one to use"
        )
    if found[0].file_size > limit:
        raise _too_large(path, limit)
    return found[0]


def _copy(file: Any, out: IO[bytes], path: Path, limit: int) -> None:
    left = limit
    while piece := file.read(PIECE):
        left -= len(piece)
        if left < 0:
            raise _too_large(path, limit)
        out.write(piece)


def _too_large(path: Path, limit: int) -> DatasetError:
    return DatasetError(
        f"file {path} ({path.stat().st_size} bytes): unpacks to more than {limit} bytes, which no known set does; "
        "unpack it by hand if you trust it"
    )
