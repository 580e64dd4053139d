"""A training step of DCLS: dilated convolutions with learnable spacings, 700-256-20, delays of 0 to 62 steps.

Feedforward, for DCLS has no recurrent delays: Dcls1d of version "gauss" with one element in a kernel of 63 steps a
synapse, width fixed, then LIF neurons stepped in time with an arctangent surrogate (SNN-delays, Hammouamri et al.
2024), then leaky readouts without delays, as ours have. Its cost does not depend on spikes, so weights are not tuned.
A batch of 32 takes up to a minute, so the batch is BATCH samples. Checked once: 652 ms a sample in batches of 4, 550 in
batches of 8, 540 in batches of 32; of one alone 1480, most of it for the kernel, which a batch builds once.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import Any

import torch
from DCLS.construct.modules import Dcls1d

from tests.benchmarks.peers.common import TAU_MEM, load, loss_of, measure, readout_filter

BATCH, REPEATS, KERNEL = 8, 3, 63


class ATan(torch.autograd.Function):  # type: ignore[misc]  # torch is not in the environment that is type-checked
    """Step function whose derivative is that of an arctangent, alpha 5 as published."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * 2.5 / (1 + (torch.pi / 2 * 5 * x).square())


def main() -> None:
    problem = load()
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else BATCH
    inputs, hidden = problem.weights["in->hidden"].shape
    layer = Dcls1d(inputs, hidden, kernel_count=1, bias=False, dilated_kernel_size=KERNEL, version="gauss")
    with torch.no_grad():
        layer.weight.copy_(problem.weights["in->hidden"].T[:, :, None])
        layer.P.uniform_(-(KERNEL // 2), KERNEL // 2)
    layer.SIG.requires_grad_(False)
    out = problem.weights["hidden->out"].clone().requires_grad_()
    optimisers = [torch.optim.Adam([layer.weight, out], lr=0.0), torch.optim.Adam([layer.P], lr=0.0)]
    response = readout_filter(problem.steps)
    # (batch, inputs, steps), with the steps before the sample that a causal kernel reaches into.
    padded = torch.nn.functional.pad(problem.dense.permute(1, 2, 0), (KERNEL - 1, 0)).contiguous()

    def step(n: int) -> float:
        arriving = layer(padded[:n]).permute(2, 0, 1)
        voltage = torch.zeros(n, hidden)
        spikes = []
        for current in arriving.unbind(0):
            voltage = voltage + (current - voltage) / TAU_MEM
            spike = ATan.apply(voltage - 1)
            voltage = voltage * (1 - spike.detach())
            spikes.append(spike)
        raster = torch.stack(spikes)
        loss = loss_of(raster, out, response, problem.labels[:n])
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        layer.clamp_parameters()
        return float(raster.detach().sum() / (n * hidden))

    names = f"DCLS {importlib.metadata.version('dcls')} on PyTorch {torch.__version__}"
    print(json.dumps({"name": names, **measure(step, batch, REPEATS if batch == BATCH else 1)}))


if __name__ == "__main__":
    main()
