"""How much memory of the device a model takes, and how many samples at once fit into it.

Counted from the description, buffer by buffer as GeNN allocates them; what its code and the driver take besides is not
in it, which is why only `USABLE` of what is free of a device's memory is planned with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from toolchain.errors import InputError
from toolchain.training.backends.genn.description import ITEM_BYTES, ModelDescription, PopulationPart, ProjectionPart

USABLE = 0.85
"""Share of a device's free memory that a model may be planned to take."""
MOST_ITEMS = 2**31 - 1
"""Generated code indexes with 32 bits."""


@dataclass(frozen=True)
class Buffer:
    """Memory of one purpose, bytes; `of` is a population, a projection, or empty."""

    of: str
    what: str
    size: int


def buffers(model: ModelDescription) -> list[Buffer]:
    """Every buffer of a model."""
    found: list[Buffer] = []
    for population in model.populations:
        found += _of_population(population, model)
    for projection in model.projections:
        found += _of_projection(projection, model)
    return found


def device_bytes(model: ModelDescription) -> int:
    """All of it."""
    return sum(buffer.size for buffer in buffers(model))


def require_indexable(model: ModelDescription) -> None:
    """Raise InputError if generated code cannot index all of an array, which it would not notice."""
    of, what, items = max(_items(model), key=lambda found: found[2])
    if items > MOST_ITEMS:
        raise InputError(
            f"backend genn: {what} of {of} would have {items} items, and what GeNN generates counts {MOST_ITEMS}; give "
            "fewer training.genn.samples_at_once, smaller batches where there are training.rates, or --backend cpu"
        )


def _items(model: ModelDescription) -> Iterator[tuple[str, str, int]]:
    """Whose, what, and the number of items that it is indexed by: of everything that grows with the batch."""
    for population in model.populations:
        yield population.of, "state", population.size * model.batch * _history(population, model)
        for name, items in population.items.items():
            yield population.of, f"array {name}", items
    for projection in model.projections:
        pre, post = projection.shape
        yield projection.of, "gradients", pre * projection.row_length * model.batch
        yield projection.of, "arrivals that wait", post * projection.delays * model.batch


def _history(part: PopulationPart, model: ModelDescription) -> int:
    """Steps for which the adjoints of a population are kept: synapses read them with a delay."""
    return max((p.delays for p in model.projections if p.target == part.name), default=1)


def _of_population(part: PopulationPart, model: ModelDescription) -> list[Buffer]:
    history = _history(part, model)
    state = delayed = 0
    for variable in part.model.variables:
        one = ITEM_BYTES[variable.type] * part.size * (1 if variable.shared else model.batch)
        if variable.name in ("LambdaI", "LambdaV"):
            delayed += one * history
        else:
            state += one
    spikes = 4 * model.batch * (part.size + 1) if part.model.spikes_if else 0
    arrays = {array.name: ITEM_BYTES[array.type] * part.items[array.name] for array in part.model.arrays}
    tape = sum(size for name, size in arrays.items() if name.startswith("Tape"))
    return [
        Buffer(part.of, "state", state + spikes),
        Buffer(part.of, "adjoints, over the longest delay", delayed),
        Buffer(part.of, "tape", tape),
        Buffer(part.of, "spikes in, voltage, losses", sum(arrays.values()) - tape),
    ]


def _of_projection(part: ProjectionPart, model: ModelDescription) -> list[Buffer]:
    pre, post = part.shape
    held = pre * part.row_length
    shared = sum(ITEM_BYTES[v.type] for v in part.model.variables if v.shared)
    own = sum(ITEM_BYTES[v.type] for v in part.model.variables if not v.shared)
    index = 0 if part.pairs is None else 4 * (held + pre)
    # Spikes and events that it works on, and what it hands to either side.
    passing = 4 * model.batch * (post + (pre if part.feedback else 0) + 2 * (pre + 1))
    learning = sum(ITEM_BYTES[v.type] for v in part.update.variables) if part.update else 0
    waiting = 4 * model.batch * part.delays * post if part.delays > 1 else 0
    return [
        Buffer(part.of, "weights and delays", shared * held + index),
        Buffer(part.of, "gradients of each sample", own * held * model.batch),
        Buffer(part.of, "gradients of the batch", own * held if model.batch > 1 else 0),
        Buffer(part.of, "optimiser", learning * held),
        Buffer(part.of, "arrivals, over the longest delay", waiting + passing),
    ]


@dataclass(frozen=True)
class Plan:
    """How a batch is run.

    Attributes
    ----------
    at_once : samples at once
    slots : times that many are held between forward and backward
    bytes : of the device
    most : largest number of samples at once that would fit, None where the device's memory is not known
    """

    at_once: int
    slots: int
    bytes: int
    most: int | None


def plan(
    describe: Callable[[int, int], ModelDescription],
    *,
    batch: int,
    at_once: int | None,
    all_before: bool,
    memory: int | None,
    single: bool,
) -> Plan:
    """Choose how many samples run at once.

    Parameters
    ----------
    describe : samples at once, slots -> the model
    batch : samples of a batch
    at_once : what was asked for, None for as many of the batch as fit
    all_before : whether all forward passes come before the first backward pass (spike-rate regularisers)
    memory : free on the device, bytes; None where it is not known
    single : whether the code runs one sample at a time (GeNN's for processors)

    Raises
    ------
    InputError
        If what was asked for, or a single sample, does not fit.
    """

    def described(samples: int) -> ModelDescription:
        return describe(samples, -(-batch // samples) if all_before else 1)

    def planned(samples: int, most: int | None) -> Plan:
        model = described(samples)
        require_indexable(model)
        return Plan(samples, model.slots, device_bytes(model), most)

    def fits(samples: int) -> bool:
        model = described(samples)
        indexable = max(items for _, _, items in _items(model)) <= MOST_ITEMS
        return indexable and (memory is None or device_bytes(model) <= USABLE * memory)

    if single:
        if at_once is not None and at_once > 1:
            raise InputError(
                f"recipe training.genn.samples_at_once: {at_once}, but what GeNN generates for processors runs one "
                "sample at a time; leave it out"
            )
        return planned(1, None)
    usable = f"{USABLE:.0%} of the device's free memory is {USABLE * (memory or 0) / 2**20:.0f} MiB"
    most = _largest(fits, batch)
    if most == 0:
        one = planned(1, 0).bytes
        raise InputError(
            f"backend genn: a single sample takes {one / 2**20:.0f} MiB, and {usable}; use --backend cpu, fewer steps "
            "or smaller layers"
        )
    if at_once is not None and at_once > batch:
        raise InputError(
            f"recipe training.genn.samples_at_once: {at_once} is above training.batch_size {batch}; give at most that"
        )
    if at_once is not None and not fits(at_once):
        taken = planned(at_once, most).bytes
        raise InputError(
            f"recipe training.genn.samples_at_once: {at_once} take {taken / 2**20:.0f} MiB, and {usable}; {most} fit"
        )
    return planned(at_once or most, max(most, at_once or 0))


def _largest(fits: Callable[[int], bool], limit: int) -> int:
    """Largest number that fits, as far as what fits, fits smaller too; `limit`, where all is held once, comes first."""
    if fits(limit):
        return limit
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
