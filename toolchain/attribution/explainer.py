"""A test set through the float network and the emulator: causes of first divergences, and distances of spikes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolchain.attribution.causes import Causes
from toolchain.attribution.distances import SpikeDistances, spike_distances
from toolchain.attribution.divergence import AFTER, Attribution, Divergent, Outcome, attribute, take_apart
from toolchain.attribution.engines import Both, first_divergent_spike, run_both
from toolchain.attribution.membrane import Changes
from toolchain.attribution.typical import SPIKES, Picked, picked_spikes, typical_contributions
from toolchain.datasets import Samples
from toolchain.deployment.abilities import Replay, ReplayingTarget
from toolchain.deployment.target import Quantised, Target
from toolchain.network import Network
from toolchain.recipe import Recipe
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import Engine
from toolchain.validation.ladder import first_spikes_of, float_engine, predict

SAMPLES = 200
WORK = 2 * 10**8
"""Steps of neurons that are looked at, at most: networks so large that 200 samples take more have fewer looked at."""


def explained_samples(network: Network, spikes: SpikeTrains) -> int:
    """How many of the samples `explain_spikes` looks at by itself: 200, or as many as `WORK` allows, one at least."""
    neurons = sum(p.size for p in network.populations if p.kind != "spike_source")
    return min(spikes.n_samples, SAMPLES, max(1, WORK // max(1, neurons * spikes.n_steps)))


def explain_spikes(
    recipe: Recipe, trained: Network, target: Target, quantised: Quantised, test: Samples, samples: int | None = None
) -> tuple[Causes | None, SpikeDistances]:
    """Compare the first test samples in the trained network and in the emulator.

    Parameters
    ----------
    trained : the network of the float rung, before any pruning
    samples : how many; None for `explained_samples`

    Returns
    -------
    causes, distances : no causes of a target that cannot replay a single neuron
    """
    count = explained_samples(trained, test.spikes) if samples is None else min(samples, test.labels.size)
    spikes = test.spikes.select(range(count))
    engine = float_engine(recipe, trained, spikes.n_steps)
    explainer = None
    if isinstance(target, ReplayingTarget):
        explainer = Explainer(trained, target, quantised, target.largest_slot())
    floating, chip = [], []
    attributions: list[Attribution] = []
    equal: Counter[Outcome] = Counter()
    picked: list[Picked] = []
    for both in run_both(engine, target, quantised, trained, spikes):
        floating.append(both.floating)
        chip.append(both.chip)
        if explainer is not None:
            chosen = picked_spikes(trained, both.floating, both.sample, -(-SPIKES // count))
            picked += [explainer.pick(both, *spike) for spike in chosen]
        outcome = _outcome(recipe, trained, both, int(test.labels[both.sample]))
        divergent = first_divergent_spike(trained, both.floating, both.chip)
        if divergent is None:
            equal[outcome] += 1
        elif explainer is not None:
            explained = explainer.explain(both, divergent, shown=not attributions)
            attributions.append(replace(explained, outcome=outcome))
    causes = None
    if explainer is not None:
        kept = sum(p.margins.chip >= 0 for p in picked)
        causes = Causes(
            count,
            test.labels.size,
            attributions,
            (equal["lost"], equal["gained"]),
            typical_contributions(picked),
            (kept, len(picked)),
        )
        causes = _also_shown(causes, explainer, engine, target, quantised, spikes)
    sizes = {p.name: p.size for p in trained.populations if p.kind == "lif"}
    return causes, spike_distances(sizes, floating, chip, trained.dt_ms)


class Explainer:
    """A network and its quantised form, of which one divergence after another is explained.

    Parameters
    ----------
    trained : the network of the float engine
    target, largest_slot : a target that replays, and its largest delay slot
    """

    def __init__(self, trained: Network, target: ReplayingTarget, quantised: Quantised, largest_slot: int) -> None:
        self.trained, self._target, self._quantised = trained, target, quantised
        self._changes = Changes(trained, quantised, target, largest_slot)

    def explain(self, both: Both, divergent: Divergent, *, shown: bool) -> Attribution:
        """Why this spike is in one engine only."""
        population, neuron, step = divergent.population, divergent.neuron, divergent.step
        voltages = both.chip_v[population][:, neuron]
        n_steps = min(step + (AFTER if shown else 0) + 1, voltages.size)
        replay = self._target.replay(self._quantised, population, neuron, both.chip, n_steps)
        return attribute(
            self._changes.neuron(population, neuron),
            divergent,
            replay,
            both.floating,
            both.chip,
            sample=both.sample,
            faithful=self._faithful(both, divergent, replay),
            shown=shown,
        )

    def pick(self, both: Both, population: str, neuron: int, step: int) -> Picked:
        """Both margins at a spike of the float network, the chip's neuron on the float network's spikes."""
        replay = self._target.replay(self._quantised, population, neuron, both.floating, step + 1)
        return Picked(population, take_apart(self._changes.neuron(population, neuron), replay, both.floating, step))

    def _faithful(self, both: Both, divergent: Divergent, replay: Replay) -> bool:
        """Whether the replay has the emulator's voltage at every step up to the divergence.

        The emulator reports voltages after the reset, so that those of spikes say nothing.
        """
        times, units = both.chip[divergent.population]
        compared = np.ones(divergent.step + 1, dtype=np.bool_)
        own = times[units == divergent.neuron]
        compared[own[own <= divergent.step]] = False
        scale = self._target.v_scale(self._quantised, divergent.population)
        ours = np.rint(replay.v[: compared.size] * scale).astype(np.int64)
        theirs = both.chip_v[divergent.population][: compared.size, divergent.neuron]
        return bool(np.array_equal(ours[compared], theirs[compared]))


def _also_shown(
    causes: Causes, explainer: Explainer, engine: Engine, target: Target, quantised: Quantised, spikes: SpikeTrains
) -> Causes:
    """The same, with the first sample of the most frequent cause in full where the first of all has another."""
    if not causes.attributions:
        return causes
    often = next(iter(causes.by_cause))
    index = next(i for i, a in enumerate(causes.attributions) if a.cause == often)
    if index == 0:
        return causes
    found = causes.attributions[index]
    (both,) = run_both(engine, target, quantised, explainer.trained, spikes.select([found.sample]))
    divergent = Divergent(found.population, found.neuron, found.step, found.spiked)
    shown = explainer.explain(replace(both, sample=found.sample), divergent, shown=True)
    attributions = list(causes.attributions)
    attributions[index] = replace(shown, outcome=found.outcome)
    return replace(causes, attributions=attributions)


def _outcome(recipe: Recipe, network: Network, both: Both, label: int) -> Outcome:
    """Whether the class that is read is right in one engine only."""
    output, reading = network.readout, recipe.training.readout
    n_steps = both.chip_v[output.name].shape[0]
    right = []
    voltages: tuple[NDArray[np.generic], ...] = (both.float_readout.T, both.chip_v[output.name])
    for spikes, voltage in zip((both.floating, both.chip), voltages, strict=True):
        raster = np.zeros((1, n_steps, output.size), dtype=np.bool_)
        if output.kind == "lif":
            times, units = spikes[output.name]
            raster[0, times, units] = True
        read = voltage[None] if output.kind == "leaky_readout" else np.zeros((1, n_steps, 0))
        right.append(int(predict(reading, read, first_spikes_of(raster))[0]) == label)
    if right[0] == right[1]:
        return "same"
    return "lost" if right[0] else "gained"
