"""What tuning on a chip regains of what the chip lost: bundles times chips, each with a mismatch of its own.

    python -m tests.benchmarks.in_the_loop runs/fsdd-*/loihi2 --mismatch threshold=0.05,dead=0.02 --chips 1 2 3

For each bundle and chip: correct test samples of the emulator, of the chip before and of the chip after. As a control
each bundle is tuned on its emulator as long and with the same settings, and the network of the last epoch put on the
same chips: what more training by itself does. All rows count the same test samples, so the sums at the end are over
bundles and chips.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.deployment.abilities import TunableTarget
from toolchain.deployment.bundle import Bundle, read_bundle
from toolchain.deployment.target import Quantised
from toolchain.devices.finding import find_device
from toolchain.event_graph import flatten, unflatten
from toolchain.training.checkpoints import load_best
from toolchain.training.straight_through import StraightThrough
from toolchain.training.trainer import prepare
from toolchain.tuning.beginning import Settings
from toolchain.tuning.machine import DeviceMachine
from toolchain.tuning.tune import Request, begin, tune


@dataclass(frozen=True)
class Row:
    """Correct test samples of one bundle on one chip, and how many samples there are.

    Attributes
    ----------
    emulator, before : of the bundle, on its emulator and on the chip
    after, emulator_after : of what was tuned on the chip
    control, control_emulator : of what was tuned on the emulator
    """

    bundle: str
    chip: int
    emulator: int
    before: int
    after: int
    emulator_after: int
    control: int
    control_emulator: int
    samples: int


def correct_on(bundle: Path, devices: list[str], run: Path | None = None) -> list[int]:
    """Test samples that devices read right of a bundle, or of the last epoch of a run that went on from it."""
    read, correct = read_bundle(bundle), []
    quantised = read.quantised if run is None else _last(run, read)
    test = prepare(read.recipe).dataset.test
    for device in devices:
        found = find_device(device, read.target)
        machine = DeviceMachine(found, read.target, read.recipe, 60.0, print)  # type: ignore[arg-type]
        correct.append(int(np.count_nonzero(machine.predict(quantised, test) == test.labels)))
    return correct


def _last(run: Path, bundle: Bundle) -> Quantised:
    """The network of the last epoch, in integers."""
    assert isinstance(bundle.target, TunableTarget)
    network, number_format = load_best(run / "checkpoints" / "last.safetensors")
    assert number_format is not None
    weights, _ = StraightThrough.restore(network, number_format).round(flatten(network, "weight"))
    return bundle.target.round_in(unflatten(network, weights, flatten(network, "delay")), number_format["hint"])


def measure(bundle: Path, mismatch: str, chips: list[int], settings: Settings, runs: Path) -> list[Row]:
    """Tune a bundle on the emulator, then on each chip."""
    longer = tune(begin(bundle, Request("emulator", settings), runs, print), print, vendor=False).run
    names = [f"mismatch,{mismatch},seed={chip}" for chip in chips]
    control_emulator, *controls = correct_on(bundle, ["emulator", *names], longer)
    rows = []
    for chip, device, control in zip(chips, names, controls, strict=True):
        tuned = tune(begin(bundle, Request(device, settings), runs, print), print, vendor=False)
        emulator, before, after, emulator_after = (rung.tally.correct for rung in tuned.ladder if rung.tally)
        n = tuned.ladder[0].samples
        found = (emulator, before, after, emulator_after, control, control_emulator, n)
        rows.append(Row(str(bundle), chip, *found))
        print(json.dumps(vars(rows[-1])), flush=True)
    return rows


def summary(rows: list[Row]) -> str:
    """Percent of all samples of all rows, and the share regained."""
    total = sum(r.samples for r in rows)
    names = ("emulator", "before", "after", "emulator_after", "control", "control_emulator")
    correct = {name: sum(getattr(r, name) for r in rows) for name in names}
    text = ", ".join(f"{name} {100 * count / total:.2f}" for name, count in correct.items())
    lost = correct["emulator"] - correct["before"]
    shares = {n: (correct[n] - correct["before"]) / lost for n in ("after", "control")} if lost > 0 else {}
    regained = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return f"{total} samples of {len(rows)} chips: {text}; lost {lost}; regained: {regained or 'nothing was lost'}"


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--mismatch", default="threshold=0.05,dead=0.02")
    parser.add_argument("--chips", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--only-lost", action="store_true", help="tune nothing: print what is read right on each chip")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given = parser.parse_args()
    if given.only_lost:
        devices = [f"mismatch,{given.mismatch},seed={chip}" for chip in given.chips]
        for bundle in given.bundles:
            emulated, *correct = correct_on(bundle, ["emulator", *devices])
            spread = f"mean {np.mean(correct):.2f}, deviation {np.std(correct, ddof=1):.2f}, {correct}"
            print(f"{bundle}: emulator {emulated}, chips {spread}")
        return
    settings = Settings(given.epochs, given.rate, None, given.samples)
    rows = [r for b in given.bundles for r in measure(b, given.mismatch, given.chips, settings, given.runs)]
    print(summary(rows))


if __name__ == "__main__":
    main()
