"""The code that is handed to GeNN parses as its language, and every name in it means something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_network
from tests.oracles.genn_code import Code, NeuronCode, SynapseCode
from toolchain.deployment.plan import plan_network
from toolchain.network import Network, make_projection
from toolchain.recipe import Recipe, read_recipe
from toolchain.training.backends.genn.describe import describe, synapse
from toolchain.training.backends.genn.description import ITEM_BYTES, NeuronModel
from toolchain.training.backends.genn.neuron_code import SOURCE, leaky_readout, lif
from toolchain.training.engines import learning_populations

NEURONS = [
    SOURCE,
    *(lif(learns_tau=tau, is_output=output) for tau in (False, True) for output in (False, True)),
    *(leaky_readout(learns_tau=tau) for tau in (False, True)),
]
SYNAPSES = [
    synapse(with_delays=delays, with_feedback=feedback, slot=slot)
    for delays in (False, True)
    for feedback in (False, True)
    for slot in ("uint8_t", "uint16_t")
]


@pytest.mark.parametrize("model", NEURONS, ids=lambda m: m.name)
def test_code_of_neurons_parses_and_all_that_it_keeps_is_used(model: NeuronModel) -> None:
    code = NeuronCode(model)
    # What others read of it, and what only the host does.
    elsewhere = {"Back", "LambdaI", "LambdaV", "Guarded", "TauMem", "TauSyn"}
    declared = {v.name for v in model.variables} | {a.name for a in model.arrays}
    declared |= {name for name, _ in (*model.params, *model.dynamic)}
    assert declared - code.read <= elsewhere
    assert {v.type for v in model.variables} | {a.type for a in model.arrays} <= set(ITEM_BYTES)


def test_names_of_models_say_which_code_it_is() -> None:
    """GeNN shares code between populations whose models are called alike."""
    assert len({model.name for model in NEURONS}) == len(NEURONS)
    by_code: dict[str, set[str]] = {}
    for model in SYNAPSES:
        SynapseCode(model)
        by_code.setdefault(model.name, set()).add(repr(model))
    assert all(len(codes) == 1 for codes in by_code.values())


@pytest.mark.parametrize("max_slot", [1, 255, 256, 65_534])
def test_the_type_of_a_slot_holds_the_largest(max_slot: int) -> None:
    network = random_network("feedforward", np.random.default_rng(0))
    (part, _) = describe(
        network,
        70_000,
        max_slot=max_slot,
        min_slope=0.05,
        learn_tau=[],
        batch=1,
        slots=1,
        room=8,
        adam_betas=(0.9, 0.9),
    ).projections
    assert part.delays == max_slot + 1
    (kind,) = (v.type for v in part.model.variables if v.name == "Slot")
    assert max_slot < 256 ** ITEM_BYTES[kind] <= 256 * 256
    assert part.update is not None
    assert dict(part.update.references)["Slot"] == kind


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("V = W;", "W is not declared"),
        ("W = V;", "W is written"),
        ("K = V;", "K is written"),
        ("V = sinh(V);", "function sinh"),
        ("scalar V = 0;", "declared twice"),
        ("V = K >> 1;", "does not parse >>"),
        ("V = -(&K);", "no addresses"),
        ("while (V) { V = 0; }", "statement of kind While"),
        ("const int n = 1; n += 1;", "n is written"),
        ("if (V > 0) { const scalar n = V; } V = n;", "n is not declared"),
    ],
)
def test_the_check_notices(code: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Code(code, {"V", "K"}, {"V"}, set(), expression=False)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("uint8_t n = 256;", "256 does not fit uint8_t"),
        ("const uint32_t n = (uint32_t)(K - 1);", "-1 does not fit uint32_t"),
        ("A[K - 1] = 1;", "an index is negative"),
        ("A[0] = (K - 1) / 2;", "a negative integer is divided"),
    ],
)
def test_what_would_wrap_around_on_a_device_is_noticed(code: str, complaint: str) -> None:
    parsed = Code(code, {"A", "K"}, {"A"}, set(), expression=False)
    with pytest.raises(AssertionError, match=complaint):
        parsed.run({"A": [0], "K": 0}, {})


MODELS = sorted((Path(__file__).parents[3] / "models").glob("*.yaml"))


def network_of(recipe: Recipe) -> Network:
    """The populations of a recipe, and a synapse for every other pair that it connects."""
    plan = plan_network(recipe, 62)
    sizes = {p.name: p.size for p in plan.populations}
    projections = []
    for entry in recipe.network.projections:
        shape = (sizes[entry.source], sizes[entry.target])
        mask = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 2 == 0
        projections.append(make_projection(entry.source, entry.target, np.ones(shape), 0.0, mask))
    return Network(recipe.network.dt_ms, plan.populations, tuple(projections))


@pytest.mark.parametrize("file", MODELS, ids=lambda path: path.stem)
def test_every_recipe_maps_to_a_complete_model(file: Path) -> None:
    """Every population and projection is there, with a value for each constant and a length for each array."""
    recipe = read_recipe(file)
    network, learned = network_of(recipe), learning_populations(recipe)
    model = describe(network, 100, max_slot=62, min_slope=0.05, learn_tau=learned, batch=4, slots=2, room=16)
    assert [p.of for p in model.populations] == [p.name for p in network.populations]
    assert [p.of for p in model.projections] == [p.name for p in network.projections]
    known = {p.name for p in model.populations}
    for part in model.populations:
        assert part.name.isidentifier()
        assert set(part.params) == {n for n, _ in part.model.params}
        assert set(part.items) == {a.name for a in part.model.arrays}
        assert min(part.items.values(), default=1) > 0
        assert ("TauMem" in {v.name for v in part.model.variables}) == (part.of in learned)
    for projection in model.projections:
        assert {projection.source, projection.target} <= known
        of = {p.name: {v.name for v in p.model.variables} for p in model.populations}
        assert {variable for _, _, variable in projection.model.source_refs} <= of[projection.source]
        assert {variable for _, _, variable in projection.model.target_refs} <= of[projection.target]
        assert projection.delays == 63


def test_digest_is_of_the_code_and_not_of_what_is_held() -> None:
    network = random_network("recurrent_masked", np.random.default_rng(0))

    def digest(network: Network = network, *, max_slot: int = 9, batch: int = 2, slots: int = 1, room: int = 8) -> str:
        return describe(
            network, 50, max_slot=max_slot, min_slope=0.05, learn_tau=[], batch=batch, slots=slots, room=room
        ).digest()

    assert digest() == digest(room=16) == digest(slots=3)
    renamed = replace(
        network,
        populations=tuple(replace(p, name=p.name + "2") for p in network.populations),
        projections=tuple(replace(p, source=p.source + "2", target=p.target + "2") for p in network.projections),
    )
    assert digest() == digest(renamed)
    once = replace(network, populations=tuple(replace(p, single_spike=p.kind == "lif") for p in network.populations))
    # GeNN compiles in how many synapses a row has at most.
    full = replace(network.projections[0], mask=np.ones_like(network.projections[0].mask, dtype=np.bool_))
    longer = replace(network, projections=(full, *network.projections[1:]))
    assert len({digest(), digest(batch=3), digest(max_slot=10), digest(once), digest(longer)}) == 5


def test_digest_is_of_the_optimiser_too() -> None:
    network = random_network("recurrent_masked", np.random.default_rng(0))
    sizes = {"max_slot": 9, "batch": 2, "slots": 1, "room": 8}
    digests = {
        describe(network, 50, min_slope=0.05, learn_tau=[], adam_betas=betas, **sizes).digest()
        for betas in (None, (0.9, 0.999), (0.9, 0.99), (0.8, 0.999))
    }
    assert len(digests) == 4
