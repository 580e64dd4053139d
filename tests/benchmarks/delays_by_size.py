"""What learned delays are worth by the size and shape of a network: the recipe spoken_digits, its shape exchanged.

    python -m tests.benchmarks.delays_by_size --jobs 2 --set dataset.options.path=FOLDER

Recurrent networks have one hidden layer of N, feedforward ones two, as in the publication (Meszaros, Knight, Nowotny
2025); without delays all slots are 0. All have the settings of the recipe, which were chosen with delays. Every run is
deployed to the emulator. Finished runs are kept in ``build/delays_by_size.jsonl``: a table that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from toolchain.cli.train_command import find_recipe
from toolchain.deployment.deploy import Options, prepare
from toolchain.deployment.target import find_target
from toolchain.recipe import parse_recipe, read_recipe
from toolchain.training.run_folder import create_run_folder
from toolchain.training.trainer import prepare as prepare_training
from toolchain.training.trainer import train
from toolchain.validation.ladder import accuracy, float_predictions, predict

SHAPES = ("recurrent", "feedforward")
SIZES = (32, 64, 128, 256)


class Cell(NamedTuple):
    """One training."""

    shape: str
    size: int
    delays: bool
    seed: int


def recipe_of(cell: Cell, recipe: str, overrides: list[str]) -> dict[str, Any]:
    """The recipe with the network of a cell."""
    data: dict[str, Any] = yaml.safe_load(find_recipe(recipe).read_text(encoding="utf-8"))
    lif = {"kind": "lif", "size": cell.size, "tau_mem_ms": 20, "tau_syn_ms": 5}
    onto_first = {"weight": {"normal": {"mean": 0.03, "sd": 0.1}}, **_delays(cell, 62)}
    onto_output = {"to": "output", "weight": {"normal": {"sd": 3}}, "weight_rate_factor": 20}
    if cell.shape == "recurrent":
        hidden = {"hidden": lif}
        projections = [
            {"from": "input", "to": "hidden", **onto_first},
            {"from": "hidden", "to": "hidden", "weight": {"normal": {"sd": 0.03}}, **_delays(cell, 30)},
            {"from": "hidden", **onto_output},
        ]
    else:
        # The inputs of a neuron of the second layer are as many as there are neurons in the first.
        hidden = {"first": lif, "second": lif}
        inner = {"normal": {"mean": 0.05 * (128 / cell.size) ** 0.5, "sd": 0.25 * (128 / cell.size) ** 0.5}}
        projections = [
            {"from": "input", "to": "first", **onto_first},
            {"from": "first", "to": "second", "weight": inner, **_delays(cell, 62)},
            {"from": "second", **onto_output},
        ]
    data["network"]["populations"] = {
        "input": {"kind": "spike_source"},
        **hidden,
        "output": {"kind": "leaky_readout", "tau_mem_ms": 20, "tau_syn_ms": 5},
    }
    data["network"]["projections"] = projections
    data["training"]["seed"] = cell.seed
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        return read_recipe(file, overrides).model_dump(mode="json", by_alias=True, exclude_none=True)


def _delays(cell: Cell, most: int) -> dict[str, Any]:
    return {"delay": {"uniform": {"low": 0, "high": most}}, "learn_delay": True} if cell.delays else {"delay": 0}


def run(task: tuple[Cell, dict[str, Any]]) -> dict[str, Any]:
    """Train a cell on one thread, score it and its emulation on the test set."""
    cell, data = task
    recipe = parse_recipe(data, "cell")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        task_ = prepare_training(recipe)
        made = create_run_folder(Path(folder), recipe)
        result = train(made, task_, threads=1)
        seconds = time.monotonic() - started
        target = find_target("loihi2")
        ready = prepare(made, target, Options(vendor_samples=0), lambda text: None)
        emulated = target.emulate(ready.quantised, task_.dataset.test.spikes)
        found = predict(recipe.training.readout, emulated.readout_v, emulated.first_spikes)
        emulator = accuracy(found, task_.dataset.test.labels)
        read = float_predictions(recipe, ready.trained, ready.quantised, task_.dataset.test)
    return {
        "cell": list(cell),
        "valid": result.valid_accuracy,
        "test": result.test_accuracy,
        "emulator": emulator,
        "ladder": {name: accuracy(prediction, task_.dataset.test.labels) for name, prediction in read},
        "seconds": seconds,
    }


def table(lines: list[dict[str, Any]]) -> list[str]:
    """A row for each shape, size and kind of delays that has runs."""
    rows = ["shape        hidden  delays    test             emulator         worst loss  runs  s a run"]
    for shape in SHAPES:
        for size in SIZES:
            for delays in (True, False):
                mine = [line for line in lines if tuple(line["cell"][:3]) == (shape, size, delays)]
                if not mine:
                    continue
                parts = [[100 * line[key] for line in mine] for key in ("test", "emulator")]
                spread = [f"{statistics.mean(p):6.2f} ± {statistics.stdev(p) if len(p) > 1 else 0:.2f}" for p in parts]
                worst = max(a - b for a, b in zip(*parts, strict=True))
                seconds = statistics.mean(line["seconds"] for line in mine)
                rows.append(
                    f"{shape:<12} {size:>6}  {'learned' if delays else 'none':<8}  {spread[0]:<15}  {spread[1]:<15}  "
                    f"{worst:+10.2f}  {len(mine):>4}  {seconds:.0f}"
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="spoken_digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, choices=SHAPES)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--file", type=Path, default=Path("build/delays_by_size.jsonl"))
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    text = given.file.read_text(encoding="utf-8") if given.file.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    done = {tuple(line["cell"]) for line in lines}
    cells = [
        Cell(shape, size, delays, seed)
        for seed in given.seeds
        for size in given.sizes
        for shape in given.shapes
        for delays in (True, False)
    ]
    left = [(c, recipe_of(c, given.recipe, given.overrides)) for c in cells if c not in done]
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool, given.file.open("a", encoding="utf-8") as out:
        for line in pool.imap_unordered(run, left):
            lines.append(line)
            out.write(json.dumps(line) + "\n")
            out.flush()
            print(line, flush=True)
    print("\n".join(table(lines)))


if __name__ == "__main__":
    main()
