"""Archives: unpacked once, compared with what is published, and never into a full disk."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from toolchain.datasets import archives
from toolchain.datasets.archives import find_archive, unpacked
from toolchain.datasets.cache import VARIABLE
from toolchain.errors import DatasetError, InputError

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + ".h5", content)
    return path


def gzipped(path: Path) -> Path:
    path.write_bytes(gzip.compress(CONTENT))
    return path


@pytest.mark.parametrize(
    ("name", "make"), [("a.h5.zip", lambda p: zipped(p, a=CONTENT)), ("a.h5.gz", gzipped)], ids=["zip", "gz"]
)
def test_an_archive_is_unpacked_once_and_again_when_it_changes(
    tmp_path: Path, name: str, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / name)
    first = unpacked(path)
    assert (first.path.name, first.path.read_bytes(), first.md5) == ("a.h5", CONTENT, "unknown")
    calls: list[Path] = []
    real = archives._unpack

    def counted(path: Path, out: IO[bytes], limit: int) -> None:
        calls.append(path)
        real(path, out, limit)

    monkeypatch.setattr(archives, "_unpack", counted)
    assert unpacked(path) == first
    assert calls == []
    first.path.write_bytes(b"tampered with")
    assert unpacked(path).path.read_bytes() == CONTENT
    path.touch()
    unpacked(path)
    assert calls == [path, path]
    assert {p.name for p in first.path.parent.iterdir()} == {"a.h5", "entry.json"}


def test_the_md5_of_a_published_zip_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "shd_test.h5.zip", shd_test=CONTENT)
    assert unpacked(path).md5 == "no"
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(archives.PUBLISHED_MD5, "shd_test.h5.zip", digest)
    path.touch()
    assert unpacked(path).md5 == "yes"
    assert unpacked(path).md5 == "yes", "the second time from the cache"


def test_a_file_that_is_no_archive_is_itself(tmp_path: Path) -> None:
    assert unpacked(tmp_path / "a.h5").path == tmp_path / "a.h5"


def test_more_than_the_limit_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip that says how large it is, and two that cannot be asked before."""
    honest = zipped(tmp_path / "a.h5.zip", a=bytes(10**6))
    assert honest.stat().st_size < 2000
    liar = zipped(tmp_path / "b.h5.zip", b=bytes(10**6))
    monkeypatch.setattr(archives, "_member", lambda archive, path, limit: archive.infolist()[0])
    bomb = tmp_path / "c.h5.gz"
    bomb.write_bytes(gzip.compress(bytes(10**6)))
    for path in (liar, bomb):
        with pytest.raises(DatasetError, match="unpacks to more than 1000 bytes"):
            unpacked(path, limit=1000)
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=r"a.h5.zip .\d+ bytes.: unpacks to more than 1000 bytes"):
        unpacked(honest, limit=1000)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def damaged(path: Path) -> Path:
    content = zipped(path, a=CONTENT).read_bytes()
    path.write_bytes(content[:60] + bytes(40) + content[100:])
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.h5.zip", damaged, "cannot be unpacked, .*; it is truncated or damaged"),
        ("a.h5.zip", lambda p: write(p, b"text"), "cannot be unpacked, File is not a zip file"),
        ("a.h5.zip", lambda p: write(p, zipped(p, a=CONTENT).read_bytes()[:-30]), "cannot be unpacked"),
        ("a.h5.zip", lambda p: zipped(p, a=CONTENT, b=CONTENT), "holds 2 files .*.h5, must be one"),
        ("a.h5.zip", lambda p: zipped(p), "holds 0 files"),
        ("a.h5.gz", lambda p: write(p, b"text"), "cannot be unpacked, Not a gzipped file"),
        ("a.h5.gz", lambda p: write(p, gzip.compress(CONTENT)[:-9]), "cannot be unpacked"),
        ("a.h5.gz", lambda p: write(p, gzip.compress(CONTENT)[:-5] + bytes(5)), "cannot be unpacked"),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, name: str, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path / name)
    with pytest.raises(DatasetError, match=message) as caught:
        unpacked(path)
    assert str(path) in str(caught.value)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_names_in_an_archive_lead_nowhere_else(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.h5.zip", **{"..__..__evil": CONTENT})
    assert unpacked(path).path.name == "a.h5"
    assert not list(tmp_path.glob("**/evil.h5"))


def test_a_cache_that_cannot_be_written_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gzipped(tmp_path / "a.h5.gz")
    monkeypatch.setenv(VARIABLE, str(path / "cache"))
    with pytest.raises(InputError, match=f"cannot unpack .*; set {VARIABLE} to a folder with room"):
        unpacked(path)


def test_a_file_is_preferred_to_its_archives_and_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no x.h5, x.h5.zip or x.h5.gz; fetch it"):
        find_archive(tmp_path, "x.h5")
    below = tmp_path / "SHD"
    below.mkdir()
    for name in ("x.h5.gz", "x.h5.zip", "x.h5"):
        (below / name).touch()
        assert find_archive(tmp_path, "x.h5", ("SHD",)) == below / name
