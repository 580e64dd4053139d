"""Reading WAV files: what is in them, said in full, or why it cannot be used."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cochlea.sound import as_float
from toolchain.errors import InputError

_READING = threading.Lock()
"""Warnings are caught for the whole process, not for a thread."""


@dataclass(frozen=True)
class Wave:
    """Sound of a file, mixed to one channel.

    Attributes
    ----------
    samples : (n_samples,) full scale 1
    rate_hz : samples a second
    n_channels : channels in the file; `samples` is their mean
    notes : what the reader found odd but could read past
    """

    samples: NDArray[np.float64]
    rate_hz: int
    n_channels: int
    notes: tuple[str, ...]


def decode_wav(content: bytes) -> Wave:
    """Sound in the bytes of a WAV file: PCM of 8, 16, 24 or 32 bits, or floating point.

    Raises
    ------
    InputError
        If it is not WAV, of another encoding, empty, or ends before its header says.
    """
    from scipy.io import wavfile

    with _READING, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rate, samples = wavfile.read(io.BytesIO(content))
        except (ValueError, EOFError, OverflowError, ZeroDivisionError, MemoryError, TypeError, struct.error) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"sound: cannot be read as WAV: {reason.rstrip('.')}; fetch it again, or convert it to 16-bit PCM"
            ) from error
        except UnboundLocalError as error:  # what the reader ends in where there is no sound at all
            raise InputError(f"sound: {len(content)} bytes of WAV without any samples; record it again") from error
    notes = tuple(" ".join(str(w.message).split()) for w in caught)
    early = [note for note in notes if "prematurely" in note]
    if early:
        reason = early[0].rstrip(".")
        raise InputError(f"sound: {reason}; it was cut off or streamed: fetch it again, or write a correct header")
    if samples.size == 0:
        raise InputError(f"sound: holds {samples.size} samples; record it again")
    sound = as_float(samples)
    n_channels = 1 if sound.ndim == 1 else sound.shape[1]
    return Wave(sound if sound.ndim == 1 else sound.mean(axis=1), int(rate), n_channels, notes)
