"""Networks in snnTorch and Norse: the NIR files that these tools write of them, and the spikes that they compute.

``python -m tests.interchange.nir_tools FOLDER`` writes both for every network: the golden files. It needs torch 2.13.0,
snntorch 1.0.0, norse 1.1.0 and nir 1.0.8; Python 3.11.
"""

from __future__ import annotations

import gzip
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from toolchain.interchange.nir import NirAssumptions

N_IN, N_HIDDEN, N_OUT, STEPS = 6, 9, 3, 120
GOLDEN = Path(__file__).parent / "golden"
SNNTORCH = NirAssumptions(dt_ms=0.1, discretisation="euler", hop="within-step")
"""snnTorch writes every network for steps of 0.1 ms."""
NORSE = NirAssumptions(dt_ms=1.0, discretisation="euler", hop="within-step")
NORSE_JUMP = NirAssumptions(dt_ms=1.0, discretisation="euler", hop="within-step", synapse="jump")
NETWORKS = {
    "snntorch_leaky": SNNTORCH,
    "snntorch_synaptic": SNNTORCH,
    "snntorch_rleaky": SNNTORCH,
    "norse_lifbox": NORSE,
    "norse_lif": NORSE_JUMP,
}
"""What has to be assumed of each file."""


@dataclass(frozen=True)
class ToolRun:
    """What a tool computed.

    Attributes
    ----------
    inputs, hidden : (STEPS, units) bool, spikes
    output : (STEPS, N_OUT) spikes, or voltages where the tool's last layer has no threshold
    """

    inputs: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    output: NDArray[np.float32]


def golden(name: str, path: Path) -> ToolRun:
    """What the tool computed when the golden file was written, which is unpacked to `path`."""
    path.write_bytes(gzip.decompress((GOLDEN / f"{name}.nir.gz").read_bytes()))
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return ToolRun(arrays["inputs"], arrays["hidden"], arrays["output"])


def run_tool(name: str, path: Path) -> ToolRun:
    """Build a network in its tool, let the tool write it to `path`, and run it on random spikes."""
    import nir
    import torch

    tool, kind = name.split("_")
    torch.manual_seed(sum(name.encode()))
    layers = _snntorch(kind) if tool == "snntorch" else _norse(kind)
    inputs = np.random.default_rng(len(name)).random((STEPS, N_IN)) < 0.2
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # Tracing the tool's network runs it, on silence: its state stays 0.
        nir.write(path, _exported(tool, layers))
        seen = _run(tool, layers, torch.from_numpy(inputs.astype(np.float32)))
    return ToolRun(inputs, seen[0] > 0.5, seen[1])


def _linear(n_in: int, n_out: int, mean: float) -> Any:
    import torch

    layer = torch.nn.Linear(n_in, n_out, bias=False)
    with torch.no_grad():
        layer.weight.normal_(mean, 0.4)
    return layer


def _snntorch(kind: str) -> list[Any]:
    import snntorch
    import torch

    def neurons(n: int, *, last: bool, beta: float) -> Any:
        reset: dict[str, Any] = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True, "output": last}
        reset["threshold"] = torch.full((n,), 1.0)
        alpha = {"alpha": torch.linspace(0.5, 0.7, n)} if "synaptic" in kind else {}
        betas = torch.full((n,), beta)
        if kind.startswith("r") and not last:
            # RSynaptic fails in snnTorch 1.0.0 where a spike resets in its own step, as NIR has it.
            found = snntorch.RLeaky(beta=betas, linear_features=n, **reset)
            with torch.no_grad():
                found.recurrent.weight.normal_(-0.1, 0.2)
                found.recurrent.bias.zero_()
            return found
        return snntorch.Synaptic(**alpha, beta=betas, **reset) if alpha else snntorch.Leaky(beta=betas, **reset)

    scale = 0.35 if "synaptic" in kind else 0.6
    return [
        _linear(N_IN, N_HIDDEN, scale),
        neurons(N_HIDDEN, last=False, beta=0.85),
        _linear(N_HIDDEN, N_OUT, 0.3),
        neurons(N_OUT, last=True, beta=0.8),
    ]


def _norse(kind: str) -> list[Any]:
    import norse.torch as norse
    import torch

    def spread(value: float, n: int) -> Any:
        # One value for each neuron: nir 1.0.8 cannot write the scalars that Norse has otherwise.
        return torch.linspace(value, 1.2 * value, n)

    def spiking(n: int) -> Any:
        same = {"v_leak": torch.zeros(n), "v_th": torch.full((n,), 1.0)}
        if kind == "lif":
            both = {"tau_mem_inv": spread(100.0, n), "tau_syn_inv": spread(250.0, n)}
            return norse.LIFCell(p=norse.LIFParameters(**both, **same))
        return norse.LIFBoxCell(p=norse.LIFBoxParameters(tau_mem_inv=spread(120.0, n), **same))

    last: Any = spiking(N_OUT)
    if kind == "lifbox":
        values = norse.LIBoxParameters(tau_mem_inv=spread(80.0, N_OUT), v_leak=torch.zeros(N_OUT))
        last = norse.LIBoxCell(p=values)
    return [_linear(N_IN, N_HIDDEN, 3.0), spiking(N_HIDDEN), _linear(N_HIDDEN, N_OUT, 2.0), last]


def _exported(tool: str, layers: list[Any]) -> Any:
    import torch

    sample = torch.zeros(N_IN)
    if tool == "snntorch":
        from snntorch.export_nir import export_to_nir

        return export_to_nir(torch.nn.Sequential(*layers), sample)
    import norse.torch as norse

    # Norse multiplies its time constants with dt, so that only dt = 1 writes them in seconds.
    return norse.to_nir(norse.SequentialState(*layers), sample, dt=1.0)


def _run(tool: str, layers: list[Any], inputs: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Layer after layer in every step, as the tools' own loops over time do it."""
    states: list[Any] = [None] * len(layers)
    seen: list[list[Any]] = [[], []]
    for step in inputs:
        value = step[None]
        for i, layer in enumerate(layers):
            if i % 2 == 0:
                value = layer(value)
                continue
            if tool == "norse":
                value, states[i] = layer(value, states[i])
            else:
                found = layer(value)
                value = found[0] if isinstance(found, tuple) else found
            seen[i // 2].append(value[0].numpy().copy())
    hidden, output = (cast(NDArray[np.float32], np.array(rows, dtype=np.float32)) for rows in seen)
    return hidden, output


def main(folder: Path) -> None:
    """Write the golden files."""
    for name in NETWORKS:
        file = folder / f"{name}.nir"
        found = run_tool(name, file)
        (folder / f"{name}.nir.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file.unlink()
        np.savez_compressed(folder / f"{name}.npz", inputs=found.inputs, hidden=found.hidden, output=found.output)
        print(f"{name}: {int(found.hidden.sum())} hidden spikes, {found.output.sum():g} in the output")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
