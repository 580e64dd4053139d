"""The numbers behind the pictures, for report.json: what a page draws or says of arrays, a program can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.report.content import Events, Figures
from toolchain.report.delays import delay_summary
from toolchain.report.spike_comparison import ROLES, compare
from toolchain.report.weights import weight_summary


def figures_json(figures: Figures) -> dict[str, Any]:
    """JSON types only; a key for every kind of picture."""
    return {
        "steps": figures.n_steps,
        "spikes": [
            {"sample": s.sample, "label": s.label, "why": s.why, "populations": _spikes(s.rasters, figures.sizes)}
            for s in figures.samples()
        ],
        "delays": {
            name: delay_summary(trained, slots) for name, (trained, slots) in figures.delays.items() if slots.size
        },
        "weights": {name: weight_summary(e) for name, e in figures.weights.items() if e.trained.size},
        "learning": [dict(line) for line in figures.metrics],
    }


def _spikes(rasters: Mapping[str, Events], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "population": c.population,
            "neurons": c.size,
            "engines": dict(c.counts),
            "all": c.total,
            "differing": c.differing,
            **{role: c.number(role) for role in ROLES},
            "shifted": c.shifted,
        }
        for c in compare(rasters, sizes)
    ]
