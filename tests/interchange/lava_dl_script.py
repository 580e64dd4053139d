"""Run by a Python that has lava-dl: what its own reader builds from NetX files, and what Lava computes with it.

    python lava_dl_script.py FOLDER [--run]

For each ``name.net`` in FOLDER it writes ``name.read.npz`` (constants, weights and delays of every layer), and with
``--run`` ``name.ran.npz`` (u, v and spikes of every layer for the raster (n, steps) in ``name.npy``). ``weights.npz``
instead holds matrices, of which ``weights.read.npz`` says what a dense layer adds to its target, NaN where the reader
fails. Nothing of delayline is imported.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def exponent_of(synapse: Any) -> float:
    """NaN where none was handed on."""
    exponent = synapse.proc_params.get("weight_exp")
    return float("nan") if exponent is None else float(exponent)


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    """The network, and what its processes were given."""
    from lava.lib.dl.netx import hdf5  # type: ignore[import-not-found,unused-ignore]

    network = hdf5.Network(net_config=str(path))
    found: dict[str, Any] = {"layers": len(network)}
    for i, layer in enumerate(network.layers):
        synapse, neuron = layer.synapse, layer.neuron
        for name in ("du", "dv", "vth", "bias_mant"):
            found[f"{i}/{name}"] = np.asarray(getattr(neuron, name).init)
        found[f"{i}/neuron"] = np.array(type(neuron).__name__)
        found[f"{i}/synapse"] = np.array(type(synapse).__name__)
        found[f"{i}/weights"] = np.asarray(synapse.weights.init)
        found[f"{i}/weight_exp"] = exponent_of(synapse)
        if hasattr(synapse, "delays"):
            found[f"{i}/delays"] = np.asarray(synapse.delays.init)
        if hasattr(layer, "synapse_rec"):
            recurrent = layer.synapse_rec
            found[f"{i}/rec_weights"] = np.asarray(recurrent.weights.init)
            found[f"{i}/rec_weight_exp"] = exponent_of(recurrent)
            if hasattr(recurrent, "delays"):
                found[f"{i}/rec_delays"] = np.asarray(recurrent.delays.init)
    return network, found


def run(network: Any, raster: Any) -> dict[str, Any]:
    """U, v and spikes (steps, neurons) of every layer."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.monitor.process import Monitor

    steps = raster.shape[1]
    source, sink = Source(data=raster), Sink(shape=network.out.shape, buffer=steps)
    source.s_out.connect(network.inp)
    network.out.connect(sink.a_in)
    monitors = {}
    for i, layer in enumerate(network.layers):
        for name, port in (("u", layer.neuron.u), ("v", layer.neuron.v), ("s", layer.neuron.s_out)):
            monitors[f"{i}/{name}"] = monitor = Monitor()
            monitor.probe(port, steps)
    network.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    found = {name: next(iter(next(iter(m.get_data().values())).values())) for name, m in monitors.items()}
    found["out"] = sink.data.get().T
    network.stop()
    return found


def delivered(weight: Any) -> Any:
    """What a dense layer of this matrix adds, by the reader of lava-dl and the cuts of lava-nc."""
    from lava.lib.dl.netx.utils import optimize_weight_bits  # type: ignore[import-not-found,unused-ignore]
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    try:
        with np.errstate(all="ignore"):
            shifted, bits, exponent, _ = optimize_weight_bits(weight)
    except (OverflowError, ValueError):
        return np.full(weight.shape, np.nan)
    if exponent > 0:  # NumPy shifts by a negative number of bits without a word, and what comes of it is undefined.
        return np.full(weight.shape, np.nan)
    sign = determine_sign_mode(shifted)
    if bits > 8 and sign.name != "MIXED":  # Nor by a negative number of bits to the right.
        return np.full(weight.shape, np.nan)
    return truncate_weights(clip_weights(shifted, sign, num_bits=8), sign, bits) / 2.0**-exponent


def main() -> None:
    """Do what the arguments say."""
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    if (folder / "weights.npz").exists():
        with np.load(folder / "weights.npz") as matrices:
            np.savez(folder / "weights.read.npz", **{name: delivered(matrices[name]) for name in matrices.files})
    for path in sorted(folder.glob("*.net")):
        network, found = read(path)
        np.savez(path.with_suffix(".read.npz"), **found)
        if "--run" in sys.argv:
            np.savez(path.with_suffix(".ran.npz"), **run(network, np.load(path.with_suffix(".npy"))))


if __name__ == "__main__":
    main()
