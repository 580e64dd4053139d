"""The arrays behind the pictures of a report: delays and weights of every synapse, spikes of a few samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Samples
from toolchain.deployment.abilities import SteppedWeights
from toolchain.deployment.target import Quantised, Target, Traces
from toolchain.network import Network
from toolchain.recipe import Recipe
from toolchain.report.content import Events, Figures, Flips, SampleSpikes, WeightErrors
from toolchain.validation.ladder import float_engine

if TYPE_CHECKING:
    from toolchain.training.backends import Engine

FLIPPED_SHOWN = 2
"""Samples that change their class and are drawn beside the first one: enough to see why, few enough for a page."""


def collect_figures(
    recipe: Recipe,
    trained: Network,
    target: Target,
    quantised: Quantised,
    test: Samples,
    ours: Traces,
    theirs: Traces | None,
    flips: Flips | None,
    metrics: Sequence[Mapping[str, Any]],
) -> Figures:
    """Collect the arrays.

    Parameters
    ----------
    trained : as it came out of training, before pruning
    ours, theirs : emulator and vendor's code on the first samples; None where the vendor's code did not run
    flips : further samples are chosen from these: first one that was lost, then one that was gained
    """
    engine = float_engine(recipe, trained, test.spikes.n_steps)

    def drawn(sample: int, emulated: Traces, row: int) -> dict[str, Events]:
        floating = _float_spikes(engine, trained, test, sample)
        sources = {k: e for k, e in floating.items() if trained[k].kind == "spike_source"}
        rasters: dict[str, Events] = {
            "float": floating,
            "emulator": {**sources, **_events(emulated.spikes, floating, row)},
        }
        if theirs is not None and sample < next(iter(theirs.spikes.values())).shape[0]:
            rasters[target.vendor] = {**sources, **_events(theirs.spikes, floating, sample)}
        return rasters

    others = []
    for sample, why in _chosen(flips):
        emulated = target.emulate_traces(quantised, test.spikes.select([sample]))
        others.append(SampleSpikes(sample, int(test.labels[sample]), drawn(sample, emulated, 0), why))
    return Figures(
        _delays(quantised),
        {p.name: p.size for p in trained.populations},
        0,
        int(test.labels[0]),
        test.spikes.n_steps,
        drawn(0, ours, 0),
        metrics,
        _weights(quantised),
        others,
    )


def _chosen(flips: Flips | None) -> list[tuple[int, str]]:
    """Samples besides the first of the test set, and why they are shown."""
    if flips is None:
        return []
    read = {f.sample: f for f in flips.samples}
    named = [(i, "right in float, wrong on the chip") for i in flips.against.lost]
    gained = [(i, "wrong in float, right on the chip") for i in flips.against.gained]
    # One of each kind is worth more than two of one.
    ordered = named[:1] + gained[:1] + named[1:]
    chosen = [(i, why) for i, why in ordered if i != 0][:FLIPPED_SHOWN]
    return [(i, f"{why}: {_read(read[i].float_class)} becomes {_read(read[i].chip_class)}") for i, why in chosen]


def _read(label: int) -> str:
    return "no class" if label < 0 else f"class {label}"


def _delays(quantised: Quantised) -> dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Of projections whose delays were learned or are not 0."""
    found = {}
    for trained, chip in zip(quantised.trained.projections, quantised.rounded.projections, strict=True):
        kept = slice(None) if trained.mask is None else trained.mask
        if trained.delay.any() or chip.delay.any():
            found[trained.name] = (trained.delay[kept].ravel(), chip.slots()[kept].ravel())
    return found


def _weights(quantised: Quantised) -> dict[str, WeightErrors]:
    """Of all projections, where the target says how far apart its weights are."""
    if not isinstance(quantised, SteppedWeights):
        return {}
    found = {}
    for trained, chip in zip(quantised.trained.projections, quantised.weighted.projections, strict=True):
        kept = slice(None) if trained.mask is None else trained.mask
        before, after = (p.weight[kept].ravel().astype(np.float64) for p in (trained, chip))
        found[trained.name] = WeightErrors(before, after, quantised.weight_steps[trained.name])
    return found


def _float_spikes(engine: Engine, trained: Network, test: Samples, sample: int) -> dict[str, Any]:
    traced = engine.trace(test.spikes, sample).spikes
    return {k: e for k, e in traced.items() if trained[k].kind != "leaky_readout"}


def _events(
    spikes: Mapping[str, NDArray[np.bool_]], wanted: Mapping[str, Any], row: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Times and units of one sample of the wanted populations, from rasters (n_samples, n_steps, size)."""
    found = {}
    for name, raster in spikes.items():
        if name in wanted:
            units, times = np.nonzero(raster[row].T)
            found[name] = (times, units)
    return found
