"""`delayline deploy --dry-run`: does a recipe or a run fit a chip, and how much of it does it take?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import misfit_as_json, say
from toolchain.errors import InputError

if TYPE_CHECKING:
    from toolchain.deployment.dry_run import DryRun
    from toolchain.deployment.options import Options


def run(name: str, overrides: list[str], target_name: str | None, options: Options, json: bool) -> Any:
    """Place a run folder as it was trained, or a recipe as it may be; returns what to print."""
    of = _of_run if Path(name).is_dir() else _of_recipe
    found = of(name, overrides, target_name, options, json)
    return found.to_json() if json else "\n".join(_lines(found))


def _of_recipe(name: str, overrides: list[str], target_name: str | None, options: Options, json: bool) -> DryRun:
    for flag, given in (
        ("--extend-delays", options.extend_delays),
        ("--prune", options.prune is not None),
        ("--cores", options.cores is not None),
    ):
        if given:
            raise InputError(
                f"{flag}: what it does to {name} depends on what training makes of it; give a run folder, or leave "
                "it out to see the network as it is"
            )
    from toolchain.cli.train_command import find_recipe
    from toolchain.deployment.dry_run import dry_run_of_recipe
    from toolchain.deployment.target import find_target
    from toolchain.recipe import read_recipe

    recipe = read_recipe(find_recipe(name), overrides)
    target = find_target(target_name or recipe.deployment.target)
    with misfit_as_json(json, recipe.name, target.name):
        return dry_run_of_recipe(recipe, target, clip_delays=options.clip_delays, request=options.request)


def _of_run(name: str, overrides: list[str], target_name: str | None, options: Options, json: bool) -> DryRun:
    from toolchain.cli.deploy_command import find_run
    from toolchain.deployment.deploy import prepare
    from toolchain.deployment.dry_run import DryRun
    from toolchain.deployment.target import find_target

    run_folder = find_run(name, overrides)
    recipe = run_folder.recipe()
    target = find_target(target_name or recipe.deployment.target)
    with shown_making(), misfit_as_json(json, recipe.name, target.name):
        prepared = prepare(run_folder, target, options, say)
    return DryRun(recipe.name, target.name, prepared.placement)


def _lines(found: DryRun) -> list[str]:
    cores = found.placement.cores
    # Of several boards a target may not know which chips are taken, but how many at least.
    counted = [int(r.used) for r in found.placement.resources if r.name == "chips"]
    chips = max([len({core.chip for core in cores}), *counted])
    on = f"{_counted(len(cores), 'core')} of {_counted(chips, 'chip')}"
    lines = [f"{found.network} on {found.target}: fits, {on}"]
    for population in dict.fromkeys(core.population for core in cores):
        sizes = [core.last - core.first + 1 for core in cores if core.population == population]
        each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
        lines.append(f"  {population}: {sum(sizes)} neurons, {_counted(len(sizes), 'core')} with {each} of them")
        if reason := found.placement.reasons.get(population):
            lines.append(f"    {reason}")
    lines.append(f"  {'':<30}{'used':>12}{'limit':>12}")
    for r in found.placement.resources:
        limit = "unknown" if r.limit is None else f"{r.limit:.0f}"
        assumed = "  (assumed limit)" if r.note.startswith("assumed") else ""
        lines.append(f"  {r.name:<30}{r.used:>12.0f}{limit:>12}  {r.unit}{assumed}")
    lines += [f"  assumed: {assumption}" for assumption in found.assumptions]
    return lines


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
