"""NetX: a network in the HDF5 layout that lava-dl reads (`lava.lib.dl.netx.hdf5.Network`).

    layer/0            type "input", shape (n,)
    layer/<i>          type "dense" or "dense_rec", shape (n,), inFeatures, outFeatures
      weight           (post, pre) int32: what a synapse adds to its target
      weight_rec       (n, n) int32: the same of the synapses of the layer onto itself, in dense_rec
      delay            (post, pre) int32 slots; absent where all are 0
      neuron           type "CUBA", iDecay = du + 1, vDecay = dv, vThMant = vth, refDelay 1, gradedSpike False
    simulation/Ts      1

Besides, attributes that no reader needs: the name of each population, dt_ms, and `v_unit`, by which v of lava-dl is to
be divided for the V of the trained network.

The reader takes 1 from iDecay for Lava's `du`, which Lava adds again; a delay d is Lava's, so a spike of step t arrives
at step t + 1 + d, as everywhere here. Two-dimensional delays pass through it as they are, one for each synapse; its
own exporter never writes them. What it would alter, drop or fail on is refused here, because it says nothing: delays
in a recurrent layer, skips and larger loops, several sources, slots above 62, weights beyond its range
(`hardware_targets.loihi.netx_synapses`).

Layout: README.md of `lava/lib/dl/netx` and the reader `netx/hdf5.py`, both lava-dl 0.6.0.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.integer_network import IntegerNetwork, IntegerPopulation, IntegerProjection, check_integers
from hardware_targets.loihi.netx_synapses import LARGEST, SMALLEST, delivered_weights
from hardware_targets.loihi.quantised import LoihiQuantised
from toolchain.deployment.abilities import NetxWritten
from toolchain.errors import InterchangeError
from toolchain.storage import write_atomically

SLOT_MAX = 62
"""Largest delay that lava-dl keeps; longer ones it cuts."""
INSTEAD = "use the Lava folder of the bundle, which holds the network as it is"


@dataclass(frozen=True)
class _Layer:
    """A population, the projection that leads to it and the one onto itself, if any, and their weights in the file."""

    population: IntegerPopulation
    projections: tuple[IntegerProjection, ...]
    weights: tuple[NDArray[np.int64], ...]


def write_netx(quantised: LoihiQuantised, path: Path, *, lower_scales: bool = False) -> NetxWritten:
    """Write a quantised network as a NetX file, whole or not at all, the same bytes each time.

    Parameters
    ----------
    quantised : a chain of populations: one spike source, and to every other population one projection
    path : what is there is replaced
    lower_scales : where weights times their exponent exceed what lava-dl reads, halve the scale of the population until
        they fit: its weights keep their 8 bits, its threshold is rounded and u and v have fewer bits. Without it
        such a network is refused

    Raises
    ------
    InterchangeError
        Naming the projection or population that lava-dl would read otherwise than it is, why, and what to use instead.
    """
    network = quantised.integers
    _refuse_what_is_more(network)
    layers, lowered, notes = [], {}, []
    for projection in _chain(network):
        own = tuple(p for p in network.projections if p.source == p.target == projection.target)
        projections = (projection, *own)
        _check_slots(projection, own)
        weights, by = _fitting_weights(projections, lower_scales)
        before = network[projection.target]
        population = _lowered(before, by)
        if by:
            lowered[population.name] = by
            note = f"population {population.name}: its scale was divided by {2**by}"
            if population.kind == "lif":
                note += f", its threshold {before.vth} became {population.vth} ({_change(before, population, by)})"
            notes.append(note)
        for one in projections:
            if absent := one.weight.size - one.n_synapses:
                notes.append(f"projection {one.name}: {absent} synapses that do not exist are written as weight 0")
        layers.append(_Layer(population, tuple(_shifted(p, by) for p in projections), weights))
    written = _with_layers(network, layers)
    check_integers(written)
    write_atomically(path, _content(written, layers))
    return NetxWritten(
        path,
        (network.sources[0].name, *(layer.population.name for layer in layers)),
        sum(p.n_synapses for p in written.projections),
        max(int(p.slots.max(initial=0)) for p in written.projections),
        lowered,
        replace(quantised, integers=written, extended=None),
        tuple(notes),
    )


def _refuse_what_is_more(network: IntegerNetwork) -> None:
    if network.thresholds:
        name = next(iter(network.thresholds))
        raise InterchangeError(
            f"population {name}: has a threshold for each neuron, as an emulated chip that is not as it should be; "
            "NetX has one for all: write the network that was deployed"
        )
    if len(network.sources) != 1:
        names = ", ".join(p.name for p in network.sources)
        raise InterchangeError(
            f"populations {names or 'of the network'}: {len(network.sources)} spike sources, a NetX file has one "
            f"input; {INSTEAD}"
        )


def _chain(network: IntegerNetwork) -> list[IntegerProjection]:
    """Projections from the spike source to the last population, each beginning where the one before ends."""
    onward = [p for p in network.projections if p.source != p.target]
    for end, text in (("target", "comes from"), ("source", "leads to")):
        seen: dict[str, IntegerProjection] = {}
        for projection in onward:
            first = seen.setdefault(getattr(projection, end), projection)
            if first is not projection:
                raise InterchangeError(
                    f"projection {projection.name}: {first.name} {text} {getattr(first, _other(end))} too, but a layer "
                    "of NetX passes its spikes to the next layer and to no other (lava-dl reads no concat layer), so "
                    f"that skips, loops and several sources cannot be said; {INSTEAD}"
                )
    by_source = {p.source: p for p in onward}
    chain: list[IntegerProjection] = []
    place = network.sources[0].name
    while place in by_source:
        chain.append(by_source[place])
        place = chain[-1].target
    reached = {network.sources[0].name, *(p.target for p in chain)}
    for population in network.populations:
        if population.name not in reached:
            raise InterchangeError(
                f"population {population.name}: no projections lead to it from {network.sources[0].name}, and a NetX "
                f"file is one chain; remove it, or {INSTEAD}"
            )
    if not chain:
        raise InterchangeError(f"population {network.sources[0].name}: projects to nothing; there is no layer to write")
    return chain


def _other(end: str) -> str:
    return "source" if end == "target" else "target"


def _check_slots(projection: IntegerProjection, own: tuple[IntegerProjection, ...]) -> None:
    for recurrent in own:
        if recurrent.slots.any() or projection.slots.any():
            delayed = recurrent if recurrent.slots.any() else projection
            pre, post = (int(i) for i in np.argwhere(delayed.slots)[0])
            raise InterchangeError(
                f"projection {recurrent.name}: is recurrent, and synapse ({pre}, {post}) of {delayed.name} has delay "
                f"slot {delayed.slots[pre, post]}: lava-dl reads one array of delays for a layer, uses it for its "
                f"recurrent synapses too and then leaves their exponent out; {INSTEAD}"
            )
    slots = projection.slots
    if slots.max(initial=0) > SLOT_MAX:
        pre, post = (int(i) for i in np.unravel_index(int(slots.argmax()), slots.shape))
        raise InterchangeError(
            f"projection {projection.name}: delay slot {slots[pre, post]} of synapse ({pre}, {post}) exceeds "
            f"{SLOT_MAX}, at which lava-dl cuts delays; train with training.max_slot {SLOT_MAX}, or {INSTEAD}"
        )


def _fitting_weights(
    projections: tuple[IntegerProjection, ...], lower: bool
) -> tuple[tuple[NDArray[np.int64], ...], int]:
    """Weights for the file, and by how many powers of two they are smaller than what the synapses add.

    Synapses that lead to one population have one scale, so that all are lowered by the same.
    """
    exact = [p.addend for p in projections]
    least = min(projections, key=lambda p: p.exponent)
    most = max(least.exponent, 0)
    for by in range(most + 1):
        weights = tuple(e >> by for e in exact)
        found = delivered_weights(*weights)
        if found is not None and all(np.array_equal(f, w) for f, w in zip(found, weights, strict=True)):
            if by and not lower:
                raise _unfit(projections, exact, "write it with --lower-scales, or ")
            return weights, by
    if not any(e.any() for e in exact):
        raise InterchangeError(
            f"projection {projections[0].name}: all its weights are 0, on which lava-dl's reader fails; {INSTEAD}"
        )
    raise _unfit(
        projections, exact, f"a scale divided by more than {2**most} would cut bits off the weights of {least.name}; "
    )


def _unfit(projections: tuple[IntegerProjection, ...], exact: list[NDArray[np.int64]], words: str) -> InterchangeError:
    """Names the first synapse that lava-dl reads otherwise; where it fails, the largest, which is what it fails on."""
    found = delivered_weights(*exact)
    largest = max(int(np.abs(e).max(initial=0)) for e in exact)
    wrong = [np.abs(e) == largest if found is None else found[i] != e for i, e in enumerate(exact)]
    i = next(i for i, w in enumerate(wrong) if w.any())
    pre, post = (int(n) for n in np.argwhere(wrong[i])[0])
    read = "fails on" if found is None else f"reads as {found[i][pre, post]:g}"
    return InterchangeError(
        f"projection {projections[i].name}: synapse ({pre}, {post}) adds {exact[i][pre, post]}, which lava-dl {read}: "
        f"it has no exponent, and weights of {SMALLEST} to {LARGEST}, or -255 to 0 where none is above 0, after its "
        f"own scaling; {words}{INSTEAD}"
    )


def _shifted(projection: IntegerProjection, by: int) -> IntegerProjection:
    return replace(projection, exponent=projection.exponent - by)


def _lowered(population: IntegerPopulation, by: int) -> IntegerPopulation:
    """The population with its states and threshold in units that are 2^by as large."""
    if not by:
        return population
    scale = population.scale / 2**by
    if population.kind != "lif":
        return replace(
            population, scale=scale
        )  # the threshold of a readout is the largest there is, whatever the scale
    vth = round(population.vth / 2**by)
    if vth < 1:
        raise InterchangeError(
            f"population {population.name}: its threshold {population.vth} divided by {2**by}, as its weights need it, "
            f"is below 1; {INSTEAD}"
        )
    return replace(population, scale=scale, vth=vth)


def _change(before: IntegerPopulation, after: IntegerPopulation, by: int) -> str:
    return f"{100 * (after.vth * 2**by / before.vth - 1):+.3f} %" if before.vth else "as before"


def _with_layers(network: IntegerNetwork, layers: list[_Layer]) -> IntegerNetwork:
    populations = {layer.population.name: layer.population for layer in layers}
    projections = {p.name: p for layer in layers for p in layer.projections}
    return replace(
        network,
        populations=tuple(populations.get(p.name, p) for p in network.populations),
        projections=tuple(projections[p.name] for p in network.projections),
    )


def _content(network: IntegerNetwork, layers: list[_Layer]) -> bytes:
    """The file; h5py keeps no times of what it makes unless asked to."""
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["generator"], file.attrs["dt_ms"] = "delayline", network.dt_ms
        source = network.sources[0]
        entry = file.create_group("layer/0")
        _write(entry, {"type": "input", "shape": [source.size]})
        entry.attrs["population"] = source.name
        for index, layer in enumerate(layers, 1):
            population, projection = layer.population, layer.projections[0]
            pre, post = projection.weight.shape
            entry = file.create_group(f"layer/{index}")
            kind = "dense" if len(layer.projections) == 1 else "dense_rec"
            _write(entry, {"type": kind, "shape": [post], "inFeatures": pre, "outFeatures": post})
            # Lava has (post, pre), we have (pre, post).
            for name, weight in zip(("weight", "weight_rec"), layer.weights, strict=False):
                entry.create_dataset(name, data=weight.T.astype(np.int32))
            if projection.slots.any():
                entry.create_dataset("delay", data=projection.slots.T.astype(np.int32))
            neuron = {"iDecay": population.du + 1, "vDecay": population.dv, "vThMant": population.vth}
            _write(entry.create_group("neuron"), {"type": "CUBA", **neuron, "refDelay": 1, "gradedSpike": False})
            entry.attrs["population"], entry.attrs["v_unit"] = population.name, 64.0 * population.scale
        file.create_group("simulation").create_dataset("Ts", data=1)
    return memory.getvalue()


def _write(group: object, values: dict[str, object]) -> None:
    """Texts as lava-dl's own exporter has them: one of bytes in a row."""
    for name, value in values.items():
        data = np.array([value], dtype="S10") if isinstance(value, str) else value
        group.create_dataset(name, data=data)  # type: ignore[attr-defined]
