"""Sound to the spikes of an artificial cochlea with 700 channels, as the Spiking Heidelberg Digits were made.

`cochleagram_spikes` takes one sound, a `Cochlea` many. The stages, each in a module with its equations: `sound`,
`membrane` and its `filter_bank`, `hair_cell`, `fibres`, `bushy_cell`; `chain` puts them in a row.
"""

from __future__ import annotations

from toolchain.datasets.cochlea.chain import Cochlea, cochleagram_spikes

__all__ = ["Cochlea", "cochleagram_spikes"]
