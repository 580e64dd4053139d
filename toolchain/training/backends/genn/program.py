"""A described model, generated, compiled and loaded by PyGeNN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import MissingDependencyError
from toolchain.training.backends.genn.building import build_and_load, out_of_memory
from toolchain.training.backends.genn.description import (
    ADD_BATCH,
    ModelDescription,
    NeuronModel,
    PopulationPart,
    ProjectionPart,
    SynapseModel,
    UpdateModel,
)
from toolchain.training.backends.genn.installation import Installation

NUMPY_TYPES = {"scalar": np.float32, "uint8_t": np.uint8, "uint16_t": np.uint16, "uint32_t": np.uint32}


class Program:
    """A loaded model. Its arrays are host copies: `put` and `take` move them to and from the device.

    Raises
    ------
    MissingDependencyError
        If the model cannot be built or loaded, or there is not enough memory for it.
    """

    def __init__(self, description: ModelDescription, installation: Installation, cache: Path) -> None:
        self.description = description
        self._dynamic = {p.name: {name for name, _ in p.model.dynamic} for p in description.populations}
        try:
            self._model = to_pygenn(description, installation)
        except MemoryError as error:
            raise MissingDependencyError(out_of_memory(installation, str(error))) from error
        self._groups: dict[str, Any] = {**self._model.neuron_populations, **self._model.synapse_populations}
        build_and_load(self._model, description, installation, cache)

    def run(self, first: int, count: int) -> None:
        """Steps `first` to `first + count` of a sample (`neuron_code`)."""
        model = self._model
        model.timestep = first
        for _ in range(count):
            model.step_time()

    def set_dynamic(self, name: str, value: int) -> None:
        """Set a dynamic constant of all populations that have it."""
        for part in self.description.populations:
            if name in self._dynamic[part.name]:
                self._groups[part.name].set_dynamic_param_value(name, value)

    def put(self, part: PopulationPart, name: str, values: NDArray[Any], slot: int | None = None) -> None:
        """Fill a variable or an array of a population, or the part of an array that belongs to a slot."""
        found, place = self._place(part, name, slot)
        place[...] = values.reshape(place.shape)
        found.push_to_device()

    def fill(self, part: PopulationPart, name: str, value: float) -> None:
        """Set all items of a variable."""
        found, place = self._place(part, name, None)
        place[...] = value
        found.push_to_device()

    def take(self, part: PopulationPart, name: str, slot: int | None = None) -> NDArray[Any]:
        """A variable (batch, neurons) or an array of a population, or the part of an array that belongs to a slot."""
        found, place = self._place(part, name, slot)
        found.pull_from_device()
        return place.copy()

    def put_synapses(self, part: ProjectionPart, name: str, values: NDArray[Any]) -> None:
        """Set a shared variable of all synapses, in canonical order."""
        found = self._groups[part.name].vars[name]
        found.values = values
        found.push_to_device()

    def take_sums(self, part: ProjectionPart) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`SumI` and `SumD` of all synapses, added over the batch; they are 0 afterwards."""
        if self.description.batch > 1:
            self._model.custom_update(_reduction(part))
            update = self._model.custom_updates[_reduction(part)]
            sums = []
            for name in ("TotalI", "TotalD"):
                update.vars[name].pull_from_device()
                sums.append(_flat(update.vars[name].values))
            return sums[0], sums[1]
        sums = []
        for name in ("SumI", "SumD"):
            found = self._groups[part.name].vars[name]
            found.pull_from_device()
            sums.append(_flat(found.values))
            found.values = np.zeros_like(sums[-1])
            found.push_to_device()
        return sums[0], sums[1]

    def add_sums(self, part: ProjectionPart, of_i: NDArray[np.float32], of_d: NDArray[np.float32]) -> None:
        """Add to what the batch has added up, in the place of its first sample."""
        for name, more in (("SumI", of_i), ("SumD", of_d)):
            found = self._groups[part.name].vars[name]
            found.pull_from_device()
            values = found.values
            values.reshape(-1, more.size)[0] += more
            found.values = values
            found.push_to_device()

    def take_synapses(self, part: ProjectionPart, name: str) -> NDArray[Any]:
        """A shared variable of all synapses, in canonical order."""
        found = self._groups[part.name].vars[name]
        found.pull_from_device()
        return np.array(found.values).ravel()

    def put_update(self, part: ProjectionPart, name: str, values: NDArray[Any]) -> None:
        """Set a variable of the update of a projection, in canonical order."""
        found = self._model.custom_updates[_update(part)].vars[name]
        found.values = values
        found.push_to_device()

    def take_update(self, part: ProjectionPart, name: str) -> NDArray[Any]:
        """A variable of the update of a projection, in canonical order."""
        found = self._model.custom_updates[_update(part)].vars[name]
        found.pull_from_device()
        return np.array(found.values).ravel()

    def update(self, part: ProjectionPart, dynamic: Mapping[str, float]) -> None:
        """Run the update of a projection, with these dynamic constants, on what the batch has added up."""
        group = self._model.custom_updates[_update(part)]
        for name, value in dynamic.items():
            group.set_dynamic_param_value(name, value)
        if self.description.batch > 1:
            self._model.custom_update(_reduction(part))
        self._model.custom_update(_update(part))

    def close(self) -> None:
        """Free the memory of the device."""
        if self._model._loaded:
            self._model.unload()

    def _place(self, part: PopulationPart, name: str, slot: int | None) -> tuple[Any, NDArray[Any]]:
        group = self._groups[part.name]
        if name in part.items:
            found = group.extra_global_params[name]
            view = found.view
            return found, view if slot is None else view.reshape(self.description.slots, -1)[slot]
        found = group.vars[name]
        return found, found.current_view


def _flat(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32).ravel()


def to_pygenn(description: ModelDescription, installation: Installation) -> Any:
    """The `pygenn.GeNNModel` of a description, described and not built."""
    from pygenn import (
        CustomUpdateVarAccess,
        GeNNModel,
        create_custom_update_model,
        create_wu_var_ref,
        init_postsynaptic,
        init_weight_update,
    )

    model = GeNNModel(
        "float", f"delayline_{description.digest()}", backend=installation.generator, **installation.options
    )
    # Time is counted in steps: every constant in ms is in the neurons' own.
    model.dt = 1.0
    model.batch_size = description.batch
    populations = {}
    kinds = {part.model: _neuron_model(part.model) for part in description.populations}
    for part in description.populations:
        zeros = {v.name: 0 for v in part.model.variables}
        group = model.add_neuron_population(part.name, part.size, kinds[part.model], part.params | _zeros(part), zeros)
        for name, _ in part.model.dynamic:
            group.set_param_dynamic(name)
        for array in part.model.arrays:
            group.extra_global_params[array.name].set_init_values(
                np.zeros(part.items[array.name], dtype=NUMPY_TYPES[array.type])
            )
        populations[part.name] = group
    # What arrives in a step is handed to the neuron, which keeps the current itself.
    arrivals = init_postsynaptic("DeltaCurr")
    synapses = {part.model: _synapse_model(part.model) for part in description.projections}
    total = create_custom_update_model(
        ADD_BATCH.name,
        vars=[(v.name, v.type, CustomUpdateVarAccess.REDUCE_BATCH_SUM) for v in ADD_BATCH.variables],
        var_refs=list(ADD_BATCH.references),
        update_code=ADD_BATCH.code,
    )
    for projection in description.projections:
        source, target = populations[projection.source], populations[projection.target]
        group = model.add_synapse_population(
            projection.name,
            "DENSE" if projection.pairs is None else "SPARSE",
            source,
            target,
            init_weight_update(
                synapses[projection.model],
                {},
                {v.name: 0 for v in projection.model.variables},
                pre_var_refs=_references(projection.model.source_refs, source),
                post_var_refs=_references(projection.model.target_refs, target),
            ),
            arrivals,
        )
        if projection.pairs is not None:
            group.set_sparse_connections(*projection.pairs)
        if projection.delays > 1:
            group.max_dendritic_delay_timesteps = projection.delays
        if projection.feedback is not None:
            group.pre_target_var = projection.feedback
        sums = {name: create_wu_var_ref(group, name) for name in ("SumI", "SumD")}
        if description.batch > 1:
            name = _reduction(projection)
            reduction = model.add_custom_update(name, name, total, {}, {"TotalI": 0, "TotalD": 0}, sums)
            sums = {of: create_wu_var_ref(reduction, of.replace("Sum", "Total")) for of in sums}
        if projection.update is not None:
            shared = [name for name, _ in projection.update.references if name not in sums]
            references = sums | {name: create_wu_var_ref(group, name) for name in shared}
            _add_update(model, projection, projection.update, references)
    return model


def _add_update(model: Any, part: ProjectionPart, update: UpdateModel, references: dict[str, Any]) -> None:
    from pygenn import create_custom_update_model

    kind = create_custom_update_model(
        update.name,
        params=[*update.params, *update.dynamic],
        vars=[(v.name, v.type) for v in update.variables],
        var_refs=list(update.references),
        update_code=update.code,
    )
    name, zeros = _update(part), {v.name: 0 for v in update.variables}
    params = part.update_params | {name: 0.0 for name, _ in update.dynamic}
    group = model.add_custom_update(name, name, kind, params, zeros, references)
    for dynamic, _ in update.dynamic:
        group.set_param_dynamic(dynamic)


def _reduction(part: ProjectionPart) -> str:
    return f"reduce_{part.name}"


def _update(part: ProjectionPart) -> str:
    return f"update_{part.name}"


def _zeros(part: PopulationPart) -> dict[str, float]:
    return {name: 0.0 for name, _ in part.model.dynamic}


def _references(references: tuple[tuple[str, str, str], ...], group: Any) -> dict[str, Any]:
    from pygenn import create_var_ref

    return {name: create_var_ref(group, variable) for name, _, variable in references}


def _neuron_model(model: NeuronModel) -> Any:
    from pygenn import create_neuron_model

    return create_neuron_model(
        model.name,
        params=[*model.params, *model.dynamic],
        vars=[_variable(v.name, v.type, v.shared) for v in model.variables],
        sim_code=model.step,
        threshold_condition_code=model.spikes_if,
        reset_code=model.on_spike or None,
        extra_global_params=[(a.name, f"{a.type}*") for a in model.arrays],
        additional_input_vars=[(model.feedback, "scalar", 0.0)] if model.feedback else None,
    )


def _synapse_model(model: SynapseModel) -> Any:
    from pygenn import VarAccessMode, create_weight_update_model

    read = VarAccessMode.READ_ONLY
    return create_weight_update_model(
        model.name,
        vars=[_variable(v.name, v.type, v.shared) for v in model.variables],
        pre_neuron_var_refs=[(name, kind, read) for name, kind, _ in model.source_refs],
        post_neuron_var_refs=[(name, kind, read) for name, kind, _ in model.target_refs],
        pre_spike_syn_code=model.on_spike,
        pre_event_threshold_condition_code=model.event_if,
        pre_event_syn_code=model.on_event,
    )


def _variable(name: str, kind: str, shared: bool) -> tuple[Any, ...]:
    from pygenn import VarAccess

    return (name, kind, VarAccess.READ_ONLY if shared else VarAccess.READ_WRITE)
