"""Files of synthetic spoken digits: one for each part, in the layout of the Spiking Heidelberg Digits.

Samples are made in chunks, on as many threads as are asked for; a chunk is kept in a folder beside the files as soon as
it is whole, so what was made before a stop, however hard, is not made again. The folder is named after everything that
a sample depends on, and goes when the files are written. A sample does not depend on how many there are, or on the
threads: a larger set takes over the samples of a smaller one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.making import report
from toolchain.datasets.spike_file import SpikeFile, SpikeFileWriter
from toolchain.datasets.spoken_digits.plan import PARTS, Settings, Speaker, plan_sample, speakers_of
from toolchain.datasets.spoken_digits.sound import disturbed
from toolchain.datasets.spoken_digits.speech import Utterance, speak
from toolchain.datasets.spoken_digits.voices import LABEL_NAMES
from toolchain.errors import CheckpointError, DatasetError, InputError
from toolchain.storage import load_arrays, save_arrays

GENERATOR = "delayline synthetic spoken digits"
CODE_VERSION = 1
"""Of everything between the seed and the spikes; another number, other samples."""
N_UNITS = 700
CHUNK = 20
LICENCE = "made by a program from espeak-ng speech; no recording of a person is in it"


@dataclass(frozen=True)
class MadeSample:
    """One sample: spikes (seconds, units), label and number of the speaker."""

    times: NDArray[np.float32]
    units: NDArray[np.int32]
    label: int
    speaker: int


@dataclass(frozen=True)
class Maker:
    """Everything that a sample depends on but its part and number.

    Attributes
    ----------
    espeak_version : of the library that speaks
    causal : see `toolchain.datasets.cochlea.Cochlea`
    """

    seed: int
    settings: Settings
    espeak_version: str
    causal: bool = False

    @property
    def speakers(self) -> dict[str, tuple[Speaker, ...]]:
        """See `speakers_of`."""
        return speakers_of(self.settings, self.seed)

    def attributes(self) -> dict[str, str | int]:
        """Attributes of a file that say how it was made."""
        return {
            "generator": GENERATOR,
            "generator_version": f"{CODE_VERSION} with espeak-ng {self.espeak_version}",
            "seed": self.seed,
            "settings": json.dumps({**json.loads(self.settings.to_json()), "causal": self.causal}, sort_keys=True),
            "licence": LICENCE,
        }

    def sample(self, part: str, index: int) -> MadeSample:
        """Make one sample.

        Raises
        ------
        MissingDependencyError, DatasetError
            See `speak`.
        """
        from toolchain.datasets.cochlea import cochleagram_spikes

        plan = plan_sample(self.settings, self.speakers, self.seed, part, index)
        speech = speak(plan.utterance)
        if speech.version != self.espeak_version:
            raise DatasetError(
                f"spoken digits: espeak-ng {speech.version} speaks, the set is of {self.espeak_version}; make it anew"
            )
        times, units = cochleagram_spikes(
            disturbed(speech, plan), float(speech.rate_hz), seed=plan.cochlea_seed, causal=self.causal
        )
        return MadeSample(times, units, plan.label, plan.speaker)


def find_maker(seed: int, settings: Settings | None = None, *, causal: bool = False) -> Maker:
    """A maker with the espeak-ng that is installed; raises MissingDependencyError if none is."""
    version = speak(Utterance("one", "en-us", 50, 150, 0)).version
    return Maker(seed, settings or Settings(), version, causal)


def file_of(folder: Path, part: str) -> Path:
    """Where a part lies."""
    return folder / f"spoken_digits_{part}.h5"


def make_files(maker: Maker, folder: Path, sizes: dict[str, int], jobs: int = 1) -> dict[str, Path]:
    """Make what is missing of the files; how far it is goes to `making.report`.

    A file that holds as many samples of this maker or more is left as it is.

    Parameters
    ----------
    folder : where the files are to be
    sizes : samples of each part
    jobs : threads

    Raises
    ------
    MissingDependencyError, DatasetError
        If espeak-ng is not there or refuses.
    InputError
        If a size or `jobs` is not positive, a file of another maker is in the way, or the disk refuses.
    """
    if jobs < 1 or min(sizes.values()) < 1 or not set(sizes) <= set(PARTS):
        raise InputError(f"spoken digits: {sizes} samples by {jobs} jobs; give at least one each of {', '.join(PARTS)}")
    present = {part: _present(maker, file_of(folder, part)) for part in sizes}
    missing = {part: size for part, size in sizes.items() if len_of(present[part]) < size}
    kept = folder / f".parts_{_digest(maker)}"
    total = sum(sizes.values())
    done = total - sum(size - len_of(present[part]) for part, size in missing.items())
    for part, size in missing.items():
        bounds = [(a, min(a + CHUNK, size)) for a in range(len_of(present[part]), size, CHUNK)]
        for made in _made(maker, kept, part, bounds, jobs):
            done += made
            report("synthetic spoken digits", done, total)
        with SpikeFileWriter(
            file_of(folder, part),
            n_units=N_UNITS,
            label_names=LABEL_NAMES,
            what=f"synthetic spoken digits (espeak-ng {maker.espeak_version}), {part}",
            real=False,
            speaker_names=[speaker.name for p in PARTS for speaker in maker.speakers[p]],
            attributes=maker.attributes(),
        ) as file:
            for sample in _taken_over(present[part]):
                file.add(sample.times, sample.units, sample.label, sample.speaker)
            for first, last in bounds:
                for sample in _chunk(maker, kept, part, first, last):
                    file.add(sample.times, sample.units, sample.label, sample.speaker)
    shutil.rmtree(kept, ignore_errors=True)
    return {part: file_of(folder, part) for part in sizes}


def len_of(file: SpikeFile | None) -> int:
    """Samples of a file; 0 where there is none."""
    return 0 if file is None else file.labels.size


def _present(maker: Maker, path: Path) -> SpikeFile | None:
    if not path.exists():
        return None
    file = SpikeFile.open(path)
    ours = maker.attributes()
    for name, value in ours.items():
        theirs = file.attributes.get(name)
        if theirs != value:
            name, theirs, value = _first_difference(name, str(theirs), str(value))
            raise InputError(
                f"file {path}: its {name} is {theirs[:200]!r}, to be made is {value[:200]!r}; give another folder or "
                "remove it"
            )
    return file


def _first_difference(name: str, theirs: str, ours: str) -> tuple[str, str, str]:
    """Name and values of an attribute; of settings, which are many, those of the first that differs."""
    try:
        parsed: object = json.loads(theirs) if name == "settings" else None
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        for key, value in json.loads(ours).items():
            if parsed.get(key) != value:
                return key, str(parsed.get(key)), str(value)
    return name, theirs, ours


def _taken_over(file: SpikeFile | None) -> Iterator[MadeSample]:
    if file is None or file.speakers is None:
        return
    for index in range(file.labels.size):
        events = file.read(np.array([index]))
        yield MadeSample(
            events.times.astype(np.float32), events.units, int(file.labels[index]), int(file.speakers[index])
        )


def _digest(maker: Maker) -> str:
    return hashlib.sha256(json.dumps(maker.attributes(), sort_keys=True).encode()).hexdigest()[:16]


def _made(maker: Maker, kept: Path, part: str, bounds: list[tuple[int, int]], jobs: int) -> Iterator[int]:
    """See to it that all chunks are on disk, `jobs` of them in the making; the size of each as it is done."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            waiting = {pool.submit(_chunk, maker, kept, part, first, last): last - first for first, last in bounds}
            for future in as_completed(waiting):
                future.result()
                yield waiting.pop(future)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _chunk(maker: Maker, kept: Path, part: str, first: int, last: int) -> list[MadeSample]:
    """Samples `first` to `last` - 1, from disk or made and put there."""
    path = kept / f"{part}_{first:07d}_{last:07d}.safetensors"
    if path.is_file():
        try:
            return _unpacked(path, last - first)
        except (CheckpointError, KeyError):
            # Not whole, which a rename does not leave behind; made anew.
            path.unlink()
    samples = [maker.sample(part, index) for index in range(first, last)]
    arrays = {
        "times": np.concatenate([s.times for s in samples]),
        "units": np.concatenate([s.units for s in samples]),
        "counts": np.array([s.times.size for s in samples]),
        "labels": np.array([s.label for s in samples]),
        "speakers": np.array([s.speaker for s in samples]),
    }
    save_arrays(path, arrays, {})
    return samples


def _unpacked(path: Path, size: int) -> list[MadeSample]:
    arrays, _ = load_arrays(path, what="chunk")
    ends = np.cumsum(arrays["counts"])
    if ends.size != size or ends[-1] != arrays["times"].size:
        raise CheckpointError(f"chunk {path}: holds {ends.size} samples, not {size}; remove it")
    times, units = (np.split(arrays[name], ends[:-1]) for name in ("times", "units"))
    return [
        MadeSample(t, u, int(label), int(speaker))
        for t, u, label, speaker in zip(times, units, arrays["labels"], arrays["speakers"], strict=True)
    ]
