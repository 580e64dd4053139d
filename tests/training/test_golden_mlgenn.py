"""Gradients against mlGeNN's own: through the reference for both samples, directly where mlGeNN does not leak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.reference import State, gradients, simulate
from toolchain.event_graph import split_flat
from toolchain.network import Network, Population, make_projection
from toolchain.spikes import SpikeTrains, bin_events
from toolchain.training.backends import make_engine

GOLDEN = Path(__file__).parent / "golden" / "golden_mlgenn_A.npz"
KEYS = {"in->hid": "in", "hid->hid": "rec", "hid->out": "out"}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def network(golden: dict[str, Any]) -> Network:
    tau = (float(golden["TAU_MEM_H"]), float(golden["TAU_SYN"]))
    return Network(
        float(golden["DT"]),
        (
            Population("in", "spike_source", int(golden["N_IN"])),
            Population("hid", "lif", int(golden["N_HID"]), *tau, float(golden["V_TH"])),
            Population("out", "leaky_readout", int(golden["N_OUT"]), *tau),
        ),
        (
            make_projection("in", "hid", golden["w_in"], golden["d_in"]),
            make_projection("hid", "hid", golden["w_rec"], golden["d_rec"]),
            make_projection("hid", "out", golden["w_out"]),
        ),
    )


@pytest.fixture(scope="module")
def spikes(golden: dict[str, Any]) -> SpikeTrains:
    samples = [(golden[f"in_t{s}"].astype(np.int64), golden[f"in_i{s}"].astype(np.int64)) for s in (0, 1)]
    return bin_events(samples, int(golden["N_IN"]), int(golden["T"]))[0]


def mlgenn_states(network: Network, spikes: SpikeTrains) -> list[State]:
    first = simulate(network, {"in": spikes.dense(0).T}, mlgenn=True)
    return [first, simulate(network, {"in": spikes.dense(1).T}, before=first, mlgenn=True)]


def relative(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def golden_gradient(golden: dict[str, Any], kind: str, name: str, sample: int) -> NDArray[np.float64]:
    """mlGeNN's gradient with its 1/tau_mem of the readout taken out; delays from per ms to per slot."""
    unit = float(golden["DT"]) if kind == "dd" else 1.0
    array: NDArray[np.float64] = golden[f"A/{kind}_{KEYS[name]}_persample"][sample].astype(np.float64)
    return array * float(golden["TAU_MEM_O"]) * unit


@pytest.mark.parametrize("sample", [0, 1])
def test_reference_reproduces_mlgenn(
    golden: dict[str, Any], network: Network, spikes: SpikeTrains, sample: int
) -> None:
    """Voltages, spikes and all gradients of both samples, mlGeNN's leak from the first into the second included."""
    state = mlgenn_states(network, spikes)[sample]
    assert np.abs(state.voltage["out"] - golden["A/v_out"][sample]).max() < 1e-6
    times, units = np.nonzero(state.spikes["hid"])
    theirs = sorted(zip(golden[f"A/s_hid_t{sample}"], golden[f"A/s_hid_i{sample}"], strict=True))
    assert list(zip(times, units, strict=True)) == theirs
    found = gradients(network, state, int(golden["labels"][sample]))
    for name in KEYS:
        assert relative(found[name][0], golden_gradient(golden, "dw", name, sample)) < 5e-6
        if name != "hid->out":
            assert relative(found[name][1], golden_gradient(golden, "dd", name, sample)) < 5e-6


def test_engine_agrees_with_mlgenn(golden: dict[str, Any], network: Network, spikes: SpikeTrains) -> None:
    """Sample 0, which starts clean in mlGeNN too. Its readout misses the input of the last step only, so the error
    that drives the adjoints differs by that much; it enters every gradient of an output as one factor."""
    engine = make_engine("cpu", network, int(golden["T"]), max_slot=int(golden["MAX_DELAY"]))
    found = engine.gradients(spikes, golden["labels"], np.array([0]))
    weight, delay = split_flat(network, found.weight), split_flat(network, found.delay)
    for name in KEYS:
        assert relative(weight[name], golden_gradient(golden, "dw", name, 0)) < 1e-3
        if name != "hid->out":
            assert relative(delay[name], golden_gradient(golden, "dd", name, 0)) < 1e-3


@pytest.mark.parametrize("sample", [0, 1])
def test_engine_equals_reference_on_the_golden_network(
    golden: dict[str, Any], network: Network, spikes: SpikeTrains, sample: int
) -> None:
    """With clean ends of samples on both sides the agreement is that of float32."""
    engine = make_engine("cpu", network, int(golden["T"]), max_slot=int(golden["MAX_DELAY"]))
    found = engine.gradients(spikes, golden["labels"], np.array([sample]))
    weight, delay = split_flat(network, found.weight), split_flat(network, found.delay)
    state = simulate(network, {"in": spikes.dense(sample).T})
    expected = gradients(network, state, int(golden["labels"][sample]))
    for name, (expected_weight, expected_delay) in expected.items():
        assert relative(weight[name], expected_weight) < 1e-5
        assert relative(delay[name], expected_delay) < 1e-5
