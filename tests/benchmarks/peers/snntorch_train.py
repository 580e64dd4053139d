"""A training step of snnTorch: 700-256-20, recurrent, surrogate gradient, no delays, batch 32.

The fastest plain formulation that we found: the input projection of all steps is one product, the hidden layer is
snn.Synaptic (current and voltage, as our neurons; reset by subtraction, which snnTorch computes faster than to zero)
stepped in time with one product for the recurrence, and the readouts are one product with their filter. snn.RSynaptic,
the same with a bias, took as long. Inputs are made dense beforehand, which is not timed. Nothing is compiled; the cost
does not depend on spikes.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys

import snntorch
import torch
from snntorch import surrogate

from tests.benchmarks.peers.common import ALPHA, BETA, GAIN, load, loss_of, measure, readout_filter

BATCH, REPEATS = 32, 3


def main() -> None:
    problem = load()
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else BATCH
    # snnTorch adds the current to the voltage as it is, so the gain goes into the weights.
    w_in, w_rec = ((GAIN * problem.weights[name]).requires_grad_() for name in ("in->hidden", "hidden->hidden"))
    w_out = problem.weights["hidden->out"].clone().requires_grad_()
    hidden = w_rec.shape[0]
    neurons = snntorch.Synaptic(alpha=BETA, beta=ALPHA, spike_grad=surrogate.fast_sigmoid())
    optimiser = torch.optim.Adam([w_in, w_rec, w_out], lr=0.0)
    response = readout_filter(problem.steps)

    def step(n: int) -> float:
        arriving = problem.dense[:, :n] @ w_in
        spike = synapse = voltage = torch.zeros(n, hidden)
        spikes = []
        for current in arriving.unbind(0):
            spike, synapse, voltage = neurons(torch.addmm(current, spike, w_rec), synapse, voltage)
            spikes.append(spike)
        raster = torch.stack(spikes)
        loss = loss_of(raster, w_out, response, problem.labels[:n])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(raster.detach().sum() / (n * hidden))

    names = f"snnTorch {importlib.metadata.version('snntorch')} on PyTorch {torch.__version__}"
    print(json.dumps({"name": names, **measure(step, batch, REPEATS)}))


if __name__ == "__main__":
    main()
