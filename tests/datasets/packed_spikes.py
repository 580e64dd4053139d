"""Spikes of a few synthetic samples in little space, for tests that need speech and cannot wait for it.

One line of JSON, then xz of four byte planes: each event is a number, 1 ms step * 700 + unit, written as the difference
to the one before in its sample. A cell is silent for a millisecond after a spike, so no spike is lost.

    python -m tests.datasets.packed_spikes    # makes spoken_digits.xz again
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).parent / "spoken_digits.xz"
SEED, SIZES = 1, {"train": 60, "valid": 20, "test": 40}
N_UNITS = 700


def steps_of(times_s: NDArray[Any]) -> NDArray[np.int64]:
    """Whole milliseconds."""
    return np.asarray(np.floor(times_s.astype(np.float64) * 1000 + 1e-6), dtype=np.int64)


def numbers(times_s: NDArray[Any], units: NDArray[Any]) -> NDArray[np.int64]:
    """Events of one sample as rising numbers."""
    return np.asarray(np.unique(steps_of(times_s) * N_UNITS + units))


def pack(samples: list[NDArray[np.int64]], head: dict[str, Any]) -> bytes:
    """Samples as rising numbers, to bytes."""
    parts = [np.diff(sample, prepend=0).astype("<u4") for sample in samples]
    planes = np.concatenate(parts).view(np.uint8).reshape(-1, 4).T
    line = json.dumps({**head, "counts": [p.size for p in parts]}).encode()
    return line + b"\n" + lzma.compress(planes.tobytes(), preset=9)


def unpack(content: bytes) -> tuple[list[NDArray[np.int64]], dict[str, Any]]:
    """Undo `pack`."""
    line, _, body = content.partition(b"\n")
    head = json.loads(line)
    counts = np.array(head["counts"])
    planes = np.frombuffer(lzma.decompress(body), dtype=np.uint8).reshape(4, -1)
    steps = np.ascontiguousarray(planes.T).view("<u4").ravel().astype(np.int64)
    return [np.cumsum(part) for part in np.split(steps, np.cumsum(counts)[:-1])], head


def write_files(folder: Path) -> dict[str, Path]:
    """The packed samples as the files that `delayline data make spoken_digits` would have made."""
    from toolchain.datasets.spike_file import SpikeFileWriter
    from toolchain.datasets.spoken_digits.make import GENERATOR, file_of
    from toolchain.datasets.spoken_digits.voices import LABEL_NAMES

    samples, head = unpack(FILE.read_bytes())
    first = 0
    for part, size in SIZES.items():
        with SpikeFileWriter(
            file_of(folder, part),
            n_units=N_UNITS,
            label_names=LABEL_NAMES,
            what=f"synthetic spoken digits (espeak-ng {head['espeak_version']}), {part}",
            real=False,
            attributes={"generator": GENERATOR, "seed": SEED},
        ) as file:
            for i in range(first, first + size):
                step, unit = np.divmod(samples[i], N_UNITS)
                file.add(step / 1000, unit, head["labels"][i], head["speakers"][i])
        first += size
    return {part: file_of(folder, part) for part in SIZES}


def make() -> None:
    """Speak, hear and pack the samples."""
    from toolchain.datasets.spoken_digits.make import find_maker

    maker = find_maker(SEED)
    made = [maker.sample(part, i) for part, size in SIZES.items() for i in range(size)]
    head = {
        **maker.attributes(),
        "espeak_version": maker.espeak_version,
        "sizes": SIZES,
        "labels": [s.label for s in made],
        "speakers": [s.speaker for s in made],
    }
    packed = [numbers(s.times, s.units) for s in made]
    assert all(p.size == s.times.size for p, s in zip(packed, made, strict=True))
    FILE.write_bytes(pack(packed, head))


if __name__ == "__main__":
    make()
