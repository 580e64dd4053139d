"""A NIR file read in a process of its own.

    python -m toolchain.interchange.nir.isolated PATH OUT.safetensors OPTIONS

writes the network as OUT.safetensors, and OUT.json beside it: what was assumed, or an error.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolchain.interchange.apart import answer, read_apart
from toolchain.interchange.imported import Imported
from toolchain.interchange.nir.assumptions import NirAssumptions
from toolchain.interchange.nir.reading import read_nir
from toolchain.training.checkpoints import Progress, load_network, save_checkpoint


def read_nir_isolated(path: Path, assume: NirAssumptions) -> Imported:
    """As `read_nir`, whatever the file does to the HDF5 library; half a second longer.

    Raises
    ------
    InterchangeError
        As `read_nir`, and if the library crashes or does not come back.
    """
    with tempfile.TemporaryDirectory(prefix="delayline-") as folder:
        out = Path(folder) / "network.safetensors"
        said = read_apart(__name__, path, out, asdict(assume))
        return Imported(load_network(out), tuple(said["assumed"]))


def _write(path: Path, out: Path, options: dict[str, Any]) -> dict[str, list[str]]:
    found = read_nir(path, NirAssumptions(**options))
    save_checkpoint(out, found.network, {}, Progress(0, 0, 0.0, 0.0, {}))
    return {"assumed": list(found.assumed)}


if __name__ == "__main__":
    answer(_write, sys.argv[1:])
