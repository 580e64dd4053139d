"""Spikes in HDF5 that is neither a spike file of ours nor NIR's: documented layouts, found by the names of datasets.

    one sample     times and units, or t, x, y and p, in the file itself or in the group `events`, `CD/events` or
                   `spikes`; or one dataset of these names whose fields are called so
    samples        the same with offsets (n_samples + 1,), or with samples (n_events,)
    ragged         times and units, one row of any length for each sample
    groups         a group for each sample, in the file itself or in `samples` or `recordings`, each as "one sample",
                   with an attribute or dataset `label`

`labels` and `label_names` lie beside the events. Attributes of the events, of the times or of the file: `time_unit` (or
`unit`), `dt_ms`, `n_units`, `width` and `height` of a camera.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.hdf5 import MAX_ENTRIES, column, open_hdf5, optional_dataset, plain, texts
from toolchain.errors import DatasetError, InterchangeError
from toolchain.interchange.recordings.found import MAX_EVENTS, MAX_SAMPLES, Found, checked, offsets_of, spelled
from toolchain.interchange.recordings.pixels import LARGEST_SIDE, Pixels, units_of_pixels

PLACES = ("", "events", "CD/events", "spikes")
PARENTS = ("samples", "recordings", "")
TIMES, FIELDS = ("times", "t"), ("times", "t", "units", "x", "y", "p")
MAX_GROUPS = 1_000_000
SHOWN = 10


def read_hdf5(path: Path, pixels: Pixels) -> Found:
    """Read a file.

    Raises
    ------
    InterchangeError
        If it is damaged, or its datasets are not as above; the message lists what is there.
    """
    try:
        with open_hdf5(path) as file:
            return checked(_File(file, f"file {path}", pixels).read(), f"file {path}")
    except DatasetError as error:
        raise InterchangeError(f"{error}") from error


def is_nir_data(path: Path) -> bool:
    """Whether a file says that it is NIR's; InterchangeError if it is no HDF5."""
    try:
        with open_hdf5(path) as file:
            return plain(file.attrs.get("__type__")) == "NIRGraphData"
    except DatasetError as error:
        raise InterchangeError(f"{error}") from error


class _File:
    """An open file on its way to events."""

    def __init__(self, file: Any, where: str, pixels: Pixels) -> None:
        self.file, self.where, self.pixels = file, where, pixels
        self.counts: dict[str, int] = {}
        self.n_units: int | None = None
        self.used: set[str] = set()

    def read(self) -> Found:
        found = self._found()
        self._count_others()
        found.counts.update(self.counts)
        return found

    def _found(self) -> Found:
        for place in PLACES:
            names = self._names(place)
            if names is not None:
                return self._said(self._events(names), (place, ""), names)
        for parent in PARENTS:
            groups = self._groups(parent)
            if groups:
                return self._from_groups(groups, parent)
        listing = ", ".join(self._listing()) or "nothing"
        raise InterchangeError(
            f"{self.where}: holds no times and units, and no t, x and y; there are {listing}: docs/interchange.md has "
            "the layouts that are read"
        )

    def _count_others(self) -> None:
        """Count what lies beside the datasets that were read, in the groups that they are in and above them."""
        import h5py

        looked_into = {"/".join(name.split("/")[:i]) for name in self.used for i in range(name.count("/") + 1)} | {""}
        others = []
        for place in sorted(looked_into):
            holder = self.file[place] if place else self.file
            if isinstance(holder, h5py.Group):
                paths = (f"{place}/{name}" if place else name for name in holder)
                others += [path for path in paths if path not in self.used and path not in looked_into]
        if others:
            shown = ", ".join(o if o.isprintable() else ascii(o) for o in others[:3])
            self.counts[f"datasets and groups of other names left out ({shown})"] = len(others)

    def _names(self, place: str) -> dict[str, str] | None:
        """Quantity of an event -> path of its dataset, or of a dataset and its field; None if they are not here."""
        if (whole := self._dataset(place)) is not None:
            fields = {f: f"{place}:{f}" for f in whole.dtype.names or () if f in FIELDS}
        else:
            prefix = f"{place}/" if place else ""
            fields = {f: f"{prefix}{f}" for f in FIELDS if self._dataset(f"{prefix}{f}") is not None}
        if ("times" in fields or "t" in fields) and ("units" in fields or {"x", "y"} <= set(fields)):
            return fields
        return None

    def _dataset(self, name: str) -> Any | None:
        """The dataset of this path in the file itself, None where there is none or it is a group."""
        import h5py

        place = self.file
        for part in name.split("/") if name else ():
            if not isinstance(place, h5py.Group):
                return None
            link = place.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise InterchangeError(f"{self.where}: {name!r} is a link to elsewhere; copy the data into the file")
            place = place[part]
        if not name or not isinstance(place, h5py.Dataset):
            return None
        self.used.add(name)
        return optional_dataset(self.file, name)

    def _column(self, path: str, kinds: str) -> NDArray[Any]:
        name, _, part = path.partition(":")
        if part:
            found = self._dataset(name)
            assert found is not None
            if found.ndim != 1 or found.shape[0] > MAX_ENTRIES:
                raise InterchangeError(
                    f"{self.where}: {name!r} is of shape {found.shape}, at most {MAX_ENTRIES} in a row"
                )
            if found.dtype[part].kind not in kinds:
                raise InterchangeError(f"{self.where}: field {part} of {name!r} is {found.dtype[part]}; give numbers")
            values: NDArray[Any] = np.asarray(found[part])
            return values
        values_or_none = column(self.file, path, kinds)
        assert values_or_none is not None
        return values_or_none

    def _events(self, names: dict[str, str]) -> Found:
        times_name = names.get("times") or names["t"]
        place = times_name.rpartition("/")[0] if ":" not in times_name else ""
        prefix = f"{place}/" if place else ""
        if self._ragged(times_name):
            return self._from_rows(times_name, names)
        times = self._column(times_name, "iuf")
        units, kept = self._units(names, times.size)
        if self._dataset(f"{prefix}offsets") is not None:
            if not kept.all():
                starts = np.concatenate(([0], np.cumsum(kept)))
                offsets = self._column(f"{prefix}offsets", "iu").astype(np.int64)
                if offsets.size and (offsets.min() < 0 or offsets.max() >= starts.size):
                    raise InterchangeError(f"{self.where}: offsets go beyond the {times.size} events")
                return Found(times[kept], units[kept], starts[offsets].astype(np.int64))
            return Found(times, units, self._column(f"{prefix}offsets", "iu").astype(np.int64))
        if self._dataset(f"{prefix}samples") is not None:
            samples = self._column(f"{prefix}samples", "iu").astype(np.int64)
            if samples.size != times.size:
                raise InterchangeError(f"{self.where}: {samples.size} samples for {times.size} times; one for each")
            labels = self._dataset(f"{prefix}labels")
            n_samples = int(labels.shape[0]) if labels is not None and labels.ndim == 1 else None
            offsets, order = offsets_of(samples[kept], n_samples, self.where)
            return Found(times[kept][order], units[kept][order], offsets)
        return Found(times[kept], units[kept], np.array([0, np.count_nonzero(kept)], dtype=np.int64))

    def _ragged(self, name: str) -> bool:
        import h5py

        found = self._dataset(name) if ":" not in name else None
        return found is not None and h5py.check_vlen_dtype(found.dtype) is not None

    def _from_rows(self, times_name: str, names: dict[str, str]) -> Found:
        """Rows of any length; what the file may hold together is bounded by its size, as rows may share their bytes."""
        import h5py

        rows: list[Any] = [self._dataset(times_name), self._dataset(names.get("units", ""))]
        if rows[1] is None or any(r.ndim != 1 or r.shape != rows[0].shape for r in rows):
            raise InterchangeError(f"{self.where}: rows of {times_name!r} need as many rows of units beside them")
        for row, kinds in zip(rows, ("iuf", "iu"), strict=True):
            base = h5py.check_vlen_dtype(row.dtype)
            if base is None or np.dtype(base).kind not in kinds:
                raise InterchangeError(f"{self.where}: {row.name!r} has rows of {base}, not of numbers of kind {kinds}")
        if self._dataset("spikes/times") is not None and self._dataset("labels") is not None:
            raise InterchangeError(
                f"{self.where}: is a spike file already; name it in a recipe (docs/data.md), `delayline data check` "
                "looks at it"
            )
        left = min(MAX_EVENTS, Path(self.file.filename).stat().st_size)
        if rows[0].shape[0] > min(MAX_SAMPLES, left):
            raise InterchangeError(f"{self.where}: says that it has {rows[0].shape[0]} rows, more than fit in it")
        times, units, counts = [], [], [0]
        for index in range(rows[0].shape[0]):
            t, u = rows[0][index], rows[1][index]
            left -= t.size
            if t.shape != u.shape or left < 0:
                raise InterchangeError(
                    f"{self.where}: sample {index} has {t.size} times and {u.size} units, or more than fit in it"
                )
            times.append(t)
            units.append(u.astype(np.int64))
            counts.append(t.size)
        base = h5py.check_vlen_dtype(rows[0].dtype)
        return Found(
            np.concatenate([np.zeros(0, base), *times]),
            np.concatenate([np.zeros(0, np.int64), *units]),
            np.cumsum(counts).astype(np.int64),
        )

    def _units(self, names: dict[str, str], n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Units of events, and which are kept."""
        if "units" in names:
            units = self._column(names["units"], "iu").astype(np.int64)
            if units.size != n:
                raise InterchangeError(f"{self.where}: {n} times and {units.size} units; they must be as many")
            return units, np.ones(n, dtype=np.bool_)
        x, y = (self._column(names[c], "iu") for c in "xy")
        p = self._column(names["p"], "iub").astype(np.int64) if "p" in names else None
        if any(c is not None and c.size != n for c in (x, y, p)):
            raise InterchangeError(f"{self.where}: {n} times, {x.size} x and {y.size} y; they must be as many")
        sensor = self.pixels.sensor or self._sensor(names["x"])
        units, kept, self.n_units, counts = units_of_pixels(x, y, p, sensor, self.pixels.polarity, self.where)
        for what, number in counts.items():
            self.counts[what] = self.counts.get(what, 0) + number
        return units, kept

    def _sensor(self, path: str) -> tuple[int, int]:
        width, height = (self._attribute(path, name) for name in ("width", "height"))
        if not isinstance(width, int) or not isinstance(height, int) or not min(width, height) >= 1:
            raise InterchangeError(
                f"{self.where}: has pixels x and y, but no attributes width and height of the camera, on which the "
                "number of a unit rests; give --sensor WIDTHxHEIGHT"
            )
        return min(width, LARGEST_SIDE), min(height, LARGEST_SIDE)

    def _attribute(self, path: str, *names: str) -> object:
        """Of a dataset, of the group that it is in, or of the file: the first that there is."""
        name = path.partition(":")[0]
        places = [name, name.rpartition("/")[0], ""]
        for place in places:
            holder = self.file[place] if place else self.file
            for attribute in names:
                if attribute in holder.attrs:
                    return plain(holder.attrs[attribute])
        return None

    def _said(self, found: Found, places: tuple[str, ...], names: dict[str, str]) -> Found:
        """What the file says besides events; labels of samples are looked for in these places."""
        times_name = names.get("times") or names["t"]
        if (unit := self._attribute(times_name, "time_unit", "unit")) is not None:
            found.time_unit = spelled(unit, self.where)
        dt_ms, n_units = self._attribute(times_name, "dt_ms"), self._attribute(times_name, "n_units")
        if isinstance(dt_ms, (int, float)) and 0 < dt_ms < 1e9:
            found.dt_ms = float(dt_ms)
        if isinstance(n_units, int) and not isinstance(n_units, bool):
            found.n_units = n_units
        found.n_units = self.n_units or found.n_units
        for prefix in dict.fromkeys(f"{place}/" if place else "" for place in places):
            labels = self._dataset(f"{prefix}labels")
            if labels is not None and found.labels is None:
                found.labels = self._labels(f"{prefix}labels", labels)
                found.label_names = (
                    texts(self.file, f"{prefix}label_names") or ()
                    if self._dataset(f"{prefix}label_names") is not None
                    else ()
                )
        if (
            found.labels is None
            and found.n_samples == 1
            and (label := self._attribute(times_name, "label")) is not None
        ):
            found.labels = _one_label(label)
        return found

    def _labels(self, name: str, labels: Any) -> list[Any]:
        if labels.dtype.kind in "iu":
            return [int(v) for v in self._column(name, "iu")]
        return list(texts(self.file, name) or ())

    def _groups(self, parent: str) -> list[str]:
        """Paths of the groups in a group, those with events first; empty if none of them has any."""
        import h5py

        if parent and not isinstance(self.file.get(parent, getlink=True), h5py.HardLink):
            return []
        holder = self.file[parent] if parent else self.file
        if not isinstance(holder, h5py.Group) or len(holder) > MAX_GROUPS:
            return []
        names = sorted(holder, key=lambda n: [int(p) if p.isdigit() else p for p in re.split(r"([0-9]{1,18})", n)][:50])
        paths = [f"{parent}/{n}" if parent else n for n in names]
        links = [p for p in paths if not isinstance(self.file.get(p, getlink=True), h5py.HardLink)]
        groups = [p for p in paths if p not in set(links) and isinstance(self.file[p], h5py.Group)]
        if not any(self._names(p) is not None for p in groups):
            return []
        if links:
            raise InterchangeError(f"{self.where}: {links[0]!r} is a link to elsewhere; copy the data into the file")
        return groups

    def _from_groups(self, groups: list[str], parent: str) -> Found:
        parts, labels, left = [], [], MAX_EVENTS
        first = next(g for g in groups if self._names(g) is not None)
        for group in groups:
            names = self._names(group)
            if names is None or self._ragged(names.get("times") or names["t"]):
                raise InterchangeError(
                    f"{self.where}: group {group!r} has no times and units of one sample, as {first!r} has; "
                    "move it away"
                )
            part = self._said(self._events(names), (group,), names)
            if part.n_samples != 1:
                raise InterchangeError(f"{self.where}: group {group!r} holds {part.n_samples} samples; it must be one")
            label = self._dataset(f"{group}/label")
            if part.labels is None and label is not None and label.shape in ((), (1,)):
                part.labels = _one_label(plain(label[()]))
            left -= part.times.size
            if left < 0:
                raise InterchangeError(f"{self.where}: has more than {MAX_EVENTS} events; split it")
            parts.append(part)
            labels.append(part.labels[0] if part.labels else None)
        if len({(p.time_unit, p.dt_ms) for p in parts}) > 1:
            raise InterchangeError(f"{self.where}: its groups say different units of time; make them one")
        known = [p.n_units for p in parts if p.n_units is not None]
        whole = all(p.times.dtype.kind in "iu" for p in parts)
        return Found(
            np.concatenate([p.times.astype(np.int64) if whole else p.times for p in parts]),
            np.concatenate([p.units for p in parts]),
            np.cumsum([0, *(p.times.size for p in parts)]).astype(np.int64),
            parts[0].time_unit,
            parts[0].dt_ms,
            max(known) if len(known) == len(parts) else None,
            labels if all(v is not None for v in labels) else None,  # type: ignore[arg-type]
            unlabelled=self._unlabelled(groups, labels, parent),
        )

    def _unlabelled(self, groups: list[str], labels: list[Any], parent: str) -> str:
        """Why there are labels and yet not one for each group; empty if there are no labels, or all."""
        without = [g for g, label in zip(groups, labels, strict=True) if label is None]
        if not without:
            return ""
        if len(without) < len(groups):
            return f"group {without[0]!r} has no label, as others have"
        for name in dict.fromkeys((f"{parent}/labels" if parent else "labels", "labels")):
            if self._dataset(name) is not None:
                return f"its groups have no attribute label, and {name!r} does not say which of its labels is whose"
        return ""

    def _listing(self) -> Iterator[str]:
        """Names in the file, the first of them."""
        for index, name in enumerate(self.file):
            if index == SHOWN:
                yield "and more"
                return
            yield name if name.isprintable() else ascii(name)


def _one_label(label: object) -> list[Any] | None:
    return [label] if isinstance(label, (int, str)) and not isinstance(label, bool) else None
