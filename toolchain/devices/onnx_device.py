"""The network as an ONNX graph in onnxruntime: a program of others that computes what was put on the chip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.datasets import Samples
from toolchain.deployment.abilities import StepGraphTarget
from toolchain.deployment.target import Target
from toolchain.devices.device import Deployed, DeviceRun
from toolchain.validation.ladder import first_spikes_of, predict


@dataclass(frozen=True)
class OnnxDevice:
    """What `delayline export --quantised` writes, run by onnxruntime; delays are in their synapses, without relays."""

    target: Target
    name: str = "onnx"
    about: str = "the chip's integers as a graph of standard ONNX operators, run by onnxruntime"
    exact: bool = True
    costly: bool = False
    at_once: int = 32

    def missing(self) -> str | None:
        """The packages onnx and onnxruntime."""
        from toolchain.interchange.onnx.running import runtime_missing

        return runtime_missing()

    def run(self, deployed: Deployed, samples: Samples, *, traces: bool, timeout_s: float) -> DeviceRun:
        """Assemble the graph and run the samples; with `traces` u, v and spikes of all populations."""
        from toolchain.interchange.onnx.assemble import assemble
        from toolchain.interchange.onnx.running import OnnxSession

        assert isinstance(self.target, StepGraphTarget)
        readout = deployed.quantised.trained.readout
        session = OnnxSession(assemble(self.target.step_graph(deployed.quantised), states=traces))
        of_readout = [output for output in session.outputs if output.partition("/")[0] == readout.name]
        found = session.run(samples.spikes, session.outputs if traces else of_readout)
        # Of the one population that is read there is v or there are spikes, as the reading needs.
        nothing = np.zeros((samples.labels.size, samples.spikes.n_steps, readout.size), dtype=np.bool_)
        spikes = found.get(f"{readout.name}/spikes", nothing)
        prediction = predict(
            deployed.recipe.training.readout, found.get(f"{readout.name}/v", spikes), first_spikes_of(spikes)
        )
        return DeviceRun(prediction, self.target.step_traces(found) if traces else None)
