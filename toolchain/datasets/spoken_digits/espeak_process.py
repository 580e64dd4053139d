"""One utterance by espeak-ng, in a process of its own: request as JSON on standard input, samples on standard output.

The library keeps state from one utterance to the next and takes the clock as seed of its noise, so the same request
sounds the same only in a fresh process with a seed set. It can also crash or hang, which then harms nobody else. This
file is run by path without the rest of the package, and imports nothing but the standard library.

Request: library, data (paths), voice, text, pitch (0..100), words_per_minute, seed. Answer: one line of JSON with
version and rate_hz, then 16-bit samples in the machine's order; or, with exit status 1, one line saying what refused.
"""

from __future__ import annotations

import ctypes
import json
import sys

RETRIEVAL, NO_BUFFER, DONT_EXIT = 1, 0, 0x8000
SPEED, PITCH = 1, 3
UTF8 = 1


def speak(request: dict[str, str | int]) -> tuple[dict[str, str | int], bytes]:
    """Samples of one utterance and how they were made; OSError or ValueError if the library refuses."""
    library = ctypes.CDLL(str(request["library"]))
    rate = library.espeak_Initialize(RETRIEVAL, NO_BUFFER, str(request["data"]).encode(), DONT_EXIT)
    if rate <= 0:
        raise ValueError(f"espeak_Initialize returned {rate}")
    library.espeak_ng_SetRandSeed(ctypes.c_long(int(request["seed"])))
    library.espeak_Info.restype = ctypes.c_char_p
    samples = bytearray()
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

    def receive(wave: int | None, count: int, events: int | None) -> int:
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, 2 * count))
        return 0

    keep = kind(receive)
    library.espeak_SetSynthCallback(keep)
    text = str(request["text"]).encode()
    for name, status in (
        ("voice", library.espeak_SetVoiceByName(str(request["voice"]).encode())),
        ("speed", library.espeak_SetParameter(SPEED, int(request["words_per_minute"]), 0)),
        ("pitch", library.espeak_SetParameter(PITCH, int(request["pitch"]), 0)),
        ("text", library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, UTF8, None, None)),
        ("end", library.espeak_Synchronize()),
    ):
        if status != 0:
            raise ValueError(f"{name}: status {status}")
    return {"version": library.espeak_Info(None).decode(), "rate_hz": rate}, bytes(samples)


def main() -> int:
    """Answer the request on standard input; returns the exit status."""
    out = sys.stdout.buffer
    try:
        answer, samples = speak(json.load(sys.stdin))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        out.write(f"{type(error).__name__}: {error}".replace("\n", " ").encode())
        return 1
    out.write(json.dumps(answer).encode() + b"\n" + samples)
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
