"""Constants of a population as the chip can hold them: one decay of each kind for all of its neurons."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.errors import TargetLimitError
from toolchain.network import NeuronConstants, Population


@dataclass(frozen=True)
class SharedConstants:
    """`toolchain.network.NeuronConstants` of a population whose neurons are all alike."""

    alpha: float
    beta: float
    gain: float
    threshold: float


def shared_constants(population: Population, dt_ms: float) -> SharedConstants:
    """Constants of a trained population.

    Raises
    ------
    TargetLimitError
        If a time constant differs from neuron to neuron: du and dv belong to a whole group of neurons, and the
        gain that is folded into the weights would be another for each. If its neurons spike once a sample: the chip's
        do not stop.
    """
    if population.single_spike:
        raise TargetLimitError(
            f"population {population.name}: its neurons spike once a sample (single_spike), those on Loihi "
            "spike again; train without it"
        )
    constants = NeuronConstants.of(population, dt_ms)
    alpha, beta, gain = constants.alpha, constants.beta, constants.gain
    if not (isinstance(alpha, float) and isinstance(beta, float) and isinstance(gain, float)):
        raise TargetLimitError(
            f"population {population.name}: its {population.size} neurons have time constants of their own, a group "
            "on Loihi has one du and one dv; train with one number for tau_mem_ms and tau_syn_ms"
        )
    return SharedConstants(alpha, beta, gain, constants.threshold)
