"""The cochlea against lauscher, which the Spiking Heidelberg Digits were made with: a second of sound on one core.

All 700 channels here, a few of theirs, scaled to 700: channels cost it the same. Neither side's start-up counts (our
filters, their imports). Both hear the same sound at 48 kHz, and give as many spikes in the channels that both compute.
`python -m tests.benchmarks.cochlea` also prints how many times faster than the sound itself ours is, by sampling rate.
"""

from __future__ import annotations

import statistics

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.rows import Row, smaller_is_better, table
from tests.benchmarks.workload import cpu_seconds
from tests.oracles.lauscher_chain import in_this_process, their_probability, their_spikes, vowel
from toolchain.datasets.cochlea import Cochlea

SECONDS, RATE, REPEATS = 1.0, 48_000, 9
THEIRS = np.array([250, 340, 440, 480])


def measure() -> list[Row]:
    """One row: seconds of processor time for a second of sound."""
    from importlib.metadata import version

    sound = vowel(SECONDS, RATE)
    ours = our_seconds(sound, RATE) / SECONDS
    found: list[NDArray[np.int64]] = []
    with in_this_process(seed=0):
        theirs = cpu_seconds(lambda: found.append(their_spikes(their_probability(sound, RATE, THEIRS))[1]))
    _, units = Cochlea().spikes(sound, RATE, seed=0)
    n_ours, n_theirs = int(np.isin(units, THEIRS).sum()), found[0].size
    assert abs(n_ours - n_theirs) < 6 * np.sqrt(n_ours + n_theirs), "a time is worth nothing if the results differ"
    scaled = theirs * 700 / THEIRS.size / SECONDS
    return [smaller_is_better("cochlea", ours, scaled, "s a second", f"lauscher {version('lauscher')}")]


def our_seconds(sound: NDArray[np.float64], rate: int) -> float:
    """Processor time of one conversion, median of several, filters there."""
    cochlea = Cochlea()
    cochlea.spikes(sound, rate, seed=0)
    return statistics.median(cpu_seconds(lambda: cochlea.spikes(sound, rate, seed=0)) for _ in range(REPEATS))


def main() -> None:
    """Print the row, and the speed by rate and length."""
    print(table(measure()))
    for rate in (8_000, 16_000, 48_000):
        for seconds in (0.45, 1.0, 5.0):
            faster = seconds / our_seconds(vowel(seconds, rate), rate)
            print(f"{seconds:4.2f} s at {rate:>5} Hz: {faster:.1f} times faster than it sounds, on one core")


if __name__ == "__main__":
    main()
