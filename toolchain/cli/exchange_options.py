"""Options of `delayline export` and `delayline import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from toolchain.cli.output import emit

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045 (typer reads annotations at run time)
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the recipe, as training.epochs=5."),
]


def export(
    run: Annotated[
        str,
        typer.Argument(help="A run folder, or a bundle whose integers are to be written.", metavar="RUN_OR_BUNDLE"),
    ],
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="onnx, nir, or netx (Loihi, for lava-dl).")
    ] = "onnx",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="File to write; in the run folder, by the name of the recipe, if left out."),
    ] = None,
    quantised: Annotated[
        bool, typer.Option("--quantised", help="In the integers of a chip, as deploy would choose them.")
    ] = False,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Chip, with --quantised or netx; that of the recipe if left out."),
    ] = None,
    states: Annotated[
        bool, typer.Option("--states", help="Let an ONNX graph return current and voltage of every population too.")
    ] = False,
    lower_scales: Annotated[
        bool,
        typer.Option(
            "--lower-scales", help="Give populations a smaller scale where lava-dl cannot read their weights in NetX."
        ),
    ] = False,
    clip_delays: Annotated[
        bool, typer.Option("--clip-delays", help="Cut delays beyond the chip's largest slot instead of refusing them.")
    ] = False,
    extend_delays: Annotated[
        bool, typer.Option("--extend-delays", help="Keep delays beyond the chip's largest slot.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a trained or quantised network for other tools: ONNX, NIR, NetX (docs/interchange.md)."""
    from toolchain.cli import exchange_commands
    from toolchain.deployment.options import Options

    wanted = exchange_commands.Wanted(format_, out, quantised, target, states, lower_scales)
    options = Options(clip_delays=clip_delays, extend_delays=extend_delays)
    emit(exchange_commands.export(run, wanted, options, json), json)


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="An ONNX file of ours, a NIR file, or a folder of mlGeNN's checkpoints.", metavar="SOURCE"),
    ],
    recipe: Annotated[
        str, typer.Option(metavar="RECIPE", help="What the network is for: a recipe file, or the name of one.")
    ],
    set_: Sets = None,
    runs: Annotated[Path, typer.Option(help="Folder in which the run folder is made.")] = Path("runs"),
    dt_ms: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="MS", help="Length of a step, where a NIR file does not say it."),
    ] = None,
    discretisation: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="How the tool that a NIR file is from steps in time: exponential (usual) or euler."
        ),
    ] = None,
    hop: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME",
            help="What a connection of a NIR file takes without a delay: step (usual), or within-step between layers.",
        ),
    ] = None,
    synapse: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="NAME", help="What a spike is to a current of a NIR file: pulse of a step (usual), or jump."
        ),
    ] = None,
    epoch: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="KEY", help="Which of mlGeNN's checkpoints; the last epoch if left out."),
    ] = None,
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--name", metavar="POPULATION=NAME", help="What mlGeNN called a population of the recipe."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a run folder of a network that another tool has trained: deploy it like any other."""
    from toolchain.cli import exchange_commands
    from toolchain.interchange.formats import Assumptions

    assume = Assumptions(dt_ms, discretisation, hop, synapse, epoch, exchange_commands.read_names(names or []))
    emit(exchange_commands.import_(source, recipe, set_ or [], runs, assume, json), json)
