"""Run by a Python that has lava-nc: a NetX file after the description of its layout, in Lava's own processes.

    python lava_nc_script.py LAVA_FOLDER FOLDER

`LAVA_FOLDER` holds lava_machines.py, which makes Lava importable on every Python. For each ``name.npz`` in FOLDER,
arrays ``<layer>/<entry>`` as in the file and ``raster`` (n, steps), it writes ``name.ran.npz``: u, v and spikes
(steps, n).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def build_and_run(layers: dict[str, Any], raster: Any) -> dict[str, Any]:
    """A DelayDense and a LIF for each layer, one after the other."""
    from lava.proc.io.source import RingBuffer
    from lava.proc.monitor.process import Monitor
    from lava.utils.weightutils import SignMode
    from lava_machines import LIF, DelayDense, Loihi2SimCfg, RunSteps

    steps = raster.shape[1]
    before = RingBuffer(data=raster)
    start = before
    monitors = {}
    for i in range(1, 1 + len({name.split("/")[0] for name in layers})):
        weight = layers[f"{i}/weight"].astype(int)
        delay = layers.get(f"{i}/delay", np.zeros_like(weight)).astype(np.int64)
        # Of a matrix of both signs Lava drops the lowest bit; odd weights are given doubled and halved once summed.
        odd = int((weight % 2).any())
        synapse = DelayDense(
            weights=weight << odd, delays=delay, max_delay=62, weight_exp=-odd, num_weight_bits=8,
            sign_mode=SignMode.MIXED,
        )  # fmt: skip
        constants = {name: int(layers[f"{i}/neuron/{name}"]) for name in ("iDecay", "vDecay", "vThMant")}
        lif = LIF(
            shape=(weight.shape[0],), du=constants["iDecay"] - 1, dv=constants["vDecay"], vth=constants["vThMant"]
        )
        before.s_out.connect(synapse.s_in)
        synapse.a_out.connect(lif.a_in)
        for name, port in (("u", lif.u), ("v", lif.v), ("s", lif.s_out)):
            monitors[f"{i}/{name}"] = monitor = Monitor()
            monitor.probe(port, steps)
        before = lif
    start.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    found = {name: next(iter(next(iter(m.get_data().values())).values())) for name, m in monitors.items()}
    start.stop()
    return found


def main() -> None:
    """All networks of the folder."""
    sys.path.insert(0, sys.argv[1])
    for path in sorted(Path(sys.argv[2]).glob("*.npz")):
        with np.load(path) as file:
            layers = dict(file)
        raster = layers.pop("raster")
        np.savez(path.with_suffix(".ran.npz"), **build_and_run(layers, raster))


if __name__ == "__main__":
    main()
