"""Gradients of time constants in the reference: integrals of its adjoints against its states, step by step."""

from __future__ import annotations

import numpy as np

from tests.oracles.reference import State, constants
from tests.oracles.reference_losses import F64
from toolchain.network import Network


def tau_gradients(
    network: Network, state: State, lambda_i: dict[str, F64], lambda_v: dict[str, F64]
) -> dict[str, tuple[F64, F64]]:
    """Gradients of one sample by log tau_mem and log tau_syn: population -> (size,) each.

    dL/d log tau_mem = integral of lambda_V (I - V), dL/d log tau_syn = -integral of lambda_I I, in steps, as the mean
    of the integrand at both ends of each step. `lambda_i`, `lambda_v` are those of `reference.adjoints`.
    """
    found = {}
    for name, after in state.voltage.items():
        steps = after.shape[0]
        beta = constants(network, name)[1]
        current = after + state.slope[name]
        # V at the start of a step is 0 after a spike.
        before = np.concatenate([np.zeros((1, after.shape[1])), np.where(state.spikes[name], 0.0, after)[:-1]])
        li, lv = lambda_i[name], lambda_v[name]
        mem = lv[:steps] * (current - before) + lv[1 : steps + 1] * (beta * current - after)
        syn = -li[:steps] * current - li[1 : steps + 1] * beta * current
        found[name] = (0.5 * mem.sum(axis=0), 0.5 * syn.sum(axis=0))
    return found
