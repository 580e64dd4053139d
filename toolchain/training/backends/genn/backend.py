"""From what a recipe asks for to an engine: find GeNN, plan its memory, load the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.cache import cache_folder
from toolchain.errors import InputError, NetworkError
from toolchain.network import Network, NeuronConstants
from toolchain.objective import Objective
from toolchain.training.backends import GennOptions, RateTarget
from toolchain.training.backends.genn.describe import describe
from toolchain.training.backends.genn.description import ModelDescription
from toolchain.training.backends.genn.engine import GennEngine
from toolchain.training.backends.genn.installation import Installation, find_installation
from toolchain.training.backends.genn.memory import Plan, plan
from toolchain.training.backends.genn.program import Program
from toolchain.training.backends.genn.ranks import find_ranks
from toolchain.training.backends.genn.session import FIRST_ROOM

MOST_STEPS = 2**23 - 1
"""GeNN's clock is a float32 that counts the steps of a sample forward and backward."""


@dataclass(frozen=True)
class Prepared:
    """What a network will be run with."""

    installation: Installation
    plan: Plan

    def __str__(self) -> str:
        gpu, most = self.installation.gpu, self.plan.most
        free = "" if gpu is None or gpu.free is None else f"{gpu.free / 2**30:.1f} GiB that are free of "
        of = f" of {free}{gpu.memory / 2**30:.1f} GiB" if gpu else ""
        at_once = f"{self.plan.at_once} sample{'s' if self.plan.at_once > 1 else ''} at once"
        room = f" ({most} would fit)" if most and gpu and most > self.plan.at_once else ""
        return (
            f"GeNN {self.installation.version}, code for {self.installation.code}, on {self.installation.where}, "
            f"{at_once}{room}, {self.plan.bytes / 2**20:.0f} MiB{of}"
        )


def prepare_backend(
    network: Network,
    steps: int,
    *,
    max_slot: int,
    options: GennOptions,
    with_rates: bool,
    learn_tau: Collection[str],
    installation: Installation | None = None,
) -> Prepared:
    """Find GeNN and choose how many samples run at once; nothing is compiled.

    Raises
    ------
    MissingDependencyError
        If GeNN, a compiler or a GPU that was asked for is not there.
    InputError, NetworkError
        If it does not fit.
    """
    if steps > MOST_STEPS:
        raise NetworkError(
            f"network: samples of {steps} steps, and GeNN counts {MOST_STEPS}; use longer steps or --backend cpu"
        )
    installation = installation or find_installation(options.code, find_ranks().device)

    def described(samples: int, slots: int) -> ModelDescription:
        return describe(
            network,
            steps,
            max_slot=max_slot,
            min_slope=0.0,
            learn_tau=learn_tau,
            batch=samples,
            slots=slots,
            room=min(FIRST_ROOM, steps),
            adam_betas=device_adam(options, installation, find_ranks().count),
        )

    return Prepared(
        installation,
        plan(
            described,
            batch=options.batch_size,
            at_once=options.samples_at_once,
            all_before=with_rates,
            memory=installation.gpu.available if installation.gpu else None,
            single=installation.code == "cpu",
        ),
    )


def make_genn_engine(
    network: Network,
    steps: int,
    *,
    max_slot: int,
    objective: Objective,
    targets: NDArray[np.float32] | None,
    min_slope: float,
    constants: Mapping[str, NeuronConstants] | None,
    rates: Mapping[str, RateTarget] | None,
    learn_tau: Collection[str] | None,
    options: GennOptions,
) -> GennEngine:
    """As `make_engine`, of this backend."""
    prepared = prepare_backend(
        network, steps, max_slot=max_slot, options=options, with_rates=bool(rates), learn_tau=learn_tau or ()
    )
    return GennEngine(
        network,
        steps,
        max_slot=max_slot,
        objective=objective,
        load=lambda model: Program(model, prepared.installation, cache_folder("genn")),
        batch=prepared.plan.at_once,
        targets=targets,
        min_slope=min_slope,
        constants=constants,
        rates=rates,
        learn_tau=learn_tau,
        ranks=find_ranks(),
        adam_betas=device_adam(options, prepared.installation, find_ranks().count),
    )


def device_adam(options: GennOptions, installation: Installation, ranks: int) -> tuple[float, float] | None:
    """Betas of the optimiser where the device has it, None where the host does.

    Raises
    ------
    InputError
        If it is asked for on the device, and several processes add up their gradients on the host.
    """
    if options.adam == "device" and ranks > 1:
        raise InputError(
            f"recipe training.genn.adam: device, but {ranks} processes add up their gradients on the host; give auto"
        )
    wanted = options.adam == "device" or (options.adam == "auto" and installation.code != "cpu" and ranks == 1)
    return options.adam_betas if wanted else None
