"""Error of the engine's gradients against the time step: print a table and draw docs/figures/convergence.svg.

    python -m tests.benchmarks.convergence
    python -m tests.benchmarks.convergence --objectives average maximum --output /tmp/plot.svg

The truth are differences of a simulator without a time grid (tests/oracles); networks and errors are those of
tests/training/test_exactness.py. Nothing in it is random or timed, so the file only changes with the engine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.oracles import cases
from tests.oracles.cases import EDGES, OBJECTIVES
from tests.training.test_exactness import engine_gradients

STEPS_MS = (0.08, 0.04, 0.02, 0.01, 0.005, 0.0025)
OUTPUT = Path("docs") / "figures" / "convergence.svg"
KINDS = ("weights", "delays")
# Okabe and Ito's colours and a marker each: told apart without colour too.
STYLES = {
    "feedforward": ("#0072B2", "o"),
    "recurrent": ("#D55E00", "s"),
    "two_layers": ("#009E73", "^"),
    "two_coupled": ("#CC79A7", "D"),
}
Errors = dict[tuple[str, str], list[tuple[float, float]]]


def measure(objectives: list[str]) -> Errors:
    """(objective, shape) -> relative error of weight and delay gradients at each step."""
    found = {}
    for name in objectives:
        for shape in EDGES:
            case = cases.case_of(shape, OBJECTIVES[name])
            truth = cases.true_gradients(case, OBJECTIVES[name])
            found[name, shape] = [
                cases.relative_error(engine_gradients(case, dt, OBJECTIVES[name]), truth) for dt in STEPS_MS
            ]
    return found


def table(errors: Errors) -> str:
    """One row for each objective, shape and kind of gradient."""
    rows = [f"{'objective':<27}{'shape':<13}{'gradient':<10}" + "".join(f"{f'{dt:g} ms':>11}" for dt in STEPS_MS)]
    for (name, shape), values in errors.items():
        for kind, label in enumerate(KINDS):
            rows.append(f"{name:<27}{shape:<13}{label:<10}" + "".join(f"{v[kind]:>11.5f}" for v in values))
    return "\n".join(rows)


def draw(errors: Errors, output: Path) -> None:
    """A panel for each objective: weights solid, delays dashed, dotted an error that halves with the step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(name for name, _ in errors))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    style: dict[str, Any] = {"svg.hashsalt": "convergence", "font.size": 9, "svg.fonttype": "none"}
    with plt.rc_context(style):
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=(8.2, 0.8 + 2.4 * rows),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        panels = list(grid.flat)
        for panel, name in zip(panels, names, strict=False):
            for shape, (colour, marker) in STYLES.items():
                for kind, line in enumerate(("-", "--")):
                    values = [v[kind] for v in errors[name, shape]]
                    filled = colour if kind == 0 else "white"
                    panel.loglog(STEPS_MS, values, line, color=colour, marker=marker, mfc=filled, ms=4, lw=1.2)
            panel.loglog(STEPS_MS, [dt * 0.15 for dt in STEPS_MS], ":", color="0.35", lw=1)
            panel.set_title(name.replace("_", " ").replace("first spike", "first spike:").replace("trace", "trace:"))
            panel.set_xticks(STEPS_MS, [f"{dt:g}" for dt in STEPS_MS], rotation=45)
            panel.minorticks_off()
            panel.grid(color="0.9", lw=0.6)
            panel.spines[["top", "right"]].set_visible(False)
        for panel in panels[len(names) :]:
            panel.set_visible(False)
        figure.supxlabel("time step, ms")
        figure.supylabel("relative error of the gradient")
        entries = [
            Line2D([], [], color=colour, marker=marker, ms=4, lw=1.2, label=shape.replace("_", " "))
            for shape, (colour, marker) in STYLES.items()
        ]
        entries += [
            Line2D([], [], color="0.2", ls=line, label=kind) for kind, line in zip(KINDS, ("-", "--"), strict=True)
        ]
        entries.append(Line2D([], [], color="0.35", ls=":", lw=1, label="halves with the step"))
        figure.legend(handles=entries, loc="outside upper center", ncols=4, frameon=False)
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, metadata={"Date": None, "Creator": None} if output.suffix == ".svg" else None)
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    errors = measure(options.objectives)
    print(table(errors))
    draw(errors, options.output)
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
