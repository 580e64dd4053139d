"""A spiking network in Brian 2: current-based LIF neurons, one delay a synapse, on the spikes of a file.

The plain formulation of its documentation: two linear equations, which its exact integration solves, one `Synapses` a
projection. What is spiked into the current acts a step later than on SpiNNaker, so that delays are a step shorter here.
Brian compiles with Cython where there is a C++ compiler, and uses NumPy otherwise; a run of a few steps comes first, so
that compiling is not counted. One thread; the median processor time of the runs alone.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import brian2  # type: ignore[import-not-found]  # it is not in the environment that is type-checked
import numpy as np

WARM_UP_MS, REPEATS = 5, 5


def main() -> None:
    with np.load(sys.argv[1], allow_pickle=False) as archive:
        data = {name: archive[name] for name in archive.files}
    ms = brian2.ms
    brian2.defaultclock.dt = 1 * ms
    tau = {"tau_mem": float(data["tau_mem_ms"]) * ms, "tau_syn": float(data["tau_syn_ms"]) * ms}
    equations = "dv/dt = (I - v) / tau_mem : 1\ndI/dt = -I / tau_syn : 1"
    steps = int(data["steps"])
    started = WARM_UP_MS  # the input begins after the warm-up
    groups: dict[str, Any] = {
        "in": brian2.SpikeGeneratorGroup(int(data["inputs"]), data["units"], (data["times"] + started) * ms)
    }
    for name, threshold in (("hidden", float(data["threshold"])), ("out", np.inf)):
        size = int(data[name])
        rule = {"threshold": f"v >= {threshold}", "reset": "v = 0"} if np.isfinite(threshold) else {}
        groups[name] = brian2.NeuronGroup(size, equations, method="exact", namespace=tau, **rule)
    synapses = []
    for source, target in (("in", "hidden"), ("hidden", "hidden"), ("hidden", "out")):
        weight = data[f"{source}->{target}.weight"]
        pre, post = np.nonzero(weight)
        projection = brian2.Synapses(groups[source], groups[target], "w : 1", on_pre="I_post += w")
        projection.connect(i=pre, j=post)
        projection.w = weight[pre, post]
        projection.delay = (data[f"{source}->{target}.delay"][pre, post] - 1) * ms
        synapses.append(projection)
    monitor = brian2.SpikeMonitor(groups["hidden"], record=False)
    network = brian2.Network(*groups.values(), *synapses, monitor)
    network.run(WARM_UP_MS * ms, namespace={})
    network.store()
    seconds = []
    for _ in range(REPEATS):
        network.restore()
        before, begin = int(monitor.num_spikes), time.process_time()
        network.run(steps * ms, namespace={})
        seconds.append(time.process_time() - begin)
    target = type(groups["hidden"].state_updater.codeobj).__name__
    print(
        json.dumps(
            {
                "name": f"Brian {brian2.__version__} ({'Cython' if 'Cython' in target else 'NumPy'})",
                "ms_per_step": 1e3 * statistics.median(seconds) / steps,
                "hidden_spikes": int(monitor.num_spikes) - before,
            }
        )
    )


if __name__ == "__main__":
    main()
