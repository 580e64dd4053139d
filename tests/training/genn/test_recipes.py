"""Whatever a recipe may say of a network and its training, the backends `cpu` and `genn` make the same of it.

The rows below hold every key and every choice of the schema; a key that is new fails until a row has it. Without
PyGeNN, by `tests.oracles.genn_machine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest

from tests.networks import random_spikes
from tests.oracles.genn_machine import Machine
from toolchain.datasets import Dataset, Samples
from toolchain.recipe import Initial, NetworkRecipe, Recipe, TrainingRecipe, parse_recipe
from toolchain.recipe.sections import _section_of
from toolchain.spikes import Binning
from toolchain.storage import load_arrays
from toolchain.training.backends.genn import backend as module
from toolchain.training.backends.genn.installation import Installation
from toolchain.training.run_folder import RunFolder, create_run_folder
from toolchain.training.trainer import prepare, train

STEPS = 16
OWN = {"training.backend", "training.genn"}
"""What chooses the backend and is of it alone."""

INPUT = {"kind": "spike_source", "size": 4}
HIDDEN = {"kind": "lif", "size": 3, "threshold": 0.5}
OUTPUT = {"kind": "leaky_readout", "size": 2}
WEIGHT = {"normal": {"mean": 2.0, "sd": 1.0}}


def network(
    hidden: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    first: dict[str, Any] | None = None,
    **other: Any,
) -> dict[str, Any]:
    """Recurrent, all delays learn."""
    ends = (("in", "hid"), ("hid", "hid"), ("hid", "out"))
    delays = {"delay": {"uniform": {"low": 0.0, "high": 6.0}}, "learn_delay": True}
    projections: list[dict[str, Any]] = [{"from": a, "to": b, "weight": WEIGHT, **delays} for a, b in ends]
    projections[0] |= first or {}
    populations = {"in": INPUT, "hid": {**HIDDEN, **(hidden or {})}, "out": {**OUTPUT, **(output or {})}}
    return {"populations": populations, "projections": projections, **other}


SPIKING = {"kind": "lif", "threshold": 0.4}
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rates": (
        network(first={"density": 0.6, "weight_rate_factor": 0.5}, dt_ms=0.5),
        {
            "readout": "average",
            "rates": {"target_spikes": 2.0, "strength": 0.01, "strength_of": {"hid": 0.02}},
            "revive": 0.05,
            "rate_decay": 0.5,
            "adam_betas": [0.8, 0.98],
            "schedule": {"decay": "exponential", "warm_up": {"batches": 3, "from": 0.1, "which": "weights"}},
        },
    ),
    "augmented": (
        network(),
        {
            "readout": "sum",
            "epoch_samples": 5,
            "augmentation": {
                "channel_shift": 1,
                "time_shift": 2,
                "time_stretch": 0.2,
                "blend": 2,
                "channel_mask": 1,
                "time_mask": 2,
                "tilt": 0.5,
                "dropout": 0.1,
            },
        },
    ),
    "cosine": (
        network({"tau_mem_ms": {"uniform": {"low": 8.0, "high": 15.0}}, "tau_syn_ms": {"normal": {"mean": 5.0}}}),
        {
            "readout": "maximum",
            "loss": "cross_entropy",
            "validation": {"fraction": 0.25, "seed": 3},
            "schedule": {"decay": "cosine", "final": 0.2, "warm_up": {"batches": 2, "from": 0.5, "which": "both"}},
            "stop_at_accuracy": 1.0,
        },
    ),
    "plateau": (
        network({"single_spike": True}, first={"learn_weight": False}),
        {
            "readout": "exp_weighted_average",
            "validation": {"speaker": 1},
            "schedule": {"decay": "plateau", "factor": 0.5, "patience": 1},
            "early_stop": {"patience": 1, "watch": "valid_loss"},
            "max_slot": 6,
            "delay_rate": 3.0,
        },
    ),
    "trace": (
        network(output={"size": 3}),
        {
            "readout": "trace",
            "loss": "mse",
            "schedule": {"decay": "constant"},
            "early_stop": {"patience": 2, "watch": "train_accuracy"},
            "min_slope": 0.3,
        },
    ),
    "first_spike": (
        network(output=SPIKING),
        {
            "readout": "first_spike",
            "temperature_ms": 2.0,
            "late_penalty_ms": 0.05,
            "early_stop": {"patience": 2, "watch": "valid_accuracy"},
        },
    ),
    "relative_mse": (
        network({"tau_mem_ms": {"constant": 10.0}}, SPIKING),
        {"readout": "first_spike", "loss": "relative_mse", "margin_ms": 2.0},
    ),
    "taus": (
        network({"learn_tau_mem": True, "learn_tau_syn": True}, {"learn_tau_mem": True}),
        {"tau_rate": 0.05, "tau_range_ms": [4.0, 21.0]},
    ),
    "rounded": (network(), {"quantise": {"from_epoch": 1, "calibration_samples": 4, "forward": "rounded"}}),
    "emulator": (network(), {"quantise": {"from_epoch": 0, "calibration_samples": 4, "forward": "emulator"}}),
}
COMMON = {"epochs": 2, "batch_size": 3, "weight_rate": 0.05, "delay_rate": 0.5, "max_slot": 8, "seed": 5}


def recipe(name: str, backend: str) -> Recipe:
    described, training = ROWS[name]
    genn = {"adam": "auto" if name in ("taus", "rounded", "emulator") else "device"}
    training = {**COMMON, **training, "backend": backend, "genn": genn}
    return parse_recipe(
        {"name": name, "dataset": {"task": "sequence"}, "network": described, "training": training}, "R"
    )


def dataset() -> Dataset:
    """Random spikes with labels, speakers and target traces."""
    random = np.random.default_rng(8)

    def samples(count: int) -> Samples:
        numbers = np.arange(count)
        return Samples(random_spikes(random, count, 4, STEPS, 0.25), numbers % 2, numbers // 2 % 2)

    targets = random.normal(size=(2, 3, STEPS)).astype(np.float32)
    return Dataset(samples(8), samples(2), samples(2), 2, "random", Binning(0, 0), targets, None, ("a", "b"))


@pytest.fixture
def without_genn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_installation", lambda code, device: Installation("5.4.0", "cpu"))
    monkeypatch.setattr(module, "Program", lambda model, installation, cache: Machine(model))


@pytest.mark.usefixtures("without_genn")
@pytest.mark.parametrize("name", ROWS)
def test_trainings_are_alike(name: str, tmp_path: Path) -> None:
    """Metrics of two epochs, and the parameters and moments that they end in."""
    runs: list[RunFolder] = []
    for backend in ("cpu", "genn"):
        wanted = recipe(name, backend)
        runs.append(create_run_folder(tmp_path / backend, wanted))
        train(runs[-1], prepare(wanted, dataset()))
    ours, theirs = (run.metrics() for run in runs)
    for one, other in zip(ours, theirs, strict=True):
        for key in one.keys() - {"seconds"}:
            assert other[key] == pytest.approx(one[key], rel=1e-4), key
        assert all(rate > 0 for rate in one["spikes_per_neuron"].values())
    expected, found = (load_arrays(run.checkpoint("last"))[0] for run in runs)
    assert found.keys() == expected.keys()
    for array, values in expected.items():
        np.testing.assert_allclose(found[array], values, rtol=1e-2, atol=2e-3, err_msg=array)


def keys_of(section: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every key below a section, with its type."""
    for name, field in section.model_fields.items():
        key = f"{place}.{field.alias or name}"
        if key in OWN:
            continue
        yield key, field.annotation
        # How arrays start is drawn before any backend sees them.
        if (inner := _section_of(field.annotation)) not in (None, Initial):
            yield from keys_of(inner, key)


def given(data: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every key that a row gives, with its value; those of all populations and all projections lie in one place."""
    for name, value in data.items():
        key = f"{place}.{name}"
        yield key, value
        parts = value.values() if key == "network.populations" else value if isinstance(value, list) else [value]
        for part in parts:
            if isinstance(part, dict):
                yield from given(part, key)


def choices(annotation: Any) -> set[Any]:
    """What a key may be, where that is a list of words."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return set().union(*(choices(one) for one in get_args(annotation)), set())


def test_every_key_and_every_choice_of_a_recipe_is_in_a_row() -> None:
    known = dict([*keys_of(NetworkRecipe, "network"), *keys_of(TrainingRecipe, "training")])
    tried: dict[str, list[Any]] = {}
    for described, training in ROWS.values():
        for key, value in (*given(described, "network"), *given({**COMMON, **training}, "training")):
            tried.setdefault(key, []).append(value)
    assert set(known) - set(tried) == set()
    for key, annotation in known.items():
        assert choices(annotation) - {v for v in tried[key] if isinstance(v, str)} == set(), key
