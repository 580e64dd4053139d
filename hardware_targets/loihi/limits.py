"""Limits of a Loihi chip: which there are, and which figures would contradict each other. The file is read by
`hardware_targets.limit_file`.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import resources

from hardware_targets.limit_file import (
    ChipLimits,
    Choice,
    Kinds,
    Limit,
    read_choice_entries,
    read_limit_entries,
    read_sections,
)
from toolchain.errors import InputError

__all__ = ["ChipLimits", "Choice", "Limit", "parse_limits", "read_limits"]

KNOWN = (
    *("weight_min", "weight_max", "weight_exponent_min", "weight_exponent_max", "decay_max", "threshold_max"),
    *("state_bits", "slot_max", "cores", "chips", "chips_of_largest_system"),
    *("synapses_per_block", "block_header_bits", "memory_word_bits", "delay_slots_unusable"),
)
"""Limits that must have a figure."""
MAY_BE_UNKNOWN = (
    *("neurons_per_core", "synaptic_memory_per_core", "axons_in_per_core", "axons_out_per_core"),
    *("delay_cells_per_core", "synapse_formats_per_core", "decay_configurations_per_core", "thresholds_per_core"),
    *("cores_per_tile", "mesh_columns", "mesh_rows"),
)
MAY_BE_NEGATIVE = ("weight_min", "weight_exponent_min")
CHOICES = ("weight_bits", "index_bits", "delay_bits", "delay_depths")
MAY_BE_ZERO = (
    *("weight_max", "weight_exponent_max", "decay_max", "threshold_max", "state_bits", "slot_max"),
    *("chips_of_largest_system", "block_header_bits", "delay_slots_unusable"),
)
KINDS = Kinds(KNOWN, MAY_BE_UNKNOWN, MAY_BE_NEGATIVE, MAY_BE_ZERO)


@cache
def read_limits(chip: str) -> ChipLimits:
    """Read the limits that ship with this package; `chip` is the name of the file without its ending."""
    text = resources.files(__package__).joinpath(f"{chip}.yaml").read_text(encoding="utf-8")
    return parse_limits(text, f"{chip}.yaml")


def parse_limits(text: str, origin: str) -> ChipLimits:
    """Limits from the text of a file.

    Raises
    ------
    InputError
        If a limit is missing, unknown, no whole number, without unit or source, or has no figure where one is needed;
        the message names `origin`, the entry and the remedy.
    """
    data = read_sections(text, origin, ("chip", "limits", "choices"))
    found = ChipLimits(
        data["chip"],
        read_limit_entries(data["limits"], KINDS, origin),
        read_choice_entries(data["choices"], CHOICES, origin),
    )
    _check_together(found, origin)
    return found


def _check_together(limits: ChipLimits, origin: str) -> None:
    """Figures that contradict each other."""
    deepest = limits.choices["delay_depths"].value[-1] - limits["delay_slots_unusable"]
    field = 2 ** limits.choices["delay_bits"].value[-1] - 1
    if limits["slot_max"] > min(deepest, field):
        raise InputError(
            f"limits {origin}: slot_max {limits['slot_max']} is above {deepest}, the last usable slot of the deepest "
            f"buffer, or {field}, what delay_bits can say; correct one of them"
        )
    tiles = [limits.value(name) for name in ("cores_per_tile", "mesh_columns", "mesh_rows")]
    known = [figure for figure in tiles if figure is not None]
    if len(known) == len(tiles) and math.prod(known) < limits["cores"]:
        raise InputError(
            f"limits {origin}: a mesh of {' x '.join(map(str, known))} holds {math.prod(known)} cores, the chip has "
            f"{limits['cores']}; correct cores_per_tile, mesh_columns or mesh_rows"
        )
