"""How hard the synthetic spoken digits are: events, lengths, and what a linear classifier reads off them.

    python -m tests.benchmarks.spoken_digits FOLDER                # a table
    python -m tests.benchmarks.spoken_digits FOLDER --draw         # docs/figures/spoken_digits.png too

A logistic regression on four views of the same spikes. Fitted on 85 % of the training set; "seen" are the other 15 %,
of the same voices, "held out" the test set, of voices of other families. Chance is 0.05. The regularisation of each
view is chosen on the validation set. If timing matters, counts are far below bins; if the length or loudness of a word
gave it away, the population rate would be high.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.spike_file import SpikeFile
from toolchain.datasets.spoken_digits.make import file_of
from toolchain.datasets.spoken_digits.plan import PARTS

FIGURE = Path(__file__).parents[2] / "docs" / "figures" / "spoken_digits.png"
LENGTH_S, SEEN = 1.2, 0.15
STRENGTHS = (0.01, 0.1, 1.0)
VIEWS = {
    "700 counts": (700, 1),
    "70 counts": (70, 1),
    "70 channels x 20 bins": (70, 20),
    "population rate, 40 bins": (1, 40),
}


class Part(NamedTuple):
    """Events of one part in one piece, and whose they are."""

    times: NDArray[np.float64]
    units: NDArray[np.int64]
    sample: NDArray[np.int64]
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64]

    def view(self, channels: int, bins: int) -> NDArray[np.float64]:
        """(n_samples, channels * bins) square roots of counts; events after `LENGTH_S` are in the last bin."""
        column = np.minimum((self.times / LENGTH_S * bins).astype(np.int64), bins - 1)
        place = (self.sample * channels + self.units * channels // 700) * bins + column
        counts = np.bincount(place, minlength=self.labels.size * channels * bins)
        return np.asarray(np.sqrt(counts.reshape(self.labels.size, -1)))


def read(folder: Path, part: str) -> Part:
    """A part of a set."""
    file = SpikeFile.open(file_of(folder, part))
    events = file.read(np.arange(file.labels.size))
    sample = np.repeat(np.arange(file.labels.size), np.diff(events.offsets))
    speakers = file.speakers if file.speakers is not None else np.zeros_like(file.labels)
    return Part(events.times, events.units.astype(np.int64), sample, file.labels, speakers)


def statistics(part: Part) -> str:
    """Events and lengths in a line."""
    counts = np.bincount(part.sample, minlength=part.labels.size)
    last = np.zeros(part.labels.size)
    np.maximum.at(last, part.sample, part.times)
    return (
        f"{part.labels.size:>6} samples of {np.unique(part.speakers).size:>2} speakers, events {counts.mean():.0f} "
        f"({counts.min()}..{counts.max()}), last event {last.mean():.2f} s ({last.min():.2f}..{last.max():.2f})"
    )


def scores(train: Part, valid: Part, test: Part, channels: int, bins: int) -> tuple[float, float, float]:
    """Accuracy on seen voices and on held-out ones, and the strength that validation chose."""
    from sklearn.linear_model import LogisticRegression

    views = [part.view(channels, bins) for part in (train, valid, test)]
    scale = views[0].std()
    fit = np.random.default_rng(0).permutation(train.labels.size)
    n_seen = round(SEEN * fit.size)
    fit, seen = fit[n_seen:], fit[:n_seen]

    found = []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # After so many steps the rest of the way changes nothing in these digits.
            warnings.simplefilter("ignore")
            model: Any = LogisticRegression(C=strength, max_iter=100).fit(views[0][fit] / scale, train.labels[fit])
        score = [
            float(model.score(view / scale, labels))
            for view, labels in (
                (views[1], valid.labels),
                (views[0][seen], train.labels[seen]),
                (views[2], test.labels),
            )
        ]
        found.append((score[0], score[1], score[2], strength))
    return max(found)[1:]


def draw(parts: dict[str, Part], output: Path) -> None:
    """The same word by three speakers of training and three of the test set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(2, 3, figsize=(9, 5.2), sharex=True, sharey=True, layout="constrained")
    for row, (name, word) in zip(grid, (("train", 7), ("test", 7)), strict=True):
        part = parts[name]
        chosen = np.flatnonzero(part.labels == word)
        _, first = np.unique(part.speakers[chosen], return_index=True)
        for panel, sample in zip(row, chosen[np.sort(first)[:3]], strict=True):
            here = part.sample == sample
            panel.scatter(part.times[here], part.units[here], s=0.4, lw=0, color="black", rasterized=True)
            panel.set_title(f'"seven", {name}, speaker {part.speakers[sample]}', fontsize=9)
            panel.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set(xlim=(0, 1.1), ylim=(700, 0))
    figure.supxlabel("time, s")
    figure.supylabel("channel (0: 22.5 kHz, 699: 110 Hz)")
    figure.savefig(output, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draw", action="store_true")
    given = parser.parse_args()
    parts = {part: read(given.folder, part) for part in PARTS}
    for name, part in parts.items():
        print(f"{name:<6}{statistics(part)}", flush=True)
    if given.draw:
        draw(parts, FIGURE)
    print(f"{'':<26}{'seen':>7}{'held out':>10}{'C':>8}")
    for name, (channels, bins) in VIEWS.items():
        seen, held_out, strength = scores(parts["train"], parts["valid"], parts["test"], channels, bins)
        print(f"{name:<26}{seen:>7.3f}{held_out:>10.3f}{strength:>8g}", flush=True)


if __name__ == "__main__":
    main()
