"""A network as PyNN is given it: sign-pure lists, and the figure that makes sPyNNaker choose our ring-buffer shifts.

sPyNNaker wants all weights of a projection to have one sign, so a projection of ours becomes up to two of its own, the
excitatory first. Lists go by source, then target: where a list is not sorted by source, `FromListConnector` of
sPyNNaker 7.4.1 counts the synapses of a row wrongly, and rows that turn out too short lose synapses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.integer_network import (
    EXCITATORY,
    INHIBITORY,
    LARGEST_SHIFT,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
)
from toolchain.errors import NetworkError

RECEPTORS = {EXCITATORY: "excitatory", INHIBITORY: "inhibitory"}


@dataclass(frozen=True, eq=False)
class SynapseList:
    """Synapses of one projection and one type, in the order of source and target.

    Attributes
    ----------
    type : `EXCITATORY` or `INHIBITORY`
    pre, post : (n,) int64 neuron numbers
    magnitude : (n,) int64 stored weight, 1..65535
    delay : (n,) int64 ticks
    """

    source: str
    target: str
    type: int
    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    magnitude: NDArray[np.int64]
    delay: NDArray[np.int64]

    @property
    def receptor(self) -> str:
        """PyNN's word for the type."""
        return RECEPTORS[self.type]

    def rows(self, shift: int, dt_ms: float) -> NDArray[np.float64]:
        """What `FromListConnector` is given: source, target, weight in nA, delay in ms; (n, 4).

        Weights of inhibitory synapses are negative. Both columns are exact: sPyNNaker multiplies a weight by
        2^(15 - shift), a power of two, and rounds a delay to whole ticks.
        """
        sign = -1.0 if self.type == INHIBITORY else 1.0
        weight = sign * self.magnitude / 2.0 ** (15 - shift)
        return np.column_stack([self.pre, self.post, weight, self.delay * dt_ms]).astype(np.float64)


def synapse_lists(network: IntegerNetwork) -> list[SynapseList]:
    """Every list that is not empty, in the order of the network's projections, excitatory before inhibitory."""
    return [found for p in network.projections for found in lists_of(p)]


def lists_of(projection: IntegerProjection) -> Iterator[SynapseList]:
    """The lists of one projection, at most one for each type."""
    for kind in RECEPTORS:
        pre, post = np.nonzero(projection.of_type(kind))
        if pre.size:
            magnitude = np.abs(projection.weight[pre, post].astype(np.int64))
            delay = projection.delay[pre, post].astype(np.int64)
            yield SynapseList(projection.source, projection.target, kind, pre, post, magnitude, delay)


def population_parameters(population: IntegerPopulation, neurons: int) -> dict[str, Any]:
    """The `additional_parameters` with which PyNN's Population becomes what our tables describe; JSON types.

    Below 1 ms a step sPyNNaker would give each core's synapses a second core, whose tables are others;
    `n_synapse_cores` of 0 forbids it.
    """
    if population.kind == "spike_source":
        return {"neurons_per_core": neurons}
    expected = [expected_weight(shift) for shift in population.shifts]
    return {"neurons_per_core": neurons, "max_expected_summed_weight": expected, "n_synapse_cores": 0}


def expected_weight(shift: int) -> float:
    """The `max_expected_summed_weight`, nA, for which sPyNNaker chooses a ring-buffer shift.

    It takes the shift s for 2^(s-1) <= w < 2^s, and 0 for w < 1; this is the middle of that range.

    Raises
    ------
    NetworkError
        If the shift is not in 0..16.

    Source: sPyNNaker 7.4.1, `PopulationVertex.get_ring_buffer_shifts`.
    """
    if not 0 <= shift <= LARGEST_SHIFT:
        raise NetworkError(f"ring-buffer shift {shift} is not in 0..{LARGEST_SHIFT}; quantise again")
    return 0.75 * 2.0**shift
