"""`delayline data check`: what a file or folder of recordings is, and what is wrong with it.

A kind of data is one `Checker`: `takes` says whether an item is of its kind, `inspect` looks at all of it. A new kind
is one line in `checkers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain.datasets.checks.inspection import Finding, Inspection, Item
from toolchain.errors import DatasetError, InputError

__all__ = ["Checker", "Finding", "Inspection", "Item", "checkers", "inspect_item", "items"]

TOGETHER = ("*.npz", "*.wav")
"""Files that are one set when they lie in one folder."""
ALONE = ("*.h5", "*.hdf5", "*.h5.zip", "*.h5.gz", "*.pkl", "*.zip")
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Checker:
    """One kind of data.

    Attributes
    ----------
    takes : whether an item is of this kind, by its name or first bytes
    inspect : look at all of it; told to report how many samples are done, so that somebody sees it is alive. What is
        wrong goes into the findings, a `DatasetError` becomes one
    """

    takes: Callable[[Item], bool]
    inspect: Callable[[Item, Progress], Inspection]


def checkers() -> tuple[Checker, ...]:
    """All kinds of data that can be checked; the first that takes an item looks at it."""
    from toolchain.datasets.checks import braille_check, fsdd_check, spike_file_check

    return (
        Checker(spike_file_check.takes, spike_file_check.inspect),
        Checker(fsdd_check.takes_npz, fsdd_check.inspect_npz),
        Checker(fsdd_check.takes_wav, fsdd_check.inspect_wav),
        Checker(braille_check.takes, braille_check.inspect),
    )


def items(path: Path) -> Iterator[Item]:
    """What there is to look at: the file itself, or in a folder every file or set of files that may hold recordings.

    Raises
    ------
    DatasetError
        If there is nothing of this name, or nothing in the folder that may hold recordings.
    """
    if not path.exists():
        raise DatasetError(f"{path}: does not exist; give a file or folder of recordings")
    if not path.is_dir():
        yield Item(path)
        return
    found = False
    for pattern in TOGETHER:
        if any(path.glob(pattern)):
            found = True
            yield Item(path, pattern)
    for file in sorted({file for pattern in ALONE for file in path.glob(pattern) if file.is_file()}):
        found = True
        yield Item(file)
    if not found:
        kinds = ", ".join((*ALONE, *TOGETHER))
        raise DatasetError(f"folder {path}: holds none of {kinds}; give the folder that the files themselves are in")


def inspect_item(item: Item, progress: Progress = lambda done: None) -> Inspection:
    """Look at all of an item; never raises for what is in the file."""
    try:
        for checker in checkers():
            if checker.takes(item):
                return checker.inspect(item, progress)
        size = item.path.stat().st_size
    except (InputError, OSError) as error:
        found = Inspection(str(item.path), "cannot be read")
        found.error(" ".join(str(error).split()))
        return found
    found = Inspection(str(item.path), "empty file" if size == 0 else "of no known kind")
    found.error(
        f"{item.path} ({size} bytes): is neither HDF5, its archive, npz, wav nor pickle; docs/data.md lists formats"
    )
    return found
