"""The Lava part of a bundle: a folder that runs with nothing but lava-nc (which brings numpy and scipy).

    network.py    a script a person can read: one block per population and projection
    arrays.npz    weights and delays, (post, pre) as Lava wants them
    samples.npz   input spikes of some samples in event form, and their labels
    README.md     how to run it

The script builds plain Lava processes (`LIF`, `Dense`, `DelayDense`, `Sparse`, `DelaySparse`) and leaves
the recording to the run configuration: a process model that inherits Lava's own bit-accurate LIF, calls
its `run_spk` and copies u, v and the spikes to shared memory. Against three Monitors for each population
that is exactly the same numbers at a third of the time per step, and no value crosses a channel alone.

Names of populations reach the script only through ``ascii()`` and as identifiers made by `_identifiers`.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.loihi.emulator import check_sources
from hardware_targets.loihi.integer_network import (
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from toolchain.errors import InputError
from toolchain.spikes import SpikeTrains

SCRIPT_NAME = "network.py"
ARRAYS_NAME = "arrays.npz"
SAMPLES_NAME = "samples.npz"


def write_lava_folder(network: IntegerNetwork, spikes: SpikeTrains, labels: NDArray[Any] | None, folder: Path) -> None:
    """Write the network, the samples and the script that runs them into `folder`, which is created.

    Parameters
    ----------
    network : any number of populations and projections, self projections included
    spikes : at least one sample and one step; units are the neurons of the spike sources in order
    labels : (n_samples,) integers, or None; with labels and one readout the script prints an accuracy

    Raises
    ------
    NetworkError
        If an integer is outside what Lava takes unchanged, or a name cannot name a trace.
    InputError
        If spikes or labels do not fit the network.
    """
    check_integers(network)
    check_sources(network, spikes)
    if spikes.n_samples < 1 or spikes.n_steps < 1:
        raise InputError(
            f"spikes: {spikes.n_samples} samples of {spikes.n_steps} steps; Lava needs at least one of each"
        )
    samples: dict[str, NDArray[Any]] = {
        "times": spikes.times.astype(np.int32),
        "units": spikes.units.astype(np.int32),
        "offsets": spikes.offsets.astype(np.int64),
        "n_units": np.array(spikes.n_units, dtype=np.int64),
        "n_steps": np.array(spikes.n_steps, dtype=np.int64),
    }
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (spikes.n_samples,) or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"labels: {labels.dtype} of shape {labels.shape}, must be integers of shape ({spikes.n_samples},)"
            )
        samples["labels"] = labels.astype(np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    names = _identifiers(network)
    _write_arrays(folder / ARRAYS_NAME, _arrays(network, names))
    _write_arrays(folder / SAMPLES_NAME, samples)
    (folder / SCRIPT_NAME).write_text(_script(network, names), encoding="utf-8")
    (folder / "README.md").write_text(_readme(network, spikes), encoding="utf-8")


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    # An open file, because numpy appends .npz to some names; and not compressed, so sizes can be checked.
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _identifiers(network: IntegerNetwork) -> dict[str, str]:
    """A variable name for each population and projection, by its name: readable, safe and unique."""
    taken = {"np", "arrays", "raster", "network", "csr_matrix"}
    identifiers: dict[str, str] = {}

    def choose(key: str, wish: str) -> None:
        base = re.sub(r"[^0-9A-Za-z_]+", "_", wish).strip("_").lower() or "population"
        base = f"p{base}" if base[0].isdigit() else base
        base = f"{base}_" if keyword.iskeyword(base) or base in {"input", "print", "sum", "zip"} else base
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        identifiers[key] = name

    for population in network.populations:
        choose(population.name, population.name)
    for projection in network.projections:
        source, target = (identifiers[end].strip("_") for end in (projection.source, projection.target))
        choose(projection.name, f"{source}_to_{target}")
    return identifiers


def _arrays(network: IntegerNetwork, names: dict[str, str]) -> dict[str, NDArray[Any]]:
    """Weights and delays of every projection, transposed from our (pre, post) to Lava's (post, pre).

    With a mask: weights, delays, post and pre of each synapse that exists, as four flat arrays.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for projection in network.projections:
        name = names[projection.name]
        weight, slots = projection.weight.T, projection.slots.T
        if projection.mask is not None:
            post, pre = np.nonzero(projection.mask.T)
            weight, slots = weight[post, pre], slots[post, pre]
            arrays[f"{name}_post"], arrays[f"{name}_pre"] = post.astype(np.int64), pre.astype(np.int64)
        arrays[f"{name}_weights"] = np.ascontiguousarray(weight, dtype=np.int32)
        # Lava refuses any other type of integer for a matrix of delays.
        arrays[f"{name}_delays"] = np.ascontiguousarray(slots, dtype=np.int64)
    return arrays


def _max_slot(projection: IntegerProjection) -> int:
    slots = projection.slots if projection.mask is None else projection.slots[projection.mask]
    return int(slots.max(initial=0))


def _separate_parts(network: IntegerNetwork) -> list[str]:
    """One simulated population of every part of the graph that no projection links to the others."""
    part = {p.name: p.name for p in network.populations}
    for projection in network.projections:
        old, new = part[projection.source], part[projection.target]
        part = {name: new if root == old else root for name, root in part.items()}
    first: dict[str, str] = {}
    for population in network.simulated:
        first.setdefault(part[population.name], population.name)
    return list(first.values())


def _population_block(population: IntegerPopulation, name: str, first: int) -> str:
    shown, size = ascii(population.name), population.size
    if population.kind == "spike_source":
        return (
            f"    # Population {shown}: {size} spike sources, rows {first} to {first + size - 1} of raster.\n"
            f"    {name} = RingBuffer(data=raster[{first}:{first + size}])\n"
        )
    what = f"{size} LIF neurons"
    if population.kind == "leaky_readout":
        what = f"readout of {size} neurons, a LIF with the largest threshold, of which v is read"
    return (
        f"    # Population {shown}: {what}.\n"
        f"    {name} = LIF(shape=({size},), du={population.du:d}, dv={population.dv:d}, "
        f"vth={population.vth:d}, name={shown})\n"
        f"    network.neurons[{shown}] = {name}\n"
    )


def _projection_block(projection: IntegerProjection, names: dict[str, str]) -> str:
    name, slot = names[projection.name], _max_slot(projection)
    pre, post = projection.weight.shape
    lines = []
    if projection.mask is None:
        process = "DelayDense" if slot else "Dense"
        weights, delays = f'arrays["{name}_weights"]', f'arrays["{name}_delays"]'
    else:
        process = "DelaySparse" if slot else "Sparse"
        place = f'(arrays["{name}_post"], arrays["{name}_pre"])), shape=({post}, {pre}))'
        weights = f'csr_matrix((arrays["{name}_weights"], {place}'
        delays = f'csr_matrix((arrays["{name}_delays"], {place}'
    spread = f"delay slots up to {slot}" if slot else "no delay beyond the one step of every synapse"
    lines += [
        f"    # Projection {projection.source!a} to {projection.target!a}: {projection.n_synapses} synapses, {spread}.",
        f"    {name} = {process}(",
        f"        weights={weights},",
    ]
    if slot:
        lines += [f"        delays={delays},", f"        max_delay={slot},"]
    lines += [
        "        num_weight_bits=8,",
        f"        weight_exp={projection.exponent:d},",
        "        sign_mode=SignMode.MIXED,",
        "    )",
        f"    {names[projection.source]}.s_out.connect({name}.s_in)",
        f"    {name}.a_out.connect({names[projection.target]}.a_in)",
        f"    network.synapses.append({name})",
    ]
    return "\n".join(lines) + "\n"


def _script(network: IntegerNetwork, names: dict[str, str]) -> str:
    blocks: list[str] = []
    first = 0
    for population in network.populations:
        blocks.append(_population_block(population, names[population.name], first))
        first += population.size if population.kind == "spike_source" else 0
    blocks += [_projection_block(projection, names) for projection in network.projections]
    readouts = [p.name for p in network.populations if p.kind == "leaky_readout"]
    masked = any(p.mask is not None for p in network.projections)
    return (
        _HEAD.replace("    # SPARSE\n", _SPARSE_IMPORT if masked else "")
        + f"N_SOURCES = {first}\n"
        + f"READOUT = {ascii(readouts[0]) if len(readouts) == 1 else None}\n"
        + "# Lava runs what is connected: one population of each separate part of the network.\n"
        + f"START_FROM = [{', '.join(ascii(name) for name in _separate_parts(network))}]\n"
        + _RECORDING
        + "\n".join(blocks)
        + "    return network\n"
        + _TAIL
    )


def _readme(network: IntegerNetwork, spikes: SpikeTrains) -> str:
    populations = "\n".join(f"- {p.name}: {p.kind}, {p.size} neurons" for p in network.populations)
    projections = "\n".join(
        f"- {p.source} to {p.target}: {p.n_synapses} synapses, weights times 2^{p.exponent}, slots up to {_max_slot(p)}"
        for p in network.projections
    )
    return _README.format(
        populations=populations,
        projections=projections,
        n_samples=spikes.n_samples,
        n_steps=spikes.n_steps,
        dt_ms=network.dt_ms,
        readout_vth=READOUT_VTH,
    )


_SPARSE_IMPORT = "    from scipy.sparse import csr_matrix\n"

_HEAD = '''"""A spiking network with delays for Lava, in Loihi's integers. It needs lava-nc and numpy only.

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

_RECORDING = '''
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

_TAIL = '''

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
        # Later steps count less: the weight of step t is exp(-t / n_steps), as in training.
        weight = np.exp(-np.arange(n_steps) / n_steps)
        guess = np.einsum("t,std->sd", weight, traces[f"v/{READOUT}"]).argmax(axis=1)
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

_README = """# Network for Lava

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
