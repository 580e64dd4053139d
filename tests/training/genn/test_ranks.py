"""Several processes with a part of each batch learn what one learns with all of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.networks import random_network, random_spikes
from tests.oracles.genn_machine import Machine
from tests.training.genn.test_described import LABELS, STEPS, assert_same
from toolchain.errors import MissingDependencyError
from toolchain.objective import Objective
from toolchain.training.backends import RateTarget, make_engine
from toolchain.training.backends.genn import ranks as module
from toolchain.training.backends.genn.engine import GennEngine
from toolchain.training.backends.genn.ranks import Alone, find_ranks


class Threads:
    """Ranks that are threads of this process."""

    def __init__(self, index: int, count: int, given: list[Any], barrier: threading.Barrier) -> None:
        self.index, self.count, self.device = index, count, 0
        self._given, self._barrier = given, barrier

    def add(self, values: NDArray[Any]) -> NDArray[Any]:
        self._given[self.index] = np.array(values)
        self._barrier.wait(20)
        total: NDArray[Any] = sum(self._given[1:], self._given[0])
        self._barrier.wait(20)
        return total

    def wait(self) -> None:
        self._barrier.wait(20)

    def abort(self, status: int) -> None:
        self._barrier.abort()


def together(count: int, do: Callable[[Threads], Any]) -> list[Any]:
    given: list[Any] = [None] * count
    barrier = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda index: do(Threads(index, count, given, barrier)), range(count)))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("rates", [None, {"a": RateTarget(4.0, 0.05)}])
def test_each_rank_gets_the_gradient_of_the_whole_batch(count: int, rates: Any) -> None:
    """Also where a batch has fewer samples than there are ranks."""
    random = np.random.default_rng(3)
    network = random_network("recurrent", random)
    spikes = random_spikes(random, 5, 5, STEPS, 0.2)
    settings: dict[str, Any] = {"max_slot": 9, "objective": Objective(), "rates": rates, "learn_tau": ["a"]}
    ours = make_engine("cpu", network, STEPS, **settings)
    batches = [np.arange(5), np.array([3]), np.array([4, 1])]

    def run(ranks: Threads) -> Any:
        engine = GennEngine(network, STEPS, load=Machine, batch=2, ranks=ranks, **settings)
        return [engine.gradients(spikes, LABELS, batch) for batch in batches], engine.respond(spikes, LABELS)

    every = together(count, run)
    for gradients, responses in every:
        for found, first, batch in zip(gradients, every[0][0], batches, strict=True):
            assert_same(ours.gradients(spikes, LABELS, batch), found)
            for name in ("weight", "delay", "tau_mem"):
                np.testing.assert_array_equal(getattr(found, name), getattr(first, name))
        expected = ours.respond(spikes, LABELS)
        np.testing.assert_allclose(responses.loss, expected.loss, rtol=1e-5)
        np.testing.assert_array_equal(responses.prediction, expected.prediction)
        np.testing.assert_array_equal(responses.neuron_spikes, expected.neuron_spikes)


def test_without_a_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module.SIZES:
        monkeypatch.delenv(name, raising=False)
    find_ranks.cache_clear()
    try:
        assert isinstance(find_ranks(), Alone)
    finally:
        find_ranks.cache_clear()


def test_a_launcher_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    find_ranks.cache_clear()
    try:
        with pytest.raises(MissingDependencyError, match=r"one of 4 processes .*pip install mpi4py"):
            find_ranks()
    finally:
        find_ranks.cache_clear()
