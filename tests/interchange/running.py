"""Networks run by the training backend and by the programs that read ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network
from toolchain.objective import Objective
from toolchain.spikes import SpikeTrains
from toolchain.training.backends import make_engine


def float_spikes(network: Network, spikes: SpikeTrains) -> dict[str, NDArray[np.bool_]]:
    """Spikes of each lif population, (n_samples, n_steps, size), by the cpu backend."""
    kind = network.readout.kind
    objective = Objective("first_spike") if kind == "lif" else Objective()
    engine = make_engine("cpu", network, spikes.n_steps, max_slot=network.max_slot, objective=objective)
    found = {
        p.name: np.zeros((spikes.n_samples, spikes.n_steps, p.size), dtype=np.bool_) for p in network.of_kind("lif")
    }
    for sample in range(spikes.n_samples):
        trace = engine.trace(spikes, sample).spikes
        for name, raster in found.items():
            times, units = trace[name]
            raster[sample, times, units] = True
    return found


def by_reference(model: Any, spikes: SpikeTrains) -> dict[str, NDArray[Any]]:
    """Outputs of a model by onnx's own evaluator, which is slow and shares nothing with onnxruntime."""
    from onnx.reference import ReferenceEvaluator

    rasters = np.stack([spikes.dense(sample).T for sample in range(spikes.n_samples)])
    inputs, first = {}, 0
    for value in model.graph.input:
        size = value.type.tensor_type.shape.dim[2].dim_value
        inputs[value.name] = np.ascontiguousarray(rasters[:, :, first : first + size])
        first += size
    names = [output.name for output in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(names, inputs), strict=True))
