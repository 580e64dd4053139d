"""From a network to the GeNN model that trains it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from toolchain.network import Network, Population, Projection
from toolchain.training.backends.genn.description import (
    ModelDescription,
    NeuronModel,
    PopulationPart,
    ProjectionPart,
    SynapseModel,
    Variable,
)
from toolchain.training.backends.genn.neuron_code import SOURCE, leaky_readout, lif
from toolchain.training.backends.genn.optimiser_code import adam

WORD = 32
"""Bits of a word of a spike source."""


def describe(
    network: Network,
    steps: int,
    *,
    max_slot: int,
    min_slope: float,
    learn_tau: Collection[str],
    batch: int,
    slots: int,
    room: int,
    adam_betas: tuple[float, float] | None = None,
) -> ModelDescription:
    """Return the model of a network.

    Parameters
    ----------
    steps : length of a sample
    max_slot : largest delay slot that any synapse will ever have
    min_slope : floor of the membrane slope at a spike, units of V
    learn_tau : populations of whose time constants gradients are wanted
    batch, slots, room : as of `ModelDescription`
    adam_betas : of the optimiser on the device; None where there is none
    """
    names = {p.name: f"population_{i}" for i, p in enumerate(network.populations)}
    # What arrives after the end is the same for all slots that take it there.
    delays = min(max_slot, steps - 1) + 1
    populations = []
    for population in network.populations:
        model = _model(population, network, learn_tau)
        params: dict[str, float] = {"Steps": steps, "Batch": batch, "Words": -(-population.size // WORD)}
        params |= {"Single": int(population.single_spike), "Floor": float(np.float32(min_slope))}
        populations.append(
            PopulationPart(
                names[population.name],
                population.name,
                population.size,
                model,
                {name: params[name] for name, _ in model.params},
                _items(model, slots * batch, population.size, steps, room),
            )
        )
    projections = tuple(
        _projection(index, projection, network, names, delays, max_slot, adam_betas)
        for index, projection in enumerate(network.projections)
        if projection.n_synapses
    )
    return ModelDescription(tuple(populations), projections, batch, slots, steps, room)


def _model(population: Population, network: Network, learn_tau: Collection[str]) -> NeuronModel:
    learns = population.name in learn_tau
    if population.kind == "spike_source":
        return SOURCE
    if population.kind == "leaky_readout":
        return leaky_readout(learns_tau=learns)
    return lif(learns_tau=learns, is_output=population.name == network.readout.name)


def _items(model: NeuronModel, samples: int, size: int, steps: int, room: int) -> dict[str, int]:
    """How many items each array of a population has, for so many samples held at once."""
    each = {"TapeCount": 1, "Jump": 1, "Kick": 1, "TapeTime": room, "TapeSlope": room}
    each |= {"Trace": steps, "TapeI": steps, "TapeV": steps}
    items = {name: samples * size * count for name, count in each.items()}
    items["Bits"] = samples * steps * -(-size // WORD)
    return {array.name: items[array.name] for array in model.arrays}


def _projection(
    index: int,
    projection: Projection,
    network: Network,
    names: dict[str, str],
    delays: int,
    max_slot: int,
    adam_betas: tuple[float, float] | None,
) -> ProjectionPart:
    pairs = None
    if projection.mask is not None:
        pre, post = np.nonzero(projection.mask)
        pairs = (pre, post)
    source = network[projection.source]
    spikes_back = source.kind == "lif"
    update, update_params = None, {}
    if adam_betas is not None:
        update = adam(with_delays=delays > 1, slot=_slot_type(delays))
        new_1, new_2 = (float(np.float32(1 - beta)) for beta in adam_betas)
        known = {"New1": new_1, "New2": new_2, "LargestSlot": max_slot, "LastBuffer": delays - 1}
        update_params = {name: known[name] for name, _ in update.params}
    return ProjectionPart(
        f"projection_{index}",
        projection.name,
        names[projection.source],
        names[projection.target],
        synapse(with_delays=delays > 1, with_feedback=spikes_back, slot=_slot_type(delays)),
        delays,
        pairs,
        "FromTargets" if spikes_back else None,
        (source.size, network[projection.target].size),
        update,
        update_params,
    )


def _slot_type(delays: int) -> str:
    """The smallest type that holds a slot."""
    return "uint8_t" if delays <= 256 else "uint16_t"


def synapse(*, with_delays: bool, with_feedback: bool, slot: str) -> SynapseModel:
    """A synapse that delivers its weight after its delay, and on the way back reads the adjoints where it did.

    `SumI` and `SumD` collect lambda_I and lambda_I - lambda_V at arrivals; the gradients are these times -tau_syn and
    -weight (`toolchain.training.backends.cpu.backward`). `slot` is the type of a delay slot.
    """
    then = "[Slot]" if with_delays else ""
    weight = Variable("Weight", "scalar", shared=True)
    delay = (Variable("Slot", slot, shared=True),) if with_delays else ()
    return SynapseModel(
        f"Synapse{f'Delayed_{slot}' if with_delays else ''}{'Feedback' if with_feedback else ''}",
        variables=(weight, *delay, Variable("SumI", "scalar"), Variable("SumD", "scalar")),
        source_refs=(("Back_pre", "uint8_t", "Back"),),
        target_refs=(("LambdaI_post", "scalar", "LambdaI"), ("LambdaV_post", "scalar", "LambdaV")),
        on_spike="addToPostDelay(Weight, Slot);" if with_delays else "addToPost(Weight);",
        event_if="Back_pre",
        on_event=f"""
const scalar lambda = LambdaI_post{then};
const scalar difference = lambda - LambdaV_post{then};
SumI += lambda;
SumD += difference;
{"addToPre(-Weight * difference);" if with_feedback else ""}
""",
    )
