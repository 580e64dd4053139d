"""Which files of a folder are which checkpoint of mlGeNN: names taken apart, one chosen, arrays on demand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError
from toolchain.interchange.npy import MAX_ENTRIES, NpyHeader, read_array, read_header
from toolchain.recipe.network_section import MAX_NEURONS

MAX_FILES = 100_000
SHOWN = 5
KINDS = "iuf"
EPOCH = re.compile(r"0|[1-9][0-9]{0,8}")
VARIABLES = ("g", "d", "pre_ind", "post_ind")


def connection_name(source: str, target: str) -> str:
    """What mlGeNN calls a connection that was given no name."""
    return f"Conn_{source}_{target}"


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    # Names of files end in a terminal, and may not steer it.
    return (", ".join(n if n.isprintable() else ascii(n) for n in names[:SHOWN]) + more) or "none"


@dataclass(frozen=True)
class Checkpoint:
    """The files of one checkpoint: (connection, variable), both in lower case -> path."""

    folder: Path
    key: str
    files: Mapping[tuple[str, str], Path]

    def __str__(self) -> str:
        return f"folder {self.folder}" + (f", checkpoint {self.key}" if self.key else "")

    def listing(self) -> str:
        """Names of the files, the first of them."""
        return _shown(sorted(path.name for path in self.files.values()))

    def has(self, connection: str, variable: str) -> bool:
        """Whether there is such a file."""
        return (connection.lower(), variable) in self.files

    def where(self, connection: str, variable: str) -> str:
        """Words for errors that are about this file."""
        path = self.files.get((connection.lower(), variable))
        return f"file {path}" if path else f"{self}, {connection}-{variable}.npy"

    def header(self, connection: str, variable: str) -> NpyHeader:
        """What the array says of itself; InterchangeError if that cannot be."""
        found: NpyHeader = self._open(connection, variable, read_header, MAX_ENTRIES)
        return found

    def array(self, connection: str, variable: str, max_entries: int = MAX_ENTRIES) -> NDArray[Any]:
        """The array in memory."""
        found: NDArray[Any] = self._open(connection, variable, read_array, max_entries)
        return found

    def _open(self, connection: str, variable: str, read: Any, max_entries: int) -> Any:
        path, what = self.files[connection.lower(), variable], self.where(connection, variable)
        try:
            with path.open("rb") as file:
                return read(file, os.fstat(file.fileno()).st_size, what, KINDS, max_entries)
        except OSError as error:
            raise InterchangeError(
                f"{what}: cannot be read, {error.strerror or error}; is it yours to read?"
            ) from error


@dataclass
class _Found:
    """What is in a folder: checkpoints by key, variables of populations, and what belongs to neither."""

    checkpoints: dict[str, dict[tuple[str, str], Path]] = field(default_factory=dict)
    populations: dict[str, list[Path]] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)


def choose(
    folder: Path, connections: Sequence[str], populations: Sequence[str], epoch: int | str | None
) -> tuple[Checkpoint, list[str]]:
    """Find the checkpoints of a folder and take one.

    Parameters
    ----------
    folder : of the files
    connections, populations : that are expected, in mlGeNN's names
    epoch : key of the checkpoint, or None for the latest

    Returns
    -------
    the checkpoint, and sentences about what was chosen and left out

    Raises
    ------
    InterchangeError
        If there is none, or it cannot be told which file or checkpoint is meant, or it holds what is not expected.
    """
    known = [c.lower() for c in connections]
    for name in connections:
        if known.count(name.lower()) > 1:
            raise InterchangeError(
                f"folder {folder}: {known.count(name.lower())} projections of the recipe would be {name} there; rename "
                "populations so that they differ in more than case and underscores"
            )
    found = _look(folder, connections, [p.lower() for p in populations])
    key = _key(folder, found, epoch)
    checkpoint = Checkpoint(folder, key, found.checkpoints[key])
    notes = []
    if len(found.checkpoints) > 1:
        notes.append(
            f"checkpoint {key or 'without a key'} of {len(found.checkpoints)} in {folder}"
            + (", the latest epoch" if epoch is None else "")
        )
    extra = sorted({path.name for (name, _), path in checkpoint.files.items() if name not in known})
    if extra:
        raise InterchangeError(
            f"{checkpoint}: holds connections that the recipe does not have: {_shown(extra)}; its own are "
            f"{_shown(list(connections))}: add them to the recipe, or say what populations are called there with "
            "--name POPULATION=NAME"
        )
    unread = sorted(path.name for (_, variable), path in checkpoint.files.items() if variable not in VARIABLES)
    for path in found.populations.get(key, []):
        _refuse_bias(path)
        unread.append(path.name)
    if unread:
        notes.append(f"left out, as nothing here is like it: {_shown(unread)}")
    if found.other:
        notes.append(f"left out, as they are no files of a checkpoint: {_shown(found.other)}")
    return checkpoint, notes


def _listing(folder: Path) -> Iterator[Path]:
    """Arrays of a folder by name; what a link leads to elsewhere is not among them."""
    try:
        with os.scandir(folder) as entries:
            names: list[str] = []
            for entry in entries:
                if len(names) > MAX_FILES:
                    raise InterchangeError(f"folder {folder}: has more than {MAX_FILES} files; give one of checkpoints")
                names.append(entry.name)
    except OSError as error:
        raise InterchangeError(
            f"folder {folder}: cannot be read, {error.strerror or error}; give the folder of mlGeNN's checkpoints"
        ) from error
    for name in sorted(names):
        path = folder / name
        if not name.lower().endswith(".npy"):
            continue
        if path.resolve().parent != folder.resolve() or not path.is_file():
            raise InterchangeError(f"file {path}: is a link out of the folder or no file; copy it into the folder")
        yield path


def _look(folder: Path, connections: Sequence[str], populations: Sequence[str]) -> _Found:
    found, known = _Found(), [c.lower() for c in connections]
    for path in _listing(folder):
        head, _, variable = path.stem.rpartition("-")
        lower, variable = head.lower(), variable.lower()
        # The longest, as one name may end in another.
        names = sorted((n for n in known if lower == n or lower.endswith(f"-{n}")), key=len)
        name = names[-1] if names else lower.rpartition("-")[2]
        key = head[: -len(name) - 1] if len(head) > len(name) else ""
        if names or (head and name.startswith("conn_")):
            files = found.checkpoints.setdefault(key, {})
            if (name, variable) in files:
                raise InterchangeError(
                    f"folder {folder}: {files[name, variable].name} and {path.name} are one variable; take one away"
                )
            files[name, variable] = path
        elif head and name in populations:
            found.populations.setdefault(key, []).append(path)
        else:
            found.other.append(path.name)
    if not found.checkpoints:
        raise InterchangeError(
            f"folder {folder}: holds no checkpoint of mlGeNN, whose files are called as {connections[0]}-g.npy; there "
            f"are {_shown(found.other)}"
        )
    return found


def _key(folder: Path, found: _Found, epoch: int | str | None) -> str:
    """Key of the checkpoint that is meant."""
    keys = sorted(found.checkpoints)
    titles = [key or "one without a key" for key in keys]
    if epoch is not None:
        if str(epoch) not in keys:
            raise InterchangeError(f"folder {folder}: has no checkpoint {epoch!r}; there are {_shown(titles)}")
        return str(epoch)
    if len(keys) == 1:
        return keys[0]
    if not all(EPOCH.fullmatch(key) for key in keys):
        raise InterchangeError(
            f"folder {folder}: holds {len(keys)} checkpoints that are not epochs alone: "
            f'{_shown(titles)}; say which is meant with --epoch KEY, "" for the one without a key'
        )
    return max(keys, key=int)


def _refuse_bias(path: Path) -> None:
    """A bias has no place in the networks here, unless it is zero throughout."""
    if not path.stem.lower().endswith("-bias"):
        return
    try:
        with path.open("rb") as file:
            bias = read_array(file, os.fstat(file.fileno()).st_size, f"file {path}", KINDS, MAX_NEURONS)
    except OSError as error:
        raise InterchangeError(f"file {path}: cannot be read, {error.strerror or error}") from error
    if np.any(bias != 0):
        raise InterchangeError(
            f"file {path}: {np.count_nonzero(bias)} of {bias.size} neurons have a bias, of which networks here know "
            "nothing; train without one"
        )
