"""The target as the pipeline sees it: formats for training, placement, stored networks, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware_targets.spinnaker import spinnaker1
from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import LARGEST_WEIGHT
from hardware_targets.spinnaker.quantised import SpinnakerQuantised
from tests.networks import SHAPES, random_network, random_spikes
from toolchain.cli.train_command import find_recipe
from toolchain.deployment.abilities import HardwareTarget, MappingTarget
from toolchain.deployment.plan import plan_network
from toolchain.deployment.request import PlacementRequest
from toolchain.deployment.target import find_target
from toolchain.errors import BundleError, CheckpointError, InputError, MissingDependencyError, TargetLimitError
from toolchain.network import Network
from toolchain.recipe import read_recipe
from toolchain.spikes import SpikeTrains


def trained(shape: str = "recurrent", max_slot: int = 40) -> tuple[Network, SpikeTrains]:
    random = np.random.default_rng([SHAPES.index(shape), max_slot])
    return random_network(shape, random, max_slot=max_slot), random_spikes(random, 20, 5, 80, 0.08)


def quantised(shape: str = "recurrent", **options: Any) -> SpinnakerQuantised:
    return spinnaker1.quantise(*trained(shape), clip_delays=False, **options)


def test_it_is_announced_and_can_do_what_it_says() -> None:
    target = find_target("spinnaker1")
    assert target is spinnaker1
    assert isinstance(target, HardwareTarget)
    assert isinstance(target, MappingTarget)
    assert target.largest_slot() == 255
    assert {limit["name"] for limit in target.limits()} >= {"ring_buffer_bits", "delay_stages", "sdram_bytes"}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stored_network_is_the_one_that_was_stored(shape: str) -> None:
    before = quantised(shape)
    after = spinnaker1.restore(*before.arrays())
    _, spikes = trained(shape)
    one, other = (spinnaker1.emulate(q, spikes) for q in (before, after))
    assert np.array_equal(one.readout_v, other.readout_v)
    assert before.projection_errors == after.projection_errors
    assert before.constant_errors == after.constant_errors


def damaged(what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays, header = quantised().arrays()
    name = "in->a"
    if what == "weight of another type":
        arrays[f"integer.{name}.weight"] = arrays[f"integer.{name}.weight"].astype(np.int64)
    elif what == "weight beyond 16 bits":
        arrays[f"integer.{name}.weight"] = np.full_like(arrays[f"integer.{name}.weight"], LARGEST_WEIGHT + 1)
    elif what == "delay of no tick":
        arrays[f"integer.{name}.delay"] = np.zeros_like(arrays[f"integer.{name}.delay"])
    elif what == "parameters missing":
        del arrays["parameters.a.tau_m"]
    elif what == "time constant of 0":
        arrays["parameters.a.tau_m"] = np.zeros_like(arrays["parameters.a.tau_m"])
    elif what == "shift":
        header["shifts"]["a"] = [14, 99]
    elif what == "three shifts":
        header["shifts"]["a"] = [14, 14, 14]
    elif what == "scale":
        header["scales"]["a"] = float("nan")
    elif what == "counts":
        del header["delays_moved"][name]
    return arrays, header


@pytest.mark.parametrize(
    "what",
    [
        *("weight of another type", "weight beyond 16 bits", "delay of no tick", "parameters missing"),
        *("time constant of 0", "shift", "three shifts", "scale", "counts"),
    ],
)
def test_a_damaged_network_is_refused(what: str) -> None:
    with pytest.raises(BundleError, match="damaged"):
        spinnaker1.restore(*damaged(what))


def test_a_format_of_training_is_a_grid_on_which_nothing_is_lost() -> None:
    network, spikes = trained()
    chosen = spinnaker1.training_format(network, spikes)
    arrays = {}
    for p in network.projections:
        steps = np.clip(np.rint(p.weight / chosen.unit[p.name]), chosen.low, chosen.high)
        arrays[p.name] = ((steps * chosen.unit[p.name]).astype(np.float32), p.slots().astype(np.float32))
    held = network.with_arrays(arrays)
    deployed = spinnaker1.quantise(held, spikes, clip_delays=False, hint=chosen.hint)
    for error in deployed.projection_errors:
        assert error.rms_error < 1e-6
    observed = spinnaker1.observe(held, chosen.hint, spikes)
    found = emulate(deployed.integers, spikes)
    assert np.array_equal(np.diff(observed.spikes["a"].offsets), found.spike_counts["a"])
    assert observed.readout_v is not None
    assert observed.readout_v.shape == (20, 3, 80)


@pytest.mark.parametrize(
    "hint",
    [
        {},
        {"scales": {"a": 1.0}, "shifts": {}},
        {"scales": {"a": -1.0}, "shifts": {"a": [1, 1]}},
        {"scales": {"a": 1.0}, "shifts": {"a": [1, 16]}},
        {"scales": {"a": 1.0}, "shifts": {"a": 3}},
    ],
)
def test_a_format_from_a_damaged_checkpoint_is_refused(hint: dict[str, Any]) -> None:
    network, spikes = trained()
    with pytest.raises(CheckpointError):
        spinnaker1.observe(network, hint, spikes)


def test_delays_beyond_the_largest_slot_are_refused_cut_or_kept() -> None:
    network, spikes = trained("feedforward", 400)
    with pytest.raises(TargetLimitError, match=r"exceeds 255 on spinnaker1 .* --extend-delays or --clip-delays"):
        spinnaker1.quantise(network, spikes, clip_delays=False)
    cut = spinnaker1.quantise(network, spikes, clip_delays=True)
    kept = spinnaker1.quantise(network, spikes, clip_delays=False, extend_delays=True)
    longest = max(int(p.slots().max()) for p in network.projections)
    assert max(p.longest for p in cut.integers.projections) == 256
    assert max(p.longest for p in kept.integers.projections) == longest + 1
    assert sum(e.delays_clipped for e in cut.projection_errors) == sum(
        e.delays_extended for e in kept.projection_errors
    )
    assert spinnaker1.emulate_unextended(kept, spikes) is None


def test_neurons_are_placed_with_a_reason() -> None:
    placement = spinnaker1.place(quantised())
    held = dict.fromkeys(("in", "a", "out"), 0)
    for core in placement.cores:
        held[core.population] += core.last - core.first + 1
    assert held == {p.name: p.size for p in trained()[0].populations}
    assert set(placement.reasons) == set(held)
    assert all(r.limit is None or r.used <= r.limit for r in placement.resources)


def test_a_plan_before_training_is_cut_or_keeps_its_delays() -> None:
    recipe = read_recipe(find_recipe("fsdd_spinnaker"), ["training.max_slot=700"])
    plan = plan_network(recipe, spinnaker1.largest_slot())
    kept, cut = (spinnaker1.place_plan(plan, clip_delays=clip) for clip in (False, True))
    assert "701 ticks" in kept.reasons["first"]
    assert "256 ticks" in cut.reasons["first"]
    assert len(kept.cores) > len(cut.cores)


@pytest.mark.parametrize(("chips", "boards"), [(1, 1), (4, 1), (5, 1), (48, 1), (49, 2), (97, 3)])
def test_chips_are_counted_in_boards(chips: int, boards: int) -> None:
    found = {r.name: r for r in spinnaker1.place(quantised(), request=PlacementRequest(chips)).resources}
    assert found["boards"].limit == boards


@pytest.mark.parametrize("chips", [0, -1, 57_601])
def test_more_chips_than_any_machine_has_are_refused(chips: int) -> None:
    with pytest.raises(InputError, match="give 1 to 57600"):
        spinnaker1.check_budget(cores=None, request=PlacementRequest(chips))


def test_what_it_cannot_do_it_says() -> None:
    network, spikes = trained()
    with pytest.raises(InputError, match="--cores 3"):
        spinnaker1.check_budget(cores=3, request=PlacementRequest())
    with pytest.raises(InputError, match="--prune"):
        spinnaker1.prune(network, spikes, fraction=0.5, cores=None, clip_delays=False, extend_delays=False)
    with pytest.raises(MissingDependencyError, match="on a board alone"):
        spinnaker1.run_vendor(Path("nowhere"), samples=1, timeout_s=1.0)
