"""The sPyNNaker part of a bundle: a folder that runs with nothing but sPyNNaker 7.4.1 (which brings numpy).

    network.py            a PyNN script a person can read: one block per population and list of synapses
    spynnaker_*.py        how samples pass through it and how it is mapped, the same in every bundle
    class_reading.py      how the class is read, the same in every bundle
    network.json          sizes, readout, what lies between samples
    arrays.npz            lists of synapses, as `FromListConnector` takes them
    samples.npz           input spikes of some samples in event form, and their labels
    expected.npz          spikes of all populations and v of the readout, by the emulator, on these samples
    tables.npz, .json     the words of every region of every core (`tables`), ready to be loaded
    README.md             how to run it

**Not executed: the script has run on sPyNNaker's virtual board, which maps and runs nothing, and with a stand-in that
computes in the chip's integers; never on a board.**

Names of populations reach the script only through ``ascii()`` and as identifiers made by `_identifiers`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.array_files import write_arrays
from hardware_targets.emulation import check_sources
from hardware_targets.expectation import accuracy_line, digest_of
from hardware_targets.sample_file import SAMPLES_NAME, sample_arrays
from hardware_targets.script_names import variable_name
from hardware_targets.spinnaker.clearing import HIGHEST, Clearing, NotClearableError, plan_clearing
from hardware_targets.spinnaker.emulator import Emulation, emulate
from hardware_targets.spinnaker.integer_network import INHIBITORY, ONE, IntegerNetwork, IntegerPopulation
from hardware_targets.spinnaker.plan import Plan
from hardware_targets.spinnaker.pynn_view import SynapseList, population_parameters, synapse_lists
from hardware_targets.spinnaker.spynnaker_readme import README, planned_text, together_text
from hardware_targets.spinnaker.spynnaker_template import BUILD, HEAD, LIST, NEURONS, SOURCE, TAIL
from hardware_targets.spinnaker.tables import build_tables
from hardware_targets.vendor_python import SCRIPT_NAME
from toolchain.errors import TargetLimitError
from toolchain.objective import Reading
from toolchain.spikes import SpikeTrains
from toolchain.storage import write_json

ARRAYS_NAME, EXPECTED_NAME, ABOUT_NAME = "arrays.npz", "expected.npz", "network.json"
TABLES_NAME, HEADER_NAME = "tables.npz", "tables.json"
COPIED = {
    **{
        f"{name}.py": f"spinnaker/spynnaker_folder/{name}.py"
        for name in ("spynnaker_running", "spynnaker_samples", "spynnaker_virtual")
    },
    "class_reading.py": "class_reading.py",
}
"""File of the folder -> the one of this package that it is a copy of."""
PYNN_NAMES = {"tau_syn_e": "tau_syn_E", "tau_syn_i": "tau_syn_I"}
USED_BY_SCRIPT = frozenset({"arrays", "network", "sim", "main", "sys", "list", "spynnaker_samples"})
"""Names that `network.py` itself uses where populations are variables."""
CLASSES_OF = ("exp_weighted_average", "average", "sum", "maximum", "first_spike")
"""Readings that give a class."""


def write_spynnaker_folder(
    network: IntegerNetwork,
    plan: Plan,
    spikes: SpikeTrains,
    labels: NDArray[Any] | None,
    folder: Path,
    *,
    readout: Reading,
    allow_misplaced: bool = False,
) -> None:
    """Write the network, the samples, the script that runs them and all tables into `folder`, which is created.

    Parameters
    ----------
    network, plan : the network and the plan that was made of it
    spikes : at least one sample and one step; units are the neurons of the spike sources in order
    labels : (n_samples,) integers, or None; with labels and one output the script prints an accuracy
    readout : how it reads a class (`toolchain.objective`)
    allow_misplaced : also write what sPyNNaker would map wrongly, to compare with what it does

    Raises
    ------
    NetworkError
        If an integer is none that SpiNNaker can hold.
    InputError
        If spikes or labels do not fit the network.
    TargetLimitError
        If a row or an entry of a table is larger than its field, or sPyNNaker would put synapses into wrong rows.
    """
    if plan.misplaced and not allow_misplaced:
        raise TargetLimitError(
            f"projection {plan.misplaced[0]}: in this layout sPyNNaker 7.4.1 puts synapses of "
            f"{', '.join(plan.misplaced)} into rows that no core reads; leave the neurons a core to the planner"
        )
    check_sources(network.sources, spikes)
    samples = sample_arrays(spikes, labels)
    result = emulate(network, spikes, traces=True)
    voltages = [p.name for p in network.simulated if p.kind == "leaky_readout"]
    expected: dict[str, NDArray[Any]] = {f"s/{p.name}": result.spikes[p.name] for p in network.simulated}
    expected |= {f"v/{name}": result.v[name] for name in voltages}
    clearing, refused = _clearing(network, result)
    output = _readout(network, readout)
    tables, header = build_tables(network, plan).arrays()
    names = _identifiers(network)
    lists = synapse_lists(network)
    arrays = {_list_name(s, names): s.rows(network[s.target].shifts[s.type], network.dt_ms) for s in lists}
    for population in network.simulated:
        arrays |= _uneven(population, names)
    about = {
        "dt_ms": network.dt_ms,
        "n_sources": spikes.n_units,
        "simulated": {p.name: p.size for p in network.simulated},
        "voltages": voltages,
        "readout": output,
        "reading": readout,
        "boards": plan.boards,
        "board_version": plan.board.version,
        "clearing": None if clearing is None else {**clearing.to_json(), "nA": _currents(network, clearing)},
        "not_clearable": refused,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / ARRAYS_NAME, arrays)
    write_arrays(folder / SAMPLES_NAME, samples)
    write_arrays(folder / EXPECTED_NAME, expected)
    write_arrays(folder / TABLES_NAME, tables)
    write_json(folder / HEADER_NAME, header)
    write_json(folder / ABOUT_NAME, about)
    (folder / SCRIPT_NAME).write_text(_script(network, plan, names, lists), encoding="utf-8")
    for name, origin in COPIED.items():
        shutil.copyfile(Path(__file__).parents[1] / origin, folder / name)
    accuracy = accuracy_line(readout, expected[output] if output else None, samples.get("labels"))
    text = README.format(
        dt_ms=network.dt_ms,
        populations="\n".join(
            f"- {p.name}: {p.kind}, {p.size} neurons; {plan.reasons[p.name]}" for p in network.populations
        ),
        projections="\n".join(f"- {_about_list(s)}" for s in lists),
        planned=planned_text(plan.boards, plan.board.version, plan.board.n_chips),
        version=plan.board.version,
        together=together_text(clearing, refused, network.dt_ms),
        n_samples=spikes.n_samples,
        n_steps=spikes.n_steps,
        n_units=spikes.n_units,
        accuracy=accuracy or "(no line of accuracy, for want of labels or of a single output)",
        digest=digest_of(expected),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _clearing(network: IntegerNetwork, seen: Emulation) -> tuple[Clearing | None, str | None]:
    """How samples can share a run, or why they cannot; `seen` is what these samples do."""
    try:
        clearing = plan_clearing(network)
    except NotClearableError as error:
        return None, str(error)
    for population in network.simulated:
        name = population.name
        highest = max(int(values[name].max(initial=0)) for values in (seen.exc, seen.inh))
        if highest > HIGHEST or seen.state_wraps[name]:
            return None, f"population {name}: synaptic values of these samples leave the range that is covered"
    return clearing, None


def _currents(network: IntegerNetwork, clearing: Clearing) -> dict[str, float]:
    """Population -> weight of its kick in nA."""
    return {name: w / 2.0 ** (15 - network[name].shifts[INHIBITORY]) for name, w in clearing.weights.items()}


def _readout(network: IntegerNetwork, reading: Reading) -> str | None:
    """Key of the trace that a class is read of: that of the one population that projects to no other."""
    passing_on = {p.source for p in network.projections if p.source != p.target}
    ends = [p for p in network.simulated if p.name not in passing_on]
    if len(ends) != 1 or reading not in CLASSES_OF or (reading == "first_spike") == (ends[0].kind == "leaky_readout"):
        return None
    return f"{'s' if reading == 'first_spike' else 'v'}/{ends[0].name}"


def _identifiers(network: IntegerNetwork) -> dict[str, str]:
    """A variable name for each population: readable, safe and unique."""
    taken: set[str] = set()
    return {p.name: variable_name(p.name, taken, USED_BY_SCRIPT) for p in network.populations}


def _list_name(synapses: SynapseList, names: dict[str, str]) -> str:
    """Key of a list in arrays.npz; a dot is in no identifier, so two lists never share one."""
    return f"{names[synapses.source]}.{names[synapses.target]}.{synapses.receptor}"


def _parameters(population: IntegerPopulation) -> dict[str, NDArray[np.int32]]:
    """Parameters by PyNN's names."""
    assert population.parameters is not None, "checked with the network"
    return {PYNN_NAMES.get(name, name): values for name, values in vars(population.parameters).items()}


def _uneven(population: IntegerPopulation, names: dict[str, str]) -> dict[str, NDArray[Any]]:
    """Parameters that differ from neuron to neuron, which do not stand in the script."""
    found = _parameters(population)
    return {f"{names[population.name]}.{name}": v / ONE for name, v in found.items() if (v != v[0]).any()}


def _about_list(synapses: SynapseList) -> str:
    least, most = int(synapses.delay.min()), int(synapses.delay.max())
    return (
        f"{synapses.source} to {synapses.target}: {synapses.pre.size} {synapses.receptor} synapses, "
        f"delays of {least} to {most} ticks"
    )


def _population_block(population: IntegerPopulation, plan: Plan, names: dict[str, str], first: int) -> str:
    name, shown = names[population.name], ascii(population.name)
    options = json.dumps(population_parameters(population, plan.layout.neurons[population.name]))
    if population.kind == "spike_source":
        last = first + population.size - 1
        return SOURCE.format(name=name, shown=shown, size=population.size, first=first, last=last, options=options)
    uneven = _uneven(population, names)
    lines = [
        f'            {key}=list(arrays["{name}.{key}"]),'
        if f"{name}.{key}" in uneven
        else f"            {key}={float(values[0] / ONE)!r},"
        for key, values in _parameters(population).items()
    ]
    rest = (
        f'list(arrays["{name}.v_rest"])'
        if f"{name}.v_rest" in uneven
        else repr(float(_parameters(population)["v_rest"][0] / ONE))
    )
    what = "readouts, LIF neurons with the largest threshold there is, of which v is read"
    about = what if population.kind == "leaky_readout" else "LIF neurons"
    shifts = f"{population.shifts[0]} and {population.shifts[1]}"
    return NEURONS.format(
        name=name,
        shown=shown,
        size=population.size,
        about=about,
        shifts=shifts,
        parameters="\n".join(lines),
        options=options,
        rest=rest,
    )


def _script(network: IntegerNetwork, plan: Plan, names: dict[str, str], lists: list[SynapseList]) -> str:
    blocks, first = [], 0
    for population in network.populations:
        blocks.append(_population_block(population, plan, names, first))
        first += population.size if population.kind == "spike_source" else 0
    for s in lists:
        least, most = int(s.delay.min()), int(s.delay.max())
        blocks.append(
            LIST.format(
                shown=f"{s.source!a} to {s.target!a}",
                n=s.pre.size,
                receptor=s.receptor,
                least=least,
                most=most,
                source=names[s.source],
                target=names[s.target],
                array=_list_name(s, names),
            )
        )
    return HEAD + BUILD + "\n".join(blocks) + TAIL
