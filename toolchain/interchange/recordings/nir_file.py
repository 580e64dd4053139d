"""Spikes in NIR's data files, of one node."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from toolchain.errors import InterchangeError, MissingDependencyError
from toolchain.interchange.recordings.found import Found, checked


def read_nir(path: Path, node: str | None) -> Found:
    """Read the spikes of a node; times are in seconds, as everywhere in NIR.

    Raises
    ------
    InterchangeError
        If the file is damaged, or it has several nodes and none is named.
    MissingDependencyError
        If this version of delayline has no reader of NIR.
    """
    try:
        reader = import_module("toolchain.interchange.nir.data")
    except ImportError as error:
        raise MissingDependencyError(
            f"file {path}: is of NIR, whose reader is not here ({error}); install delayline whole"
        ) from error
    spikes = reader.read_nir_data(path, node)
    if not spikes.times_s:
        raise InterchangeError(f"file {path}: holds no sample; write one with nir.write_data")
    counts = [times.size for times in spikes.times_s]
    found = Found(
        np.concatenate([np.asarray(t, dtype=np.float64) for t in spikes.times_s]),
        np.concatenate([np.asarray(u, dtype=np.int64) for u in spikes.units]),
        np.cumsum([0, *counts]).astype(np.int64),
        "s",
        n_units=int(spikes.n_units),
    )
    return checked(found, f"file {path}")
