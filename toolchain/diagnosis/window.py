"""The traces of one neuron around the step at which two engines first differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from toolchain.deployment.target import Traces
from toolchain.diagnosis.findings import Window
from toolchain.diagnosis.model import Chip
from toolchain.report.content import Divergence
from toolchain.spikes import SpikeTrains

QUANTITIES = ("u", "v", "spikes")


def window(ours: Traces, theirs: Traces, at: Divergence, before: int = 10, after: int = 10) -> Window:
    """States of the neuron of a divergence, from `before` steps ahead of it to `after` steps behind.

    Parameters
    ----------
    ours, theirs : arrays (n_samples, n_steps, size); what one of the two has not is left out of it
    at : as `toolchain.validation.divergence.first_divergence` names it
    before, after : steps, cut at the ends of the sample
    """
    n_steps = next(a.shape[1] for t in (ours, theirs) for q in QUANTITIES for a in getattr(t, q).values())
    steps = range(max(0, at.step - before), min(n_steps, at.step + after + 1))

    def of(traces: Traces) -> Mapping[str, tuple[int, ...]]:
        there = {q: getattr(traces, q)[at.layer] for q in QUANTITIES if at.layer in getattr(traces, q)}
        return {q: tuple(int(x) for x in a[at.sample, steps.start : steps.stop, at.neuron]) for q, a in there.items()}

    return Window(at.sample, at.layer, at.neuron, at.step, tuple(steps), of(ours), of(theirs))


def with_arrivals(seen: Window, chip: Chip, spikes: SpikeTrains, observed: Traces, emulated: Traces) -> Window:
    """The same with the threshold of the neuron, and what must arrive at it of the spikes that were reported.

    Parameters
    ----------
    spikes : input; `observed` : what a device reported
    emulated : whose spikes stand for those that were not reported
    """
    from toolchain.diagnosis.evidence import Evidence

    evidence = Evidence(chip, spikes, observed, emulated.spikes)
    arrivals: list[tuple[int, str, int, int, int]] = []
    for synapses in chip.model.incoming(seen.population):
        events = evidence.events(synapses.source)
        here = slice(int(events.offsets[seen.sample]), int(events.offsets[seen.sample + 1]))
        time, unit = events.time[here], events.unit[here]
        slot, weight = synapses.slots[unit, seen.neuron], synapses.weight[unit, seen.neuron]
        step = time + 1 + slot
        shown = synapses.exists[unit, seen.neuron] & (step >= seen.steps[0]) & (step <= seen.steps[-1]) & (weight != 0)
        for row in np.flatnonzero(shown):
            arrivals.append((int(step[row]), synapses.source, int(unit[row]), int(slot[row]), int(weight[row])))
    constants = chip.model[seen.population].constants
    threshold = chip.arithmetic.threshold({name: int(values[seen.neuron]) for name, values in constants.items()})
    return replace(seen, arrivals=tuple(sorted(arrivals)), threshold=threshold)
