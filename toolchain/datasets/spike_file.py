"""Spike files: events of many samples in HDF5, in the layout of the Spiking Heidelberg Digits.

    spikes/times          one row a sample, of its own length: float16, float32 or float64, seconds, >= 0
    spikes/units          one row a sample, as long as that of the times: integers, 0 <= unit < n_units
    labels                (n_samples,) integers
    extra/keys            (n_classes,) names of the classes; without it they are called by their numbers
    extra/speaker         (n_samples,) integers, who each sample is from; may be left out
    extra/speaker_names   (n_speakers,) what speaker 0, 1, ... is called; may be left out
    extra/meta_info/*     anything else about speakers; not read

Attributes of the file, each of which may be left out: `n_units` (700, as in SHD), `what` (a few words), `real`,
`generator` (the program that made the events), `generator_version`, `seed`, `settings`, `licence`. Without `real`, a
file with a `generator` counts as synthetic and one without as recorded, which is what the published files are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolchain.datasets.hdf5 import LIBRARY_ERRORS, Attribute, attributes, column, dataset, open_hdf5, texts
from toolchain.datasets.recordings import Events, Origin, select_events
from toolchain.errors import DatasetError, InputError

FORMAT, FORMAT_VERSION = "delayline spikes", 1
SHD_UNITS = 700
"""Channels of a file that does not say how many it has."""
MAX_UNITS = 10_000_000
BLOCK = 16
"""Rows that HDF5 is asked for at once: measured fastest, and what a damaged file can make us hold stays small."""


@dataclass(frozen=True)
class SpikeFile:
    """A spike file as `Recordings`; made by `open`. Each `read` opens the file and closes it again.

    Attributes
    ----------
    speaker_names : what each speaker is called; empty where the file does not say
    attributes : text and numbers that are attributes of the file
    """

    path: Path
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64] | None
    label_names: tuple[str, ...]
    speaker_names: tuple[str, ...]
    n_units: int
    origin: Origin
    attributes: Mapping[str, Attribute]
    _disordered: NDArray[np.bool_] = field(repr=False, compare=False)

    @classmethod
    def open(cls, path: Path) -> SpikeFile:
        """Read everything but the events.

        Raises
        ------
        DatasetError
            If the file cannot be read or is not laid out as above.
        """
        with open_hdf5(path) as file:
            found = attributes(file)
            labels = column(file, "labels", "iu")
            if labels is None:
                dataset(file, "labels")
            assert labels is not None
            for name, kinds in (("spikes/times", "f"), ("spikes/units", "iu")):
                _rows(file, name, kinds, labels.size)
            keys = texts(file, "extra/keys")
            speakers = column(file, "extra/speaker", "iu")
            speaker_names = texts(file, "extra/speaker_names") or ()
        n_classes = len(keys) if keys is not None else int(labels.max(initial=-1)) + 1
        labels = _counted(path, "label", labels, n_classes, "extra/keys names the classes")
        names = keys if keys is not None else tuple(str(c) for c in range(n_classes))
        if speakers is not None:
            if speakers.size != labels.size:
                raise DatasetError(
                    f"file {path}: {speakers.size} speakers for {labels.size} samples; give one for each"
                )
            limit = len(speaker_names) if speaker_names else np.iinfo(np.int64).max
            speakers = _counted(path, "speaker", speakers, limit, "extra/speaker_names names them")
        return cls(
            path, labels, speakers, names, speaker_names, _n_units(path, found), _origin(path, found), found,
            np.zeros(labels.size, dtype=np.bool_),
        )  # fmt: skip

    @property
    def disordered(self) -> int:
        """Samples read so far whose events were not in the order of time, and were sorted."""
        return int(np.count_nonzero(self._disordered))

    def read(self, samples: NDArray[np.int64]) -> Events:
        """See `Recordings.read`."""
        wanted, inverse = np.unique(np.asarray(samples, dtype=np.int64), return_inverse=True)
        if wanted.size and (wanted[0] < 0 or wanted[-1] >= self.labels.size):
            raise InputError(
                f"file {self.path}: samples {wanted[0]}..{wanted[-1]} asked for, it has {self.labels.size}"
            )
        parts: list[tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]] = []
        with open_hdf5(self.path) as file:
            times = _rows(file, "spikes/times", "f", self.labels.size)
            units = _rows(file, "spikes/units", "iu", self.labels.size)
            # Events lie in the file one by one, uncompressed: more than fit in it are rows that share their bytes.
            left = self.path.stat().st_size // 2 + 1
            for first, last in _runs(wanted):
                parts.append(self._checked(first, times[first:last], units[first:last]))
                left -= parts[-1][0].size
                if left < 0:
                    raise DatasetError(
                        f"file {self.path}: samples {wanted[0]}..{last - 1} have more events than its size allows; it "
                        "is damaged: fetch or write it again"
                    )
        counts = [part[2] for part in parts]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate([*counts, _NONE]))])
        events = Events(
            np.concatenate([np.zeros(0), *(part[0] for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.int32), *(part[1] for part in parts)]),
            offsets.astype(np.int64),
        )
        if np.array_equal(inverse, np.arange(wanted.size)):
            return events
        return select_events(events, inverse.reshape(-1))

    def _checked(
        self, first: int, times_rows: Sequence[NDArray[Any]], units_rows: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int64]]:
        """Events of consecutive samples from `first` on: every one looked at, and in order of time."""
        counts = np.array([row.size for row in times_rows], dtype=np.int64)
        others = np.array([row.size for row in units_rows], dtype=np.int64)
        if (counts != others).any():
            row = int(np.flatnonzero(counts != others)[0])
            raise DatasetError(
                f"file {self.path}: sample {first + row} has {counts[row]} times and {others[row]} units; they must be "
                "as many"
            )
        # In half precision a second is 1000.5 ms at best and a million is infinite: no arithmetic before this.
        times = np.concatenate(times_rows).astype(np.float64)
        units = np.concatenate(units_rows)
        starts = np.cumsum(counts) - counts
        bad = ~(np.isfinite(times) & (times >= 0))
        if bad.any():
            event = int(np.flatnonzero(bad)[0])
            row = int(np.searchsorted(starts, event, side="right")) - 1
            raise DatasetError(
                f"file {self.path}: sample {first + row} has an event at {times[event]} s; times must be finite "
                "and >= 0"
            )
        if units.size and (int(units.min()) < 0 or int(units.max()) >= self.n_units):
            event = int(np.flatnonzero((units < 0) | (units >= self.n_units))[0])
            row = int(np.searchsorted(starts, event, side="right")) - 1
            raise DatasetError(
                f"file {self.path}: sample {first + row} has an event on unit {units[event]}, outside "
                f"0..{self.n_units - 1}; set the attribute n_units of the file if it has more channels"
            )
        units = units.astype(np.int32)
        falling = np.diff(times) < 0
        falling[starts[(starts > 0) & (starts < times.size)] - 1] = False
        if falling.any():
            sample = np.repeat(np.arange(counts.size), counts)
            self._disordered[first + np.unique(sample[1:][falling])] = True
            order = np.lexsort((times, sample))
            times, units = times[order], units[order]
        return times, units, counts


_NONE = np.zeros(0, dtype=np.int64)


def _runs(wanted: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Consecutive samples among rising ones, at most `BLOCK` together, as (first, last + 1)."""
    start = 0
    while start < wanted.size:
        stop = start + 1
        while stop < wanted.size and stop - start < BLOCK and wanted[stop] == wanted[stop - 1] + 1:
            stop += 1
        yield int(wanted[start]), int(wanted[stop - 1]) + 1
        start = stop


def _rows(file: Any, name: str, kinds: str, n_samples: int) -> Any:
    """A dataset of rows of any length, of this kind of number and one for each sample."""
    import h5py

    found = dataset(file, name)
    base = h5py.check_vlen_dtype(found.dtype)
    if base is None or np.dtype(base).kind not in kinds or found.ndim != 1:
        raise DatasetError(
            f"file {file.filename}: {name!r} is {base or found.dtype} of shape {found.shape}, must be one row of any "
            f"length for each sample, of a type of kind {'/'.join(kinds)}"
        )
    if found.shape[0] != n_samples:
        raise DatasetError(
            f"file {file.filename}: {name!r} has {found.shape[0]} rows for {n_samples} labels; there must be as many"
        )
    return found


def _counted(path: Path, what: str, values: NDArray[Any], limit: int, why: str) -> NDArray[np.int64]:
    """Whole numbers of 0..limit-1 as int64."""
    if values.size and (int(values.min()) < 0 or int(values.max()) >= limit):
        sample = int(np.flatnonzero((values < 0) | (values >= limit))[0])
        raise DatasetError(f"file {path}: sample {sample} has {what} {values[sample]}, outside 0..{limit - 1}; {why}")
    return values.astype(np.int64)


def _n_units(path: Path, found: Mapping[str, Attribute]) -> int:
    n_units = found.get("n_units", SHD_UNITS)
    if isinstance(n_units, bool) or not isinstance(n_units, int) or not 1 <= n_units <= MAX_UNITS:
        raise DatasetError(f"file {path}: its attribute n_units is {n_units!r}, must be a whole number 1..{MAX_UNITS}")
    return n_units


def _origin(path: Path, found: Mapping[str, Attribute]) -> Origin:
    version = found.get("format_version", FORMAT_VERSION)
    if found.get("format") == FORMAT and version != FORMAT_VERSION:
        raise DatasetError(
            f"file {path}: is of format version {version}, this version reads {FORMAT_VERSION}; use the "
            "version that wrote it"
        )
    generator = found.get("generator")
    real = found.get("real", generator is None)
    if real not in (0, 1):
        raise DatasetError(f"file {path}: its attribute real is {real!r}, must be true or false")
    made_by = " ".join(str(found[k]) for k in ("generator", "generator_version") if k in found)
    seed = f"seed {found['seed']}" if "seed" in found else ""
    detail = ", ".join(part for part in (made_by, seed) if part)
    return Origin(" ".join(str(found.get("what", path.name)).split()), bool(real), path, " ".join(detail.split()))


class SpikeFileWriter:
    """Writes a spike file, sample by sample; the file appears at its place when it is whole, or not at all.

        with SpikeFileWriter(path, n_units=700, label_names=names, what="spoken digits", real=True) as file:
            for sample in recordings:
                file.add(sample.times_s, sample.units, sample.label, sample.speaker)

    Until the end of the ``with`` it lies beside its place under a temporary name; an exception takes that away.

    Parameters
    ----------
    path : where the file is to be; what is there is replaced
    n_units : channels
    label_names : names of the classes; label c is ``label_names[c]``
    what : a few words that every result will print, such as "Free Spoken Digit Dataset through the cochlea"
    real : whether somebody recorded what the events are from
    speaker_names : names of the speakers, where they have any
    attributes : further attributes: generator, generator_version, seed, settings (JSON), licence, ...
    times_dtype : float16, float32 or float64; times are rounded to it

    Raises
    ------
    InputError
        If a parameter is out of range or the file cannot be written; from `add`, if a sample cannot be in such a file.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_units: int,
        label_names: Sequence[str],
        what: str,
        real: bool,
        speaker_names: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        times_dtype: str = "float32",
    ) -> None:
        if not 1 <= n_units <= MAX_UNITS or not label_names:
            raise InputError(
                f"file {path}: {n_units} units and {len(label_names)} classes; give 1..{MAX_UNITS} units and a class"
            )
        if times_dtype not in ("float16", "float32", "float64"):
            raise InputError(f"file {path}: times cannot be {times_dtype}; give float16, float32 or float64")
        self.path, self.n_units = path, n_units
        self._label_names, self._speaker_names = tuple(label_names), tuple(speaker_names)
        self._attributes: dict[str, Attribute] = {
            **(attributes or {}),
            "format": FORMAT, "format_version": FORMAT_VERSION, "what": what, "real": real, "n_units": n_units,
        }  # fmt: skip
        self._times_dtype = np.dtype(times_dtype)
        self._labels: list[int] = []
        self._speakers: list[int] = []
        self._file: Any = None
        self._temporary: Path | None = None

    def __enter__(self) -> SpikeFileWriter:
        import h5py

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            os.close(handle)
            self._temporary = Path(name)
            self._file = h5py.File(name, "w")
            units = np.uint16 if self.n_units <= 2**16 else np.int32
            for group, dtype in (("spikes/times", self._times_dtype), ("spikes/units", units)):
                self._file.create_dataset(
                    group, (0,), maxshape=(None,), chunks=(256,), dtype=h5py.vlen_dtype(np.dtype(dtype))
                )
        except OSError as error:
            self._abandon()
            raise InputError(
                f"cannot write {self.path}: {error.strerror or error}; free or choose another place"
            ) from error
        return self

    def add(self, times_s: ArrayLike, units: ArrayLike, label: int, speaker: int | None = None) -> None:
        """Append one sample; its events are put in the order of time.

        Parameters
        ----------
        times_s : (n_events,) seconds, finite and >= 0
        units : (n_events,) whole numbers, 0 <= unit < n_units
        label : 0 <= label < number of classes
        speaker : who it is from, >= 0; given for every sample or for none
        """
        times = np.asarray(times_s, dtype=np.float64)
        channels = np.asarray(units)
        where = f"file {self.path}: sample {len(self._labels)}"
        if times.ndim != 1 or times.shape != channels.shape or (channels.size and channels.dtype.kind not in "iu"):
            raise InputError(
                f"{where} has times of shape {times.shape} and {channels.dtype} units of shape {channels.shape}; give "
                "one whole unit for each time"
            )
        with np.errstate(over="ignore"):
            stored = times.astype(self._times_dtype)
        if times.size and not (np.isfinite(stored).all() and times.min() >= 0):
            raise InputError(f"{where} has times {times.min()}..{times.max()} s; give {stored.dtype} seconds >= 0")
        if channels.size and not 0 <= channels.min() <= channels.max() < self.n_units:
            raise InputError(f"{where} has units {channels.min()}..{channels.max()}, outside 0..{self.n_units - 1}")
        if not 0 <= label < len(self._label_names):
            raise InputError(f"{where} has label {label}, outside 0..{len(self._label_names) - 1}; name all classes")
        if (speaker is None) == bool(self._speakers) and self._labels:
            raise InputError(f"{where} has speaker {speaker}, unlike those before; give one for every sample or none")
        if speaker is not None and not 0 <= speaker < (len(self._speaker_names) or 2**31):
            raise InputError(f"{where} has speaker {speaker}, but {len(self._speaker_names)} names; name all speakers")
        order = np.argsort(times, kind="stable")
        index = len(self._labels)
        try:
            for name, row in (("spikes/times", stored[order]), ("spikes/units", channels[order])):
                rows = self._file[name]
                rows.resize((index + 1,))
                if row.size:
                    rows[index] = row
        except LIBRARY_ERRORS as error:
            raise InputError(f"cannot write {self.path}: {error}; free or choose another place") from error
        self._labels.append(int(label))
        if speaker is not None:
            self._speakers.append(int(speaker))

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._abandon()
            return
        assert self._temporary is not None
        try:
            self._finish()
            with open(self._temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(self._temporary, 0o644)
            os.replace(self._temporary, self.path)
        except BaseException as error:
            self._abandon()
            if isinstance(error, LIBRARY_ERRORS):
                raise InputError(f"cannot write {self.path}: {error}; free or choose another place") from error
            raise

    def _finish(self) -> None:
        import h5py

        file, text = self._file, h5py.string_dtype()
        file["labels"] = np.array(self._labels, dtype=np.int64)
        file.create_dataset("extra/keys", data=list(self._label_names), dtype=text)
        if self._speakers:
            file["extra/speaker"] = np.array(self._speakers, dtype=np.int64)
        if self._speaker_names:
            file.create_dataset("extra/speaker_names", data=list(self._speaker_names), dtype=text)
        for name, value in self._attributes.items():
            file.attrs[name] = value
        file.close()

    def _abandon(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
