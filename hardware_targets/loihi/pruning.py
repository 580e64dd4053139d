"""Pruning a trained network: the synapses go whose removal costs the membranes least, the others make up for them.

The trained spikes are imposed, so every neuron can be looked at by itself (`surgery`). Costs of neurons are comparable
as squared voltage relative to what it is held against: the threshold of a spiking neuron, the spread of the voltage of
a readout. One limit of cost for the whole network then says how far the order of each neuron is followed.

A neuron that no other hears any more, or that nothing reaches, is of no use, so all of its synapses are given up first
and as many are kept elsewhere; that is done a few times, for others may be idle then.

Tried on trained networks and left out, because accuracy did not rise: fitting the weights of later populations to the
spikes that the pruned earlier ones make; counting the voltage more where it is near the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hardware_targets.loihi.by_neuron import by_neuron
from hardware_targets.loihi.constants import shared_constants
from hardware_targets.loihi.membrane import Decays, Inputs, features, resets
from hardware_targets.loihi.surgery import F64, I64, Bools, compensated, error_form, removal_order
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains

ROWS_PER_SYNAPSE, MOST_ROWS = 32, 8192
"""Voltages that are looked at for each synapse of a neuron; more cost time, and from 16 on accuracy changes little."""
ROUNDS = 4
"""How often synapses are chosen anew after neurons became idle."""


@dataclass(frozen=True)
class Ranking:
    """The synapses of one neuron in the order of their removal.

    Attributes
    ----------
    population, neuron : whose
    row : (n,) rows of the synapses that exist, over all projections onto the population one after the other
    added : (n,) what each adds to the error, relative squared voltage; >= 0
    n_first : those at the beginning that are removed whatever the limit of cost
    """

    population: str
    neuron: int
    row: I64
    added: F64
    n_first: int

    @property
    def limit(self) -> F64:
        """Limit of cost from which on each is removed, (n,), never falling: an order can only be cut at one place."""
        limit = np.maximum.accumulate(self.added)
        limit[: self.n_first] = -1.0
        return limit


def existing(network: Network) -> dict[str, Bools]:
    """Projection -> which pairs have a synapse, (pre, post)."""
    return {
        p.name: np.ones(p.weight.shape, dtype=np.bool_) if p.mask is None else p.mask.copy()
        for p in network.projections
    }


def rank(
    network: Network,
    spikes: Mapping[str, SpikeTrains],
    first: Sequence[Mapping[str, Bools]],
    *,
    threads: int | None = None,
) -> list[list[Ranking]]:
    """Order of removal of the synapses of every neuron.

    Parameters
    ----------
    network : trained, delays whole slots
    spikes : population -> its spikes in the trained network, of every population but a leaky readout
    first : for each of several rankings, projection -> synapses that go before all others, (pre, post)
    threads : neurons at the same time, None for one a core; the result does not depend on it

    Returns
    -------
    a list for each entry of `first`, neurons in the order of the network
    """
    found: list[list[Ranking]] = [[] for _ in first]
    for population in network.populations:
        look = _looks(network, population, spikes)
        if look is None:
            continue
        forced = [[one[p.name] for p in network.incoming(population.name)] for one in first]
        rankings: list[list[Ranking]] = [[] for _ in first]

        def ranked(
            neuron: int,
            look: Callable[[int], _View] = look,
            forced: list[list[Bools]] = forced,
            name: str = population.name,
        ) -> tuple[list[Ranking], float, float]:
            view, of = look(neuron), []
            for one in forced:
                goes = view.inputs.column(one, neuron)[view.row] > 0
                order, added = removal_order(view.form, view.weight, goes)
                of.append(Ranking(name, neuron, view.row[order], added, int(goes.sum())))
            return of, view.voltage_mean, view.voltage_power

        mean = power = 0.0
        for ranking, voltage_mean, voltage_power in by_neuron(ranked, population.size, threads):
            mean += voltage_mean
            power += voltage_power
            for into, one in zip(rankings, ranking, strict=True):
                into.append(one)
        spread = power / population.size - (mean / population.size) ** 2
        unit = population.threshold**2 if population.kind == "lif" else spread
        for into, of in zip(found, rankings, strict=True):
            into += [replace(r, added=r.added / unit if unit > 0 else np.zeros_like(r.added)) for r in of]
    return found


def cut(network: Network, rankings: Sequence[Ranking], n_removed: int) -> tuple[dict[str, Bools], float]:
    """Remove so many synapses of a network, those with the lowest limit of cost; more where more have to go first.

    Returns
    -------
    kept, cost : projection -> the synapses that stay, (pre, post); and the error, relative squared voltage
    """
    kept = existing(network)
    limits = np.concatenate([np.zeros(0), *(r.limit for r in rankings)])
    owner = np.repeat(np.arange(len(rankings)), [r.row.size for r in rankings])
    n_removed = max(n_removed, sum(r.n_first for r in rankings))
    # Stable: of equal costs the first neuron's, so the result depends on nothing but the network.
    chosen = owner[np.argsort(limits, kind="stable")[:n_removed]]
    cost = 0.0
    for ranking, n in zip(rankings, np.bincount(chosen, minlength=len(rankings)), strict=True):
        cost += float(ranking.added[:n].sum())
        _remove(network, ranking, int(n), kept)
    return kept, cost


def prune_synapses(
    network: Network, spikes: Mapping[str, SpikeTrains], n_removed: int, first: Mapping[str, Bools]
) -> dict[str, Bools]:
    """Projection -> the synapses that stay when so many go, those of idle neurons before all but `first`."""
    going = first
    for _ in range(ROUNDS):
        (rankings,) = rank(network, spikes, [going])
        kept, _ = cut(network, rankings, n_removed)
        given_up = _given_up(network, rankings, n_removed, first)
        if not any(np.any(given_up[name] & kept[name]) for name in kept):
            break
        going = given_up
    return kept


def _given_up(
    network: Network, rankings: Sequence[Ranking], n_removed: int, first: Mapping[str, Bools]
) -> dict[str, Bools]:
    """`first`, and all synapses of the neurons that are idle first of all: no more of them than are to be removed."""
    there = existing(network)

    def at(n: int) -> dict[str, Bools]:
        idle = _idle(network, cut(network, rankings, n)[0])
        return {
            p.name: first[p.name] | there[p.name] & (idle[p.source][:, np.newaxis] | idle[p.target])
            for p in network.projections
        }

    low, high = 0, n_removed
    while low < high:
        middle = (low + high + 1) // 2
        few = sum(int(np.count_nonzero(array)) for array in at(middle).values()) <= n_removed
        low, high = (middle, high) if few else (low, middle - 1)
    return at(low) if low else dict(first)


def compensate(
    network: Network, spikes: Mapping[str, SpikeTrains], kept: Mapping[str, Bools], *, threads: int | None = None
) -> Network:
    """The network with only the synapses that are kept, their weights made up for those that are not.

    A projection of which nothing goes stays dense if it was: the places of single synapses cost memory. `threads` as
    of `rank`.
    """
    there = existing(network)
    weights = {p.name: p.weight.astype(np.float64) for p in network.projections}
    for population in network.populations:
        mine = network.incoming(population.name)
        if all(np.array_equal(kept[p.name], there[p.name]) for p in mine):
            continue
        look = _looks(network, population, spikes)
        if look is None:
            continue
        staying = [kept[p.name] for p in mine]

        def made_up(neuron: int, look: Callable[[int], _View] = look, staying: list[Bools] = staying) -> F64:
            view = look(neuron)
            column = np.zeros(view.inputs.n_rows)
            stays = view.inputs.column(staying, neuron)[view.row] > 0
            column[view.row] = compensated(view.form, view.weight, stays)
            return column

        for neuron, column in enumerate(by_neuron(made_up, population.size, threads)):
            begin = 0
            for projection in mine:
                end = begin + projection.weight.shape[0]
                weights[projection.name][:, neuron] = column[begin:end]
                begin = end
    projections = (
        make_projection(
            p.source,
            p.target,
            weights[p.name],
            p.delay,
            p.mask if np.array_equal(kept[p.name], there[p.name]) else kept[p.name],
        )
        for p in network.projections
    )
    return replace(network, projections=tuple(projections))


@dataclass(frozen=True)
class _View:
    """One neuron: its existing synapses by row of `inputs`, their weights and H; mean voltage and mean square of it."""

    inputs: Inputs
    row: I64
    weight: F64
    form: F64
    voltage_mean: float
    voltage_power: float


def _looks(
    network: Network, population: Population, spikes: Mapping[str, SpikeTrains]
) -> Callable[[int], _View] | None:
    """Neuron of a population -> its view with the spikes of the trained network imposed; None without any input."""
    inputs = Inputs.onto(population, network, spikes)
    if inputs.n_rows == 0:
        return None
    wanted = min(ROWS_PER_SYNAPSE * inputs.n_rows, MOST_ROWS)
    # Neighbouring steps say nearly the same; more samples say more.
    every = 2 if inputs.n_steps > 4 else 1
    n_samples = min(inputs.n_samples, max(8, -(-wanted * every // max(1, inputs.n_steps))))
    every = max(every, n_samples * inputs.n_steps // wanted)
    used = {name: trains.select(range(n_samples)) for name, trains in spikes.items()}
    inputs = Inputs.onto(population, network, used)
    constants = shared_constants(population, network.dt_ms)
    decays = Decays(constants.beta, constants.alpha, constants.gain)
    there = existing(network)
    exists = [there[p.name] for p in inputs.projections]
    slots = [p.slots() for p in inputs.projections]
    weights = [p.weight for p in inputs.projections]

    def look(neuron: int) -> _View:
        here = inputs.column(exists, neuron) > 0
        row = np.flatnonzero(here)
        reset = resets(used.get(population.name), neuron, inputs.n_samples, inputs.n_steps)
        slot = inputs.column(slots, neuron).astype(np.int64)
        seen = features(inputs, slot, here, reset, decays, every)
        weight = inputs.column(weights, neuron)[row]
        voltage = (weight.astype(np.float32) @ seen).astype(np.float64)
        return _View(inputs, row, weight, error_form(seen), float(voltage.mean()), float((voltage**2).mean()))

    return look


def _idle(network: Network, kept: Mapping[str, Bools]) -> dict[str, Bools]:
    """Population -> neurons that no other hears or nothing reaches; never a source without input, or an output."""
    idle = {}
    for population in network.populations:
        name, size = population.name, population.size
        heard = [kept[p.name].any(axis=1) for p in network.projections if p.source == name != p.target]
        reached = [kept[p.name].any(axis=0) for p in network.incoming(name) if p.source != name]
        unheard = ~np.any(heard, axis=0) if heard else np.zeros(size, dtype=np.bool_)
        mute = ~np.any(reached, axis=0) if reached else np.zeros(size, dtype=np.bool_)
        idle[name] = unheard | mute
    return idle


def _remove(network: Network, ranking: Ranking, n: int, kept: Mapping[str, Bools]) -> None:
    """Clear the first synapses of a ranking in `kept`."""
    gone = ranking.row[:n]
    begin = 0
    for projection in network.incoming(ranking.population):
        end = begin + projection.weight.shape[0]
        kept[projection.name][gone[(gone >= begin) & (gone < end)] - begin, ranking.neuron] = False
        begin = end
