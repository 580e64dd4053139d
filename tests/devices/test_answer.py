"""What a device returns is looked at before it is kept or learned from; what is no answer is named with its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.validation.bundles import deployed as bundle_of
from toolchain.datasets import Samples, load_dataset
from toolchain.deployment.bundle import read_bundle
from toolchain.deployment.target import Traces
from toolchain.devices.answer import checked
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.devices.own import EmulatorDevice
from toolchain.errors import UnansweredError
from toolchain.training.run_folder import RunFolder

Given = tuple[Deployed, Samples, DeviceRun]
N = 3


@pytest.fixture(scope="module")
def given(trained_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """A network, three samples and what its emulator does with them."""
    bundle = read_bundle(bundle_of(trained_run, tmp_path_factory.mktemp("answer")))
    test = load_dataset(bundle.recipe.dataset.task, bundle.recipe.dataset.options).test
    samples = Samples(test.spikes.select(range(N)), test.labels[:N])
    deployed = Deployed(bundle.target, bundle.quantised, bundle.recipe)
    return deployed, samples, EmulatorDevice().run(deployed, samples, traces=True, timeout_s=1)


def with_state(run: DeviceRun, quantity: str, change: Callable[[np.ndarray[Any, Any]], Any]) -> DeviceRun:
    """The same with u, v or spikes of `hidden` changed."""
    assert run.traces is not None
    of = dict(getattr(run.traces, quantity))
    of["hidden"] = change(of["hidden"])
    return replace(run, traces=replace(run.traces, **{quantity: of}))


def put(value: float, dtype: type) -> Callable[[np.ndarray[Any, Any]], Any]:
    """A value of sample 1, step 5, neuron 7, in numbers that can hold it."""

    def change(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        changed: np.ndarray[Any, Any] = values.astype(dtype)
        changed[1, 5, 7] = value
        return changed

    return change


def test_what_the_emulator_returns_is_kept_as_it_is(given: Given) -> None:
    deployed, samples, run = given
    found = checked(run, deployed, samples, "chip")
    assert np.array_equal(found.prediction, run.prediction)
    assert run.traces is not None
    assert found.traces is not None
    for quantity in ("u", "v", "spikes"):
        for name, values in getattr(run.traces, quantity).items():
            assert getattr(found.traces, quantity)[name] is values
    assert checked(DeviceRun(run.prediction), deployed, samples, "chip").traces is None


def test_other_types_that_mean_the_same_are_taken(given: Given) -> None:
    deployed, samples, run = given
    loose = with_state(replace(run, prediction=run.prediction.tolist()), "spikes", lambda a: a.astype(np.uint8))
    found = checked(with_state(loose, "v", lambda a: a.astype(np.float64)), deployed, samples, "chip")
    assert run.traces is not None
    assert found.traces is not None
    assert found.prediction.dtype == np.int64
    assert np.array_equal(found.prediction, run.prediction)
    assert found.traces.spikes["hidden"].dtype == np.bool_
    assert found.traces.v["hidden"].dtype == np.int64
    assert np.array_equal(found.traces.v["hidden"], run.traces.v["hidden"])
    # To learn from, a voltage need not be whole.
    half = with_state(run, "v", put(0.5, np.float32))
    assert checked(half, deployed, samples, "chip", integers=False).traces is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: None, "chip: returned NoneType, must be a DeviceRun"),
        (
            lambda run: replace(run, prediction=run.prediction[:0]),
            r"prediction is \(0,\) for 3 samples, must be \(3,\)",
        ),
        (lambda run: replace(run, prediction=run.prediction[:2]), r"prediction is \(2,\) for 3 samples"),
        (lambda run: replace(run, prediction=run.prediction[:, None]), r"prediction is \(3, 1\) for 3 samples"),
        (lambda run: replace(run, prediction=np.array([0, 1, 10])), r"sample 42 is 10, must be a class 0\.\.9, or -1"),
        (lambda run: replace(run, prediction=np.array([0, -2, 1])), "sample 41 is -2"),
        (lambda run: replace(run, prediction=np.array([0, np.nan, 1])), "sample 41 is nan"),
        (lambda run: replace(run, prediction=np.array([0.5, 1, 1])), r"sample 40 is 0\.5"),
        (lambda run: replace(run, prediction=np.array(["0", "1", "2"])), "sample 40 is 0"),
        (lambda run: with_state(run, "spikes", lambda a: a[:, :-1]), r"spikes of hidden are \(3, \d+, \d+\), must be"),
        (lambda run: with_state(run, "u", lambda a: a[:2]), r"u of hidden are \(2, \d+, \d+\), must be \(samples"),
        (lambda run: with_state(run, "v", put(np.nan, np.float64)), "v of hidden: sample 41, step 5, neuron 7 is nan"),
        (lambda run: with_state(run, "v", put(0.5, np.float64)), r"neuron 7 is 0\.5, must be a whole number"),
        (lambda run: with_state(run, "spikes", put(2, np.int64)), "step 5, neuron 7 is 2, must be 0 or 1"),
        (
            lambda run: replace(run, traces=Traces({}, {"hidden": run.traces.v["hidden"][0]}, {})),
            r"v of hidden are \(\d+, \d+\), must be",
        ),
    ],
)
def test_what_is_no_answer_is_named(given: Given, change: Callable[[DeviceRun], Any], said: str) -> None:
    deployed, samples, run = given
    with pytest.raises(UnansweredError, match=said) as caught:
        checked(change(run), deployed, samples, "chip", first=40)
    assert "correct what its run() returns" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_voltage_that_is_no_number_is_not_learned_from(given: Given) -> None:
    deployed, samples, run = given
    with pytest.raises(UnansweredError, match="sample 1, step 5, neuron 7 is inf, must be a number"):
        checked(with_state(run, "v", put(np.inf, np.float64)), deployed, samples, "chip", integers=False)
