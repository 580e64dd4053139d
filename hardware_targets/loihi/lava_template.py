"""The text that the Lava script is put together from; `lava_export` fills in the network."""

from __future__ import annotations

from toolchain.objective import Reading

READ: dict[Reading, str] = {
    "exp_weighted_average": """\
        # Later steps count less: the weight of step t is exp(-t / n_steps), as in training.
        weight = np.exp(-np.arange(n_steps) / n_steps)
        guess = np.einsum("t,std->sd", weight, traces[f"v/{READOUT}"]).argmax(axis=1)
""",
    "average": """\
        guess = traces[f"v/{READOUT}"].sum(axis=1, dtype=np.int64).argmax(axis=1)
""",
    "sum": """\
        guess = traces[f"v/{READOUT}"].sum(axis=1, dtype=np.int64).argmax(axis=1)
""",
    "maximum": """\
        guess = traces[f"v/{READOUT}"].max(axis=1).argmax(axis=1)
""",
    "first_spike": """\
        # The output that spikes first; -1, which is never right, where none does.
        fired = traces[f"s/{READOUT}"]
        first = np.where(fired.any(axis=1), fired.argmax(axis=1), n_steps)
        guess = np.where(first.min(axis=1) < n_steps, first.argmin(axis=1), -1)
""",
}
"""How the script reads a class, by the readout of the recipe."""

SPARSE_IMPORT = "    from scipy.sparse import csr_matrix\n"

HEAD = '''"""A spiking network with delays for Lava, in Loihi's integers. It needs lava-nc and numpy only.

    python network.py --samples 5 --output traces.npz

runs the first samples of samples.npz and writes u/<population>, v/<population> and s/<population>, each
(samples, steps, neurons), as they are at the end of every step. A spike of step t on a synapse of delay
slot k arrives at step t + 1 + k. See README.md for a run on a chip.
"""

import argparse
import mmap
import os
import sys
from pathlib import Path

try:
    import numpy as np

    if sys.version_info >= (3, 11):
        # lava-nc 0.10 has defaults in its dataclasses that Python 3.11 takes for mutable, because they
        # have no hash. Giving them one while that module is imported is all that it takes.
        import dataclasses

        plain_dataclass = dataclasses.dataclass

        def hashable_dataclass(cls=None, /, **options):
            options.setdefault("unsafe_hash", True)
            return plain_dataclass(cls, **options) if cls else lambda c: plain_dataclass(c, **options)

        dataclasses.dataclass = hashable_dataclass
        try:
            import lava.magma.compiler.var_model
        finally:
            dataclasses.dataclass = plain_dataclass
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import Dense, DelayDense
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.models import PyLifModelBitAcc
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.process import DelaySparse, Sparse
    from lava.utils.weightutils import SignMode
    # SPARSE
except ImportError as error:
    print(f"network.py: cannot import lava-nc: {error}; pip install lava-nc==0.10.0", file=sys.stderr)
    raise SystemExit(4)

FOLDER = Path(__file__).resolve().parent
'''

RECORDING = '''
RECORDS = {}  # population -> its u, v and spikes, (steps, neurons) each, in memory that forks share


class RecordedLif(PyLifModelBitAcc):
    """Lava's own bit-accurate LIF; after each of its steps it copies u, v and the spikes to RECORDS."""

    def run_spk(self):
        super().run_spk()
        for record, values in zip(RECORDS[self.proc_params["name"]], (self.u, self.v, self.s_out_buff)):
            record[self.time_step - 1] = values


def run_configuration():
    """Simulate with bit-accurate models, LIF recorded. For a chip, return its configuration instead."""
    return Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={LIF: RecordedLif})


class Network:
    def __init__(self):
        self.neurons = {}  # population -> its LIF process
        self.synapses = []


def build(arrays, raster):
    """Build the network; raster is (sources, steps), 1 where a source spikes."""
    network = Network()

'''

TAIL = '''

def shared_zeros(shape, dtype):
    """Zeros that a process and its forks see alike."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype=dtype).reshape(shape)


def load(name):
    with np.load(FOLDER / name, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def run(n_samples=None):
    """Run samples one by one, each from zero, in one Lava network that stays up; return the traces."""
    samples = load("samples.npz")
    available, n_steps = samples["offsets"].size - 1, int(samples["n_steps"])
    n_samples = available if n_samples is None else n_samples
    if not 1 <= n_samples <= available:
        raise SystemExit(f"network.py: --samples {n_samples} is outside 1..{available}")
    raster = np.zeros((N_SOURCES, n_samples * n_steps), dtype=np.int32)
    for sample in range(n_samples):
        events = slice(samples["offsets"][sample], samples["offsets"][sample + 1])
        raster[samples["units"][events], samples["times"][events] + sample * n_steps] = 1

    network = build(load("arrays.npz"), raster)
    for name, lif in network.neurons.items():
        shape = (n_samples * n_steps,) + lif.v.shape
        RECORDS[name] = [shared_zeros(shape, dtype) for dtype in (np.int32, np.int32, np.bool_)]
    configuration = run_configuration()
    for sample in range(n_samples):
        if sample > 0:
            # u and v are not all that must be cleared: spikes still under way wait in a_buff.
            for lif in network.neurons.values():
                lif.u.set(np.zeros(lif.u.shape))
                lif.v.set(np.zeros(lif.v.shape))
            for synapses in network.synapses:
                synapses.a_buff.set(np.zeros(synapses.a_buff.shape))
        for name in START_FROM:
            network.neurons[name].run(condition=RunSteps(num_steps=n_steps), run_cfg=configuration)
        print(f"sample {sample + 1} of {n_samples}", flush=True)
    for name in START_FROM:
        network.neurons[name].stop()

    traces = {}
    for name in network.neurons:
        for kind, record in zip("uvs", RECORDS[name]):
            traces[f"{kind}/{name}"] = record.reshape((n_samples, n_steps, -1))
    if READOUT is not None and "labels" in samples:
        # READ
        right = int(np.sum(guess == samples["labels"][:n_samples]))
        print(f"accuracy {right / n_samples:.4f} ({right} of {n_samples} right)", flush=True)
    return traces


def main():
    parser = argparse.ArgumentParser(description="Run the network on the samples beside this script.")
    parser.add_argument("--samples", type=int, help="how many, from the first; all if left out")
    parser.add_argument("--output", type=Path, default=Path("traces.npz"), help="where the traces go")
    options = parser.parse_args()
    traces = run(options.samples)
    # Under the final name there is never half a file.
    temporary = options.output.with_name(options.output.name + ".part")
    with temporary.open("wb") as file:
        np.savez(file, **traces)
    os.replace(temporary, options.output)


if __name__ == "__main__":
    main()
'''

README = """# Network for Lava

`network.py` builds this network from Lava processes and runs the samples beside it. Step length {dt_ms:g} ms.

{populations}

{projections}

A readout is a LIF with the largest threshold there is ({readout_vth}); its `v` is read. A spike of step t
on a synapse of delay slot k arrives at step t + 1 + k.

## On a plain computer

Lava runs on Linux and macOS (it forks). With Python 3.10:

    pip install lava-nc==0.10.0
    python network.py --samples 1 --output traces.npz

On Python 3.11 to 3.13, `pip install numpy scipy networkx asteval` and then
`pip install --no-deps --ignore-requires-python lava-nc==0.10.0`; the script has the few lines that lava-nc
needs there.

There are {n_samples} samples of {n_steps} steps. `traces.npz` holds, for each population, `u/<name>`,
`v/<name>` (int32) and `s/<name>` (bool), each (samples, steps, neurons), at the end of every step. Every
process of the network is a process of the operating system, so the largest cost is per step and projection;
start with one sample. If a run hangs, an exception in a Lava process is the usual cause: Lava does not show
it. Stop it with Ctrl-C.

## On a chip

This folder was made for Lava's bit-accurate simulation of Loihi 2. **It has not been executed on a chip.**
The network in `build` uses Lava's standard processes only. What changes on a host with Loihi hardware and
Intel's extension of Lava:

- `run_configuration` in `network.py`: return the hardware configuration (`Loihi2HwCfg`) instead of
  `Loihi2SimCfg`, without the `exception_proc_model_map`, which names a model that runs on the CPU.
- Traces: the recording model is then not in use. Attach what the hardware offers (a probe of `v` of the
  readout) in place of `RECORDS`.
- Input: `RingBuffer` runs on the CPU of the host; put the spike injector of your system in its place.
- Reset between samples: `a_buff` belongs to the simulation. Use the reset of your system, and see that
  spikes under way are gone too: compare the second sample with `traces.npz` of a simulation first.

## Files

- `arrays.npz`: for each projection `<name>_weights` (int32, even, -256..254) and `<name>_delays` (int64),
  both (post, pre). A projection with a mask has one entry per synapse instead, placed by `<name>_post` and
  `<name>_pre`.
- `samples.npz`: `times`, `units`, `offsets` (events of sample s are `offsets[s]:offsets[s + 1]`), `n_units`,
  `n_steps`, and `labels` where they are known. Nothing in these files is pickled.
"""
