"""The text that `network.py` of a bundle is put together from; `lava_export` fills in the network."""

from __future__ import annotations

SPARSE_IMPORT = "from scipy.sparse import csr_matrix\n"

USAGE = {
    "loihi1": "    (made for Loihi 1, onto which no public software leads from Lava: see README.md)\n",
    "loihi2": "    python network.py --on loihi2 --out outputs.npz       "
    "run on a Loihi 2 chip (not executed: see README.md)\n",
}
"""Chip -> line on running on it."""

HEAD = '''"""A spiking network with delays for Lava, in Loihi's integers. It needs lava-nc and numpy only.

    python network.py --samples 5 --out traces.npz        simulate on this computer
# CHIP

runs the first samples of samples.npz. A spike of step t on a synapse of delay slot k arrives at step
t + 1 + k. `build` is the network; lava_running.py is how samples pass through it.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
# First, because it makes Lava importable or says what is missing.
from lava_running import main

from lava.proc.dense.process import Dense, DelayDense
from lava.proc.lif.process import LIF
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
# SPARSE
'''

BUILD = '''

def build(network, arrays):
    """Build the network of Lava processes; weights and delays are in arrays, (post, pre)."""
'''

TAIL = """

if __name__ == "__main__":
    main(
        build,
        FOLDER,
        # ABOUT
    )
"""
