"""Speech of espeak-ng, without a system package: the library comes with `espeakng-loader`.

Each utterance is spoken by a process of its own (`espeak_process`), so that the same request sounds the same, and a
crash or a hang of the library is an error with a name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import DatasetError, MissingDependencyError

TIME_LIMIT_S, ATTEMPTS = 30.0, 3
"""A word takes 0.03 s; a machine that stood still for a minute is no fault of the voice, so there is another try."""
SCRIPT = Path(__file__).with_name("espeak_process.py")


@dataclass(frozen=True)
class Utterance:
    """What is said and how.

    Attributes
    ----------
    text : words in the language of the voice
    voice : language or accent, a plus and a variant: ``en-us+f2``
    pitch : 0..100, 50 is the variant's own
    words_per_minute : 80..450
    seed : of the noise in a voice
    """

    text: str
    voice: str
    pitch: int
    words_per_minute: int
    seed: int


class Speech(NamedTuple):
    """Sound of an utterance: int16 samples, samples a second, and the version of espeak-ng."""

    samples: NDArray[np.int16]
    rate_hz: int
    version: str


@lru_cache(maxsize=1)
def library_and_data() -> tuple[Path, Path]:
    """Files of espeak-ng.

    Raises
    ------
    MissingDependencyError
        If `espeakng-loader` is not installed or does not hold them.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingDependencyError(
            "espeak-ng is not installed, spoken digits cannot be made; pip install 'delayline[speech]'"
        ) from error
    try:
        library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    except (OSError, RuntimeError) as error:
        raise MissingDependencyError(
            f"espeakng-loader is incomplete ({error}); pip install --force-reinstall 'delayline[speech]'"
        ) from error
    if not library.is_file() or not (data / "voices" / "!v").is_dir():
        raise MissingDependencyError(
            f"espeakng-loader has no library {library} with voices in {data}; pip install --force-reinstall "
            f"'delayline[speech]'"
        )
    return library, data


def speak(utterance: Utterance) -> Speech:
    """Speak one utterance.

    Raises
    ------
    MissingDependencyError
        If espeak-ng is not installed or its library cannot be loaded.
    DatasetError
        If it refuses the utterance, crashes, says nothing or takes longer than `TIME_LIMIT_S`.
    """
    library, data = library_and_data()
    request = {"library": str(library), "data": str(data), **asdict(utterance)}
    what = f"espeak-ng: {utterance.text!r} by {utterance.voice}"
    # The library takes an unknown variant for none at all and says nothing.
    _, _, variant = utterance.voice.partition("+")
    if variant and not (data / "voices" / "!v" / variant).is_file():
        raise DatasetError(f"{what}: this espeak-ng has no variant {variant!r}; choose another")
    done = _answer(json.dumps(request).encode())
    if done is None:
        raise DatasetError(f"{what} took longer than {TIME_LIMIT_S} s, {ATTEMPTS} times; leave the voice out")
    if done.returncode == 1:
        said = " ".join(done.stdout.decode(errors="replace").split())[:200]
        if said.startswith(("OSError", "AttributeError")):
            raise MissingDependencyError(
                f"espeak-ng of espeakng-loader cannot be used ({said}); pip install --upgrade 'delayline[speech]'"
            )
        raise DatasetError(f"{what} was refused ({said}); leave the voice out")
    head, _, content = done.stdout.partition(b"\n")
    if done.returncode != 0 or not content or len(content) % 2:
        raise DatasetError(f"{what} ended with status {done.returncode} and {len(content)} bytes; leave the voice out")
    answer = json.loads(head)
    return Speech(np.frombuffer(content, dtype=np.int16), int(answer["rate_hz"]), str(answer["version"]))


def _answer(request: bytes) -> subprocess.CompletedProcess[bytes] | None:
    """What the process says; None if it does not end in time, however often it is tried."""
    for _ in range(ATTEMPTS):
        try:
            # Isolated and without site packages: it starts in 20 ms.
            return subprocess.run(
                [sys.executable, "-I", "-S", str(SCRIPT)],
                input=request,
                capture_output=True,
                timeout=TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            continue
    return None
