"""Descriptions of networks: the constants of a step, what is refused, and what survives a round trip."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.networks import SHAPES, random_network
from toolchain.errors import NetworkError
from toolchain.network import (
    KINDS,
    Network,
    NeuronConstants,
    Population,
    Projection,
    make_projection,
    network_from_description,
)
from toolchain.training.checkpoints import network_arrays

POPULATIONS = (
    Population("in", "spike_source", 2),
    Population("hid", "lif", 3),
    Population("out", "leaky_readout", 4),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def small(**changes: Any) -> Projection:
    fields: dict[str, Any] = {"source": "in", "target": "hid", "weight": np.ones((2, 3)), **changes}
    return make_projection(**fields)


@given(st.floats(1e-3, 10), st.floats(0.5, 1e4), st.floats(0.5, 1e4))
@settings(deadline=None)
def test_constants_are_those_of_the_law_in_60_digits(dt: float, tau_mem: float, tau_syn: float) -> None:
    """alpha = exp(-dt/tau_mem), beta = exp(-dt/tau_syn), gain = (1-alpha) * (tau_syn/dt) * (1-beta)."""
    with localcontext() as context:
        context.prec = 60
        exact_alpha = (-Decimal(dt) / Decimal(tau_mem)).exp()
        exact_beta = (-Decimal(dt) / Decimal(tau_syn)).exp()
        exact_gain = (1 - exact_alpha) * Decimal(tau_syn) / Decimal(dt) * (1 - exact_beta)
    found = NeuronConstants.of(Population("p", "lif", 1, tau_mem, tau_syn, 0.7), dt)
    assert found.alpha == pytest.approx(float(exact_alpha), rel=1e-14, abs=0)
    assert found.beta == pytest.approx(float(exact_beta), rel=1e-14, abs=0)
    assert found.gain == pytest.approx(float(exact_gain), rel=1e-14, abs=0)
    assert found.threshold == 0.7


def test_a_readout_has_no_threshold() -> None:
    assert math.isinf(NeuronConstants.of(Population("p", "leaky_readout", 1, threshold=0.5), 1.0).threshold)


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "a\\b", "a>b", ".", "..", ".hidden", "a\nb", "a\tb", "\ud800"])
def test_names_that_break_paths_or_arrows_are_refused(name: str) -> None:
    with pytest.raises(NetworkError, match="population name") as caught:
        Population(name, "lif", 1)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("field", ["tau_mem_ms", "tau_syn_ms", "threshold"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_neuron_parameters_must_be_finite_and_positive(field: str, value: float) -> None:
    parameters: dict[str, Any] = {field: value}
    with pytest.raises(NetworkError, match=f"population p: {field} {value}"):
        Population("p", "lif", 1, **parameters)


def test_kind_and_size_are_checked() -> None:
    kind: Any = "alif"
    with pytest.raises(NetworkError, match=f"population p: kind 'alif' is none of {', '.join(KINDS)}"):
        Population("p", kind, 1)
    for size in (0, -3):
        with pytest.raises(NetworkError, match=f"population p: size {size} is below 1"):
            Population("p", "lif", size)


@pytest.mark.parametrize("size", [2.5, 3.0, math.nan, True])
def test_a_size_is_a_whole_number(size: Any) -> None:
    """A description read from a file may hold any JSON number; 3.0 has the right shape and fails much later."""
    with pytest.raises(NetworkError, match=f"population p: size {size}"):
        Population("p", "lif", size)


@pytest.mark.parametrize("dt", [0.0, -1.0, math.nan, math.inf])
def test_step_must_be_finite_and_positive(dt: float) -> None:
    with pytest.raises(NetworkError, match=f"dt_ms {dt}"):
        Network(dt, POPULATIONS, ())


@pytest.mark.parametrize(
    ("projections", "message"),
    [
        ((small(), small()), "projection in->hid: given twice"),
        ((small(source="inn"),), "source population 'inn' does not exist; known: in, hid, out"),
        ((small(target="hidden"),), "target population 'hidden' does not exist; known: in, hid, out"),
        ((make_projection("hid", "in", np.ones((3, 2))),), "target in is a spike_source"),
        ((make_projection("out", "hid", np.ones((4, 3))),), "source out is a leaky_readout"),
        ((small(weight=np.ones((3, 2))),), r"weight has shape \(3, 2\), must be \(pre, post\) = \(2, 3\)"),
        ((small(weight=np.ones(6)),), r"weight has shape \(6,\)"),
    ],
)
def test_projections_that_do_not_fit_are_refused(projections: tuple[Projection, ...], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Network(1.0, POPULATIONS, projections)


@pytest.mark.parametrize("field", ["delay", "mask"])
def test_shapes_of_delay_and_mask_are_those_of_the_weight(field: str) -> None:
    arrays: dict[str, Any] = {"weight": np.ones((2, 3), np.float32), "delay": np.ones((2, 3), np.float32)}
    arrays[field] = np.ones((3, 2), np.float32)
    with pytest.raises(NetworkError, match=rf"{field} has shape \(3, 2\), must be \(pre, post\) = \(2, 3\)"):
        Network(1.0, POPULATIONS, (Projection("in", "hid", **arrays),))


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(NetworkError, match="population hid: the name is used 2 times"):
        Network(1.0, (*POPULATIONS, Population("hid", "lif", 1)), ())


@given(
    st.sampled_from(["weight", "delay"]),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.25]),
    st.integers(0, 1),
    st.integers(0, 2),
)
@settings(deadline=None)
def test_the_synapse_with_a_bad_value_is_named(field: str, value: float, pre: int, post: int) -> None:
    array = np.full((2, 3), 0.5)
    array[pre, post] = value
    arrays = {"weight": np.ones((2, 3)), field: array}
    if field == "weight" and math.isfinite(value):
        Network(1.0, POPULATIONS, (small(**arrays),))
        return
    with pytest.raises(NetworkError, match=rf"projection in->hid: {field}.*synapse \({pre}, {post}\)") as caught:
        Network(1.0, POPULATIONS, (small(**arrays),))
    assert f"{value:g}" in str(caught.value)


@given(st.lists(st.floats(0, 65_535, width=32), min_size=1, max_size=20))
@settings(deadline=None)
@example([0.5, 1.5, 2.5, 3.5, 62.5, 63.5])
def test_slots_are_delays_rounded_half_to_even(delays: list[float]) -> None:
    projection = make_projection("in", "hid", np.ones((1, len(delays))), np.array([delays]))
    expected = [int(Decimal(d).to_integral_value(ROUND_HALF_EVEN)) for d in delays]
    assert projection.slots().tolist() == [expected]
    populations = (Population("in", "spike_source", 1), Population("hid", "lif", len(delays)))
    assert Network(1.0, populations, (projection,)).max_slot == max(expected)


def test_a_network_without_synapses_has_slot_0() -> None:
    assert Network(1.0, POPULATIONS, ()).max_slot == 0


def test_absent_synapses_hold_zero_and_are_not_counted() -> None:
    mask = np.array([[True, False, False], [True, True, False]])
    projection = small(weight=np.full((2, 3), 7), delay=3.5, mask=mask)
    assert projection.weight.tolist() == [[7, 0, 0], [7, 7, 0]]
    assert projection.delay.tolist() == [[3.5, 0, 0], [3.5, 3.5, 0]]
    assert projection.weight.dtype == projection.delay.dtype == np.float32
    assert projection.n_synapses == 3
    assert small().n_synapses == 6


def test_a_projection_keeps_no_reference_to_what_it_was_made_from() -> None:
    weight, delay, mask = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32), np.ones((2, 3), np.bool_)
    projection = small(weight=weight, delay=delay, mask=mask)
    weight[:], delay[:], mask[:] = 9, 9, False
    assert projection.mask is not None
    assert (projection.weight == 1).all()
    assert (projection.delay == 1).all()
    assert projection.mask.all()


def test_populations_and_projections_are_found_by_name_and_kind() -> None:
    projections = (
        small(),
        make_projection("hid", "hid", np.ones((3, 3))),
        make_projection("hid", "out", np.ones((3, 4))),
    )
    network = Network(1.0, POPULATIONS, projections)
    assert network["hid"] is POPULATIONS[1]
    with pytest.raises(KeyError):
        network["nobody"]
    assert network.of_kind("lif") == (POPULATIONS[1],)
    assert network.readout is POPULATIONS[2]
    assert [p.name for p in network.incoming("hid")] == ["in->hid", "hid->hid"]


@pytest.mark.parametrize(("count", "names"), [(0, ""), (2, r" \(out0, out1\)")])
def test_a_network_is_read_from_exactly_one_population(count: int, names: str) -> None:
    readouts = tuple(Population(f"out{i}", "leaky_readout", 1) for i in range(count))
    with pytest.raises(NetworkError, match=f"{count} output populations{names}, which project to no other"):
        _ = Network(1.0, readouts, ()).readout


@pytest.mark.parametrize("to_itself", [False, True])
def test_a_lif_population_that_projects_to_no_other_is_the_output(to_itself: bool) -> None:
    hidden, output = Population("hid", "lif", 3), Population("last", "lif", 2)
    edges = [small(), make_projection("hid", "last", np.ones((3, 2)))]
    edges += [make_projection("last", "last", np.ones((2, 2)))] if to_itself else []
    assert Network(1.0, (output, POPULATIONS[0], hidden), tuple(edges)).readout is output
    back = make_projection("last", "hid", np.ones((2, 3)))
    with pytest.raises(NetworkError, match="0 output populations"):
        _ = Network(1.0, (output, POPULATIONS[0], hidden), (*edges, back)).readout


taus = st.floats(0.5, 500)


@given(st.lists(st.tuples(taus, taus), min_size=1, max_size=6), st.booleans(), st.booleans(), st.floats(0.1, 5))
@settings(deadline=None)
def test_each_neuron_has_the_constants_that_it_would_have_alone(
    pairs: list[tuple[float, float]], many_mem: bool, many_syn: bool, dt: float
) -> None:
    mem = tuple(m if many_mem else pairs[0][0] for m, _ in pairs)
    syn = tuple(s if many_syn else pairs[0][1] for _, s in pairs)
    population = Population("p", "lif", len(pairs), mem if many_mem else mem[0], syn if many_syn else syn[0], 0.7)
    found = NeuronConstants.of(population, dt)
    assert population.heterogeneous == (many_mem or many_syn)
    assert np.shape(found.alpha) == ((len(pairs),) if many_mem else ())
    assert np.shape(found.beta) == ((len(pairs),) if many_syn else ())
    for i in range(len(pairs)):
        alone = NeuronConstants.of(Population("p", "lif", 1, mem[i], syn[i], 0.7), dt)
        for key in ("alpha", "beta", "gain"):
            assert np.broadcast_to(getattr(found, key), len(pairs))[i] == getattr(alone, key)
    assert found.threshold == 0.7


def test_time_constants_of_each_neuron_survive_the_file() -> None:
    population = Population("hid", "lif", 3, (1.5, 20.1, 1 / 3), 4.0)
    network = Network(1.0, (POPULATIONS[0], population, POPULATIONS[2]), (small(),))
    described = json.loads(json.dumps(network.describe()))
    again = network_from_description(described, network_arrays(network))
    assert again.populations == network.populations
    assert again.describe() == network.describe() == described


@pytest.mark.parametrize(
    ("tau", "message"),
    [
        ((1.0, 2.0), "tau_syn_ms has 2 values for 3 neurons"),
        ((1.0, 0.0, 2.0), "tau_syn_ms of neuron 1 0.0 must be finite and above 0"),
        ((1.0, 2.0, math.nan), "tau_syn_ms of neuron 2 nan"),
        ((1.0, 2.0, "3"), "tau_syn_ms of neuron 2 3"),
        ([1.0, 2.0, 3.0], "tau_syn_ms .* must be finite"),
    ],
)
def test_time_constants_that_do_not_fit_are_refused(tau: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Population("hid", "lif", 3, tau_syn_ms=tau)


def test_descriptions_cannot_be_changed() -> None:
    network = random_network("recurrent_masked", np.random.default_rng(0))
    for thing, field in ((network, "dt_ms"), (network.populations[0], "size"), (network.projections[0], "weight")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, field, 1)


def test_arrays_are_replaced_in_the_named_projection_only() -> None:
    network = random_network("two_layers", np.random.default_rng(1))
    changed = network.projections[1]
    arrays = (changed.weight + 1, changed.delay + 2)
    other = network.with_arrays({changed.name: arrays})
    assert other.projections[1].weight is arrays[0]
    assert other.projections[1].delay is arrays[1]
    assert [p for i, p in enumerate(other.projections) if i != 1] == [network.projections[0], network.projections[2]]
    assert other.describe() == network.describe()


@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_description_and_arrays_rebuild_the_network(shape: str, seed: int) -> None:
    network = random_network(shape, np.random.default_rng(seed))
    arrays = network_arrays(network)
    again = network_from_description(json.loads(json.dumps(network.describe())), arrays)
    assert again.describe() == network.describe()
    assert again.populations == network.populations
    for ours, theirs in zip(again.projections, network.projections, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.delay, theirs.delay)
        assert (ours.mask is None) == (theirs.mask is None)
        assert ours.mask is None or theirs.mask is None or np.array_equal(ours.mask, theirs.mask)


def replaced(value: Any, path: list[int], new: Any) -> Any:
    """A copy of nested JSON in which the node at the end of `path` (indices, modulo the size) is `new`."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return new
    key = list(value)[path[0] % len(value)] if isinstance(value, dict) else path[0] % len(value)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = replaced(value[key], path[1:], new)
    return copy


@given(st.lists(st.integers(0, 7), max_size=4), JSON)
@settings(deadline=None, max_examples=150)
@example([0], 10**400)
@example([0], "x")
@example([1, 1, 3], 10**400)
@example([1, 1, 2], 1e300)
def test_a_damaged_description_is_a_network_error_or_a_network(path: list[int], new: Any) -> None:
    network = random_network("recurrent_masked", np.random.default_rng(0))
    description = replaced(network.describe(), path, new)
    message = ""
    try:
        network_from_description(description, network_arrays(network))
    except NetworkError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["weight", "delay", "mask"])
def test_a_missing_array_is_refused_by_name(missing: str) -> None:
    network = random_network("recurrent_masked", np.random.default_rng(0))
    arrays = network_arrays(network)
    del arrays[f"a->a.{missing}"]
    with pytest.raises(NetworkError, match=f"a->a.{missing}"):
        network_from_description(network.describe(), arrays)
