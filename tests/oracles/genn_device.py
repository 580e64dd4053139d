"""What PyGeNN shows of a loaded model, with a device whose memory is its own; see `tests.oracles.genn_machine`.

GeNN's code for processors works on the very memory that the host sees, so that a copy which is forgotten goes unnoticed
there. Here a host copy says what the device holds only after it was pulled, and the device hears of it only when it is
pushed, whole as on a GPU. Host copies begin as numbers that belong to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.genn_code import UpdateCode
from tests.oracles.genn_machine import Machine
from toolchain.training.backends.genn.description import ADD_BATCH, ModelDescription, ProjectionPart

DTYPES = {"scalar": np.float32, "uint8_t": np.uint8, "uint16_t": np.uint16, "uint32_t": np.uint32}
NOBODYS = 77


class _Memory:
    """A variable or an array: `read` and `write` are of the device."""

    def __init__(self, kind: str, read: Callable[[], NDArray[Any]], write: Callable[[NDArray[Any]], None]) -> None:
        self._read, self._write = read, write
        self._host = np.full(read().shape, NOBODYS, dtype=DTYPES[kind])

    @property
    def view(self) -> NDArray[Any]:
        return self._host

    @property
    def current_view(self) -> NDArray[Any]:
        return self._host

    @property
    def values(self) -> NDArray[Any]:
        return self._host.copy()

    @values.setter
    def values(self, values: NDArray[Any]) -> None:
        self._host[:] = values

    def push_to_device(self) -> None:
        self._write(self._host)

    def pull_from_device(self) -> None:
        self._host[...] = self._read()


class _Group:
    """A population, a synapse population or a custom update."""

    def __init__(self, set_dynamic: Callable[[str, float], None]) -> None:
        self.vars: dict[str, _Memory] = {}
        self.extra_global_params: dict[str, _Memory] = {}
        self.set_dynamic_param_value = set_dynamic


class Device:
    """Stands for a `pygenn.GeNNModel` that is built and loaded."""

    def __init__(self, description: ModelDescription) -> None:
        self._machine, self._description = Machine(description), description
        self._runs: dict[str, Callable[[], None]] = {}
        self._add = UpdateCode(ADD_BATCH).code
        self.timestep, self._loaded = 0, True
        self.neuron_populations = {p.name: self._population(p.name) for p in description.populations}
        self.synapse_populations: dict[str, _Group] = {}
        self.custom_updates: dict[str, _Group] = {}
        for part in description.projections:
            self._projection(part)

    def step_time(self) -> None:
        self._machine.run(self.timestep, 1)
        self.timestep += 1

    def custom_update(self, name: str) -> None:
        self._runs[name]()

    def unload(self) -> None:
        self._loaded = False
        self._machine.close()

    def _population(self, name: str) -> _Group:
        population = self._machine.populations[name]
        group = _Group(lambda name, value: population.constants.__setitem__(name, value))
        for variable in population.part.model.variables:
            group.vars[variable.name] = self._variable(variable.type, population.values, variable.name)
        for array in population.part.model.arrays:
            memory = population.arrays[array.name]

            def write(values: NDArray[Any], memory: list[float] = memory) -> None:
                memory[:] = values.tolist()

            group.extra_global_params[array.name] = _Memory(array.type, lambda m=memory: np.array(m), write)  # type: ignore[misc]
        return group

    def _projection(self, part: ProjectionPart) -> None:
        projection = self._machine.projections[part.name]
        group = self.synapse_populations[part.name] = _Group(lambda name, value: None)
        for variable in part.model.variables:
            group.vars[variable.name] = self._variable(variable.type, projection.values, variable.name)
        if self._description.batch > 1:
            totals: dict[str, Any] = {v.name: np.zeros(part.n_synapses) for v in ADD_BATCH.variables}
            reduction = self.custom_updates[f"reduce_{part.name}"] = _Group(lambda name, value: None)
            reduction.vars = {name: self._variable("scalar", totals, name) for name in totals}

            def reduce() -> None:
                totals.update({name: np.zeros(part.n_synapses) for name in totals})
                for sample, index in np.ndindex(self._description.batch, part.n_synapses):
                    sums = {name: projection.values[name] for name, _ in ADD_BATCH.references}
                    state: dict[str, Any] = {name: values[sample, index] for name, values in sums.items()}
                    state |= dict.fromkeys(totals, 0.0)
                    self._add.run(state, {})
                    for name, values in totals.items():
                        values[index] += state[name]
                    for name, values in sums.items():
                        values[sample, index] = state[name]

            self._runs[f"reduce_{part.name}"] = reduce
        if part.update is None:
            return
        dynamic: dict[str, float] = {}
        update = self.custom_updates[f"update_{part.name}"] = _Group(dynamic.__setitem__)
        for variable in part.update.variables:
            update.vars[variable.name] = self._variable(variable.type, projection.update_values, variable.name)

        def run() -> None:
            if self._description.batch == 1:
                self._machine.update(part, dynamic)
                return
            # It works on the sums as they were added up last, and does not add them up itself.
            own = {name: projection.values[name].copy() for name in ("SumI", "SumD")}
            for name in own:
                projection.values[name][:] = 0
                projection.values[name][0] = totals[name.replace("Sum", "Total")]
            self._machine.update(part, dynamic)
            for name, values in own.items():
                projection.values[name][:] = values

        self._runs[f"update_{part.name}"] = run

    def _variable(self, kind: str, held: dict[str, Any], name: str) -> _Memory:
        def read() -> NDArray[Any]:
            values: NDArray[Any] = held[name]
            # A batch of one has no axis of its own in GeNN.
            return values[0] if values.ndim == 2 and self._description.batch == 1 else values

        def write(values: NDArray[Any]) -> None:
            held[name][...] = values

        return _Memory(kind, read, write)
