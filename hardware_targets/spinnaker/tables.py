"""All tables of a network as its cores read them: words of every region, with cores, keys and places.

They hold everything that sPyNNaker loads for synapses and delays: `SynapseParams`, `PopTable` and `SynBlocks` of every
core with neurons, `delay_params` of every core of a delay extension. Tables can be stored (`arrays`) and printed
(`describe_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_targets.spinnaker.delay_tables import delay_parameters
from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.keys import VertexKeys
from hardware_targets.spinnaker.limits import WORD_BYTES
from hardware_targets.spinnaker.memory import aligned, matrix_shapes
from hardware_targets.spinnaker.placing import Place
from hardware_targets.spinnaker.plan import Plan, PlannedCore
from hardware_targets.spinnaker.planner import DELAYED
from hardware_targets.spinnaker.population_table import Address, TableEntry, population_table
from hardware_targets.spinnaker.pynn_view import synapse_lists
from hardware_targets.spinnaker.synapse_parameters import synapse_parameters
from hardware_targets.spinnaker.synaptic_rows import WEIGHT_AT, Matrix, build_matrix
from toolchain.errors import BundleError

U32 = NDArray[np.uint32]
SYNAPSE_PARAMS, POP_TABLE, SYN_BLOCKS, DELAY_PARAMS = "SynapseParams", "PopTable", "SynBlocks", "delay_params"
"""Regions, as sPyNNaker calls them."""
PARAMETER_WORDS = {SYNAPSE_PARAMS: 9, DELAY_PARAMS: 9}
COMPLETE: tuple[set[str], ...] = (set(), {DELAY_PARAMS}, {SYNAPSE_PARAMS, POP_TABLE, SYN_BLOCKS})
"""Regions of a core with a spike source, a delay extension and neurons."""
BITS_IN_WORD = 32
LARGEST_WORD = 0xFFFFFFFF
REGIONS = (SYNAPSE_PARAMS, POP_TABLE, SYN_BLOCKS, DELAY_PARAMS)


@dataclass(frozen=True, eq=False)
class TableCore:
    """One core and the words of its regions; a core of a spike source has none."""

    core: PlannedCore
    regions: Mapping[str, U32]


@dataclass(frozen=True)
class Tables:
    """Tables of a network.

    Attributes
    ----------
    cores : populations in order, then delay extensions
    keys : vertex that sends -> its keys
    misplaced : projections that sPyNNaker 7.4.1 would write into other rows, which are not those that its cores read
    """

    cores: tuple[TableCore, ...]
    keys: Mapping[str, VertexKeys]
    misplaced: tuple[str, ...]

    def of(self, vertex: str) -> list[TableCore]:
        """Cores of a population, or of its extension under its name with ``_delayed``."""
        return [core for core in self.cores if core.core.vertex == vertex]

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Words of all regions, and a JSON header; `restore_tables` is the inverse."""
        words: dict[str, NDArray[Any]] = {
            f"{c.core.vertex}.{c.core.index}.{name}": region for c in self.cores for name, region in c.regions.items()
        }
        header = {
            "cores": [asdict(c.core) for c in self.cores],
            "keys": {name: asdict(keys) for name, keys in self.keys.items()},
            "misplaced": list(self.misplaced),
        }
        return words, header


def restore_tables(arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Tables:
    """Rebuild what `Tables.arrays` returned; BundleError if it is damaged."""
    try:
        cores = []
        for core in _restore_cores(header["cores"]):
            names = {name: f"{core.vertex}.{core.index}.{name}" for name in REGIONS}
            regions = {name: arrays[key] for name, key in names.items() if key in arrays}
            for name, words in regions.items():
                if words.dtype != np.uint32 or words.ndim != 1:
                    raise ValueError(f"{names[name]} is {words.dtype}{words.shape}, must be words in one row")
                _check_words(names[name], name, words)
            if set(regions) not in COMPLETE:
                raise ValueError(f"core {core.index} of {core.vertex} has {', '.join(regions)} alone")
            cores.append(TableCore(core, regions))
        keys = {name: _restore_keys(name, entry, cores) for name, entry in header["keys"].items()}
        misplaced = header["misplaced"]
        if not isinstance(misplaced, list) or not all(isinstance(name, str) for name in misplaced):
            raise ValueError(f"misplaced {misplaced!r} is no list of names")
        return Tables(tuple(cores), keys, tuple(misplaced))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"tables in the bundle are damaged: {error}; deploy again") from error


def _restore_cores(entries: Any) -> list[PlannedCore]:
    """Cores of a header, numbered within their vertex."""
    if not isinstance(entries, list) or not entries:
        raise ValueError("there is no list of cores")
    found: list[PlannedCore] = []
    for entry in entries:
        for field in ("vertex", "population"):
            if not isinstance(entry[field], str):
                raise ValueError(f"{field} {entry[field]!r} of a core is no name")
        where = f"core of {entry['vertex']}"
        place = None
        if entry["place"] is not None:
            place = Place(**{axis: _whole(f"{axis} of a {where}", entry["place"][axis]) for axis in ("x", "y", "core")})
        numbers = {field: _whole(f"{field} of a {where}", entry[field]) for field in ("index", "first", "last")}
        core = PlannedCore(**{**entry, **numbers, "place": place})
        if core.index != sum(other.vertex == core.vertex for other in found) or core.first > core.last:
            raise ValueError(f"{where} with the number {core.index} holds neurons {core.first}..{core.last}")
        found.append(core)
    return found


def _restore_keys(name: str, entry: Mapping[str, Any], cores: list[TableCore]) -> VertexKeys:
    """Keys of a vertex, one for each of its cores."""
    each = tuple(_whole(f"a key of {name}", key) for key in entry["core_keys"])
    if len(each) != sum(core.core.vertex == name for core in cores):
        raise ValueError(f"{name} has {len(each)} keys, but not as many cores")
    key, mask = (_whole(f"{field} of {name}", entry[field]) for field in ("key", "mask"))
    bits = _whole(f"atom_bits of {name}", entry["atom_bits"], BITS_IN_WORD)
    return VertexKeys(key, mask, bits, each)


def _whole(what: str, value: object, most: int = LARGEST_WORD) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{what} is {value!r}, must be a whole number from 0 to {most}")
    return value


def _check_words(where: str, region: str, words: U32) -> None:
    """Refuse figures that whoever reads the tables would take sizes from."""
    if region in PARAMETER_WORDS and words.size != PARAMETER_WORDS[region]:
        raise ValueError(f"{where} has {words.size} words, must have {PARAMETER_WORDS[region]}")
    if region == SYNAPSE_PARAMS and int(words[2:5].sum()) > WEIGHT_AT:
        raise ValueError(f"{where}: its fields take {int(words[2:5].sum())} bits, a word has {WEIGHT_AT} for them")
    if region == DELAY_PARAMS and max(int(words[4]), int(words[5])) >= 1 << WEIGHT_AT:
        raise ValueError(f"{where}: {words[4]} neurons and {words[5]} stages are not those of a core")
    if region == POP_TABLE and (words.size < 2 or words.size != 2 + 5 * int(words[0]) + int(words[1])):
        raise ValueError(f"{where} has {words.size} words, which are not as many as its first two say")


def build_tables(network: IntegerNetwork, plan: Plan) -> Tables:
    """Every region of every core.

    Parameters
    ----------
    network : the one that `plan` was made of

    Raises
    ------
    TargetLimitError
        If a row or an entry of a table is larger than its field.
    """
    found: dict[tuple[str, int], dict[str, U32]] = {}
    for population in network.simulated:
        name, layout = population.name, plan.layout
        parameters = synapse_parameters(
            neurons=layout.neurons[name], slots=layout.slots[name], shifts=population.shifts, limits=plan.limits
        )
        matrices = _matrices(network, plan, name)
        addresses = _addresses(matrices, plan)
        table = population_table(_entries(matrices, addresses, plan), plan.limits)
        for core in plan.of(name):
            rows = _blocks(matrices, addresses, core.index)
            found[name, core.index] = {SYNAPSE_PARAMS: parameters, POP_TABLE: table, SYN_BLOCKS: rows}
    for name, stages in plan.layout.stages.items():
        for core in plan.of(f"{name}{DELAYED}"):
            found[core.vertex, core.index] = {DELAY_PARAMS: _delay_parameters(core, stages, plan)}
    cores = tuple(TableCore(core, found.get((core.vertex, core.index), {})) for core in plan.cores)
    return Tables(cores, plan.keys, plan.misplaced)


def _matrices(network: IntegerNetwork, plan: Plan, name: str) -> list[Matrix]:
    """Matrices of a population's cores, in the order of its table."""
    lists = {(s.source, s.type): s for s in synapse_lists(network) if s.target == name}
    shapes = matrix_shapes(plan.layout, name)
    return [build_matrix(lists[shape.source, shape.type], shape, plan.layout) for shape in shapes]


def _addresses(matrices: list[Matrix], plan: Plan) -> list[Address]:
    """Where each matrix begins."""
    found, end = [], 0
    for matrix in matrices:
        if matrix.shape.row_words:
            end = aligned(end, plan.layout)
        found.append(Address(end, matrix.shape.row_words))
        end += matrix.words[0].size * WORD_BYTES
    return found


def _entries(matrices: list[Matrix], addresses: list[Address], plan: Plan) -> list[TableEntry]:
    """An entry for each vertex whose spikes arrive."""
    of: dict[tuple[str, int], list[Address]] = {}
    for matrix, address in zip(matrices, addresses, strict=True):
        of.setdefault((matrix.shape.source, matrix.shape.stages), []).append(address)
    found = []
    for (source, stages), held in of.items():
        vertex = f"{source}{DELAYED}" if stages else source
        neurons = plan.layout.neurons[source] * max(1, stages)
        found.append(TableEntry(vertex, plan.keys[vertex], neurons, tuple(held)))
    return found


def _blocks(matrices: list[Matrix], addresses: list[Address], core: int) -> U32:
    """All rows of one core, with zeros where a matrix begins later than the one before ends."""
    ends = [a.offset // WORD_BYTES + m.words[core].size for m, a in zip(matrices, addresses, strict=True)]
    words = np.zeros(max(ends, default=0), dtype=np.uint32)
    for matrix, address in zip(matrices, addresses, strict=True):
        block = matrix.words[core].ravel()
        start = address.offset // WORD_BYTES
        words[start : start + block.size] = block
    return words


def _delay_parameters(core: PlannedCore, stages: int, plan: Plan) -> U32:
    source, own = plan.keys[core.population], plan.keys[core.vertex]
    (stage,) = plan.layout.stage_lengths(core.population)
    return delay_parameters(
        key=own.core_keys[core.index],
        incoming_key=source.core_keys[core.index],
        incoming_mask=source.core_mask,
        neurons=core.size,
        stages=stages,
        stage=stage,
        colour_bits=plan.limits["colour_bits"],
    )
