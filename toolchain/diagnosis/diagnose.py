"""Why a device does not do what the emulator does: one step after the other replayed from what the device reported.

A difference of two runs spreads from neuron to neuron. What a device reported of step t - 1 and what its neurons sent,
taken as given, leaves only the neurons different that do not do at step t what they must. So each of them is a local
test, however chaotic the network; and a cause is a change of the network with which all of these tests are passed.

Changes are tried from the smallest on: of a population (a constant, a record that is late), of a projection (late,
missing, clipped, spikes lost), then of a neuron (a constant, synapses). Nothing is called a finding but a change with
which the replay equals every reported state of the neurons it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolchain.deployment.abilities import DiagnosableTarget
from toolchain.deployment.target import Quantised, Target, Traces
from toolchain.diagnosis.candidates import Candidate, Change
from toolchain.diagnosis.constant_search import ConstantSearch
from toolchain.diagnosis.event_search import EventSearch
from toolchain.diagnosis.evidence import Evidence
from toolchain.diagnosis.findings import Diagnosis, Finding, Unexplained
from toolchain.diagnosis.late_records import LateRecords
from toolchain.diagnosis.layers import merge_layers
from toolchain.diagnosis.model import CURRENT, I64, QUANTITIES, SPIKE, VOLTAGE, Chip
from toolchain.diagnosis.projection_search import ProjectionSearch
from toolchain.diagnosis.synapse_search import SynapseSearch
from toolchain.errors import InputError
from toolchain.spikes import SpikeTrains

PROBED_STATES = 60_000
"""Samples times steps with which changes of populations are tried before they are tested on all."""
NEURONS_TRIED, FAILURES = 64, 6
"""Neurons of a population that are explained one by one, and after how many in a row without success no more are."""
BY_CHANCE, FEW, MANY = 2, 6, 1000
"""States that one change of thousands explains by chance; that prove little where nothing explains other neurons of the
population; beyond which no second kind of change explains all."""
STAGE = {"u": CURRENT, "v": VOLTAGE, "spikes": SPIKE}


def diagnose(
    target: Target,
    quantised: Quantised,
    spikes: SpikeTrains,
    observed: Traces,
    *,
    numbers: Sequence[int] | None = None,
) -> Diagnosis:
    """Find what in a device is not as the quantised network says.

    Parameters
    ----------
    target : one with `DiagnosableTarget`
    spikes : input of the samples that the device ran
    observed : what it reported: of any populations, u, v or spikes, (n_samples, n_steps, size) each
    numbers : (n_samples,) what the samples are called in what is found; counted from 0 if left out

    Raises
    ------
    InputError
        If the target cannot replay, or the traces are not of this network and these samples.
    """
    if not isinstance(target, DiagnosableTarget):
        raise InputError(f"target {target.name}: its step cannot be replayed here, so that nothing can be diagnosed")
    chip = target.chip_model(quantised)
    _check(chip, spikes, observed)
    missing = [c.name for c in chip.model.cells if c.constants and c.name not in observed.spikes]
    senders = {s.source for s in chip.model.synapses}
    assumed: Mapping[str, NDArray[np.bool_]] = {}
    if any(name in senders for name in missing):
        emulated = target.emulate_traces(quantised, spikes).spikes
        assumed = {name: emulated[name] for name in missing}
    found = _Diagnosing(Evidence(chip, spikes, observed, assumed, numbers=numbers)).run()
    return found if numbers is None else found.with_samples(numbers)


def _check(chip: Chip, spikes: SpikeTrains, observed: Traces) -> None:
    there = [("u", observed.u), ("v", observed.v), ("spikes", observed.spikes)]
    for quantity, arrays in there:
        for name, array in arrays.items():
            known = [c for c in chip.model.cells if c.name == name]
            if not known:
                raise InputError(f"traces: {quantity} of {name!r}, which the network does not have; give its own")
            shape = (spikes.n_samples, spikes.n_steps, known[0].size)
            if array.shape != shape:
                raise InputError(
                    f"traces: {quantity} of {name} is of shape {array.shape}, must be {shape}: samples, steps, neurons"
                )


class _Diagnosing:
    """One diagnosis: the model as far as it is explained, and what was found."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._model = evidence.chip.model
        self._findings: list[Finding] = []
        self._unexplained: list[Unexplained] = []
        self._not_tried = 0

    def run(self) -> Diagnosis:
        states = deviating = 0
        untouched = self._evidence
        for cells in self._model.cells:
            if cells.constants and untouched.quantities(cells.name):
                found = LateRecords(self._evidence, self._model, cells.name).whole()
                if found is not None:
                    quantity, dirty, candidate = found
                    self._accept(cells.name, quantity, dirty, [candidate])
        for cells in self._model.cells:
            if not cells.constants:
                self._input(cells.name)
                continue
            if not self._evidence.quantities(cells.name):
                continue
            reported = untouched.scan(self._evidence.chip.model, cells.name)
            states, deviating = states + reported.compared, deviating + reported.total
            if self._evidence.scan(self._model, cells.name).total:
                self._population(cells.name)
        deviating += sum(f.total for f in self._findings if f.cause == "input")
        model = self._evidence.chip.model
        return Diagnosis(
            tuple(self._doubted(f) for f in merge_layers(self._findings, model)),
            tuple(self._unexplained),
            self._evidence.n_samples,
            states,
            deviating,
            tuple(_not_available(self._evidence)),
            {s.name: _idle(self._evidence, s.source, s.exists) for s in model.synapses},
        )

    def _doubted(self, finding: Finding) -> Finding:
        """The same with what else it may be, where its source or its own population is not explained."""
        more: list[str] = []
        others = [u for u in self._unexplained if u.population == finding.population and u.quantity == finding.quantity]
        if others and finding.neurons and finding.total <= FEW:
            more.append(f"what is not explained in other neurons of {finding.population}")
        if finding.projection is not None:
            source = self._evidence.chip.model.projection(finding.projection).source
            doubtful = {n for u in self._unexplained if u.population == source for n in u.neurons}
            if finding.synapse is not None:
                doubtful &= {finding.synapse[0]}
            if doubtful:
                whose = f"neuron {min(doubtful)} of {source}" if finding.synapse is not None else source
                more.append(f"{whose} sends other spikes than it reports: its own states are not explained")
        return replace(finding, alternatives=(*more, *finding.alternatives)) if more else finding

    def _input(self, name: str) -> None:
        """Spikes that a source reports are those of the input, or the input at another step."""
        reported = self._evidence.observed.spikes.get(name)
        if reported is None:
            return
        first = 0
        for cells in self._model.cells:
            if cells.name == name:
                break
            first += 0 if cells.constants else cells.size
        size = reported.shape[2]
        trains = self._evidence.spikes
        given = np.stack([trains.dense(s)[first : first + size].T for s in range(trains.n_samples)])
        wrong = given != reported
        if not wrong.any():
            return
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        total = int(wrong.sum())
        for late in (1, -1, 2, -2, 3, -3):
            shifted = np.zeros_like(given)
            if late > 0:
                shifted[:, late:] = given[:, :-late]
            else:
                shifted[:, :late] = given[:, -late:]
            if (shifted == reported).all():
                steps = f"{abs(late)} step{'s' if abs(late) > 1 else ''} {'late' if late > 0 else 'early'}"
                text = f"input {name}: its spikes are {steps}; explains {total} of {total} deviating spikes"
                self._findings.append(
                    Finding("input", text, name, (), "spikes", total, total, place, expected=0, low=late, high=late)  # type: ignore[arg-type]
                )
                return
        more, less = int((reported & ~given).sum()), int((given & ~reported).sum())
        text = f"input {name}: {less} of its spikes are not reported, {more} are reported that it does not have"
        neurons = tuple(int(n) for n in np.unique(np.nonzero(wrong)[2]))
        self._unexplained.append(Unexplained(name, "spikes", neurons, total, 1, place, text))  # type: ignore[arg-type]

    def _population(self, name: str) -> None:
        """Explain one quantity after the other: what is wrong in one is corrected before the next is looked at."""
        given_up = np.zeros(0, dtype=np.int64)
        quantities = self._evidence.quantities(name)
        for quantity in quantities:
            # A voltage that is reset was not reported as it was before: what is wrong with it may show in spikes alone.
            least = VOLTAGE if "u" in quantities and quantity != "u" else CURRENT
            stages = list(range(least, STAGE[quantity] + 1))
            now = self._evidence.scan(self._model, name)
            dirty = np.setdiff1d(now.dirty((quantity,)), given_up)
            dirty = self._together(name, quantity, stages, dirty)
            left = self._one_by_one(name, quantity, stages, dirty)
            if left.size:
                self._give_up(name, quantity, left)
                given_up = np.union1d(given_up, left)

    def _together(self, name: str, quantity: str, stages: list[int], dirty: I64) -> I64:
        """Changes of the population or its projections, as long as they explain most of what deviates."""
        size = self._model[name].size
        while dirty.size >= min(2, size):
            candidates = self._of_population(name, quantity, stages, dirty)
            if size == 1 and CURRENT in stages:
                # All that the one neuron does the population does: neither is the simpler cause.
                candidates += SynapseSearch(self._evidence, self._model, name, 0, quantity).find()
            if not candidates or not self._accept(name, quantity, dirty, candidates):
                break
            dirty = np.intersect1d(self._evidence.scan(self._model, name).dirty((quantity,)), dirty)
        return dirty

    def _of_population(self, name: str, quantity: str, stages: list[int], dirty: I64) -> list[Candidate]:
        samples = self._probed(name, quantity)
        found = ConstantSearch(self._evidence, self._model, name, quantity, stages).for_population(dirty, samples)
        # Where one constant fits so many states nothing else does; and where v was reported it has tested what arrives
        # before the spikes do.
        watched = self._evidence.watched(name, quantity)
        many = self._evidence.scan(self._model, name).states(watched) > MANY
        sure = "v" in watched if quantity == "spikes" else many
        projections = []
        if CURRENT in stages and not (found and sure):
            projections = ProjectionSearch(self._evidence, self._model, name, quantity).find(dirty, samples)
        if found:
            # Half the threshold and twice the weights are the same where spikes alone were reported.
            return found + [c for c in projections if not self._evidence.scan(c.model, name).states(watched)]
        found = projections
        # Of a neuron that never spikes these may be the same.
        records = LateRecords(self._evidence, self._model, name)
        found = found + records.of(quantity)
        if CURRENT in stages and (quantity == "spikes" or len(self._evidence.quantities(name)) > 1):
            found += records.like_arrivals(dirty)
        if CURRENT in stages and not found:
            found = EventSearch(self._evidence, self._model, name, quantity).find(dirty)
        return found

    def _probed(self, name: str, quantity: str) -> I64:
        """The samples from the first deviating one on, not more than are needed to tell most changes apart."""
        first = self._evidence.scan(self._model, name).first[quantity]
        start = first[0] if first else 0
        count = max(1, PROBED_STATES // self._evidence.n_steps)
        return self._evidence.all_samples[start : start + count]

    def _one_by_one(self, name: str, quantity: str, stages: list[int], dirty: I64) -> I64:
        """Changes of single neurons; returns those that none explains."""
        left: list[int] = []
        failures = self._not_tried = 0
        if self._model[name].size == 1:
            return dirty  # tried together
        for number, neuron in enumerate(dirty.tolist()):
            if failures >= FAILURES or number >= NEURONS_TRIED:
                left += dirty[number:].tolist()
                self._not_tried = dirty.size - number
                break
            search = ConstantSearch(self._evidence, self._model, name, quantity, stages)
            found = search.for_neuron(neuron)
            if dirty.size == 1:
                # A constant that all share is wrong in all, unless it is this neuron's alone: both are said.
                found = [w for c in found for w in dict.fromkeys((search.widen(c), c))]
            if CURRENT in stages:
                found += SynapseSearch(self._evidence, self._model, name, neuron, quantity).find()
            if not found and dirty.size == 1:
                found = self._of_population(name, quantity, stages, dirty)
            if found and self._accept(name, quantity, np.array([neuron], dtype=np.int64), found):
                failures = 0
            else:
                left.append(neuron)
                failures += 1
        return np.array(left, dtype=np.int64)

    def _accept(self, name: str, quantity: str, dirty: I64, candidates: list[Candidate]) -> bool:
        """Take the candidate of fewest changes; the others that are as good stand beside it."""
        fewest = min(len(c.changes) for c in candidates)
        candidates = [c for c in candidates if len(c.changes) == fewest]
        # A value to the point before a range of them.
        candidates.sort(key=lambda c: c.changes[0].low != c.changes[0].high)
        chosen = candidates[0]
        before = self._evidence.scan(self._model, name, dirty)
        after_evidence = chosen.evidence or self._evidence
        after = after_evidence.scan(chosen.model, name, dirty)
        total = int(before.counts[quantity].sum())
        clean = np.setdiff1d(dirty, after.dirty(after_evidence.watched(name, quantity)))
        explained = total - int(after.counts[quantity].sum())
        first = before.first[quantity]
        if not clean.size or first is None:
            return False
        seen = self._independent(name, quantity, dirty, total)
        self._model = chosen.model
        if chosen.evidence is not None:
            self._evidence = chosen.evidence
        others = [c.changes[0].words for c in candidates[1:]] if fewest == 1 else []
        if seen <= BY_CHANCE * fewest:
            others.append(f"{'a single disturbance' if seen == 1 else f'{seen} disturbances'} of another kind")
        for change in chosen.changes:
            self._findings.append(
                _finding(change, name, chosen.neurons, quantity, explained, total, first, tuple(others))
            )
        return True

    def _independent(self, name: str, quantity: str, neurons: I64, total: int) -> int:
        """How many of the deviating states do not follow from others: those at which something arrived otherwise.

        Where the current was not reported, one wrong arrival makes every later state wrong.
        """
        evidence = self._evidence
        whole = evidence.arithmetic.channels == 1 or name in evidence.observed.currents
        if quantity == "spikes" or ("u" in evidence.quantities(name) and whole):
            return total
        found = 0
        for samples, some in self._evidence.parts(self._evidence.all_samples, neurons):
            look = self._evidence.look(self._model, name, samples, some)
            excess, _, tolerance = self._evidence.arithmetic.excess(look.constants, look.arrivals, look.reported)
            found += int(np.count_nonzero(np.abs(excess) > tolerance))
        return min(found, total) or total

    def _give_up(self, name: str, quantity: str, neurons: I64) -> None:
        """Say what is left, and no more than that."""
        now = self._evidence.scan(self._model, name, neurons)
        first = now.first[quantity]
        states = int(now.counts[quantity].sum())
        if first is None:
            return
        largest = 0
        for samples, some in self._evidence.parts(self._evidence.all_samples, neurons):
            found = self._evidence.look(self._model, name, samples, some).difference(quantity)
            assert found is not None, "it was reported"
            largest = max(largest, int(np.abs(found).max(initial=0)))
        whose = f"neuron {neurons[0]}" if neurons.size == 1 else f"{neurons.size} neurons"
        sample, step, neuron = first
        text = (
            f"population {name}: {states} states of {quantity} of {whose} deviate, by up to {largest}, first neuron "
            f"{neuron} at step {step} of sample {self._evidence.numbers[sample]}; no change that was tried explains "
            "all of them"
        )
        if self._not_tried:
            text += f"; of these neurons {self._not_tried} {'was' if self._not_tried == 1 else 'were'} not tried alone"
        self._unexplained.append(
            Unexplained(name, quantity, tuple(int(n) for n in neurons), states, largest, first, text)
        )


def _finding(
    change: Change, name: str, neurons: tuple[int, ...], quantity: str, explained: int, total: int,
    first: tuple[int, int, int], others: tuple[str, ...],
) -> Finding:  # fmt: skip
    noun = {"u": "currents", "v": "voltages", "spikes": "spikes"}[quantity]
    whose = f" of neuron {neurons[0]}" if len(neurons) == 1 else ""
    text = f"{change.words}; explains {explained} of {total} deviating {noun}{whose}"
    return Finding(
        change.cause, text, name, neurons, quantity, explained, total, first, change.projection, change.synapse,
        change.constant, change.expected, change.low, change.high, others,
    )  # fmt: skip


def _idle(evidence: Evidence, source: str, exists: NDArray[np.bool_]) -> tuple[int, int]:
    """Synapses whose source never spiked, and all."""
    silent = np.ones(exists.shape[0], dtype=np.bool_)
    silent[evidence.events(source).unit] = False
    return int(np.count_nonzero(exists[silent])), int(np.count_nonzero(exists))


def _not_available(evidence: Evidence) -> list[str]:
    """What was not reported, and what that means."""
    found = []
    for cells in evidence.chip.model.cells:
        if not cells.constants:
            continue
        there = evidence.quantities(cells.name)
        missing = [q for q in QUANTITIES if q not in there]
        if cells.name in evidence.assumed and any(s.source == cells.name for s in evidence.chip.model.synapses):
            found.append(f"population {cells.name}: its spikes were not reported; those of the emulator stand for them")
        if missing == list(QUANTITIES):
            found.append(f"population {cells.name}: nothing was reported, so that nothing in it was tested")
        elif "v" in missing:
            found.append(f"population {cells.name}: v was not reported; its spikes are tested from the last reset on")
        elif "u" in missing:
            found.append(f"population {cells.name}: u was not reported; it was computed from the spikes")
        elif evidence.arithmetic.channels == 2 and cells.name not in evidence.observed.currents:
            found.append(
                f"population {cells.name}: u was reported, the two currents that it is the difference of were not; "
                "they were computed from the spikes"
            )
    return found
