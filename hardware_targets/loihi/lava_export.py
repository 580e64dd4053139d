"""The Lava part of a bundle: a folder that runs with nothing but lava-nc (which brings numpy and scipy).

    network.py         a script a person can read: one block per population and projection
    lava_running.py    how samples pass through it, the same in every bundle
    lava_machines.py   what differs between this computer and a chip, the same in every bundle
    lava_reading.py    how the class is read, the same in every bundle
    arrays.npz         weights and delays, (post, pre) as Lava wants them
    samples.npz        input spikes of some samples in event form, and their labels
    expected.npz       outputs of the emulator on these samples
    README.md          how to run it

The script builds plain Lava processes (`LIF`, `Dense`, `DelayDense`, `Sparse`, `DelaySparse`) and leaves
the recording to the run configuration: on the CPU a process model that inherits Lava's own bit-accurate LIF,
calls its `run_spk` and copies u, v and the spikes to shared memory. Against three Monitors for each population
that is exactly the same numbers at a third of the time per step, and no value crosses a channel alone.
**Not executed: what the scripts do with ``--on loihi2`` has run with stand-ins for a chip only.**
The script of a network for Loihi 1 refuses it: no public software leads from Lava to that chip.

Names of populations reach the script only through ``ascii()`` and as identifiers made by `_identifiers`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import write_arrays
from hardware_targets.emulation import check_sources
from hardware_targets.expectation import accuracy_line, digest_of
from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import (
    LAVA_SLOT_MAX,
    READOUT_VTH,
    IntegerNetwork,
    IntegerPopulation,
    IntegerProjection,
    check_integers,
)
from hardware_targets.loihi.lava_readme import ABOUT, ON_A_CHIP, README
from hardware_targets.loihi.lava_template import BUILD, HEAD, SPARSE_IMPORT, TAIL, USAGE
from hardware_targets.sample_file import SAMPLES_NAME, sample_arrays
from hardware_targets.script_names import variable_name
from hardware_targets.vendor_python import SCRIPT_NAME
from toolchain.objective import Reading
from toolchain.spikes import SpikeTrains

ARRAYS_NAME = "arrays.npz"
EXPECTED_NAME = "expected.npz"
COPIED = {
    "lava_running.py": "loihi/lava_folder/lava_running.py",
    "lava_machines.py": "loihi/lava_folder/lava_machines.py",
    "lava_reading.py": "class_reading.py",
}
"""File of the folder -> the one of this package that it is a copy of."""


def write_lava_folder(
    network: IntegerNetwork,
    spikes: SpikeTrains,
    labels: NDArray[Any] | None,
    folder: Path,
    *,
    readout: Reading = "exp_weighted_average",
    chip: str = "loihi2",
) -> None:
    """Write the network, the samples and the script that runs them into `folder`, which is created.

    Parameters
    ----------
    network : any number of populations and projections, self projections included
    spikes : at least one sample and one step; units are the neurons of the spike sources in order
    labels : (n_samples,) integers, or None; with labels and one readout the script prints an accuracy
    readout : how it reads a class (`toolchain.objective`)
    chip : that the network was made for; only on Loihi 2 can the script be told to run

    Raises
    ------
    NetworkError
        If an integer is outside what Lava takes unchanged, or a name cannot name a trace.
    InputError
        If spikes or labels do not fit the network.
    """
    check_integers(network, LAVA_SLOT_MAX)
    check_sources(network.sources, spikes)
    samples = sample_arrays(spikes, labels)
    folder.mkdir(parents=True, exist_ok=True)
    names = _identifiers(network)
    outputs = _outputs(network, readout)
    result = emulate(network, spikes, traces=True)
    expected = {f"{kind}/{name}": (result.v if kind == "v" else result.spikes)[name] for name, kind in outputs.items()}
    write_arrays(folder / ARRAYS_NAME, _arrays(network, names))
    write_arrays(folder / SAMPLES_NAME, samples)
    write_arrays(folder / EXPECTED_NAME, expected)
    (folder / SCRIPT_NAME).write_text(_script(network, names, outputs, readout, chip), encoding="utf-8")
    for name, origin in COPIED.items():
        shutil.copyfile(Path(__file__).parents[1] / origin, folder / name)
    values = next(iter(expected.values())) if len(outputs) == 1 else None
    accuracy = accuracy_line(readout, values, samples.get("labels"))
    text = _readme(network, spikes, accuracy, digest_of(expected), chip)
    (folder / "README.md").write_text(text, encoding="utf-8")


def _identifiers(network: IntegerNetwork) -> dict[str, str]:
    """A variable name for each population and projection, by its name: readable, safe and unique."""
    taken = {"arrays", "network", "csr_matrix", "main"}
    reserved = {"input", "print", "sum", "zip"}
    identifiers = {p.name: variable_name(p.name, taken, reserved) for p in network.populations}
    for projection in network.projections:
        source, target = (identifiers[end].strip("_") for end in (projection.source, projection.target))
        identifiers[projection.name] = variable_name(f"{source}_to_{target}", taken, reserved)
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


def _origin(network: IntegerNetwork) -> dict[str, str]:
    """Population -> itself, or for a relay the population whose spikes it repeats."""
    return {p.name: p.relays_of or p.name for p in network.populations}


def _outputs(network: IntegerNetwork, readout: Reading) -> dict[str, str]:
    """Populations that project to no other -> "v" if that is read, or "s"; what a relay does, its source does."""
    origin = _origin(network)
    passing_on = {origin[p.source] for p in network.projections if origin[p.source] != origin[p.target]}
    names = [p.name for p in network.simulated if p.relays_of is None and p.name not in passing_on]
    of_kind = {n: "v" if network[n].kind == "leaky_readout" else "s" for n in names}
    return {names[0]: "s" if readout == "first_spike" else "v"} if len(names) == 1 else of_kind


def _circles(network: IntegerNetwork) -> tuple[list[str], int]:
    """Populations that can excite themselves, and how many populations in a row pass spikes on.

    Populations of one circle count as one in the row; those that project nowhere do not count.
    """
    after: dict[str, set[str]] = {p.name: set() for p in network.populations}
    for projection in network.projections:
        after[projection.source].add(projection.target)
    reached = {name: _reachable(name, after) for name in after}
    cyclic = [p.name for p in network.simulated if p.name in reached[p.name]]
    rows: dict[str, int] = {}

    def row(name: str) -> int:
        """Longest way from here on, through populations that pass spikes on."""
        if name not in rows:
            circle = {n for n in reached[name] if name in reached[n]} | {name}
            beyond = {n for member in circle for n in after[member]} - circle
            rows[name] = (1 if after[name] else 0) + max((row(n) for n in beyond), default=0)
        return rows[name]

    return cyclic, max(row(name) for name in after)


def _reachable(name: str, after: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(after[name])
    while waiting:
        found.add(current := waiting.pop())
        waiting += after[current] - found
    return found


def _population_block(population: IntegerPopulation, name: str, first: int) -> str:
    shown, size = ascii(population.name), population.size
    if population.kind == "spike_source":
        return (
            f"    # Population {shown}: {size} spike sources, units {first} to {first + size - 1} of the samples.\n"
            f"    {name} = network.stream({first}, {size})\n"
        )
    what = f"{size} LIF neurons"
    if population.relays_of is not None:
        what = f"{size} relays, which repeat spikes of {population.relays_of!a} later, for delays beyond the slots"
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


def _script(
    network: IntegerNetwork, names: dict[str, str], outputs: dict[str, str], readout: Reading, chip: str
) -> str:
    blocks: list[str] = []
    first = 0
    sending = {p.source for p in network.projections}
    for population in network.populations:
        # A source that leads nowhere is no part of what Lava runs, and nothing would take its spikes.
        if population.kind != "spike_source" or population.name in sending:
            blocks.append(_population_block(population, names[population.name], first))
        first += population.size if population.kind == "spike_source" else 0
    blocks += [_projection_block(projection, names) for projection in network.projections]
    cyclic, depth = _circles(network)
    about = {
        "chip": chip,
        "n_sources": first,
        "outputs": outputs,
        "readout": next(iter(outputs)) if len(outputs) == 1 else None,
        "reading": readout,
        "longest_slot": max((_max_slot(p) for p in network.projections), default=0),
        "depth": depth,
        "cyclic": cyclic,
        "start_from": _separate_parts(network),
    }
    arguments = "".join(f"        {key}={value!a},\n" for key, value in about.items())
    masked = any(p.mask is not None for p in network.projections)
    return (
        HEAD.replace("# SPARSE\n", SPARSE_IMPORT if masked else "").replace("# CHIP\n", USAGE[chip])
        + BUILD
        + "\n".join(blocks)
        + TAIL.replace("        # ABOUT\n", arguments)
    )


def _readme(network: IntegerNetwork, spikes: SpikeTrains, accuracy: str | None, digest: str, chip: str) -> str:
    populations = "\n".join(
        f"- {p.name}: {p.kind}, {p.size} neurons" + (f", relays of {p.relays_of}" if p.relays_of else "")
        for p in network.populations
    )
    projections = "\n".join(
        f"- {p.source} to {p.target}: {p.n_synapses} synapses, weights times 2^{p.exponent}, slots up to {_max_slot(p)}"
        for p in network.projections
    )
    return README.format(
        about=ABOUT[chip],
        on_a_chip=ON_A_CHIP[chip],
        populations=populations,
        projections=projections,
        n_samples=spikes.n_samples,
        n_steps=spikes.n_steps,
        n_units=spikes.n_units,
        dt_ms=network.dt_ms,
        readout_vth=READOUT_VTH,
        accuracy=accuracy or "no accuracy, for want of labels or of a single output",
        digest=digest,
    )
