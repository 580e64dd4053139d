"""How the cost of a training step grows with the size of the workload, one size at a time.

    python -m tests.benchmarks.scaling

From the benchmark's workload (700-256-20, recurrent, 1000 steps, 8,000 input spikes, 14 spikes a hidden neuron, slots
0 to 62) each panel changes one quantity and scales the input weights so that the others stay. A figure is the least
of nine processor times of a whole training step of a batch of 32 on one core: other work on the machine only adds to
it. A synaptic event is one spike on one synapse, forward and backward counted apart; events that arrive after the end
of the sample count too, though without effect.

Writes docs/figures/scaling.svg and prints a table, then the same as Markdown. Takes one to three minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.workload import TrainingStep, Workload, busy, cpu_seconds, on_one_core, prepare

OUTPUT = Path(__file__).parents[2] / "docs" / "figures" / "scaling.svg"
BASE = Workload()
REPEATS = 9
AXES: dict[str, tuple[str, list[Workload]]] = {
    "hidden": ("hidden neurons", [replace(BASE, hidden=n) for n in (64, 128, 256, 512, 1024)]),
    "steps": ("steps", [replace(BASE, steps=n) for n in (100, 250, 500, 1000, 2000, 4000)]),
    "input_spikes": (
        "input spikes a sample",
        [replace(BASE, input_spikes=n) for n in (1000, 2000, 4000, 8000, 16000, 32000)],
    ),
    "rate": ("spikes a hidden neuron", [replace(BASE, rate=float(n)) for n in (1, 3, 7, 14, 28, 56)]),
    "max_slot": ("largest slot", [replace(BASE, max_slot=n) for n in (1, 4, 16, 62, 250, 1000)]),
}
COLUMNS = ("changed", "value", "spikes a hidden neuron", "M synaptic events", "ms a sample", "ns an event")


class Point(NamedTuple):
    """One measured workload; `events` forward and backward together, `ms` a sample."""

    axis: str
    value: float
    rate: float
    events: float
    ms: float

    @property
    def ns_per_event(self) -> float:
        """Time of a training step for each synaptic event, ns."""
        return 1e6 * self.ms / self.events

    def cells(self) -> tuple[str, ...]:
        """The row of a table, in the order of `COLUMNS`."""
        numbers = (f"{self.value:g}", f"{self.rate:.1f}", f"{self.events / 1e6:.2f}")
        return (AXES[self.axis][0], *numbers, f"{self.ms:.2f}", f"{self.ns_per_event:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output: Path = parser.parse_args().output
    widths = [max(len(c), 8) for c in COLUMNS]
    widths[0] = max(len(label) for label, _ in AXES.values())
    print("  ".join(c.rjust(w) for c, w in zip(COLUMNS, widths, strict=True)))
    points = []
    if warning := busy():
        print(warning)
    with on_one_core():
        for point in measure():
            points.append(point)
            print("  ".join(c.rjust(w) for c, w in zip(point.cells(), widths, strict=True)), flush=True)
    print("\n" + markdown(points))
    draw(points, output)
    print(f"\nwritten to {output}")


def measure() -> Iterator[Point]:
    """Measure every point of every axis; the point that they share, once."""
    measured: dict[Workload, tuple[float, float, float]] = {}
    for axis, (_, workloads) in AXES.items():
        for workload in workloads:
            if workload not in measured:
                prepared = prepare(workload)
                step = TrainingStep(prepared, prepared.engine())
                step()
                ms = 1e3 * min(cpu_seconds(step) for _ in range(REPEATS)) / workload.batch
                measured[workload] = (prepared.rate, 2 * prepared.events, ms)
            yield Point(axis, getattr(workload, axis), *measured[workload])


def markdown(points: Sequence[Point]) -> str:
    """The points as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(lines + ["| " + " | ".join(p.cells()) + " |" for p in points])


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw one small panel for each axis, all with the same vertical axis; the same points give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    with plt.rc_context({"svg.hashsalt": "delayline", "svg.fonttype": "none", "font.size": 9, "axes.axisbelow": True}):
        figure, panels = plt.subplots(1, len(AXES), figsize=(13, 3.1), sharey=True, layout="constrained")
        for panel, (axis, (label, _)) in zip(panels, AXES.items(), strict=True):
            own = [p for p in points if p.axis == axis]
            values = [p.value for p in own]
            base = getattr(BASE, axis)
            panel.plot(
                values, [p.ms for p in own], "o-", color="#0072b2", markersize=4, linewidth=1.5, label="measured"
            )
            at_base = [p.ms for p in own if p.value == base]
            if at_base:
                panel.axhline(at_base[0], color="#999999", linewidth=0.8, linestyle=":")
                # Through the common point: what a cost in proportion to the quantity would be.
                line = [at_base[0] * v / base for v in values]
                panel.plot(values, line, "--", color="#d55e00", linewidth=1, label="in proportion")
            panel.set(xscale="log", yscale="log", xlabel=label)
            panel.set_xticks([values[0], base, values[-1]] if values[-1] != base else [values[0], values[-1]])
            panel.xaxis.set_major_formatter(ScalarFormatter())
            panel.xaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_formatter(ScalarFormatter())
            panel.yaxis.set_minor_formatter(NullFormatter())
            panel.grid(which="major", color="#dddddd", linewidth=0.6)
        panels[0].set_ylabel("training step, ms a sample")
        largest, smallest = max(p.ms for p in points), min(p.ms for p in points)
        panels[0].set_ylim(smallest / 2, largest * 2)
        panels[0].legend(frameon=False, loc="upper left")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
