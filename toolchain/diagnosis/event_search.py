"""Single spikes that explain what deviates: reported by the source but not arrived, or arrived without a report.

A spike that is lost is missing at all targets of its source, each at its own step and by its own weight; one that is
too much is found there in the same way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.diagnosis.candidates import Candidate, Change
from toolchain.diagnosis.evidence import Evidence
from toolchain.diagnosis.model import I64, Model, Synapses

ROUNDS = 4
"""Spikes that arrive together hide each other: those that are found are taken away, then others are looked for."""
SILENT_STEPS = 20_000_000
"""Neurons times steps of a source that are looked through for spikes that it did not report."""


class EventSearch:
    """Over the spikes onto one population, for what deviates in its currents or voltages."""

    def __init__(self, evidence: Evidence, model: Model, name: str, quantity: str) -> None:
        self._evidence = evidence
        self._model = model
        self._name = name
        self._quantity = quantity
        self._watched = evidence.watched(name, quantity)

    def find(self, dirty: I64) -> list[Candidate]:
        """One set of spikes that explains everything; nothing, if it is not much shorter than what it explains."""
        if self._quantity == "spikes" or not dirty.size:
            return []
        states = self._evidence.scan(self._model, self._name).states(self._watched)
        for sign in (-1, 1):
            found = self._with_sign(sign, states)
            if found is not None:
                return [found]
        return []

    def _with_sign(self, sign: int, states: int) -> Candidate | None:
        model, taken = self._model, 0
        for _ in range(ROUNDS):
            changed = False
            for synapses in self._model.incoming(self._name):
                rows = self._spikes(model, model.projection(synapses.name), sign)
                if rows.size:
                    model = model.with_synapses(_with_events(model.projection(synapses.name), rows, sign))
                    changed, taken = True, taken + len(rows)
            if not changed or taken * 2 > states:
                return None
            if not self._evidence.scan(model, self._name).states(self._watched):
                changes = tuple(
                    self._words(s, sign)
                    for s, before in zip(model.incoming(self._name), self._model.incoming(self._name), strict=True)
                    if s is not before
                )
                return Candidate(changes, model)
        return None

    def _spikes(self, model: Model, synapses: Synapses, sign: int) -> I64:
        """Spikes of a projection that are lost (-1) or too many (1) at most of their targets, (n, 3)."""
        from toolchain.diagnosis.delivery import match_lost

        evidence, arithmetic = self._evidence, self._evidence.arithmetic
        neurons = np.arange(synapses.weight.shape[1], dtype=np.int64)
        events = evidence.events(synapses.source).changed(synapses.lost, synapses.extra)
        if sign > 0 and synapses.weight.shape[0] * evidence.n_steps * evidence.n_samples > SILENT_STEPS:
            return np.zeros((0, 3), dtype=np.int64)
        found = []
        for sample in evidence.all_samples:
            one = np.array([sample])
            look = evidence.look(model, self._name, one, neurons)
            excess, known, tolerance = arithmetic.excess(look.constants, look.arrivals, look.reported)
            if not (np.abs(excess) > tolerance).any():
                continue
            here = events.select(one)
            if sign < 0:
                time, unit = here.time, here.unit
            else:
                silent = np.ones((evidence.n_steps, synapses.weight.shape[0]), dtype=np.bool_)
                silent[here.time, here.unit] = False
                time, unit = (a.astype(np.int64) for a in np.nonzero(silent))
            hits, targets = np.zeros(time.size, dtype=np.int64), np.zeros(time.size, dtype=np.int64)
            charge = arithmetic.charge(look.constants, synapses.addend(neurons))
            match_lost(
                np.zeros(time.size, dtype=np.int64), time, unit, charge, synapses.slots, synapses.late,
                excess, known, tolerance, sign, hits, targets,
            )  # fmt: skip
            chosen = (hits >= 2) & (hits * 5 >= targets * 3)
            found.append(np.stack((np.full(chosen.sum(), sample), time[chosen], unit[chosen]), axis=1))
        return np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)

    def _words(self, synapses: Synapses, sign: int) -> Change:
        rows = synapses.lost if sign < 0 else synapses.extra
        assert rows is not None, "it was changed"
        sent = self._evidence.events(synapses.source).unit.size
        sample, step, neuron = rows[0].tolist()
        where = f"first that of neuron {neuron} at step {step} of sample {self._evidence.numbers[sample]}"
        assumed = synapses.source in self._evidence.assumed
        if sign < 0:
            units = np.unique(rows[:, 2])
            whose = f"all of neuron {units[0]}, " if units.size == 1 and len(rows) > 1 else ""
            of = f"{sent} spikes of the emulator" if assumed else f"{sent} spikes"
            words = f"projection {synapses.name}: {len(rows)} of {of} do not arrive, {whose}{where}"
            return Change("lost spikes", words, synapses.name, expected=0, low=len(rows), high=len(rows))
        sender = f"{synapses.source} does not have in the emulator" if assumed else f"{synapses.source} does not report"
        words = f"projection {synapses.name}: {len(rows)} spikes arrive that {sender}, {where}"
        return Change("spikes too many", words, synapses.name, expected=0, low=len(rows), high=len(rows))


def _with_events(synapses: Synapses, rows: I64, sign: int) -> Synapses:
    if sign < 0:
        return replace(synapses, lost=rows if synapses.lost is None else np.concatenate((synapses.lost, rows)))
    return replace(synapses, extra=rows if synapses.extra is None else np.concatenate((synapses.extra, rows)))
