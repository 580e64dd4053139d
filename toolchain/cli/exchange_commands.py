"""`delayline export` and `delayline import`: networks to and from other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import percent, say
from toolchain.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from toolchain.deployment.options import Options
    from toolchain.deployment.target import Quantised, Target
    from toolchain.interchange.formats import Assumptions
    from toolchain.network import Network

SUFFIXES = {"onnx": ".onnx", "nir": ".nir", "netx": ".net"}


@dataclass(frozen=True)
class Exported:
    """What is written: a network, in float or in a target's integers, and where it is from."""

    name: str
    folder: Path
    network: Network
    quantised: tuple[Target, Quantised] | None
    provenance: dict[str, Any]

    @property
    def what(self) -> str:
        """In words."""
        return "float" if self.quantised is None else f"in the integers of {self.quantised[0].name}"


@dataclass(frozen=True)
class Wanted:
    """What to write: options of `delayline export`."""

    format: str
    out: Path | None
    quantised: bool
    target: str | None
    states: bool
    lower_scales: bool


def export(name: str, wanted: Wanted, options: Options, json: bool) -> Any:
    """Write the network of a run, or of a bundle; returns what to print."""
    from toolchain.deployment.bundle import MANIFEST

    format_, quantised, target = wanted.format, wanted.quantised, wanted.target
    if format_ not in SUFFIXES:
        raise InputError(f"--format {format_}: is none of {', '.join(SUFFIXES)}; give one of them")
    if wanted.lower_scales and format_ != "netx":
        raise InputError(f"--lower-scales: is for netx, {format_} holds any scale; leave it out")
    if wanted.states and format_ != "onnx":
        raise InputError(f"--states: is for onnx, {format_} has the states of neurons in its own terms; leave it out")
    if format_ == "nir" and target is not None:
        raise InputError(f"--target {target}: nir holds physical units and no integers of a chip; leave it out")
    path = Path(name)
    bundle = (path / MANIFEST).is_file()
    if target is not None and not quantised and not bundle and format_ != "netx":
        raise InputError(f"--target {target}: is for --quantised, and the float network has no target; give both")
    if format_ == "nir" and (quantised or bundle):
        raise InputError(
            f"--format nir: holds physical units and no integers of a chip; export the float network of a run, or "
            f"{name} as onnx"
        )
    quantises = not bundle and (quantised or format_ == "netx")
    if not quantises and (options.clip_delays or options.extend_delays):
        option = "--clip-delays" if options.clip_delays else "--extend-delays"
        raise InputError(
            f"{option}: is for a run that is quantised, and {name} "
            f"{'has its integers already' if bundle else 'goes out in float, which holds any delay'}; leave it out"
        )
    if wanted.out is not None and wanted.out.exists() and not wanted.out.is_file():
        raise InputError(f"--out {wanted.out}: is a folder or a device and no file; give the name of a file")
    found = _find(path, quantises, target, options)
    middle = "" if found.quantised is None else f".{found.quantised[0].name}"
    file = wanted.out or found.folder / f"{found.name}{middle}{SUFFIXES[format_]}"
    say(f"export {found.name}, {found.what}, as {format_}")
    notes = _write(found, wanted, file)
    size = file.stat().st_size
    synapses = sum(p.n_synapses for p in found.network.projections)
    if json:
        return {
            "file": str(file), "format": format_, "numbers": middle[1:] or "float", "bytes": size,
            "synapses": synapses, "notes": notes,
        }  # fmt: skip
    return "\n".join([f"{file}: {size} bytes, {synapses} synapses, {found.what}", *(f"  {note}" for note in notes)])


def _find(path: Path, quantised: bool, target_name: str | None, options: Options) -> Exported:
    """The network of a run folder, quantised as `deploy` would if that is asked for, or that of a bundle."""
    from toolchain.deployment.bundle import MANIFEST, read_bundle
    from toolchain.deployment.deploy import prepare
    from toolchain.deployment.target import find_target
    from toolchain.interchange.into_run import file_hash
    from toolchain.training.checkpoints import load_best
    from toolchain.training.run_folder import RunFolder

    if (path / MANIFEST).is_file():
        bundle = read_bundle(path)
        if target_name not in (None, bundle.target.name):
            raise InputError(
                f"bundle {path}: is for {bundle.target.name}, not {target_name}; leave --target out, or give the run"
            )
        of, name = (bundle.target, bundle.quantised), bundle.recipe.name
        origin = {"recipe": name, "bundle": file_hash(path / MANIFEST)}
        return Exported(name, path.parent, bundle.quantised.trained, of, origin)
    if not path.is_dir():
        raise CheckpointError(
            f"run folder {path} does not exist; give one that `delayline train` or `import` made, or a bundle"
        )
    run = RunFolder(path)
    recipe = run.recipe()
    checkpoint = run.checkpoint("best")
    network, _ = load_best(checkpoint)
    provenance: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.training.seed,
        "checkpoint": file_hash(checkpoint),
    }
    if not quantised:
        return Exported(recipe.name, path, network, None, provenance)
    target = find_target(target_name or recipe.deployment.target)
    with shown_making():
        prepared = prepare(run, target, options, say)
    return Exported(recipe.name, path, prepared.deployed, (target, prepared.quantised), provenance)


def _write(found: Exported, wanted: Wanted, path: Path) -> list[str]:
    """Write the file; returns sentences on what it could not hold."""
    if wanted.format == "onnx":
        from toolchain.interchange.onnx.writing import write_onnx

        write_onnx(path, found.quantised or found.network, states=wanted.states, provenance=found.provenance)
        return []
    if wanted.format == "nir":
        from toolchain.interchange.nir import write_nir

        written = write_nir(found.network, path)
        counted = (
            (
                written.delays_rounded,
                "delays are no whole slots: the graph has them rounded half to even, the metadata keep them",
            ),
            (written.weights_zero, "synapses of weight 0 are in the metadata alone"),
        )
        return [*(f"{number} {what}" for number, what in counted if number), *written.warnings]
    from toolchain.deployment.abilities import NetxTarget

    assert found.quantised is not None, "netx is of integers"
    target, quantised = found.quantised
    if not isinstance(target, NetxTarget):
        raise InputError(f"--format netx: is of Loihi, and {target.name} writes none; give --target loihi2")
    return list(target.write_netx(quantised, path, lower_scales=wanted.lower_scales).notes)


def read_names(entries: list[str]) -> dict[str, str]:
    """Population -> its name elsewhere, from ``POPULATION=NAME``."""
    names = {}
    for entry in entries:
        population, equals, name = entry.partition("=")
        if not (population and equals and name):
            raise InputError(f"--name {entry}: must be POPULATION=NAME, as input=Pop0")
        names[population] = name
    return names


def import_(source: Path, recipe_name: str, overrides: list[str], runs: Path, assume: Assumptions, json: bool) -> Any:
    """Make a run folder of a network from elsewhere; returns what to print."""
    from toolchain.cli.train_command import find_recipe
    from toolchain.interchange.formats import read_network
    from toolchain.interchange.into_run import file_hash, make_run
    from toolchain.recipe import read_recipe

    recipe = read_recipe(find_recipe(recipe_name), overrides)
    found = read_network(source, recipe, assume)
    for sentence in found.imported.assumed:
        say(f"assumed: {sentence}")
    if found.target is not None and recipe.deployment.target != found.target:
        say(f"deployment.target of the recipe: {found.target}, in whose integers the network is")
        recipe = read_recipe(find_recipe(recipe_name), [*overrides, f"deployment.target={found.target}"])
    origin = {"file": source.name, "format": found.format, "sha256": file_hash(source)}
    with shown_making():
        made = make_run(found.imported, recipe, runs, origin, found.number_format)
    for sentence in made.assumed[len(found.imported.assumed) :]:
        say(f"assumed: {sentence}")
    sizes = {p.name: p.size for p in made.network.populations}
    synapses = sum(p.n_synapses for p in made.network.projections)
    if json:
        return {
            "run": str(made.run.path), "format": found.format, "populations": sizes, "synapses": synapses,
            "test_accuracy": made.accuracy, "test_samples": made.test_samples, "assumed": list(made.assumed),
        }  # fmt: skip
    reads = f", test {percent(made.accuracy)} of {made.test_samples} samples in float"
    return f"{made.run.path}: {' '.join(f'{n}:{s}' for n, s in sizes.items())}, {synapses} synapses{reads}"
