"""Which class each sample is of: from the file, from a CSV beside it, or from the folder that it lies in.

The CSV has a line of names: `label`, and `file` (a name, or a path from the folder that was given) or `sample` (a
number, from 0, within its file) or both, whichever it takes to name a sample.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import InterchangeError
from toolchain.interchange.recordings.found import Found

BESIDE = "labels.csv"
MAX_CSV_BYTES = 256 * 2**20
MAX_CLASSES, LONGEST_NAME = 100_000, 200


@dataclass(frozen=True)
class Source:
    """A file that is read: its path, the folder or file that was asked for, and its way from there."""

    path: Path
    asked: Path

    @property
    def relative(self) -> Path:
        """Way from the folder that was asked for; the name alone of a file that was."""
        return self.path.relative_to(self.asked) if self.path != self.asked else Path(self.path.name)

    @property
    def folder(self) -> Path:
        """Folder that was asked for, or that of the file."""
        return self.asked if self.path != self.asked else self.asked.parent


@dataclass(frozen=True)
class Labels:
    """Names of the classes, the class of each sample of each file, where that is from, and what is to be said of it."""

    names: tuple[str, ...]
    classes: tuple[tuple[int, ...], ...]
    scheme: str
    notes: tuple[str, ...] = ()


def find_labels(sources: Sequence[Source], found: Sequence[Found], scheme: str) -> Labels:
    """Give every sample a class.

    Parameters
    ----------
    sources, found : files and what is in them
    scheme : ``file``, ``folders``, ``none``, the path of a CSV, or ``auto``: the file, else labels.csv, else folders

    Raises
    ------
    InterchangeError
        If a sample has no label there, or there is more than one way to see it.
    """
    if scheme == "none":
        return Labels(("unlabelled",), tuple((0,) * f.n_samples for f in found), "none")
    if scheme == "auto":
        scheme = _best(sources, found)
    if scheme == "file":
        return _from_files(sources, found)
    if scheme == "folders":
        return _from_folders(sources, found)
    return _from_csv(Path(scheme), sources, found)


def _best(sources: Sequence[Source], found: Sequence[Found]) -> str:
    if any(f.labels is not None or f.unlabelled for f in found):
        return "file"
    beside = {s.folder / BESIDE for s in sources}
    there = [path for path in sorted(beside) if path.is_file()]
    if len(there) == 1:
        return str(there[0])
    if all(len(s.relative.parts) > 1 for s in sources):
        return "folders"
    raise InterchangeError(
        f"file {sources[0].path}: has no labels, and there is no one {BESIDE} beside it nor a folder for each class; "
        "give --labels FILE.csv, or --labels none"
    )


def _from_files(sources: Sequence[Source], found: Sequence[Found]) -> Labels:
    texts: list[list[str | int]] = []
    for source, one in zip(sources, found, strict=True):
        if one.labels is None:
            raise InterchangeError(
                f"file {source.path}: {one.unlabelled or 'has no labels'}; give --labels folders, FILE.csv or none"
            )
        texts.append([_named(one, label, source.path) for label in one.labels])
    _refuse_numbers_beside_names(sources, texts)
    names = {f.label_names for f in found}
    if len(names) == 1 and found[0].label_names:
        order = [str(name) for name in found[0].label_names]
        if len(set(order)) == len(order):
            return _classes(texts, order, "file")
    return _classes(texts, None, "file")


def _refuse_numbers_beside_names(sources: Sequence[Source], texts: Sequence[Sequence[int | str]]) -> None:
    """Class 0 of one file may be "left" of another, or not: nobody has said it."""
    named, numbered = (
        next((s for s, row in zip(sources, texts, strict=True) if any(isinstance(v, kind) for v in row)), None)
        for kind in (str, int)
    )
    if named is not None and numbered is not None:
        raise InterchangeError(
            f"file {numbered.path}: has numbers as labels, and {named.path} has names; save label_names in both, or "
            "give --labels FILE.csv"
        )


def _named(found: Found, label: int | str, path: Path) -> int | str:
    if not found.label_names or isinstance(label, str):
        return label
    if not 0 <= label < len(found.label_names):
        raise InterchangeError(f"file {path}: label {label} is outside 0..{len(found.label_names) - 1} of label_names")
    return found.label_names[label]


def _from_folders(sources: Sequence[Source], found: Sequence[Found]) -> Labels:
    texts: list[list[str | int]] = []
    for source, one in zip(sources, found, strict=True):
        if len(source.relative.parts) < 2:
            raise InterchangeError(
                f"file {source.path}: does not lie in a folder of its class below {source.folder}; give that folder"
            )
        texts.append([source.relative.parts[0]] * one.n_samples)
    return _classes(texts, None, "folders")


def _from_csv(path: Path, sources: Sequence[Source], found: Sequence[Found]) -> Labels:
    table, rows = _table(path), 0
    texts: list[list[str | int]] = []
    used: set[tuple[str, int | None]] = set()
    names = [s.path.name for s in sources]
    for source, one in zip(sources, found, strict=True):
        files = [source.relative.as_posix(), *([source.path.name] if names.count(source.path.name) == 1 else []), ""]
        row: list[str | int] = []
        for sample in range(one.n_samples):
            keys = [(f, s) for f in files for s in (sample, None) if f or s is not None or one.n_samples == 1]
            key = next((k for k in keys if k in table), None)
            if key is None or (key[1] is None and one.n_samples > 1):
                raise InterchangeError(
                    f"file {path}: has no line for sample {sample} of {source.relative}; add file, sample, label"
                )
            used.add(key)
            row.append(table[key])
        texts.append(row)
    rows = len(table) - len(used)
    notes = (f"{rows} lines of {path.name} name no sample that was read",) if rows else ()
    return _classes(texts, None, str(path), notes)


def _table(path: Path) -> dict[tuple[str, int | None], str]:
    """(file or "", sample or None) -> label."""
    try:
        if path.stat().st_size > MAX_CSV_BYTES:
            raise InterchangeError(f"file {path}: has more than {MAX_CSV_BYTES} bytes; give a table of labels")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [str(c) for c in reader.fieldnames or ()]
            if "label" not in columns or not {"file", "sample"} & set(columns):
                raise InterchangeError(
                    f"file {path}: its first line is {','.join(columns)[:80]!a}; it must name label, and file or sample"
                )
            table: dict[tuple[str, int | None], str] = {}
            for row in reader:
                line, text = reader.line_num, (row.get("sample") or "").strip()
                if text and not (text.isascii() and text.isdigit() and len(text) < 10):
                    raise InterchangeError(f"file {path}: line {line} has sample {text!a:.30}; number samples from 0")
                key = ((row.get("file") or "").strip(), int(text) if text else None)
                label = (row.get("label") or "").strip()
                if not label or table.setdefault(key, label) != label:
                    raise InterchangeError(
                        f"file {path}: line {line} has no label, or another than a line before; mend it"
                    )
            return table
    except (OSError, UnicodeError, csv.Error) as error:
        raise InterchangeError(
            f"file {path}: cannot be read as a table of labels, {' '.join(str(error).split())[:100]}; give CSV in UTF-8"
        ) from error


def _classes(
    texts: Sequence[Sequence[int | str]], order: list[str] | None, scheme: str, notes: tuple[str, ...] = ()
) -> Labels:
    """Classes in the order that is given; else of their numbers, where all are numbers, or of the alphabet."""
    values = {label for row in texts for label in row}
    numbers = all(isinstance(v, int) or (v.isascii() and v.isdigit() and len(v) < 10) for v in values)
    numbers = numbers and len({int(v) for v in values}) == len(values)  # "1" and "01" are two names
    if order is None:
        found = sorted({str(int(v)) if numbers else str(v) for v in values}, key=int if numbers else None)
        if numbers and found and found != [str(i) for i in range(len(found))]:
            notes = (
                *notes,
                f"labels {found[0]} to {found[-1]} became classes 0 to {len(found) - 1}, named by their numbers",
            )
        order = found
    index = {name: i for i, name in enumerate(order)}
    if len(order) > MAX_CLASSES or any(len(n) > LONGEST_NAME or not n.isprintable() or not n for n in order):
        raise InterchangeError(
            f"labels: {len(order)} classes, or a name of more than {LONGEST_NAME} signs or with some that do not "
            f"print; at most {MAX_CLASSES} are taken"
        )
    named = (tuple(index[str(int(v)) if numbers and str(v) not in index else str(v)] for v in row) for row in texts)
    return Labels(tuple(order), tuple(named), scheme, notes)
