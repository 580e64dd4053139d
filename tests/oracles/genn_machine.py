"""Runs a described GeNN model in plain Python; see `tests.oracles.genn_code`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.genn_code import NeuronCode, SynapseCode, UpdateCode, held
from toolchain.training.backends.genn.description import ModelDescription, PopulationPart, ProjectionPart


class _Population:
    def __init__(self, part: PopulationPart, batch: int, history: int) -> None:
        self.part, code = part, NeuronCode(part.model)
        self.step, self.on_spike = code.step.run, code.on_spike.run
        self.spikes_if = code.spikes_if.run if code.spikes_if else None
        self.batch = batch
        self.constants: dict[str, Any] = {**part.params, **{name: 0 for name, _ in part.model.dynamic}}
        self.arrays: dict[str, list[float]] = {a.name: [0] * part.items[a.name] for a in part.model.arrays}
        self.values: dict[str, Any] = {
            v.name: np.zeros(part.size if v.shared else (batch, part.size), float if v.type == "scalar" else int)
            for v in part.model.variables
        }
        self.shared = {v.name for v in part.model.variables if v.shared}
        self.own = [(v.name, v.type) for v in part.model.variables if not v.shared]
        self.arrived, self.fed_back = np.zeros((batch, part.size)), np.zeros((batch, part.size))
        self.spikes: list[tuple[int, int]] = []
        nothing = {name: np.zeros((batch, part.size)) for name in self.values}
        self.history: deque[dict[str, Any]] = deque([nothing] * history, history)

    def update(self, t: int) -> None:
        part, self.spikes = self.part, []
        for sample in range(self.batch):
            for neuron in range(part.size):
                place = {k: neuron if k in self.shared else (sample, neuron) for k in self.values}
                own = {k: v[place[k]].item() for k, v in self.values.items()}
                state: dict[str, Any] = {**self.constants, **self.arrays, **own}
                state |= {"t": float(t), "id": neuron, "batch": sample, "num_neurons": part.size}
                state["Isyn"] = self.arrived[sample, neuron].item()
                if part.model.feedback:
                    state[part.model.feedback] = self.fed_back[sample, neuron].item()
                local: dict[str, Any] = {}
                self.step(state, local)
                if self.spikes_if is not None:
                    inner: dict[str, Any] = {}
                    self.spikes_if({**state, **local}, inner)
                    if inner["result"]:
                        self.spikes.append((sample, neuron))
                        state |= local
                        self.on_spike(state, {})
                for name, kind in self.own:
                    self.values[name][sample, neuron] = held(kind, state[name])
        self.arrived[:] = 0
        self.fed_back[:] = 0
        self.history.appendleft({name: v.copy() for name, v in self.values.items()})


class _Projection:
    def __init__(self, part: ProjectionPart, source: _Population, target: _Population) -> None:
        self.part, self.source, self.target, code = part, source, target, SynapseCode(part.model)
        self.on_spike, self.event_if, self.on_event = (c.run for c in (code.on_spike, code.event_if, code.on_event))
        pre, post = np.nonzero(np.ones(part.shape)) if part.pairs is None else part.pairs
        self.pairs = list(zip(pre.tolist(), post.tolist(), strict=True))
        self.of: dict[int, list[int]] = {}
        for index, (one, _) in enumerate(self.pairs):
            self.of.setdefault(one, []).append(index)
        self.values = {
            v.name: np.zeros(len(self.pairs)) if v.shared else np.zeros((source.batch, len(self.pairs)))
            for v in part.model.variables
        }
        self.events: dict[tuple[Any, ...], bool] = {}
        self.shared = {v.name for v in part.model.variables if v.shared}
        self.types = {v.name: v.type for v in part.model.variables}
        self.types |= {v.name: v.type for v in (part.update.variables if part.update else ())}
        self.integers = {name for name, kind in self.types.items() if kind != "scalar"}
        # GeNN adds to the ordinary input of the source where it is told of no other.
        assert part.feedback == (source.part.model.feedback if "addToPre" in part.model.on_event else None)
        self.update_values = {v.name: np.zeros(len(self.pairs)) for v in (part.update.variables if part.update else ())}
        self.learn = UpdateCode(part.update).code.run if part.update else None
        self.waiting = deque([np.zeros((source.batch, part.shape[1])) for _ in range(part.delays)])

    def update(self) -> None:
        for sample, neuron in self.source.spikes:
            for index in self.of.get(neuron, []):
                self._work(self.on_spike, sample, index)
        said = [self.source.values[variable].tolist() for _, _, variable in self.part.model.source_refs]
        for sample in range(self.source.batch):
            for neuron, one in enumerate(zip(*(values[sample] for values in said), strict=True)):
                if self._is_event(one):
                    for index in self.of.get(neuron, []):
                        self._work(self.on_event, sample, index)

    def _is_event(self, said: tuple[Any, ...]) -> bool:
        """Whether these values of the variables that the condition reads are an event; each are asked about once."""
        if said not in self.events:
            found: dict[str, Any] = {}
            names = [name for name, _, _ in self.part.model.source_refs]
            self.event_if(dict(zip(names, said, strict=True)), found)
            self.events[said] = bool(found["result"])
        return self.events[said]

    def _work(self, code: Any, sample: int, index: int) -> None:
        pre, post = self.pairs[index]
        state: dict[str, Any] = {}
        for name, values in self.values.items():
            value = values[index] if name in self.shared else values[sample, index]
            state[name] = int(value) if name in self.integers else value
        for name, _, variable in self.part.model.target_refs:
            past = [h[variable][sample, post] for h in self.target.history]
            state[name] = past if self.part.delays > 1 else past[0]

        def later(value: float, delay: int) -> None:
            self.waiting[delay][sample, post] += value

        def back(value: float) -> None:
            self.source.fed_back[sample, pre] += value

        state |= {"addToPost": lambda value: later(value, 0), "addToPostDelay": later, "addToPre": back}
        code(state, {})
        for name in self.values.keys() - self.shared:
            self.values[name][sample, index] = state[name]

    def deliver(self) -> None:
        self.target.arrived += self.waiting.popleft()
        self.waiting.append(np.zeros((self.source.batch, self.part.shape[1])))


class Machine:
    """A `toolchain.training.backends.genn.session.Runnable`."""

    def __init__(self, description: ModelDescription) -> None:
        self.description = description
        batch = description.batch
        longest = {
            part.name: max((p.delays for p in description.projections if p.target == part.name), default=1)
            for part in description.populations
        }
        self.populations = {p.name: _Population(p, batch, longest[p.name]) for p in description.populations}
        self.projections = {
            p.name: _Projection(p, self.populations[p.source], self.populations[p.target])
            for p in description.projections
        }

    def run(self, first: int, count: int) -> None:
        for t in range(first, first + count):
            for projection in self.projections.values():
                projection.update()
            for projection in self.projections.values():
                projection.deliver()
            for population in self.populations.values():
                population.update(t)

    def set_dynamic(self, name: str, value: int) -> None:
        for population in self.populations.values():
            if name in population.constants:
                population.constants[name] = value

    def put(self, part: PopulationPart, name: str, values: NDArray[Any], slot: int | None = None) -> None:
        population = self.populations[part.name]
        if name in population.values:
            assert slot is None
            population.values[name][...] = values.reshape(population.values[name].shape)
            return
        array, size = population.arrays[name], values.size
        first = 0 if slot is None else slot * size
        assert len(array) == size * (1 if slot is None else self.description.slots)
        array[first : first + size] = values.ravel().tolist()

    def fill(self, part: PopulationPart, name: str, value: float) -> None:
        self.populations[part.name].values[name][...] = value

    def take(self, part: PopulationPart, name: str, slot: int | None = None) -> NDArray[Any]:
        population = self.populations[part.name]
        if name in population.values:
            found: NDArray[Any] = population.values[name].copy()
            return found
        kind = next(a.type for a in part.model.arrays if a.name == name)
        array = np.array(population.arrays[name], dtype=np.float32 if kind == "scalar" else np.uint32)
        return array if slot is None else array.reshape(self.description.slots, -1)[slot]

    def put_synapses(self, part: ProjectionPart, name: str, values: NDArray[Any]) -> None:
        projection = self.projections[part.name]
        projection.values[name][:] = [held(projection.types[name], value) for value in values.tolist()]

    def take_synapses(self, part: ProjectionPart, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self.projections[part.name].values[name].copy()
        return found

    def put_update(self, part: ProjectionPart, name: str, values: NDArray[Any]) -> None:
        projection = self.projections[part.name]
        projection.update_values[name][:] = [held(projection.types[name], value) for value in values.tolist()]

    def take_update(self, part: ProjectionPart, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self.projections[part.name].update_values[name].copy()
        return found

    def update(self, part: ProjectionPart, dynamic: Mapping[str, float]) -> None:
        projection = self.projections[part.name]
        assert projection.learn is not None
        sums = self.take_sums(part)
        for index in range(len(projection.pairs)):
            own = {name: values[index] for name, values in projection.update_values.items()}
            shared = {name: projection.values[name][index] for name in projection.shared}
            state = {"SumI": sums[0][index], "SumD": sums[1][index], **own, **shared, **part.update_params, **dynamic}
            state = {k: int(v) if k in projection.integers else float(v) for k, v in state.items()}
            projection.learn(state, {})
            for name in own:
                projection.update_values[name][index] = held(projection.types[name], state[name])
            for name in shared:
                projection.values[name][index] = held(projection.types[name], state[name])

    def add_sums(self, part: ProjectionPart, of_i: NDArray[np.float32], of_d: NDArray[np.float32]) -> None:
        values = self.projections[part.name].values
        values["SumI"][0] += of_i
        values["SumD"][0] += of_d

    def take_sums(self, part: ProjectionPart) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        values = self.projections[part.name].values
        sums = [values[name].sum(axis=0).astype(np.float32) for name in ("SumI", "SumD")]
        for name in ("SumI", "SumD"):
            values[name][:] = 0
        return sums[0], sums[1]

    def close(self) -> None:
        self.populations.clear()
