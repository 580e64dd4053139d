"""Run an exported sPyNNaker folder in its own process: map it on a virtual board and compare, or run it on a board.

Not executed on a board: `run_board` has run with a stand-in for sPyNNaker only. `compare_tables` runs sPyNNaker itself.

sPyNNaker reads and writes files in the user's home and keeps the state of a whole process, so it never runs inside
ours. The interpreter may be another one than ours (`DELAYLINE_SPYNNAKER_PYTHON`), as sPyNNaker wants its own versions.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hardware_targets.array_files import UNREADABLE, read_entry, read_traces
from hardware_targets.sample_file import steps_of_samples
from hardware_targets.spinnaker.describe import describe_tables
from hardware_targets.spinnaker.spynnaker_export import ABOUT_NAME, HEADER_NAME, TABLES_NAME
from hardware_targets.spinnaker.table_comparison import compare_words, read_written
from hardware_targets.spinnaker.tables import Tables, restore_tables
from hardware_targets.vendor_python import MISSING, VendorPython
from toolchain.deployment.abilities import TableComparison
from toolchain.deployment.target import Traces
from toolchain.errors import BundleError, MissingDependencyError, UnansweredError

INTERPRETER_VARIABLE = "DELAYLINE_SPYNNAKER_PYTHON"
REMEDY = f"`pip install 'delayline[spinnaker]'`, or set {INTERPRETER_VARIABLE} to a Python that has it"
MAPPING_REMEDY = "deploy with --no-vendor and run spynnaker/network.py of the bundle to see more"
BOARD_REMEDY = "name a board in ~/.spynnaker.cfg, and run spynnaker/network.py of the bundle to see more"
SPYNNAKER = VendorPython(
    "sPyNNaker", "sPyNNaker", INTERPRETER_VARIABLE, REMEDY, when_slow="raise it with --vendor-timeout"
)


def compare_tables(exported: Path, tables: Tables, *, timeout_s: float, python: str | None = None) -> TableComparison:
    """Let sPyNNaker map a folder that `write_spynnaker_folder` wrote, on its virtual board, and compare every word.

    Parameters
    ----------
    tables : those of the same network and plan
    timeout_s : limit on the wall time of sPyNNaker, seconds
    python : interpreter; None is ``$DELAYLINE_SPYNNAKER_PYTHON``, or the one that runs this

    Raises
    ------
    MissingDependencyError
        If sPyNNaker or the interpreter is missing, does not answer in time or fails.
    BundleError
        If the folder is incomplete.
    InputError
        If `timeout_s` is out of range.
    """
    with tempfile.TemporaryDirectory(prefix="delayline-spynnaker-") as scratch:
        home, output = Path(scratch), Path(scratch) / "written"
        # The script makes a home of its own for the virtual board, in TMPDIR: it goes with this folder also where the
        # script is killed; HOME is for whatever comes before.
        places = {"HOME": scratch, "TMPDIR": scratch}
        _run_script(exported, ["--virtual", str(output)], home, timeout_s, python, places, MAPPING_REMEDY)
        try:
            written = read_written(output)
        except (OSError, KeyError, TypeError, ValueError, sqlite3.Error) as error:
            raise MissingDependencyError(
                f"sPyNNaker: what it wrote for its virtual board cannot be read ({error}); is it 7.4.1? {REMEDY}"
            ) from error
    return compare_words(written, tables)


def run_board(exported: Path, *, samples: int, timeout_s: float, python: str | None = None) -> Traces:
    """Run the first `samples` samples of such a folder on the board that the user's configuration names.

    Not executed on a board. Each sample is a run of its own, from the initial state.

    Returns
    -------
    spikes of all populations and v of the readout, s16.15 at the end of each step; no u

    Raises
    ------
    MissingDependencyError, BundleError, InputError
        As `compare_tables`; also MissingDependencyError where no board answers, BundleError if the traces are not what
        such a run leaves, InputError if `samples` is out of range.
    """
    about = _about(exported)
    n_steps = steps_of_samples(exported, samples, SPYNNAKER.vendor)
    with tempfile.TemporaryDirectory(prefix="delayline-spynnaker-") as scratch:
        output = Path(scratch) / "traces.npz"
        arguments = ["--samples", str(samples), "--out", str(output)]
        _run_script(exported, arguments, Path(scratch), timeout_s, python, {}, BOARD_REMEDY)
        try:
            kinds = read_traces(output, {"s": np.bool_, "v": np.int32}, samples, n_steps)
            spikes = {name: trace.shape[2] for name, trace in kinds["s"].items()}
            voltages = {name: trace.shape[2] for name, trace in kinds["v"].items()}
            wanted = {name: about["simulated"][name] for name in about["voltages"]}
            if spikes != about["simulated"] or voltages != wanted:
                raise ValueError(f"they are of {spikes} neurons and v of {voltages}, not those of the network")
        except UNREADABLE as error:
            raise BundleError(f"spinnaker: the traces of the run are not usable: {error}; run it again") from error
    return Traces({}, {name: v.astype(np.int64) for name, v in kinds["v"].items()}, kinds["s"])


def exported_tables(folder: Path) -> Tables:
    """Tables of a folder that `write_spynnaker_folder` wrote; BundleError if they are missing or damaged."""
    try:
        header = json.loads((folder / HEADER_NAME).read_text(encoding="utf-8"))
        with zipfile.ZipFile(folder / TABLES_NAME) as archive:
            arrays = {e.filename.removesuffix(".npy"): read_entry(archive, e) for e in archive.infolist()}
    except UNREADABLE as error:
        raise BundleError(f"tables in {folder}: not usable: {error}; deploy again") from error
    return restore_tables(arrays, header)


def describe_exported(folder: Path, *, rows: int) -> str:
    """Tables of such a folder as a person reads them.

    Parameters
    ----------
    rows : how many rows of each matrix are shown decoded, of the first core of each population

    Raises
    ------
    BundleError
        If they are missing or damaged.
    """
    return describe_tables(exported_tables(folder), rows=rows)


def _about(exported: Path) -> dict[str, Any]:
    """What network.json says that is needed here."""
    try:
        about = json.loads((exported / ABOUT_NAME).read_text(encoding="utf-8"))
        simulated = {str(name): int(size) for name, size in about["simulated"].items()}
        voltages = [name for name in about["voltages"] if simulated[name]]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"bundle {exported / ABOUT_NAME}: not usable: {error!r}; deploy again") from error
    return {"simulated": simulated, "voltages": voltages}


def _run_script(
    exported: Path,
    arguments: list[str],
    scratch: Path,
    timeout_s: float,
    python: str | None,
    home: dict[str, str],
    remedy: str,
) -> None:
    """Run the script of a folder; MissingDependencyError says why there is no result, and the remedy."""
    # No bytecode: the folder stays as its manifest describes it.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **home}
    ended = SPYNNAKER.run(exported, arguments, scratch, timeout_s, python=python, environment=environment)
    if ended.code == MISSING:
        raise MissingDependencyError(
            f"sPyNNaker: {SPYNNAKER.interpreter(python)} cannot import it ({ended.last}); {REMEDY}"
        )
    if ended.code != 0:
        raise UnansweredError(f"sPyNNaker: the run {ended.said().rstrip(':.')}; {remedy}")
