"""Deploy a run: quantise, map, emulate, export, compare with the vendor's code, report.

Nothing is written where the old bundle lies until every step has succeeded; a chip that is too small, a
missing vendor package or a vendor process that hangs leaves what was there as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolchain.attribution.explainer import explain_spikes, explained_samples
from toolchain.datasets import Dataset, Samples, load_dataset
from toolchain.deployment.abilities import CostedTarget, MappingTarget, TableComparison
from toolchain.deployment.bundle import replacing, write_manifest, write_network
from toolchain.deployment.figures import collect_figures
from toolchain.deployment.options import Options as Options
from toolchain.deployment.provenance import provenance
from toolchain.deployment.target import EmulatedResponses, Placement, Pruned, Quantised, Target, Traces
from toolchain.diagnosis.explain import explain_difference
from toolchain.diagnosis.findings import Diagnosis
from toolchain.errors import CheckpointError, Exceeded, InputError, TargetLimitError
from toolchain.network import Network
from toolchain.network_builder import generator
from toolchain.recipe import Recipe
from toolchain.report.content import Divergence, Report, Rung
from toolchain.report.figures_json import figures_json
from toolchain.report.html import render_html
from toolchain.storage import write_atomically, write_json
from toolchain.training.checkpoints import load_best
from toolchain.training.run_folder import RunFolder
from toolchain.validation.divergence import first_divergence
from toolchain.validation.flips import find_flips
from toolchain.validation.ladder import float_predictions, predict, predict_traces
from toolchain.validation.statistics import climb

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A trained network in the integers of a target, placed on its cores; `pruned` where that was asked for."""

    recipe: Recipe
    dataset: Dataset
    trained: Network
    pruned: Pruned | None
    quantised: Quantised
    placement: Placement

    @property
    def deployed(self) -> Network:
        """What was quantised: the trained network, or what pruning left of it."""
        return self.trained if self.pruned is None else self.pruned.network


def prepare(run: RunFolder, target: Target, options: Options, say: Say) -> Prepared:
    """Load a run, quantise it and place it on cores; writes nothing.

    Raises
    ------
    CheckpointError, RecipeError
        If the run cannot be read or does not match its data.
    InputError
        If the run cannot be deployed, or what is asked of its cores and chips cannot be.
    TargetLimitError
        If the network does not fit the target.
    """
    recipe = run.recipe()
    if recipe.training.readout == "trace":
        raise InputError(
            f"run folder {run.path}: it follows target traces, and a bundle is checked by the classes that are read; "
            "train with another training.readout to deploy"
        )
    # Pruning takes minutes: what cannot be met is said before.
    target.check_budget(cores=_asked_cores(recipe, options), request=options.request)
    trained, number_format = load_best(run.checkpoint("best"))
    options.request.check_names(p.name for p in trained.populations)
    dataset = load_dataset(recipe.dataset.task, recipe.dataset.options)
    sources = sum(p.size for p in trained.of_kind("spike_source"))
    if (sources, trained.readout.size) != (dataset.n_inputs, dataset.n_classes):
        raise CheckpointError(
            f"run folder {run.path}: its network has {sources} inputs and {trained.readout.size} outputs, the dataset "
            f"{dataset.n_inputs} and {dataset.n_classes}; recipe.yaml and checkpoint do not belong together"
        )
    calibration = _calibration(dataset, recipe)
    # A network that was trained in this target's numbers goes into the same ones; another target chooses its own.
    ours = number_format is not None and number_format.get("target") == target.name
    hint = number_format.get("hint") if ours and number_format else None
    extend = options.extend_delays or (recipe.deployment.extend_delays and not options.clip_delays)
    pruned = _prune(recipe, trained, target, options, calibration, extend, say)
    if pruned is not None and pruned.removed:
        # Weights that make up for others have left the grid that they were trained on.
        hint = None
    say(f"quantise {recipe.name} for {target.name}")
    network = trained if pruned is None else pruned.network
    quantised = target.quantise(
        network, calibration.spikes, clip_delays=options.clip_delays, extend_delays=extend, hint=hint
    )
    say("place neurons on cores")
    placement = target.place(quantised, spikes=calibration.spikes, request=options.request)
    prepared = Prepared(recipe, dataset, trained, pruned, quantised, placement)
    _check_cores(prepared, options)
    return prepared


def _prune(
    recipe: Recipe,
    trained: Network,
    target: Target,
    options: Options,
    calibration: Samples,
    extend: bool,
    say: Say,
) -> Pruned | None:
    """What pruning leaves, or None where neither the options nor the recipe ask for it."""
    fraction = recipe.deployment.prune if options.prune is None else options.prune
    cores = _asked_cores(recipe, options)
    if not fraction and cores is None:
        return None
    say(f"prune {recipe.name}")
    return target.prune(
        trained,
        calibration.spikes,
        fraction=fraction,
        cores=cores,
        clip_delays=options.clip_delays,
        extend_delays=extend,
    )


def _asked_cores(recipe: Recipe, options: Options) -> int | None:
    return recipe.deployment.cores if options.cores is None else options.cores


def _check_cores(prepared: Prepared, options: Options) -> None:
    """Whether the integers that came out fit on the cores that were asked for."""
    asked, used = _asked_cores(prepared.recipe, options), len(prepared.placement.cores)
    if asked is not None and used > asked:
        raise TargetLimitError(
            f"network: takes {used} cores in the target's integers, {asked} were asked for; allow more cores, or raise "
            "the share that is pruned with --prune",
            exceeded=Exceeded("cores", used, asked, "cores", "network, in the target's integers"),
        )


@dataclass(frozen=True)
class Compared:
    """What was compared with what.

    Attributes
    ----------
    samples : that the vendor's code ran
    divergence : where it first differs from the emulator
    changed : what delay extension did to the trained populations, which must be nothing
    tables : of a target whose vendor's tools lay a network out, but run it on the chip alone
    diagnosis : why the vendor's code differs from the emulator, where it does
    """

    samples: int
    divergence: Divergence | None
    changed: Divergence | None
    tables: TableComparison | None
    diagnosis: Diagnosis | None = None


def deploy(run: RunFolder, target: Target, options: Options, say: Say) -> tuple[Path, Report]:
    """Write the bundle of a run for a target and say whether it does what was trained.

    Returns
    -------
    the bundle's folder ``<run>/<target>``, and the report that lies in it

    Raises
    ------
    CheckpointError, RecipeError, TargetLimitError
        As `prepare`; the last also for an overflow where `options.strict`.
    InputError
        If more vendor samples are asked for than the test set has.
    MissingDependencyError
        If the vendor's code is absent, dies or exceeds its time; `options.vendor_samples` = 0 leaves it out.
    """
    prepared = prepare(run, target, options, say)
    recipe, test, quantised = prepared.recipe, prepared.dataset.test, prepared.quantised
    say(f"emulate {test.labels.size} test samples")
    emulated = target.emulate(quantised, test.spikes, strict=options.strict)
    predictions = float_predictions(recipe, prepared.trained, quantised, test, pruned=prepared.pruned)
    predictions.append(("emulator", predict(recipe.training.readout, emulated.readout_v, emulated.first_spikes)))

    wanted = recipe.deployment.vendor_samples if options.vendor_samples is None else options.vendor_samples
    if (options.vendor_samples or 0) > test.labels.size:
        raise InputError(
            f"--vendor-samples {options.vendor_samples}: the test set of {recipe.name} has {test.labels.size}; "
            "ask for less"
        )
    n_vendor = min(wanted, test.labels.size)
    # Also without a comparison the bundle carries samples, for whoever runs it on another machine.
    shown = test.spikes.select(range(max(n_vendor, min(8, test.labels.size))))
    labels = test.labels[: shown.n_samples]
    destination = run.path / target.name
    with replacing(destination) as folder:
        exported = target.export(
            quantised, shown, labels, folder, readout=recipe.training.readout, request=options.request
        )
        ours = target.emulate_traces(quantised, shown)
        unextended = target.emulate_unextended(quantised, shown)
        changed = first_divergence(ours, unextended, list(unextended.v)) if unextended else None
        theirs, divergence, tables = None, None, None
        if isinstance(target, MappingTarget) and n_vendor:
            say(f"lay it out by {target.vendor}")
            tables = target.compare_tables(
                quantised, exported, timeout_s=options.vendor_timeout_s, request=options.request
            )
        elif n_vendor:
            say(f"run {n_vendor} samples in {target.vendor}")
            theirs = target.run_vendor(exported, samples=n_vendor, timeout_s=options.vendor_timeout_s)
            divergence = first_divergence(cut(ours, n_vendor), theirs, list(ours.v))
            readout = prepared.trained.readout.name
            predictions.append(("vendor", predict_traces(recipe.training.readout, theirs, readout)))
        ladder = climb(predictions, test.labels, prepared.dataset.n_classes)
        diagnosis = None
        if theirs is not None and divergence is not None:
            say(f"find out why {target.vendor} differs")
            ran = shown.select(range(n_vendor))
            diagnosis = explain_difference((target, quantised), ran, theirs, cut(ours, n_vendor))
        compared = Compared(0 if tables else n_vendor, divergence, changed, tables, diagnosis)
        say(f"explain the spikes of {explained_samples(prepared.trained, test.spikes)} samples")
        causes, distances = explain_spikes(recipe, prepared.trained, target, quantised, test)
        cost = None
        if isinstance(target, CostedTarget):
            spikes = test.spikes
            cost = target.cost(
                quantised, prepared.placement, spikes=spikes, emulated=emulated, traced=shown, traces=ours
            )
        write_network(folder, quantised, prepared.placement, recipe)
        flips = find_flips(predictions, test.labels, prepared.dataset.n_classes)
        report = replace(
            _report(target, prepared, ladder, emulated, compared),
            flips=flips,
            causes=causes,
            spike_distances=distances,
            cost=cost,
            provenance=provenance(run, recipe, prepared.dataset, target, options, folder),
        )
        figures = collect_figures(recipe, prepared.trained, target, quantised, test, ours, theirs, flips, run.metrics())
        write_json(folder / "report.json", {**report.to_json(), "figures": figures_json(figures)})
        write_atomically(folder / "report.html", render_html(report, figures).encode())
        write_manifest(folder, target, vendor_samples=shown.n_samples, network=recipe.name, request=options.request)
    return destination, report


def cut(traces: Traces, samples: int) -> Traces:
    """The first samples of traces."""
    return Traces(
        {k: a[:samples] for k, a in traces.u.items()},
        {k: a[:samples] for k, a in traces.v.items()},
        {k: a[:samples] for k, a in traces.spikes.items()},
        {k: a[:, :samples] for k, a in traces.currents.items()},
    )


def _calibration(dataset: Dataset, recipe: Recipe) -> Samples:
    """Training samples that the number formats are chosen on; drawn from the seed, never from the test set."""
    n = dataset.train.labels.size
    count = min(recipe.deployment.calibration_samples, n)
    chosen = np.sort(generator(recipe.training.seed, "calibration").permutation(n)[:count])
    return Samples(dataset.train.spikes.select(chosen), dataset.train.labels[chosen])


def _report(
    target: Target,
    prepared: Prepared,
    ladder: list[Rung],
    emulated: EmulatedResponses,
    compared: Compared,
) -> Report:
    by_name = {rung.rung: rung.accuracy for rung in ladder}
    lost = 100 * (by_name["float"] - by_name["emulator"])
    allowed = prepared.recipe.deployment.max_loss_points
    reasons = []
    # The accuracies are quotients of small integers; their difference carries a rounding of 1e-14.
    if lost > allowed + 1e-9:
        reasons.append(f"the emulator loses {lost:.2f} points of accuracy, the recipe allows {allowed:g}")
    changed, divergence, tables = compared.changed, compared.divergence, compared.tables
    if changed is not None:
        reasons.append(
            f"delay extension changes what the emulator computes, first in {_where(changed)} is {changed.ours}, with "
            f"every delay in its own synapse {changed.theirs}"
        )
    if divergence is not None:
        reasons.append(
            f"{target.vendor} differs from the emulator first in {_where(divergence)} is {divergence.theirs}, "
            f"emulated {divergence.ours}"
        )
    if compared.diagnosis is not None:
        reasons += compared.diagnosis.causes
    if tables is not None and not tables.equal:
        reasons.append(f"{target.vendor} writes other tables: {tables.difference}")
    if tables is None and not compared.samples:
        reasons.append(f"not compared with {target.vendor}: no vendor samples were asked for")
    return Report(
        verdict="fail" if reasons else "pass",
        reasons=reasons,
        name=prepared.recipe.name,
        target=target.name,
        vendor=target.vendor,
        ladder=ladder,
        vendor_equal=tables.equal if tables else bool(compared.samples) and divergence is None,
        vendor_samples=compared.samples,
        first_divergence=divergence,
        placement=prepared.placement,
        projections=prepared.quantised.projection_errors,
        constants=prepared.quantised.constant_errors,
        overflows=emulated.overflows,
        pruned=prepared.pruned,
        tables=tables,
        diagnosis=compared.diagnosis,
    )


def _where(d: Divergence) -> str:
    return f"sample {d.sample}, layer {d.layer}, neuron {d.neuron}, step {d.step}: {d.quantity}"
