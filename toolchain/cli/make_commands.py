"""`delayline data make`: sets that a program makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from toolchain.cli.output import emit

app = typer.Typer(help="Make a synthetic set.", no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[Path, typer.Argument(help="Folder in which the files are made.", metavar="FOLDER")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command("spoken_digits")
def spoken_digits(
    folder: Folder,
    train: Annotated[int, typer.Option(min=1, help="Samples to train on.")] = 4000,
    valid: Annotated[int, typer.Option(min=1, help="Samples to validate on, of other voices.")] = 500,
    test: Annotated[int, typer.Option(min=1, help="Samples to test on, of other voices again.")] = 1000,
    train_speakers: Annotated[
        int, typer.Option(min=1, max=36, help="Voices to train on; those to validate and to test on stay the same.")
    ] = 16,
    seed: Seed = 1,
    jobs: Annotated[
        Optional[int],  # noqa: UP045 (typer reads annotations at run time)
        typer.Option(min=1, help="Threads; one per core if left out. The files do not depend on it."),
    ] = None,
    causal: Annotated[
        bool, typer.Option("--causal", help="A cochlea that responds after the sound, unlike that of the SHD.")
    ] = False,
    json: Json = False,
) -> None:
    """Digits in English and German, spoken by espeak-ng and heard by the cochlea; go on where a run was stopped."""
    from toolchain.cli.making_progress import shown_making
    from toolchain.datasets.spoken_digits.make import find_maker, make_files
    from toolchain.datasets.spoken_digits.plan import Settings
    from toolchain.training.backends.cpu.engine import available_cores

    maker = find_maker(seed, Settings(train_speakers=train_speakers), causal=causal)
    sizes = {"train": train, "valid": valid, "test": test}
    with shown_making():
        files = make_files(maker, folder, sizes, jobs or available_cores())
    emit(_result(files, json), json)


@app.command("synthetic_braille")
def synthetic_braille(
    folder: Folder,
    repeats: Annotated[int, typer.Option(min=10, help="Trials of each letter.")] = 200,
    threshold: Annotated[int, typer.Option(min=1, max=5, help="Counts from event to event: 1, 2 or 5.")] = 2,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Letters under a modelled fingertip, in the shape of the published Braille letters."""
    from toolchain.datasets.synthetic_braille import write_files

    emit(_result(write_files(folder, repeats, threshold, seed), json), json)


def _result(files: dict[str, Path], json: bool) -> Any:
    from toolchain.datasets.spike_file import SpikeFile

    opened = {part: SpikeFile.open(path) for part, path in files.items()}
    if json:
        return {
            part: {
                "file": str(f.path),
                "samples": int(f.labels.size),
                "bytes": f.path.stat().st_size,
                "of": str(f.origin),
            }
            for part, f in opened.items()
        }
    return "\n".join(
        f"{f.path}: {f.labels.size} samples, {f.path.stat().st_size} bytes; {f.origin}" for f in opened.values()
    )
