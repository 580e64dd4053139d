"""`delayline tune`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.cli.making_progress import shown_making
from toolchain.cli.output import percent, say
from toolchain.cli.train_command import progress_listener
from toolchain.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from toolchain.tuning.tune import Request, Tuned


def run(
    bundle: Path | None, request: Request | None, runs: Path, resume: Path | None, vendor: bool, threads: int | None
) -> Tuned:
    """Tune a bundle, or go on where that was stopped; `request` is None where nothing was asked for."""
    from toolchain.training.run_folder import RunFolder
    from toolchain.tuning.tune import begin, tune

    if resume is not None:
        if bundle is not None or request is not None:
            raise InputError(
                f"--resume {resume}: takes no BUNDLE, --on or settings, those of the run are kept; leave them out"
            )
        if not resume.is_dir():
            raise CheckpointError(f"run folder {resume} does not exist; give a folder that `delayline tune` made")
        run_folder = RunFolder(resume)
        say(f"resume {resume}")
    elif bundle is None or request is None:
        raise InputError(
            "tune: BUNDLE and --on DEVICE, or --resume RUN; `validate BUNDLE --list-devices` lists devices"
        )
    else:
        with shown_making():
            run_folder = begin(bundle, request, runs, say)
        say(f"tune {bundle} on {request.device} -> {run_folder.path}")
    try:
        with progress_listener(run_folder.recipe().training.epochs) as listener:
            return tune(run_folder, say, resume=resume is not None, listener=listener, threads=threads, vendor=vendor)
    except KeyboardInterrupt:
        say(f"go on with: delayline tune --resume {run_folder.path}")
        raise


def text_of(found: Tuned, started: float) -> str:
    """What came of it, for people."""
    lines = [f"tuned on {found.device}: best epoch {found.result.best_epoch}, {time.monotonic() - started:.0f} s"]
    for rung in found.ladder:
        assert rung.tally is not None
        interval = f"[{percent(rung.tally.low)}, {percent(rung.tally.high)}]"
        lines.append(f"  {rung.rung:<16} {percent(rung.accuracy):>9}  {interval}  {rung.samples} samples")
        if rung.rung != "emulator after" and (against := rung.tally.against) is not None:
            lines.append(
                f"  {'':<16} {len(against.lost)} lost, {len(against.gained)} gained; p = {against.p_value:.3g}"
            )
    if found.regained is not None:
        lines.append(f"  regained: {percent(found.regained)} of what the device lost")
    if found.restarts:
        lines.append(f"  the device had to be started again {found.restarts} times")
    if not found.redeployed:
        lines.append("  deployment chose other numbers than tuning had; the device ran the new bundle once more")
    lines += [f"  before: {found.first}", f"  after:  {found.bundle}"]
    return "\n".join(lines)


def emitted(found: Tuned, started: float, json: bool) -> Any:
    """Text, or data for JSON."""
    return {**found.to_json(), "seconds": round(time.monotonic() - started, 1)} if json else text_of(found, started)
