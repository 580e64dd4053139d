"""How many neurons of each population go on a core, and what delay extensions that leads to.

Fewer neurons on a core leave more delay slots. First every population gets as many neurons a core as leave slots for
its longest delay, so that nothing is extended. Only if that takes more cores than there are, populations are allowed
extension stages, one population at a time: where one is enough the one with the fewest stages, otherwise the one that
saves most cores. One stage always comes out right in sPyNNaker's own tables; for more, source and target get equal
cores that are all full, and where they cannot, more stages are not used. What still does not fit is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hardware_targets.spinnaker.advice import too_many_cores
from hardware_targets.spinnaker.layout import Layout
from hardware_targets.spinnaker.limits import BOARD, Board, SpinnakerLimits
from hardware_targets.spinnaker.problem import Problem, ProblemProjection
from hardware_targets.spinnaker.slots import check_step, counters_bytes, longest_possible, most_neurons, slots_available
from toolchain.errors import InputError, TargetLimitError

FEWEST = 2
"""Neurons on a core below which slots do not become more: one neuron takes as many bits as two."""
DELAYED = "_delayed"
"""What sPyNNaker adds to the name of a population for its delay extension."""
ROUNDS = 20
"""How often neurons a core are adjusted to each other before an assignment of stages is given up."""


@dataclass(frozen=True)
class Given:
    """What is not to be chosen.

    Attributes
    ----------
    neurons : population -> neurons a core
    allow_misplaced : also layouts whose synapses sPyNNaker puts into wrong rows, for comparisons with what it does
    """

    neurons: Mapping[str, int]
    allow_misplaced: bool = False


@dataclass(frozen=True)
class Choice:
    """A layout, and a sentence for each population that says why.

    Attributes
    ----------
    allowed : simulated population -> stages that its longest delay was allowed
    given : populations whose neurons a core were asked for
    """

    layout: Layout
    allowed: Mapping[str, int]
    given: frozenset[str]


def choose_layout(
    problem: Problem,
    limits: SpinnakerLimits,
    *,
    boards: int | None = None,
    version: int = BOARD,
    neurons: Mapping[str, int] | None = None,
    allow_misplaced: bool = False,
    holds: Callable[[Layout], bool] = lambda layout: True,
) -> Choice:
    """The layout with the fewest extension stages that fits.

    Parameters
    ----------
    boards : how many there are; `limits` say what is usual
    version : of the boards
    neurons : population -> neurons a core, where they are not to be chosen
    allow_misplaced : do not refuse a layout that sPyNNaker puts into wrong rows, see `Layout.misplaced`
    holds : whether memory holds a layout; only asked of changes that a message proposes

    Raises
    ------
    TargetLimitError
        Naming the population, its longest delay and the limit, or the cores that are missing, and what would help; or
        the projection that sPyNNaker would put into wrong rows.
    InputError
        If `neurons` names no population, or a number that a core cannot hold, or `boards` is out of range, or if a
        population is called as the delay extension of another.
    """
    check_step(problem.dt_ms)
    board = limits.board(version)
    room = _room(limits, board, boards)
    given = Given(_within(problem, limits, neurons or {}), allow_misplaced)
    for p in problem.populations:
        _check_reach(problem, p.name, limits)
    best, allowed = _search(problem, limits, room, given)
    if isinstance(best, str):
        raise TargetLimitError(
            f"network: {best}; make delays shorter (training.max_slot), or ask for fewer neurons a core of the target "
            "(--neurons-per-core), which leaves more slots"
        )
    _check_names(best)
    if best.n_cores > room:
        fits = room_for(limits, room, given, holds)
        raise TargetLimitError(too_many_cores(best, room, limits, fits))
    return Choice(best, allowed, frozenset(given.neurons))


def room_for(
    limits: SpinnakerLimits, room: int, given: Given, holds: Callable[[Layout], bool]
) -> Callable[[Problem], bool]:
    """Whether a changed problem fits so many cores, and memory holds it."""

    def fits(changed: Problem) -> bool:
        found, _ = _search(changed, limits, room, given)
        return isinstance(found, Layout) and found.n_cores <= room and holds(found)

    return fits


def _search(problem: Problem, limits: SpinnakerLimits, room: int, given: Given) -> tuple[Layout | str, dict[str, int]]:
    """The best layout that was found, or why there is none, and the stages that each population was allowed."""
    allowed = {p.name: 0 for p in problem.populations if p.simulated}
    for name in allowed:
        while slots_available(FEWEST, limits) * (allowed[name] + 1) < problem.longest(name):
            allowed[name] += 1
    best = _try(problem, limits, allowed, given)
    while isinstance(best, str) or best.n_cores > room:
        tried = []
        for name in allowed.keys() - given.neurons.keys():
            for stages in range(allowed[name] + 1, limits["delay_stages"] + 1):
                found = _try(problem, limits, {**allowed, name: stages}, given)
                if isinstance(found, Layout) and (isinstance(best, str) or found.n_cores < best.n_cores):
                    # Of those that fit the one with the fewest stages, otherwise the one that saves most.
                    fits = found.n_cores <= room
                    tried.append((not fits, stages if fits else 0, found.n_cores, name, stages))
        if not tried:
            break
        _, _, _, name, stages = min(tried)
        allowed = {**allowed, name: stages}
        best = _try(problem, limits, allowed, given)
    return best, allowed


def _room(limits: SpinnakerLimits, board: Board, boards: int | None) -> int:
    largest = limits["boards_of_largest_system"]
    if boards is not None and not 1 <= boards <= largest:
        source = limits.table["boards_of_largest_system"].source
        raise InputError(
            f"boards: {boards} were asked for; the largest system has {largest} ({source}); give 1 to {largest}"
        )
    return board.n_usable(limits) * (limits["boards"] if boards is None else boards)


def _check_names(layout: Layout) -> None:
    """Refuse a population that is called as sPyNNaker calls the delay extension of another (InputError)."""
    names = {p.name for p in layout.problem.populations}
    for source in layout.stages:
        if (name := f"{source}{DELAYED}") in names:
            raise InputError(
                f"population {name}: sPyNNaker gives this name to the delay extension of {source}; rename one of the "
                "two in the recipe, or ask for so few neurons a core that none is needed (--neurons-per-core)"
            )


def check_neurons(limits: SpinnakerLimits, neurons: Mapping[str, int]) -> None:
    """Refuse neurons a core that no core can hold (InputError)."""
    for name, number in neurons.items():
        if not 1 <= number <= limits["neurons_per_core"]:
            raise InputError(
                f"neurons per core of {name}: {number} is not in 1..{limits['neurons_per_core']}; give one that is"
            )


def _within(problem: Problem, limits: SpinnakerLimits, neurons: Mapping[str, int]) -> dict[str, int]:
    """Neurons a core that are not to be chosen, cut at the size of the population as sPyNNaker does."""
    check_neurons(limits, neurons)
    sizes = {p.name: p.size for p in problem.populations}
    for name in neurons:
        if name not in sizes:
            raise InputError(f"neurons per core: {name!r} is no population; give one of {', '.join(sizes)}")
    return {name: min(number, sizes[name]) for name, number in neurons.items()}


def _check_reach(problem: Problem, name: str, limits: SpinnakerLimits) -> None:
    longest, most = problem.longest(name), longest_possible(FEWEST, limits)
    if longest > most:
        worst = max(problem.onto(name), key=lambda p: p.longest)
        raise TargetLimitError(
            f"population {name}: its longest delay of {longest} ticks ({worst.name}) exceeds {most}, "
            f"{limits['delay_stages'] + 1} times the {slots_available(FEWEST, limits)} slots of a core with {FEWEST} "
            f"neurons on {limits.chip}; train with max_slot below {most}, or with longer steps (dt_ms)"
        )


def _try(problem: Problem, limits: SpinnakerLimits, allowed: Mapping[str, int], given: Given) -> Layout | str:
    """A layout in which no population needs more stages than it is allowed, or why there is none."""
    neurons = {}
    for p in problem.populations:
        most = limits["neurons_per_core"]
        if p.simulated and (longest := problem.longest(p.name)):
            most = most_neurons(-(-longest // (allowed[p.name] + 1)), limits)
        neurons[p.name] = given.neurons.get(p.name) or _even(p.size, most)
    for _ in range(ROUNDS):
        layout = Layout(problem, neurons, limits)
        changed = {name: n for name, n in _adjusted(layout).items() if name not in given.neurons and n != neurons[name]}
        if not changed:
            break
        neurons = {**neurons, **changed}
    obstacles = layout.obstacles()
    unwanted = () if given.allow_misplaced else layout.misplaced
    if changed:
        return "the cores of sources and targets of several extension stages cannot be made equal"
    if obstacles:
        return obstacles[0]
    return _why_misplaced(layout, unwanted[0]) if unwanted else layout


def _why_misplaced(layout: Layout, name: str) -> str:
    """Of a projection whose synapses sPyNNaker puts into wrong rows."""
    projection = next(p for p in layout.problem.projections if p.name == name)
    source, target = (f"{layout.neurons[end]} a core of {end}" for end in (projection.source, projection.target))
    return (
        f"sPyNNaker 7.4.1 would put synapses of {name} into wrong rows: with {target} and {source}, its delays of up "
        f"to {projection.longest} ticks take {layout.stages[projection.source]} extension stages, which come out right "
        "only where both are equal and all cores of the source are full"
    )


def _even(size: int, most: int) -> int:
    """Neurons a core, as even as can be, on as few cores as there must be."""
    return -(-size // -(-size // most))


def _adjusted(layout: Layout) -> dict[str, int]:
    """Neurons a core that bring a layout nearer to what extensions ask for: only fewer than before, so that it ends."""
    limits, wanted = layout.limits, dict(layout.neurons)
    for source, stages in layout.stages.items():
        targets = [p.target for p in layout.extended(source)]
        longest_stage = max(layout.stage_lengths(source))
        for name in targets:
            if layout.slots[name] < longest_stage:
                wanted[name] = min(wanted[name], most_neurons(longest_stage, limits))
        while (
            counters_bytes(stages, longest_stage, wanted[source]) > limits["delay_counters_bytes"]
            and wanted[source] > 1
        ):
            wanted[source] -= 1
        if stages > 1:
            size = layout.problem[source].size
            alike = min(wanted[name] for name in (source, *targets))
            while size % alike:
                alike -= 1
            wanted.update(dict.fromkeys((source, *targets), alike))
    return wanted


def reasons(choice: Choice) -> dict[str, str]:
    """Population -> why its cores are as they are."""
    return {p.name: _reason(choice, p.name) for p in choice.layout.problem.populations}


def _reason(choice: Choice, name: str) -> str:
    layout = choice.layout
    problem, limits = layout.problem, layout.limits
    count, each = layout.cores(name), layout.neurons[name]
    said = f"{_several(each, 'neuron')} a core" + (", as was asked for" if name in choice.given else "")
    said += f", on {_several(count, 'core')}"
    if problem[name].simulated:
        worst: ProblemProjection | None = max(problem.onto(name), key=lambda p: p.longest, default=None)
        slots = layout.slots[name]
        if worst is None:
            said += "; nothing projects to it"
        elif not layout.own_stages(worst):
            said += f"; {slots} slots hold its longest delay, {_several(worst.longest, 'tick')} ({worst.name})"
            if each < problem[name].size and name not in choice.given:
                full = limits["neurons_per_core"]
                said += f"; {full} neurons would leave {slots_available(full, limits)}"
        else:
            said += (
                f"; its longest delay, {worst.longest} ticks ({worst.name}), is {layout.own_stages(worst)} x {slots} "
                f"ticks in the extension of {worst.source} and the rest in {slots} slots"
            )
            if name not in choice.given:
                alone = most_neurons(worst.longest, limits)
                said += f"; without it {alone} neurons a core were needed" if alone else "; no core has so many slots"
    if name in layout.stages:
        said += f"; its delay extension has {_several(layout.stages[name], 'stage')} on {_several(count, 'more core')}"
    wrong = [p for p in layout.misplaced if p.split("->")[0] == name]
    if wrong:
        said += f"; sPyNNaker 7.4.1 would put synapses of {', '.join(wrong)} into wrong rows"
    return said


def _several(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
