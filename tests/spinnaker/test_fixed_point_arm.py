"""Our fixed point against the shipped ARM code, bit for bit; host rounding against sPyNNaker's own."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardware_targets.spinnaker.fixed_point import (
    LARGEST_ARGUMENT,
    LEAST_ARGUMENT,
    check_constants,
    decay,
    divide,
    expk,
    expulr,
    host_rounded,
    initialise,
    mulk,
)
from hardware_targets.spinnaker.integer_network import ONE, NeuronParameters
from hardware_targets.spinnaker.machine_code import neuron_core as arm
from tests.oracles.arm import needs_arm
from tests.spinnaker.neuron_states import make_parameters
from toolchain.errors import NetworkError

INT32 = st.integers(-(2**31), 2**31 - 1)


@needs_arm
@pytest.mark.parametrize("name", ["expk", "expulr"])
def test_the_exponentials_equal_the_arm_code_for_every_argument_there_is(name: str) -> None:
    """Each of those with a result of their own, and a sample of those beyond either end."""
    ours, theirs = (expk, arm.expk) if name == "expk" else (expulr, arm.expulr)
    rng = np.random.default_rng(5)
    inside = np.arange(LEAST_ARGUMENT - 100, LARGEST_ARGUMENT + 101)
    beyond = np.concatenate((rng.integers(-(2**31), 2**31, 10_000), [-(2**31), 2**31 - 1]))
    x = np.concatenate((inside, beyond)).astype(np.int32)
    np.testing.assert_array_equal(ours(x), theirs(x))


def assert_initialised(parameters: NeuronParameters, dt_ms: float) -> None:
    n = parameters.cm.size
    core = arm.NeuronCore(n)
    core.set_up(parameters, dt_ms)
    ours, neurons, synapses = initialise(parameters, dt_ms), core.neurons, core.synapses
    expected = (
        *(parameters.v_rest, ours.v_rest, ours.resistance, ours.exp_tc, ours.i_offset, np.zeros(n)),
        *(ours.v_reset, ours.t_refract),
    )
    np.testing.assert_array_equal(neurons, np.stack(expected, axis=1))
    np.testing.assert_array_equal(synapses[:, [arm.DECAY_E, arm.DECAY_I]].view(np.uint32), ours.decay.T)
    np.testing.assert_array_equal(synapses[:, [arm.INIT_E, arm.INIT_I]].view(np.uint32), ours.init.T)
    assert not synapses[:, [arm.VALUE_E, arm.VALUE_I]].any()
    np.testing.assert_array_equal(core.thresholds, ours.v_thresh)


@needs_arm
@pytest.mark.parametrize("dt_ms", [0.1, 0.5, 1.0, 2.0, 4.0, 5.0])
def test_initialisation_equals_the_arm_code(dt_ms: float) -> None:
    parameters = make_parameters(np.random.default_rng(int(10 * dt_ms)), 1000, dt_ms)
    check_constants("p", parameters, dt_ms)
    assert_initialised(parameters, dt_ms)


@needs_arm
def test_initialisation_equals_the_arm_code_where_it_makes_no_sense() -> None:
    """Any positive time constant, negative refractory times: wrong on the chip, and just as wrong here."""
    rng = np.random.default_rng(8)
    n = 1000
    taus = {
        f: (rng.integers(0, 2**31 - 1, n) >> rng.integers(0, 31, n)) + 1
        for f in ("tau_m", "cm", "tau_syn_e", "tau_syn_i")
    }
    parameters = make_parameters(rng, n)
    parameters = replace(
        parameters,
        **{name: tau.astype(np.int32) for name, tau in taus.items()},
        tau_refrac=rng.integers(-(2**31), 2**31, n).astype(np.int32),
    )
    for dt_ms in (2**-15, 0.1, 1.0, 65535.0):
        assert_initialised(parameters, dt_ms)


@given(INT32, INT32)
@example(-(2**31), -(2**31))
def test_products_floor_and_wrap(a: int, b: int) -> None:
    product = ((a * b >> 15) + 2**31) % 2**32 - 2**31
    assert mulk(np.array([a], dtype=np.int32), np.array([b], dtype=np.int32)).tolist() == [product]


@given(INT32, st.integers(0, 2**32 - 1))
@example(-(2**31), 2**32 - 1)
@example(2**31 - 1, 2**32 - 1)
def test_a_decay_floors(x: int, u: int) -> None:
    assert decay(np.array([x], dtype=np.int32), np.array([u], dtype=np.uint32)).tolist() == [x * u >> 32]


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_a_division_keeps_the_low_word(a: int, b: int) -> None:
    found = divide(np.array([a], dtype=np.int64), np.array([b], dtype=np.int64))
    assert found.astype(np.int64) % 2**32 == (a // b) % 2**32


def data_types() -> ModuleType:
    """SpiNNaker's host types from their file: its package would import the whole tool chain."""
    package = importlib.util.find_spec("spinn_front_end_common")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = package.submodule_search_locations[0] + "/interface/ds/data_type.py"
    spec = importlib.util.spec_from_file_location("spinnaker_data_type", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_arm
def test_parameters_are_rounded_as_the_host_rounds_them() -> None:
    s1615 = data_types().DataType.S1615
    rng = np.random.default_rng(3)
    halves = (rng.integers(-(2**31) + 1, 2**31 - 1, 2000) + 0.5) / ONE
    decimals = [float(f"{x:.{d}f}") for d in range(1, 6) for x in rng.uniform(-100, 100, 400)]
    for value in [*halves.tolist(), *decimals, -65536.0, 65535.99996948242, 0.1, 20.0]:
        assert host_rounded(value) == s1615.encode_as_int(value)
    for value in (65536.0, -65536.1):
        with pytest.raises(ValueError, match="out of range"):
            s1615.encode_as_int(value)
        with pytest.raises(NetworkError, match=f"parameter {value}: outside -65536"):
            host_rounded(value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "tau_m",
            2**31 - 1,
            "tau_m of neuron 1 is 65535.9999.* ms, must be from dt/65536 to 32768 dt at a dt of 1.0 ms",
        ),
        ("tau_syn_i", (1 << 30) + 1, "tau_syn_i of neuron 1 is 32768.0000.* ms, must be"),
        ("cm", 1, "tau_m / cm of neuron 1 exceeds 65535, the largest resistance; raise cm"),
        ("tau_refrac", -1, "tau_refrac of neuron 1 is -3.05.* ms, must be from 0 to below 65536 ticks"),
    ],
)
def test_what_the_chip_would_garble_is_refused(field: str, value: int, message: str) -> None:
    parameters = make_parameters(np.random.default_rng(0), 3)
    parameters = replace(parameters, tau_m=np.full(3, 20 * ONE, dtype=np.int32))
    check_constants("p", parameters, 1.0)
    words = getattr(parameters, field).copy()
    words[1] = value
    spoilt = replace(parameters, **{field: words})
    with pytest.raises(NetworkError, match=f"population p: {message}"):
        check_constants("p", spoilt, 1.0)
    if field != "cm" and field != "tau_refrac":
        # The quotient that the chip forms is 0, which it takes for a decay of 0 or, of a membrane, of 1.
        assert (ONE * ONE) // value == 0
    with pytest.raises(NetworkError, match="dt_ms 1e-06 is below 1/32768 ms"):
        check_constants("p", parameters, 1e-6)
