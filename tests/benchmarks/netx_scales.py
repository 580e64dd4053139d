"""What the smaller scales that NetX needs cost: test set, predictions and hidden spikes of bundle and file.

    python -m tests.benchmarks.netx_scales

Trains `digits` (24 hidden neurons, 5 epochs) and `yin_yang` (15 epochs), quantises both for loihi2 on 200 training
samples and writes them with `lower_scales`; half a minute.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from hardware_targets.loihi import loihi2
from toolchain.recipe import read_recipe
from toolchain.training.run_folder import create_run_folder
from toolchain.training.trainer import prepare, train

MODELS = Path(__file__).parents[2] / "models"
CASES = {
    "digits": ["training.epochs=5", "network.populations.hidden.size=24"],
    "yin_yang": ["training.epochs=15"],
}


def compare(name: str, overrides: list[str], folder: Path) -> None:
    """Train, quantise, write and print one line a network."""
    recipe = read_recipe(MODELS / f"{name}.yaml", overrides)
    prepared = prepare(recipe)
    network = train(create_run_folder(folder, recipe), prepared).network
    quantised = loihi2.quantise(network, prepared.dataset.train.spikes.select(np.arange(200)), clip_delays=True)
    written = loihi2.write_netx(quantised, folder / f"{name}.net", lower_scales=True)
    test = prepared.dataset.test
    predictions, counts = [], []
    for one in (quantised, written.as_written):
        emulated = loihi2.emulate(one, test.spikes)
        n_steps = emulated.readout_v.shape[1]
        weights = np.exp(-np.arange(n_steps) / n_steps)[:, None]
        predictions.append((emulated.readout_v * weights).sum(axis=1).argmax(axis=1))
        counts.append(emulated.neuron_counts["hidden"])
    print(f"{name}: lowered by {dict(written.lowered)}")
    print(f"  predictions that change: {np.count_nonzero(predictions[0] != predictions[1])} of {test.labels.size}")
    print(f"  hidden spikes that change: {np.abs(counts[0] - counts[1]).sum()} of {counts[0].sum()}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for case, settings in CASES.items():
            compare(case, settings, Path(place))
