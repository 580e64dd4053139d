"""Commands and their options; everything heavy is imported inside the command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from toolchain.cli import exchange_options, gather_command, make_commands
from toolchain.cli.output import emit

app = typer.Typer(
    help="Train spiking networks with learned synaptic delays and deploy them to neuromorphic chips.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich takes 0.2 s to import for the sake of boxes around the help.
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 1 validation failed, 2 bad input, 3 does not fit the chip, "
    "4 a dependency or device is missing.",
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045 (typer reads annotations at run time)
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the recipe, as training.epochs=5."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Make the first overflow of a state in the emulator an error (exit code 3).")
]
Timeout = Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time limit of the vendor's code.")]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack of an error.")] = False,
) -> None:
    """Options of every command; `main` reads --debug itself, before anything can go wrong."""


@app.command()
def train(
    recipe: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            help="A recipe file, or the name of one that comes with delayline (yin_yang).", metavar="RECIPE"
        ),
    ] = None,
    set_: Sets = None,
    runs: Annotated[Path, typer.Option(help="Folder in which the run folder is made.")] = Path("runs"),
    resume: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="RUN", help="Go on with a run folder, from its last checkpoint, or a sweep."),
    ] = None,
    seeds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Train so many seeds from that of the recipe on, each in its own run folder."),
    ] = None,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Threads; one per core if left out. The result does not depend on it."),
    ] = None,
    backend: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="What trains: cpu, or genn for GPUs (docs/genn.md); that of the recipe if left out."
        ),
    ] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the completed recipe and stop.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe and data, print sizes, train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Train the network of a recipe; writes a run folder."""
    from toolchain.cli import train_command

    request = train_command.TrainRequest(
        recipe, set_ or [], runs, resume, seeds, threads, backend, print_config, dry_run, json
    )
    emit(train_command.run(request), json)


@app.command()
def deploy(
    run: Annotated[
        str,
        typer.Argument(
            help="A run folder that `delayline train` made; with --dry-run also a recipe file or the name of one.",
            metavar="RUN",
        ),
    ],
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Chip; that of the recipe if left out. `delayline targets` lists them."),
    ] = None,
    vendor_samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Test samples that the vendor's code runs; the recipe's number if left out."),
    ] = None,
    vendor_timeout: Timeout = 300.0,
    no_vendor: Annotated[
        bool, typer.Option("--no-vendor", help="Do not run the vendor's code; the verdict then cannot be a pass.")
    ] = False,
    clip_delays: Annotated[
        bool, typer.Option("--clip-delays", help="Cut delays beyond the chip's largest slot instead of refusing them.")
    ] = False,
    extend_delays: Annotated[
        bool,
        typer.Option(
            "--extend-delays", help="Keep delays beyond the chip's largest slot by neurons that relay spikes."
        ),
    ] = False,
    prune: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="SHARE", help="Remove this share of the synapses, those that cost least; as 0.75."),
    ] = None,
    cores: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Remove as many synapses as it takes to fit on so many cores, of all chips together."),
    ] = None,
    strict: Strict = False,
    chips: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1, metavar="N", help="Chips that there are, to spread cores over; those of the usual board if left out."
        ),
    ] = None,
    neurons_per_core: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="NAME=N", help="Neurons on each core of a population, as hidden=32, where the target has a choice."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Does it fit? Place, print resources, write nothing; of a recipe also before training."
        ),
    ] = False,
    set_: Sets = None,
    json: Json = False,
) -> None:
    """Quantise, map, emulate, export and validate a run; writes a bundle into the run folder."""
    from toolchain.cli import deploy_command, dry_run_command
    from toolchain.deployment.options import Options
    from toolchain.deployment.request import read_neurons_per_core

    samples = 0 if no_vendor else vendor_samples
    neurons = read_neurons_per_core(neurons_per_core or [])
    options = Options(samples, vendor_timeout, clip_delays, strict, extend_delays, chips, prune, cores, neurons)
    if dry_run:
        emit(dry_run_command.run(run, set_ or [], target, options, json), json)
        return
    emit(*deploy_command.run(run, set_ or [], target, options, json))


@app.command()
def validate(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `delayline deploy` made.", metavar="BUNDLE")],
    on: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="DEVICE",
            help="Device to run on, may be given several times; the emulator and the vendor's code if left out. "
            "--list-devices lists them.",
        ),
    ] = None,
    samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Samples; all, on slow devices those that the bundle carries, if left out."),
    ] = None,
    set_name: Annotated[str, typer.Option("--set", metavar="SET", help="Samples: test, valid or train.")] = "test",
    vendor_timeout: Timeout = 300.0,
    strict: Strict = False,
    anew: Annotated[bool, typer.Option("--anew", help="Forget the results that are there and run all again.")] = False,
    max_loss: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="POINTS", help="Fail if a device loses more points of accuracy against the first one."),
    ] = None,
    min_accuracy: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="PERCENT", help="Fail if a device is below this accuracy."),
    ] = None,
    require_equal: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="DEVICE", help="Fail unless this device is here and equals the emulator."),
    ] = None,
    junit: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write what was found as JUnit XML too, for continuous integration."),
    ] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="List what the bundle could run on here, and stop.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a bundle on devices and compare them with each other; goes on where it was stopped."""
    from toolchain.cli import validate_command
    from toolchain.validation.gate import Gate
    from toolchain.validation.validate import Request

    if list_devices:
        emit(validate_command.list_devices(bundle, json), json)
        return
    gate = Gate(max_loss, min_accuracy, tuple(require_equal or ()))
    request = Request(tuple(on or ()), samples, set_name, vendor_timeout, strict, anew, gate)
    emit(*validate_command.run(bundle, request, junit, json))


@app.command()
def tune(
    bundle: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="A bundle that `delayline deploy` made; it is not changed.", metavar="BUNDLE"),
    ] = None,
    on: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="DEVICE", help="Device that runs the forward pass; `validate --list-devices` lists them."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs.")] = 10,
    rate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0, help="Step sizes as a share of those of training; 0.1, or 1 of a tuned network."),
    ] = None,
    batch: Annotated[Optional[int], typer.Option(min=1, help="Samples of a batch.")] = None,  # noqa: UP045
    samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Training samples of an epoch, drawn anew for each; all if left out."),
    ] = None,
    valid_samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Validation samples that the device runs after each epoch; all if left out."),
    ] = None,
    test_samples: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Test samples that the device runs before and after; all if left out."),
    ] = None,
    seed: Annotated[Optional[int], typer.Option(min=0, help="That of training if left out.")] = None,  # noqa: UP045
    patience: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="End after so many epochs without a better validation accuracy."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder in which the run folder is made.")] = Path("runs"),
    resume: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="RUN", help="Go on with a run folder of tuning, from its last checkpoint."),
    ] = None,
    vendor_timeout: Timeout = 300.0,
    no_vendor: Annotated[
        bool, typer.Option("--no-vendor", help="Do not run the vendor's code for the new bundle.")
    ] = False,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Threads of the backward pass; one per core if left out."),
    ] = None,
    json: Json = False,
) -> None:
    """Let a deployed network go on learning on a device; writes a new run folder with a new bundle."""
    import time

    from toolchain.cli import tune_command
    from toolchain.tuning.beginning import Settings
    from toolchain.tuning.tune import Request

    started = time.monotonic()
    settings = Settings(epochs, rate, batch, samples, seed, patience)
    request = None if on is None else Request(on, settings, vendor_timeout, valid_samples, test_samples)
    found = tune_command.run(bundle, request, runs, resume, not no_vendor, threads)
    emit(tune_command.emitted(found, started, json), json)


@app.command()
def report(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `delayline deploy` made.", metavar="BUNDLE")],
    other: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="A second one, to compare the first with.", metavar="[OTHER]"),
    ] = None,
    html: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write the comparison of two bundles as a page."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: Json = False,
) -> None:
    """Print the verdict and the accuracy ladder of a bundle, or two bundles beside each other."""
    from toolchain.cli import report_command

    emit(report_command.run(bundle, other, html, open_, json), json)


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle that `delayline deploy` made.", metavar="BUNDLE")],
    rows: Annotated[int, typer.Option(min=0, metavar="N", help="Rows of each table that are shown decoded.")] = 2,
    json: Json = False,
) -> None:
    """Print what lies on which core, and the tables that the core reads where the bundle holds them."""
    from toolchain.cli import inspect_command

    emit(inspect_command.run(bundle, rows, json), json)


@app.command()
def cost(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles that `delayline deploy` made.", metavar="BUNDLE...")],
    json: Json = False,
) -> None:
    """Print what an inference does and is estimated to take, bundle beside bundle."""
    from toolchain.cli import cost_command

    emit(cost_command.run(bundles, json), json)


app.command()(exchange_options.export)
app.command("import")(exchange_options.import_)


@app.command()
def targets(json: Json = False) -> None:
    """List the chips that can be deployed to, with their limits."""
    from toolchain.cli import about_commands

    emit(about_commands.targets(json), json)


@app.command()
def doctor(json: Json = False) -> None:
    """Say what is installed, what is missing and how to get it."""
    from toolchain.cli import about_commands

    emit(about_commands.doctor(json), json)


data_app = typer.Typer(help="Check, convert, gather and make data.", no_args_is_help=True, rich_markup_mode=None)
data_app.add_typer(make_commands.app, name="make")
data_app.command()(gather_command.gather)
app.add_typer(data_app, name="data")


@data_app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A file or folder of recordings.", metavar="PATH")],
    json: Json = False,
) -> None:
    """Say what a file or folder of recordings is, and what is wrong with it; 2 if it cannot be used."""
    from toolchain.cli import check_command

    found, code = check_command.run(path, json)
    emit(found, json, code)


@data_app.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="A folder of WAV files.", metavar="FOLDER")],
    out: Annotated[Path, typer.Argument(help="The spike file to write, HDF5.", metavar="OUT.h5")],
    labels: Annotated[
        str, typer.Option(help="Where labels are: folders (LABEL/x.wav), fsdd (LABEL_SPEAKER_TAKE.wav) or auto.")
    ] = "auto",
    causal: Annotated[
        bool, typer.Option("--causal", help="Let filters respond after the sound; those that SHD was made with lead.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the auditory nerve.")] = 0,
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Threads; one per core if left out. The result does not depend on it."),
    ] = None,
    skip_broken: Annotated[
        bool,
        typer.Option("--skip-broken", help="Leave out and list what cannot be converted, do not refuse."),
    ] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="A program made the sounds; without it they count as real recordings.")
    ] = False,
    json: Json = False,
) -> None:
    """Turn a folder of WAV files into spikes of 700 channels, as the Spiking Heidelberg Digits were made."""
    from toolchain.cli import convert_command

    emit(convert_command.run(folder, out, labels, causal, seed, jobs, skip_broken, synthetic, json), json)
