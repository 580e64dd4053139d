"""`delayline data gather`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from toolchain.cli.output import emit, say

NAMED = 10


def gather(
    sources: Annotated[
        list[Path], typer.Argument(help="Files (.npz, HDF5, NIR data) or folders of them.", metavar="SOURCE...")
    ],
    out: Annotated[Path, typer.Argument(help="The spike file to write, HDF5.", metavar="OUT.h5")],
    labels: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Where labels are: file, a CSV (file, sample, label), folders (LABEL/x.npz), none, or auto: the file, "
            "else labels.csv beside, else folders.",
        ),
    ] = "auto",
    unit: Annotated[
        Optional[str],  # noqa: UP045 (typer reads annotations at run time)
        typer.Option(help="What times are in, where a file does not say it: s, ms, us or steps."),
    ] = None,
    dt_ms: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--dt-ms", metavar="MS", help="Length of a step, for times in steps and for rasters."),
    ] = None,
    node: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME", help="Node of a NIR data file whose spikes are read."),
    ] = None,
    units: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="N", help="Channels; what files say, else the largest that is used, if left out."),
    ] = None,
    sensor: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="WxH", help="Width and height of an event camera, where a file does not say it."),
    ] = None,
    polarity: Annotated[
        str, typer.Option(help="Of event cameras: separate (units of their own), merge, on or off.")
    ] = "separate",
    from_first: Annotated[
        bool, typer.Option("--from-first", help="Count the times of each sample from its first event.")
    ] = False,
    what: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="TEXT", help="A few words about the data, which every result will print."),
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="A program made them; without it they count as real recordings.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Gather spikes from .npz, from HDF5 of others and from NIR data files into one spike file."""
    from toolchain.interchange.recordings.gather import Request
    from toolchain.interchange.recordings.pixels import Pixels

    request = Request(
        unit, dt_ms, labels, node, units, Pixels(_sides(sensor), polarity), from_first, not synthetic, what
    )
    emit(run(sources, out, request, json), json)


def _sides(sensor: str | None) -> tuple[int, int] | None:
    from toolchain.errors import InputError

    if sensor is None:
        return None
    sides = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", sensor)
    if sides is None:
        raise InputError(f"--sensor {sensor}: is no width and height; give them as 128x128")
    return int(sides[1]), int(sides[2])


def run(sources: list[Path], out: Path, request: Any, json: bool) -> Any:
    """Gather, and say what was done."""
    from toolchain.interchange.recordings.gather import gather as gather_files

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty() and (done == total or done % 50 == 0):
            say(f"  {done}/{total} files")

    done = gather_files(sources, out, request, progress)
    found = {
        "file": str(done.path),
        "files": done.n_files,
        "samples": done.n_samples,
        "events": done.n_events,
        "units": done.n_units,
        "labels": list(done.label_names),
        "labels_by": done.labels_by,
        "times_in": done.time_units,
        "longest_s": done.longest_s,
        "real": request.real,
        "counts": done.counts,
        "notes": list(done.notes),
    }
    return found if json else "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> list[str]:
    names = found["labels"]
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    kind = "real recordings" if found["real"] else "synthetic"
    times = ", ".join(f"{unit} in {n}" for unit, n in found["times_in"].items())
    lines = [
        f"{found['file']}: {found['samples']} samples ({kind}) of {found['files']} files, {found['events']} events on "
        f"{found['units']} units",
        f"  labels      {len(names)} by {found['labels_by']}: {shown}",
        f"  times       {times} samples; the longest lasts {found['longest_s']:.6g} s",
    ]
    lines += [f"  counted     {number} {what}" for what, number in found["counts"].items() if number]
    return lines + [f"  note        {note}" for note in found["notes"]]
