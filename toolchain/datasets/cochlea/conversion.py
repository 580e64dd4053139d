"""A folder of recordings to one spike file: in parallel, resumable, and the same however it was run.

Every recording is converted by itself, with a seed made from its content and the seed given, and kept in a cache under
the hash of its content and of everything that the spikes depend on. So neither the order nor the number of threads
matters, a run that was killed goes on where it was, and only new or changed recordings cost time. The spike file is
written from the cache at the end, whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain import __version__
from toolchain.datasets import cache
from toolchain.datasets.cochlea.chain import Cochlea
from toolchain.datasets.cochlea.filter_bank import STEP_RATE_HZ
from toolchain.datasets.cochlea.membrane import N_CHANNELS
from toolchain.datasets.cochlea.recordings_folder import Listing, list_recordings
from toolchain.datasets.cochlea.sound import channels_without_sound
from toolchain.datasets.cochlea.wav import decode_wav
from toolchain.datasets.spike_file import SpikeFileWriter
from toolchain.errors import CheckpointError, InputError
from toolchain.storage import load_arrays, save_arrays

MODEL_VERSION = 2
"""Goes up when the same sound and seed would give other spikes: older entries of caches are then not used."""
_NAMED_BROKEN = 20
_LARGEST_ATTRIBUTE = 32_000


@dataclass(frozen=True)
class Settings:
    """What the spikes of a recording depend on besides its content."""

    seed: int = 0
    causal: bool = False


@dataclass(frozen=True)
class Conversion:
    """What was converted, and all that a reader of the result should know.

    Attributes
    ----------
    path : the spike file
    listing : the recordings that were found
    n_samples, n_spikes, seconds : of what was written; `seconds` of sound
    reused : recordings that were in the cache already
    skipped : (path, reason) of recordings that could not be converted
    mixed : recordings with more than one channel, of which the mean was taken
    rates_hz : samples a second: number of recordings
    notes : (path, what the reader found odd)
    cache : folder of the cache
    """

    path: Path
    listing: Listing
    n_samples: int
    n_spikes: int
    seconds: float
    reused: int
    skipped: tuple[tuple[Path, str], ...]
    mixed: int
    rates_hz: dict[int, int]
    notes: tuple[tuple[Path, str], ...]
    cache: Path

    @property
    def channels_without_sound(self) -> int:
        """Channels that lie above half the lowest rate: they hear little but their own noise."""
        return channels_without_sound(min(self.rates_hz))


@dataclass(frozen=True)
class _Entry:
    """Spikes of one recording and what is known of its sound, as the cache keeps them."""

    steps: NDArray[np.uint32]
    units: NDArray[np.uint16]
    about: dict[str, Any]
    reused: bool


def cache_folder(out: Path) -> Path:
    """Where converted recordings are kept: below `DELAYLINE_CACHE`, or beside the file to be written."""
    return cache.cache_folder("cochlea") if os.environ.get(cache.VARIABLE) else out.with_name(f".{out.name}.cache")


def convert_folder(
    folder: Path,
    out: Path,
    *,
    labels: str = "auto",
    settings: Settings | None = None,
    jobs: int = 1,
    skip_broken: bool = False,
    real: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Convert the WAV files of a folder into a spike file (`toolchain.datasets.spike_file`).

    Parameters
    ----------
    folder, labels : see `list_recordings`
    out : spike file to be written; what is there is replaced
    jobs : threads; the result does not depend on it
    skip_broken : leave out recordings that cannot be converted, and list them in the file, instead of refusing
    real : whether people recorded the sounds, rather than a program
    progress : called with the number of recordings that are done, and of all

    Raises
    ------
    InputError
        If the folder is not laid out as `labels` says, a recording cannot be converted (all of them are looked at
        first, and the message names them), or a file cannot be written.
    """
    settings = settings or Settings()
    if jobs < 1 or settings.seed < 0:
        raise InputError(f"{jobs} jobs, seed {settings.seed}: give at least one job and a seed >= 0")
    listing = list_recordings(folder, labels)
    if out.is_dir():
        raise InputError(f"{out} is a folder; give the name of a file, such as {out / 'spikes.h5'}")
    converter = _Converter(folder, cache_folder(out), settings)
    broken: dict[Path, str] = {}
    reused = 0
    for done, (path, result) in enumerate(_each(converter, listing.paths, jobs), start=1):
        if isinstance(result, str):
            broken[path] = result
        else:
            reused += result
        if progress:
            progress(done, len(listing.paths))
    skipped = tuple((p, broken[p]) for p in listing.paths if p in broken)
    if skipped and not skip_broken:
        named = "; ".join(reason for _, reason in skipped[:_NAMED_BROKEN])
        more = f"; and {len(skipped) - _NAMED_BROKEN} more" if len(skipped) > _NAMED_BROKEN else ""
        raise InputError(
            f"{len(skipped)} of {len(listing.paths)} recordings cannot be converted, nothing was written; mend them or "
            f"leave them out with --skip-broken: {named}{more}"
        )
    if len(skipped) == len(listing.paths):
        raise InputError(f"folder {folder}: none of {len(skipped)} recordings can be converted: {skipped[0][1]}")
    return _write(converter, listing, out, skipped, reused, real)


class _Converter:
    """Converts recordings one by one; any number of threads may use it."""

    def __init__(self, folder: Path, cache: Path, settings: Settings) -> None:
        self.folder = folder
        self.cache = cache
        self.settings = settings
        self._cochlea = Cochlea(causal=settings.causal)

    def entry(self, path: Path) -> _Entry | str:
        """Spikes of one recording, from the cache or new; or why it cannot be converted."""
        whole = self.folder / path
        try:
            content = whole.read_bytes()
        except OSError as error:
            return f"{whole}: cannot be read: {error.strerror or error}"
        known = {"model": MODEL_VERSION, "seed": self.settings.seed, "causal": self.settings.causal}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode() + b"\0" + content).hexdigest()
        place = self.cache / digest[:2] / f"{digest}.safetensors"
        found = _load(place)
        if found is not None:
            return found
        try:
            made = self._convert(content, digest)
        except InputError as error:
            return f"{whole}: {error}"
        save_arrays(place, {"steps": made.steps, "units": made.units}, {"about": made.about, "crc32": _checksum(made)})
        return made

    def _convert(self, content: bytes, digest: str) -> _Entry:
        wave = decode_wav(content)
        # Recordings with the same content get the same spikes, wherever they lie.
        seed = int(digest[:16], 16)
        times, units = self._cochlea.spikes(wave.samples, wave.rate_hz, seed=seed)
        about = {
            "rate_hz": wave.rate_hz, "seconds": wave.samples.size / wave.rate_hz, "n_channels": wave.n_channels,
            "notes": list(wave.notes),
        }  # fmt: skip
        steps = np.rint(times.astype(np.float64) * STEP_RATE_HZ)
        return _Entry(steps.astype(np.uint32), units.astype(np.uint16), about, False)


def _checksum(entry: _Entry) -> int:
    about = json.dumps(entry.about, sort_keys=True).encode()
    return zlib.crc32(about + entry.steps.tobytes() + entry.units.tobytes())


def _load(place: Path) -> _Entry | None:
    """An entry of the cache, or None where it is absent or damaged."""
    if not place.is_file():
        return None
    try:
        arrays, header = load_arrays(place, what="cache entry")
        entry = _Entry(arrays["steps"], arrays["units"], header["about"], True)
        whole = entry.steps.dtype == np.uint32 and entry.units.dtype == np.uint16
        return entry if whole and header["crc32"] == _checksum(entry) else None
    except (CheckpointError, KeyError, TypeError, ValueError, OSError):
        return None


def _each(converter: _Converter, paths: tuple[Path, ...], jobs: int) -> Iterator[tuple[Path, bool | str]]:
    """Every recording as it is done, with whether it was in the cache, or why it cannot be converted."""

    def one(path: Path) -> tuple[Path, bool | str]:
        entry = converter.entry(path)
        return path, entry if isinstance(entry, str) else entry.reused

    with ThreadPoolExecutor(jobs) as threads:
        waiting: set[Future[tuple[Path, bool | str]]] = set()
        try:
            for path in paths:
                if len(waiting) >= 4 * jobs:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                waiting.add(threads.submit(one, path))
            for future in waiting:
                yield future.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _write(
    converter: _Converter, listing: Listing, out: Path, skipped: tuple[tuple[Path, str], ...], reused: int, real: bool
) -> Conversion:
    left_out = {path for path, _ in skipped}
    kept = [n for n, path in enumerate(listing.paths) if path not in left_out]
    rates: dict[int, int] = {}
    notes: list[tuple[Path, str]] = []
    n_spikes, seconds, mixed = 0, 0.0, 0
    with SpikeFileWriter(
        out,
        n_units=N_CHANNELS,
        label_names=listing.label_names,
        what=f"{listing.folder.resolve().name} through the cochlea",
        real=real,
        speaker_names=listing.speaker_names,
        attributes=_attributes(converter.settings, listing, skipped),
    ) as file:
        for n in kept:
            entry = converter.entry(listing.paths[n])
            if isinstance(entry, str):
                raise InputError(f"{entry}; it could be converted a moment ago: leave the folder alone and start again")
            times = (entry.steps / STEP_RATE_HZ).astype(np.float32)
            file.add(times, entry.units, listing.labels[n], listing.speakers[n] if listing.speakers else None)
            rate = int(entry.about["rate_hz"])
            rates[rate] = rates.get(rate, 0) + 1
            n_spikes += times.size
            seconds += entry.about["seconds"]
            mixed += entry.about["n_channels"] > 1
            notes += [(listing.paths[n], note) for note in entry.about["notes"]]
    return Conversion(
        out, listing, len(kept), n_spikes, seconds, reused, skipped, mixed, dict(sorted(rates.items())), tuple(notes),
        converter.cache,
    )  # fmt: skip


def _attributes(
    settings: Settings, listing: Listing, skipped: tuple[tuple[Path, str], ...]
) -> dict[str, str | int | float | bool]:
    """What the file says of how it was made; at most `_LARGEST_ATTRIBUTE` characters of what was skipped."""
    names = [str(path) for path, _ in skipped]
    while len(json.dumps(names)) > _LARGEST_ATTRIBUTE:
        names = [*names[: len(names) // 2], "..."]
    return {
        "generator": "delayline cochlea",
        "generator_version": f"{__version__} (model {MODEL_VERSION})",
        "seed": settings.seed,
        "settings": json.dumps({"causal": settings.causal, "labels": listing.scheme}),
        "skipped": len(skipped),
        "skipped_files": json.dumps(names),
        "left_out": listing.left_out,
    }
