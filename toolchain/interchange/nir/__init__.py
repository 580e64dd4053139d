"""Networks and spikes as NIR, the Neuromorphic Intermediate Representation: both ways, with h5py alone.

`docs/interchange.md` says what each node means here, and what has to be assumed of a file that another tool wrote.
"""

from __future__ import annotations

from toolchain.interchange.nir.assumptions import NirAssumptions
from toolchain.interchange.nir.data import NirSpikes, read_nir_data, write_nir_data
from toolchain.interchange.nir.reading import read_nir
from toolchain.interchange.nir.writing import NirWritten, write_nir

__all__ = [
    "NirAssumptions",
    "NirSpikes",
    "NirWritten",
    "read_nir",
    "read_nir_data",
    "write_nir",
    "write_nir_data",
]
