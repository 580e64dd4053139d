"""Spikes of the cochlea beside those of lauscher for one sound: draw docs/figures/cochlea.png, print the figures.

`python -m tests.benchmarks.cochlea_figure`; most of its minute or two is lauscher, on every 20th channel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.oracles.lauscher_chain import in_this_process, their_probability, their_spikes, vowel
from toolchain.datasets.cochlea import Cochlea
from toolchain.datasets.cochlea.membrane import characteristic_frequency, places

OUTPUT = Path(__file__).parents[2] / "docs" / "figures" / "cochlea.png"
SECONDS, RATE, OUR_REPEATS, THEIR_REPEATS = 0.6, 48_000, 40, 4
THEIRS = np.arange(5, 700, 20)


def main() -> None:
    """Convert, compare, draw."""
    sound = vowel(SECONDS, RATE)
    cochlea = Cochlea()
    ours = [cochlea.spikes(sound, RATE, seed=seed) for seed in range(OUR_REPEATS)]
    with in_this_process(seed=0):
        probability = their_probability(sound, RATE, THEIRS)
        theirs = [their_spikes(probability) for _ in range(THEIR_REPEATS)]
    our_counts = np.array([np.bincount(units, minlength=700) for _, units in ours])
    their_counts = np.array([np.bincount(positions, minlength=THEIRS.size) for _, positions in theirs])
    same = our_counts[:, THEIRS]
    between = [np.corrcoef(a, b)[0, 1] for a in same for b in their_counts]
    within = [np.corrcoef(same[n], same[n + 1])[0, 1] for n in range(0, OUR_REPEATS, 2)]
    print(
        f"spikes in {THEIRS.size} channels: ours {same.sum(axis=1).mean():.1f}, lauscher {their_counts.sum() / 4:.1f}"
    )
    means = np.corrcoef(same.mean(axis=0), their_counts.mean(axis=0))[0, 1]
    print(f"mean counts of channels correlate: {means:.3f}")
    print(f"counts of one run correlate: ours with lauscher {np.mean(between):.3f}, with ours {np.mean(within):.3f}")
    draw(ours[0], Cochlea(causal=True).spikes(sound, RATE, seed=0), theirs[0], our_counts, their_counts)
    print(f"written to {OUTPUT}")


def draw(
    ours: tuple[NDArray[np.float32], NDArray[np.int32]],
    causal: tuple[NDArray[np.float32], NDArray[np.int32]],
    theirs: tuple[NDArray[np.float64], NDArray[np.int64]],
    our_counts: NDArray[np.int64],
    their_counts: NDArray[np.int64],
) -> None:
    """Raster with lauscher's channels over ours; the same with causal filters; counts by channel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 9, "axes.axisbelow": True}):
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(11, 4.6), sharey=True, layout="constrained", width_ratios=[2, 2, 1.1]
        )
        for axis, (times, units), title in ((left, ours, "as lauscher (default)"), (middle, causal, "--causal")):
            axis.scatter(1e3 * times, units, s=2, color="0.35", linewidths=0, label="delayline, 700 channels")
            axis.set(xlabel="time, ms", title=title, xlim=(0, 1e3 * SECONDS))
        left.scatter(
            1e3 * theirs[0], THEIRS[theirs[1]], s=9, marker="|", color="tab:red", label="lauscher, every 20th channel"
        )
        left.legend(loc="upper right", framealpha=1)
        mean, deviation = our_counts.mean(axis=0), our_counts.std(axis=0, ddof=1)
        units = np.arange(700)
        right.fill_betweenx(units, mean - deviation, mean + deviation, color="0.8", linewidth=0, label="± deviation")
        right.plot(mean, units, color="0.2", linewidth=1, label=f"delayline, {OUR_REPEATS} seeds")
        right.plot(their_counts.mean(axis=0), THEIRS, "|", color="tab:red", label=f"lauscher, {THEIR_REPEATS} runs")
        right.set(xlabel="spikes a channel", title="counts", xlim=(0, None))
        right.legend(loc="upper right", framealpha=1)
        frequencies = characteristic_frequency(places())
        shown = [0, 100, 200, 300, 400, 500, 600, 699]
        left.set_yticks(shown, [f"{unit}  ({frequencies[unit] / 1e3:.3g} kHz)" for unit in shown])
        left.set(ylabel="channel (characteristic frequency)", ylim=(699, 0))
        figure.savefig(OUTPUT, dpi=110, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
