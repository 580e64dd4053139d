"""Networks that mlGeNN has trained: a folder of its NumPy checkpoints, and a recipe that says what they are of.

mlGeNN's `serialisers.Numpy` writes ``[key-]Conn_<Pre>_<Post>-<variable>.npy``; the key is the epoch where the callback
`Checkpoint` writes. Variables of a connection: ``g`` weights, ``d`` delays where they learn, both flat in the order of
(pre, post); ``pre_ind`` and ``post_ind`` where it is sparse (`save_connectivity`), and then ``g`` and ``d`` have one
value a synapse. Nothing else is in a checkpoint: step, time constants, thresholds and sizes are the recipe's.

mlGeNN's step is the one here (docs/interchange.md), so that weights are taken as they are and a delay d is slot d: both
deliver a spike of step t at step t + 1 + d. Its delays are real numbers that are rounded where they are used.

Source: ml_genn 2.3.1, `serialisers/numpy.py`, and of `compilers` `compiled_training_network.py`,
`event_prop_compiler.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InterchangeError
from toolchain.interchange.imported import Imported
from toolchain.interchange.mlgenn_files import Checkpoint, choose, connection_name
from toolchain.interchange.npy import NpyHeader
from toolchain.network import Network, Population, Projection, make_projection
from toolchain.network_builder import build_populations
from toolchain.recipe import ProjectionRecipe, Recipe

LARGEST_SLOT = 65_534
"""What a recipe can ask for; mlGeNN's own limit is one above."""
READ = ("g", "d", "pre_ind", "post_ind")


def read_mlgenn(
    folder: Path, recipe: Recipe, *, epoch: int | str | None = None, names: Mapping[str, str] | None = None
) -> Imported:
    """Read a network from a folder of mlGeNN's checkpoints.

    Parameters
    ----------
    folder : with files of one or several checkpoints
    recipe : of the same network: populations and projections; sizes that it leaves out follow from the arrays
    epoch : key of the checkpoint; the latest epoch if left out, where the keys are numbers. "" is the one without a key
    names : population of the recipe -> what mlGeNN called it, where that is otherwise; case does not count

    Returns
    -------
    the network, its delays rounded half to even, and what was assumed, left out and rounded

    Raises
    ------
    InterchangeError
        If a file is missing, ambiguous, damaged or of another shape than the recipe says, a connection is in the folder
        and not in the recipe, or a value cannot be: delays below 0 or above the largest slot, weights without value.
    RecipeError
        If sizes of the recipe contradict each other.
    """
    called = {name: name for name in recipe.network.populations} | dict(names or {})
    for name in called:
        if name not in recipe.network.populations:
            raise InterchangeError(
                f"recipe {recipe.name}: names {name!r}, which is no population; known: "
                + ", ".join(recipe.network.populations)
            )
    connections = [connection_name(called[p.source], called[p.target]) for p in recipe.network.projections]
    checkpoint, assumed = choose(folder, connections, [called[n] for n in called], epoch)
    reader = _Reader(recipe, checkpoint, dict(zip(_pairs(recipe), connections, strict=True)), assumed)
    return reader.read()


def _pairs(recipe: Recipe) -> list[tuple[str, str]]:
    return [(p.source, p.target) for p in recipe.network.projections]


@dataclass
class _Reader:
    """One checkpoint on its way to a network; `assumed` grows as it goes."""

    recipe: Recipe
    checkpoint: Checkpoint
    connections: Mapping[tuple[str, str], str]
    assumed: list[str] = field(default_factory=list)

    def read(self) -> Imported:
        entries = self.recipe.network.projections
        self._check_recipe()
        headers = {(e.source, e.target): self._headers(e) for e in entries}
        populations = self._populations(headers)
        sizes = {p.name: p.size for p in populations}
        projections = tuple(self._projection(e, headers[e.source, e.target], sizes) for e in entries)
        self.assumed.append(
            f"step of {self.recipe.network.dt_ms:g} ms, time constants and thresholds are those of recipe "
            f"{self.recipe.name}: a checkpoint of mlGeNN has none"
        )
        self.assumed.append(
            "mlGeNN's network was made with the default_params of its event_prop_compiler, which scale currents "
            "(scale_i) and reset V to 0; without them it is another network, and no checkpoint says which"
        )
        return Imported(Network(self.recipe.network.dt_ms, populations, projections), tuple(self.assumed))

    def _check_recipe(self) -> None:
        for name, population in self.recipe.network.populations.items():
            for what in ("tau_mem_ms", "tau_syn_ms"):
                if getattr(population, what).constant is None:
                    raise InterchangeError(
                        f"recipe {self.recipe.name}: {what} of population {name} is drawn at random; a checkpoint has "
                        "no time constants: give the number that mlGeNN was given"
                    )

    def _headers(self, entry: ProjectionRecipe) -> dict[str, NpyHeader]:
        """Headers of the arrays of a connection, by variable."""
        name = self.connections[entry.source, entry.target]
        found = {v: self.checkpoint.header(name, v) for v in READ if self.checkpoint.has(name, v)}
        if "g" not in found and (entry.learn_weight or entry.weight.constant is None):
            raise InterchangeError(
                f"{self.checkpoint}: has no weights of {entry.source}->{entry.target}, {name}-g.npy; there are "
                f"{self.checkpoint.listing()}"
            )
        if "d" not in found and (entry.learn_delay or entry.delay.constant is None):
            raise InterchangeError(
                f"{self.checkpoint}: has no delays of {entry.source}->{entry.target}, {name}-d.npy, which the recipe "
                "learns or draws; give the number that mlGeNN was given as `delay`, or the file"
            )
        if ("pre_ind" in found) != ("post_ind" in found):
            raise InterchangeError(f"{self.checkpoint}: has one of {name}-pre_ind.npy and -post_ind.npy; it takes both")
        if entry.density != 1 and "pre_ind" not in found:
            raise InterchangeError(
                f"{self.checkpoint}: recipe {self.recipe.name} gives {entry.source}->{entry.target} a density of "
                f"{entry.density:g}, but there is no {name}-pre_ind.npy that says which synapses exist; leave density "
                "out, or save the connectivity"
            )
        return found

    def _populations(self, headers: Mapping[tuple[str, str], Mapping[str, NpyHeader]]) -> tuple[Population, ...]:
        """Populations of the recipe; sizes that it leaves out from dense arrays, of which the other size is known."""
        sizes = {n: p.size for n, p in self.recipe.network.populations.items() if p.size is not None}
        for _ in self.recipe.network.projections:
            for (source, target), found in headers.items():
                if "g" not in found or "pre_ind" in found:
                    continue
                shape, entries = found["g"].shape, found["g"].entries
                if len(shape) == 2:
                    sizes.setdefault(source, shape[0])
                    sizes.setdefault(target, shape[1])
                for one, other in ((source, target), (target, source)):
                    if one in sizes and other not in sizes and entries and entries % sizes[one] == 0:
                        sizes[other] = entries // sizes[one]
        network = self.recipe.network
        source = next(n for n, p in network.populations.items() if p.kind == "spike_source")
        for name in (source, network.output):
            if not sizes.get(name):
                raise InterchangeError(
                    f"{self.checkpoint}: the size of population {name} follows from no array; give its size in recipe "
                    f"{self.recipe.name}"
                )
        return build_populations(self.recipe, n_inputs=sizes[source], n_classes=sizes[network.output])

    def _projection(
        self, entry: ProjectionRecipe, headers: Mapping[str, NpyHeader], sizes: Mapping[str, int]
    ) -> Projection:
        name, shape = self.connections[entry.source, entry.target], (sizes[entry.source], sizes[entry.target])
        place = self._places(name, headers, shape) if "pre_ind" in headers else None
        arrays: dict[str, Any] = {}
        for variable, initial, what in (("g", entry.weight, "weights"), ("d", entry.delay, "delays")):
            if variable in headers:
                arrays[what] = self._values(name, variable, headers[variable], shape, place)
            else:
                assert initial.constant is not None
                arrays[what] = np.full(shape if place is None else place[0].shape, initial.constant)
                if what == "weights" or initial.constant:
                    self.assumed.append(
                        f"{entry.source}->{entry.target}: {what} {initial.constant:g}, as recipe {self.recipe.name} "
                        "says; mlGeNN saves those that learn"
                    )
        delays = self._slots(f"{entry.source}->{entry.target}", name, arrays["delays"], place)
        weights = self._weights(f"{entry.source}->{entry.target}", name, arrays["weights"])
        if place is None:
            return make_projection(entry.source, entry.target, weights, delays)
        weight, delay, mask = (np.zeros(shape, dtype=t) for t in (np.float32, np.float32, np.bool_))
        weight[place], delay[place], mask[place] = weights, delays, True
        return make_projection(entry.source, entry.target, weight, delay, mask.astype(np.bool_))

    def _places(
        self, name: str, headers: Mapping[str, NpyHeader], shape: tuple[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which synapses of a sparse connection exist, as (pre, post)."""
        ends = []
        for variable, limit in (("pre_ind", shape[0]), ("post_ind", shape[1])):
            indices = self.checkpoint.array(name, variable, shape[0] * shape[1])
            where = self.checkpoint.where(name, variable)
            if indices.dtype.kind not in "iu" or indices.ndim != 1:
                raise InterchangeError(
                    f"{where}: is {indices.dtype} of shape {indices.shape}, must be a row of integers"
                )
            if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < limit:
                raise InterchangeError(
                    f"{where}: has indices {indices.min()} to {indices.max()}, outside 0..{limit - 1} of its population"
                )
            ends.append(indices.astype(np.int64))
        pre, post = ends
        if pre.size != post.size:
            raise InterchangeError(
                f"{self.checkpoint}: {name} has {pre.size} pre_ind and {post.size} post_ind; pair them"
            )
        if np.unique(pre * shape[1] + post).size != pre.size:
            raise InterchangeError(f"{self.checkpoint}: {name} has two synapses of one pair of neurons; merge them")
        return pre, post

    def _values(
        self, name: str, variable: str, header: NpyHeader, shape: tuple[int, int], place: tuple[Any, Any] | None
    ) -> NDArray[Any]:
        """An array as (pre, post), or one value for each synapse of a sparse connection."""
        where, wanted = self.checkpoint.where(name, variable), [(shape[0] * shape[1],), shape]
        if place is not None:
            wanted = [(place[0].size,)]
        if header.shape not in wanted:
            turned = "; that is (post, pre): transpose it" if header.shape == shape[::-1] else ""
            raise InterchangeError(
                f"{where}: is of shape {header.shape}, the recipe says {' or '.join(map(str, wanted))}, pre {shape[0]} "
                f"and post {shape[1]}{turned}"
            )
        array = self.checkpoint.array(name, variable)
        return array if place is not None else array.reshape(shape)

    def _weights(self, title: str, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            weights = values.astype(np.float32)
        unusable = ~np.isfinite(weights)
        if unusable.any():
            first = tuple(int(i) for i in np.argwhere(unusable)[0])
            raise InterchangeError(
                f"{self.checkpoint.where(name, 'g')}: {np.count_nonzero(unusable)} of {weights.size} weights are not "
                f"finite in 32 bits, the first at {first}: {values[first]}; take an epoch before training broke"
            )
        moved = int(np.count_nonzero(weights != values))
        if moved:
            self.assumed.append(f"{title}: {moved} weights are rounded from {values.dtype} to float32")
        return weights

    def _slots(self, title: str, name: str, values: NDArray[Any], place: tuple[Any, Any] | None) -> NDArray[np.float32]:
        """Delays rounded half to even, as every engine here does where it uses them; never truncated, never clipped."""
        limit = self.recipe.training.max_slot
        largest = LARGEST_SLOT if limit is None else limit
        delays = values.astype(np.float64)
        unusable = ~((delays >= 0) & (np.rint(delays) <= largest))
        if unusable.any():
            at = tuple(int(i) for i in np.argwhere(unusable)[0])
            pre, post = at if place is None else (int(place[0][at]), int(place[1][at]))
            if not delays[at] >= 0:
                remedy = "take an epoch before training broke"
            elif limit is None:
                remedy = "no recipe can ask for more, so see whether they are steps"
            else:
                remedy = f"give the recipe a training.max_slot of {np.rint(delays).max():g}, or what mlGeNN was given"
            raise InterchangeError(
                f"{self.checkpoint.where(name, 'd')}: {np.count_nonzero(unusable)} of {delays.size} delays are outside "
                f"0..{largest} steps, the first of synapse ({pre}, {post}): {delays[at]:g}; mlGeNN keeps them "
                f"from 0 to its max_delay_steps: {remedy}"
            )
        slots = np.rint(delays)
        distance = np.abs(slots - delays)
        if distance.any():
            text = f"{title}: {np.count_nonzero(distance)} of {delays.size} delays are rounded to the nearest slot"
            halves = int(np.count_nonzero(distance == 0.5))
            if halves:
                text += f", {halves} from half way to the even one, where mlGeNN in training rounds away from 0"
            self.assumed.append(text)
        return slots.astype(np.float32)
