"""What our metadata add to a graph that stands alone: order, exact time constants, masks, fractions of a delay.

``node/metadata/delayline`` is the network's description as JSON, and ``node/metadata/arrays`` has ``<projection>.mask``
and ``<projection>.delay`` where the graph cannot say them: which synapses of weight 0 exist, and delays before
rounding. Anyone may have changed the graph since: each note is believed only where it agrees with it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import DelaylineError
from toolchain.interchange.nir.graph_file import NirFile
from toolchain.network import TIME_CONSTANTS, Network, Population, Projection

KEY = "delayline"
ARRAYS = "arrays"
FORMAT = 1
MAX_TEXT = 2**26
"""Characters of the description: it holds every time constant."""


def description(network: Network) -> str:
    """The text of the metadata."""
    notes = {"format": FORMAT, "discretisation": "exponential", "hop": "step", "synapse": "pulse"}
    return json.dumps({**notes, **network.describe()}, allow_nan=False)


def arrays(projection: Projection) -> dict[str, NDArray[Any]]:
    """What the graph cannot say of a projection, by the last part of its name in the file."""
    found: dict[str, NDArray[Any]] = {}
    if projection.mask is not None:
        found["mask"] = projection.mask.astype(np.uint8)
    if np.any(projection.delay != projection.slots()) or np.any(projection.delay[projection.weight == 0] != 0):
        found["delay"] = projection.delay
    return found


@dataclass(frozen=True)
class Notes:
    """Metadata as they were read; nothing in them is checked against the graph yet.

    Attributes
    ----------
    dt_ms : length of a step, ms
    populations : by name, in order
    projections : (source, target, has a mask), in order
    """

    dt_ms: float
    populations: dict[str, Population]
    projections: tuple[tuple[str, str, bool], ...]
    file: NirFile
    group: Any

    def array(self, name: str, field: str, shape: tuple[int, int], kinds: str) -> NDArray[Any] | None:
        """An array of a projection; None where there is none of this shape."""
        if self.group is None:
            return None
        found = self.file.numbers(self.group, f"{name}.{field}", "our metadata", kinds)
        return found if found is not None and found.shape == shape else None


def read_notes(file: NirFile) -> Notes | None:
    """Our metadata; None where the file has none, or none that can be understood."""
    import h5py

    root = file.group(file.file, "node", "the file")
    metadata = file.child(root, "metadata", "node")
    if not isinstance(metadata, h5py.Group) or file.child(metadata, KEY, "metadata") is None:
        return None
    text = file.text(metadata, KEY, "metadata", MAX_TEXT)
    held = file.child(metadata, ARRAYS, "metadata")
    try:
        read = json.loads(text or "")
        if read["format"] != FORMAT:
            return None
        dt_ms = float(read["dt_ms"])
        if not (math.isfinite(dt_ms) and dt_ms > 0):
            return None
        populations = [_described(p) for p in read["populations"]]
        projections = tuple((str(p["source"]), str(p["target"]), bool(p["masked"])) for p in read["projections"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    except DelaylineError:
        return None
    return Notes(
        dt_ms, {p.name: p for p in populations}, projections, file, held if isinstance(held, h5py.Group) else None
    )


def _described(population: dict[str, Any]) -> Population:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in population.items()}
    return Population(**fields)


def exact_constants(population: Population, noted: Population) -> Population:
    """A population with the noted time constants where they are those of the file; and what the graph cannot say.

    A spike_source has no time constants and only a lif has a threshold: there, nothing can be contradicted.
    """
    if population.kind == "spike_source":
        return replace(noted, single_spike=False)
    taken: dict[str, Any] = {}
    for name in TIME_CONSTANTS:
        ours, theirs = (np.broadcast_to(np.asarray(getattr(p, name)), population.size) for p in (population, noted))
        # From ms to s and back may cost the last digit.
        if np.allclose(ours, theirs, rtol=1e-15, atol=0.0):
            taken[name] = getattr(noted, name)
    if population.kind == "leaky_readout":
        return replace(population, **taken, threshold=noted.threshold)
    return replace(population, **taken)
