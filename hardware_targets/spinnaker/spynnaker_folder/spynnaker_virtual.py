"""Map on sPyNNaker's virtual board, in a home folder of its own, and keep the tables that it would have loaded.

Nothing runs there and nothing can be read back. `ds.sqlite3` is sPyNNaker's own report: its table `region` has the
words of every region of every core. `placements.json` says what sits on which core.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

CONFIGURATION = """[Machine]
virtual_board = True
version = {version}
{size}[Reports]
keep_dataspec_database = True
write_text_specs = False
"""
BOARDS_IN_A_TRIAD, TRIAD = 3, 12
"""Boards come in threes, which together have 12 x 12 chips."""
DATABASE, PLACEMENTS = "ds.sqlite3", "placements.json"
SYSTEM = ("DataSpeedUpPacketGatherMachineVertex", "ExtraMonitorSupportMachineVertex")
"""Vertices that sPyNNaker adds for itself."""


def use_virtual_board(boards: int, version: int) -> Path:
    """Let sPyNNaker, which must not be imported yet, find this configuration alone; no file of the user is touched.

    `version` is 3 for a board of 4 chips, 5 for one of 48; several boards are of version 5.

    The home folder that is returned goes when the script ends: after sPyNNaker, which writes to it to the last.
    """
    size = ""
    if boards > 1:
        size = f"width = {TRIAD * -(-boards // BOARDS_IN_A_TRIAD)}\nheight = {TRIAD}\n"
    home = Path(tempfile.mkdtemp(prefix="virtual-board-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / ".spynnaker.cfg").write_text(CONFIGURATION.format(version=version, size=size), encoding="utf-8")
    os.environ.update({"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "MPLBACKEND": "Agg"})
    os.chdir(home)
    return home


def map_virtually(sim: Any, duration_ms: float, home: Path, output: Path) -> None:
    """Map what was built and copy what sPyNNaker wrote to `output`."""
    sim.run(duration_ms)
    view = importlib.import_module("spynnaker.pyNN.data").SpynnakerDataView
    placements = [
        {
            "kind": type(p.vertex).__name__,
            "vertex": p.vertex.app_vertex.label,
            "first": int(p.vertex.vertex_slice.lo_atom),
            "last": int(p.vertex.vertex_slice.hi_atom),
            "place": [int(p.x), int(p.y), int(p.p)],
        }
        for p in view.iterate_placemements()
        if type(p.vertex).__name__ not in SYSTEM
    ]
    sim.end()
    (database,) = home.glob("reports/*/run_1/ds*.sqlite3")
    output.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database, output / DATABASE)
    (output / PLACEMENTS).write_text(json.dumps(placements, indent=1) + "\n", encoding="utf-8")
