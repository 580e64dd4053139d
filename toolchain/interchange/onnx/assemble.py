"""From a step to a model: one Scan over time around the functions of its populations and projections.

Inputs are ``<source>/spikes`` (batch, steps, size) bool; outputs ``<population>/spikes`` (batch, steps, size) bool and
``<readout>/<state>``, (batch, steps, size), at the end of each step, on request the states of all populations. Batch
and steps may be of any size. Names of populations have no slash, so that no two of these are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain import __version__
from toolchain.errors import InterchangeError
from toolchain.interchange.onnx.delivery import DOMAIN, IR_VERSION, OPSET
from toolchain.interchange.onnx.package import require_onnx
from toolchain.interchange.onnx.step_graph import Array, StepGraph, StepPopulation

FORMAT = 1
PREFIX = "delayline."
UNDER_WAY = "arriving"
"""What is under way to a population: (batch, rows, columns), row r for r + 1 steps later."""
LARGEST = 2**31 - 1
"""Bytes that a protocol buffer can have, and so an ONNX file without files beside it."""
WIDTH = 2**31 - 1
"""Places of what is under way to a population: beyond, no runtime would have the memory."""

ABOUT = """A spiking network with a delay for each synapse, exported by delayline {version}.
Numbers: {numbers}. One step of this graph is one step of the network, of {dt:g} ms. A spike of step t on a synapse of
slot k arrives at step t + 1 + k. Inputs are spikes, (batch, steps, neurons); every sample starts from rest.
The functions of the domain 'delayline' are part of this file and made of standard operators."""


def assemble(
    graph: StepGraph,
    *,
    states: bool = False,
    provenance: Mapping[str, Any] | None = None,
    version: str = __version__,
) -> Any:
    """The `onnx.ModelProto` of a step, the same bytes for the same network.

    Parameters
    ----------
    states : whether the model offers all states of all populations, and not that of the readout alone
    provenance : where the network is from, JSON types
    version : of this program, that the file says it is from

    Raises
    ------
    InterchangeError
        If the file would exceed `LARGEST`, or a delay is longer than any runtime can hold.
    MissingDependencyError
        If onnx is not installed.
    """
    require_onnx()
    from onnx import helper, numpy_helper, parser

    for population in graph.populations:
        rows = _rows(graph, population)
        places = rows * population.lanes * population.size
        if places > WIDTH:
            raise InterchangeError(
                f"population {population.name}: delays up to slot {rows - 1} onto {population.size} neurons need "
                f"{places} places for what is under way, at most {WIDTH} can be; train with a smaller training.max_slot"
            )
    tensors = graph.tensors()
    size = sum(array.nbytes for array in tensors.values())
    # What is no tensor is a few hundred bytes for each population and projection, and the description.
    if size > LARGEST - 2**24:
        raise InterchangeError(
            f"network: its tensors take {size} bytes, an ONNX file holds at most {LARGEST}; export it quantised"
        )
    wiring = _Wiring(graph, states)
    everything = {**tensors, **wiring.initial}
    model = helper.make_model(
        helper.make_graph(
            wiring.outer_nodes(),
            "network",
            wiring.inputs(),
            wiring.outputs(),
            [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in everything.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
        functions=[parser.parse_function(text) for text in graph.functions],
        producer_name="delayline",
        producer_version=version,
    )
    model.doc_string = ABOUT.format(version=version, numbers=graph.numbers, dt=graph.dt_ms)
    entries = {
        "format": FORMAT,
        "numbers": graph.numbers,
        "states": states,
        "description": graph.description,
        "provenance": dict(provenance or {}),
        "sha256": digest(everything),
    }
    for key, value in entries.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, allow_nan=False)
        model.metadata_props.add(key=PREFIX + key, value=text)
    return model


def digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and content of tensors, in order of their names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _rows(graph: StepGraph, population: StepPopulation) -> int:
    """Steps that a spike may be under way to a population, at least 1."""
    return max((p.rows for p in graph.projections if p.target == population.name), default=1)


class _Wiring:
    """Names, shapes and nodes of a model.

    In a step, values are called ``<population>/<state>/before`` and ``after``; what is under way has projections for
    names on its way through them.
    """

    def __init__(self, graph: StepGraph, states: bool) -> None:
        self._graph, self._states = graph, states
        self.initial: dict[str, Array] = {}
        for population in graph.populations:
            shape = (_rows(graph, population), population.lanes * population.size)
            self.initial[f"{population.name}/{UNDER_WAY}/first"] = np.zeros((), dtype=population.dtype)
            self.initial[f"{population.name}/{UNDER_WAY}/shape"] = np.array(shape, dtype=np.int64)
            self.initial[f"{population.name}/shape"] = np.array([population.size], dtype=np.int64)
            for state, array in population.states.items():
                self.initial[f"{population.name}/{state}/first"] = array

    def _carried(self, population: StepPopulation) -> dict[str, tuple[np.dtype[Any], tuple[int, ...], str]]:
        """What the Scan carries from step to step: name -> its type, its shape after the batch, and who has that."""
        name, size = population.name, population.size
        width = (_rows(self._graph, population), population.lanes * size)
        found: dict[str, tuple[np.dtype[Any], tuple[int, ...], str]] = {
            f"{name}/{UNDER_WAY}": (population.dtype, width, f"{name}/{UNDER_WAY}/shape")
        }
        for state, array in population.states.items():
            found[f"{name}/{state}"] = (array.dtype, (size,), f"{name}/shape")
        return found

    def _recorded(self, population: StepPopulation) -> Iterator[tuple[str, str, np.dtype[Any]]]:
        """Name of an output of the model, of the value in the step that it records, and its type."""
        name = population.name
        if population.spiking:
            yield f"{name}/spikes", f"{name}/spikes/after", np.dtype(np.bool_)
        for quantity in population.offered:
            if self._states or quantity == population.read:
                which = "observed" if quantity in population.observed else "after"
                yield f"{name}/{quantity}", f"{name}/{quantity}/{which}", population.states[quantity].dtype

    def inputs(self) -> list[Any]:
        """Spikes of the sources."""
        return [
            _value(f"{name}/spikes", np.dtype(np.bool_), ("batch", "steps", size))
            for name, size in self._graph.sources.items()
        ]

    def outputs(self) -> list[Any]:
        """What the model offers."""
        return [
            _value(output, dtype, ("batch", "steps", population.size))
            for population in self._graph.populations
            for output, _, dtype in self._recorded(population)
        ]

    def outer_nodes(self) -> list[Any]:
        """States at the start, for the batch that is given, and the Scan."""
        from onnx import helper

        sources = [f"{name}/spikes" for name in self._graph.sources]
        nodes, starts, ends, recorded = [], [], [], []
        for population in self._graph.populations:
            for carried, (_, _, width) in self._carried(population).items():
                starts.append(f"{carried}/start")
                nodes.append(_call("AtRest", [sources[0], width, f"{carried}/first"], starts[-1:], starts[-1]))
                ends.append(f"{carried}/end")
            recorded += [output for output, _, _ in self._recorded(population)]
        # Time first, as the Scan of every runtime takes it; some take nothing else.
        swap = [1, 0, 2]
        nodes += [helper.make_node("Transpose", [n], [f"{n}/steps"], f"{n}/steps", perm=swap) for n in sources]
        scan = helper.make_node(
            "Scan",
            [*starts, *(f"{name}/steps" for name in sources)],
            [*ends, *(f"{name}/steps" for name in recorded)],
            "time",
            body=self._step(),
            num_scan_inputs=len(sources),
        )
        back = [helper.make_node("Transpose", [f"{n}/steps"], [n], n, perm=swap) for n in recorded]
        return [*nodes, scan, *back]

    def _step(self) -> Any:
        """All populations take what arrives, then all spikes are sent on."""
        from onnx import helper

        inputs, outputs, recorded, nodes = [], [], [], []
        under_way = {}
        for population in self._graph.populations:
            name = population.name
            for carried, (dtype, shape, _) in self._carried(population).items():
                inputs.append(_value(f"{carried}/before", dtype, ("batch", *shape)))
            nodes.append(
                _call(
                    "TakeNext", [f"{name}/{UNDER_WAY}/before"], [f"{name}/now", f"{name}/later"], f"{name}/{UNDER_WAY}"
                )
            )
            under_way[name] = f"{name}/later"
            given = [f"{name}/{state}/before" for state in population.states]
            constants = [f"{name}/{key}" for key in population.constants]
            returned = [f"{name}/{state}/after" for state in population.states]
            returned += [f"{name}/spikes/after"] if population.spiking else []
            returned += [f"{name}/{quantity}/observed" for quantity in population.observed]
            nodes.append(_call(population.function, [f"{name}/now", *given, *constants], returned, name))
        spikes = {name: f"{name}/spikes/given" for name in self._graph.sources}
        spikes |= {p.name: f"{p.name}/spikes/after" for p in self._graph.populations if p.spiking}
        for projection in self._graph.projections:
            name, target = projection.name, projection.target
            tensors = [f"{name}/{key}" for key in projection.tensors]
            given = [under_way[target], spikes[projection.source], *tensors]
            under_way[target] = f"{name}/{UNDER_WAY}"
            nodes.append(_call(projection.function, given, [under_way[target]], name))
        for population in self._graph.populations:
            for carried, (dtype, shape, _) in self._carried(population).items():
                is_buffer = carried == f"{population.name}/{UNDER_WAY}"
                value = under_way[population.name] if is_buffer else f"{carried}/after"
                outputs.append(_value(value, dtype, ("batch", *shape)))
            for output, value, dtype in self._recorded(population):
                # The value may be carried as well, and no output of a graph may be listed twice.
                nodes.append(helper.make_node("Identity", [value], [f"{output}/recorded"], f"{output}/recorded"))
                recorded.append(_value(f"{output}/recorded", dtype, ("batch", population.size)))
        for name, size in self._graph.sources.items():
            inputs.append(_value(spikes[name], np.dtype(np.bool_), ("batch", size)))
        return helper.make_graph(nodes, "step", inputs, [*outputs, *recorded])


def _call(function: str, given: list[str], returned: list[str], name: str) -> Any:
    from onnx import helper

    return helper.make_node(function, given, returned, name, domain=DOMAIN)


def _value(name: str, dtype: np.dtype[Any], shape: tuple[str | int, ...]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
