"""Our number format against the published one, on the same trained networks and samples.

    python -m tests.benchmarks.number_formats RUN...            # run folders of `delayline train`
    python -m tests.benchmarks.number_formats --golden FOLDER --task fsdd --data FOLDER   # mlGeNN's SHD network

For each network and conversion: error of the weights (rms, percent), weights that became zero or were clipped, spikes
that changed on test samples (of all hidden spikes: those that are missing or new, counted step by step, and the change
of each neuron's count in a sample), and accuracy. `nearest` is our format with every weight rounded by itself. Neither
sees a test sample before it is scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hardware_targets.loihi import quantiser
from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import IntegerNetwork
from hardware_targets.loihi.limits import read_limits
from hardware_targets.loihi.rounding import dequantised_weights, rms_ratio
from hardware_targets.trained_spikes import trained_spikes
from tests.benchmarks.published_scheme import convert
from toolchain.datasets import Dataset, Samples, load_dataset
from toolchain.network import Network, Population, make_projection
from toolchain.objective import Reading
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import make_engine
from toolchain.training.checkpoints import load_best
from toolchain.training.run_folder import RunFolder
from toolchain.validation.ladder import predict

CALIBRATION, COMPARED = 200, 200


def golden(folder: Path) -> Network:
    """mlGeNN's network for SHD: 700-256-20, recurrent, trained without delays at 1 ms (arXiv 2503.04341)."""
    shapes = {"Input_Hidden": (700, 256), "Hidden_Hidden": (256, 256), "Hidden_Output": (256, 20)}
    weight = {k: np.load(folder / f"Conn_{k}-g.npy", allow_pickle=False).reshape(s) for k, s in shapes.items()}
    return Network(
        1.0,
        (
            Population("in", "spike_source", 700),
            Population("hidden", "lif", 256),
            Population("out", "leaky_readout", 20),
        ),
        (
            make_projection("in", "hidden", weight["Input_Hidden"]),
            make_projection("hidden", "hidden", weight["Hidden_Hidden"]),
            make_projection("hidden", "out", weight["Hidden_Output"]),
        ),
    )


def changed(network: Network, integers: IntegerNetwork, spikes: SpikeTrains) -> tuple[float, float]:
    """Spikes missing or new, and change of counts, over the spikes of all lif neurons of the trained network."""
    trained = trained_spikes(network, spikes)
    moved = counts = total = 0
    for sample in range(spikes.n_samples):
        found = emulate(integers, spikes.select([sample]), traces=True)
        for population in network.of_kind("lif"):
            before, now = trained[population.name].dense(sample).T, found.spikes[population.name][0]
            moved += int((before != now).sum())
            counts += int(np.abs(before.sum(axis=0, dtype=int) - now.sum(axis=0, dtype=int)).sum())
            total += int(before.sum())
    return moved / total, counts / total


def compare(name: str, network: Network, calibration: SpikeTrains, test: Samples, reading: Reading) -> None:
    """A line for each conversion."""
    limits = read_limits("loihi2")
    network = quantiser.round_delays(network, limits, clip=False).network
    ours = quantiser.quantise_network(network, calibration, limits)
    scales = {p.name: p.scale for p in ours.simulated}
    forms = {"published": convert(network), "nearest": quantiser.round_at(network, scales, limits), "ours": ours}
    engine = make_engine("cpu", network, test.spikes.n_steps, max_slot=network.max_slot)
    floats = engine.respond(test.spikes, test.labels).prediction
    print(f"{name}: float {100 * np.mean(floats == test.labels):.2f} %, {test.labels.size} samples")
    some = test.spikes.select(np.linspace(0, test.labels.size - 1, min(COMPARED, test.labels.size)).astype(np.int64))
    for form, integers in forms.items():
        result = emulate(integers, test.spikes)
        prediction = predict(reading, result.readout_v, result.first_spikes[network.readout.name])
        moved, counts = changed(network, integers, some)
        held = {p.name: p.weight.astype(np.float64) for p in dequantised_weights(integers, network).projections}
        errors = [
            f"{p.name} {100 * rms_ratio(held[p.name] - p.weight, p.weight.astype(np.float64)):.2f}"
            for p in network.projections
        ]
        zeroed = sum(
            int(((p.weight != 0) & (i.weight == 0)).sum())
            for p, i in zip(network.projections, integers.projections, strict=True)
        )
        print(
            f"  {form:<10} accuracy {100 * np.mean(prediction == test.labels):6.2f}  changed {100 * moved:6.2f} %"
            f"  counts {100 * counts:5.2f} %  zeroed {zeroed}  weights rms % {', '.join(errors)}",
            flush=True,
        )


def _calibration(dataset: Dataset) -> SpikeTrains:
    n = dataset.train.labels.size
    chosen = np.sort(np.random.default_rng(0).permutation(n)[: min(CALIBRATION, n)])
    return dataset.train.spikes.select(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--golden", type=Path, help="folder of mlGeNN's three .npy files")
    parser.add_argument("--task", choices=("fsdd", "spoken_digits"), default="fsdd", help="whose samples it is given")
    parser.add_argument("--data", type=Path, help="folder of the task's data")
    given = parser.parse_args()
    for path in given.runs:
        run = RunFolder(path)
        recipe = run.recipe()
        dataset = load_dataset(recipe.dataset.task, recipe.dataset.options)
        network, _ = load_best(run.checkpoint("best"))
        compare(recipe.name, network, _calibration(dataset), dataset.test, recipe.training.readout)
    if given.golden is not None:
        options = {"dt_ms": 1.0, "steps": 1400, **({"path": str(given.data)} if given.data else {})}
        dataset = load_dataset(given.task, options)
        name = f"mlGeNN's SHD network on {given.task}"
        compare(name, golden(given.golden), _calibration(dataset), dataset.test, "exp_weighted_average")


if __name__ == "__main__":
    main()
