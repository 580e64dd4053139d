"""Limits of a SpiNNaker machine: figures with sources, and the chips of a board.

The file is read by `hardware_targets.limit_file`; boards are this family's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hardware_targets.limit_file import ChipLimits, Kinds, read_limit_entries, read_sections
from toolchain.errors import InputError

KNOWN = (
    *("cores_per_chip", "system_cores_per_chip", "system_cores_per_board", "boards", "boards_of_largest_system"),
    *("dtcm_bytes", "itcm_bytes", "sdram_bytes", "router_entries", "key_bits", "colour_bits", "neurons_per_core"),
    *("row_length", "row_header_words", "ring_buffer_bits", "ring_buffer_entry_bytes", "slot_max", "delay_stages"),
    *("delay_counters_bytes", "spike_buffer", "neuron_state_words", "table_addresses", "address_unit_bytes"),
    *("address_bits", "core_mask_bits", "table_neurons_bits"),
)
"""Limits that must have a figure."""
MAY_BE_UNKNOWN = ("binary_bytes",)
KINDS = Kinds(KNOWN, MAY_BE_UNKNOWN, may_be_zero=("system_cores_per_chip", "system_cores_per_board", "colour_bits"))
BOARD = 5
"""The version that is taken where none is said."""
WORD_BYTES = 4
BOARD_FIELDS = {"source", "wraps", "down", "columns"}


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes
    ----------
    cores : (x, y) -> cores of the chip, those of the system included; in the order in which sPyNNaker visits chips
    wraps : links of the chips at one edge lead to the opposite one
    down : (x, y, link) of links that are not there
    """

    version: int
    cores: Mapping[tuple[int, int], int]
    wraps: bool
    down: frozenset[tuple[int, int, int]]
    source: str

    @property
    def n_chips(self) -> int:
        """Number of chips."""
        return len(self.cores)

    @property
    def width(self) -> int:
        """Chips from left to right."""
        return max(x for x, _ in self.cores) + 1

    @property
    def height(self) -> int:
        """Chips from bottom to top."""
        return max(y for _, y in self.cores) + 1

    def n_usable(self, limits: ChipLimits) -> int:
        """Cores that neurons, sources and delay extensions can have."""
        taken = limits["system_cores_per_chip"] * self.n_chips + limits["system_cores_per_board"]
        return sum(self.cores.values()) - taken


@dataclass(frozen=True)
class SpinnakerLimits(ChipLimits):
    """All limits of the chip, and the boards it is on, by version."""

    boards: Mapping[int, Board]

    def board(self, version: int) -> Board:
        """A board by its version; InputError if there is none."""
        if version not in self.boards:
            known = ", ".join(map(str, self.boards))
            raise InputError(f"board version {version} of {self.chip} is not known; give one of {known}")
        return self.boards[version]


@cache
def read_limits(chip: str = "spinnaker1") -> SpinnakerLimits:
    """Read the limits that ship with this package; `chip` is the name of the file without its ending."""
    text = resources.files(__package__).joinpath(f"{chip}.yaml").read_text(encoding="utf-8")
    return parse_limits(text, f"{chip}.yaml")


def parse_limits(text: str, origin: str) -> SpinnakerLimits:
    """Limits from the text of a file.

    Raises
    ------
    InputError
        If a limit is missing, unknown, no whole number, without unit or source, or has no figure where one is needed,
        or if a board is not described as it must be; the message names `origin`, the entry and the remedy.
    """
    data = read_sections(text, origin, ("chip", "limits", "boards"))
    table = read_limit_entries(data["limits"], KINDS, origin)
    limits = ChipLimits(data["chip"], table, {})
    return SpinnakerLimits(data["chip"], table, {}, _boards(data["boards"], limits, origin))


def _boards(found: Any, limits: ChipLimits, origin: str) -> dict[int, Board]:
    if not isinstance(found, dict) or BOARD not in found:
        raise InputError(f"limits {origin} boards: version {BOARD} is missing; describe its chips")
    return {version: _board(version, entry, limits, f"{origin} boards.{version}") for version, entry in found.items()}


def _board(version: Any, entry: Any, limits: ChipLimits, where: str) -> Board:
    if not isinstance(version, int) or not isinstance(entry, dict) or set(entry) != BOARD_FIELDS:
        raise InputError(f"limits {where}: must be a version number with {', '.join(sorted(BOARD_FIELDS))}; correct it")
    if not isinstance(entry["source"], str) or not entry["source"].strip():
        raise InputError(f"limits {where}: source {entry['source']!r} is no text; say where it is from")
    if not isinstance(entry["wraps"], bool):
        raise InputError(f"limits {where}: wraps {entry['wraps']!r} must be true or false")
    down = entry["down"]
    if not isinstance(down, list) or not all(isinstance(link, list) and len(link) == 3 for link in down):
        raise InputError(f"limits {where}: down {down!r} is no list of x, y and link; give one, [] for none")
    cores: dict[tuple[int, int], int] = {}
    least, most = limits["system_cores_per_chip"] + 1, limits["cores_per_chip"]
    columns = entry["columns"]
    if not isinstance(columns, list) or not columns:
        raise InputError(f"limits {where}: columns {columns!r} is no list of columns of chips; give one")
    for x, column in enumerate(columns):
        if not isinstance(column, dict) or set(column) != {"lowest", "cores"} or not isinstance(column["cores"], list):
            raise InputError(f"limits {where}: column {x} must have lowest and a list of cores; correct it")
        for up, number in enumerate(column["cores"]):
            if not isinstance(number, int) or not least <= number <= most:
                raise InputError(f"limits {where}: column {x} has a chip of {number!r} cores; give {least} to {most}")
            cores[x, column["lowest"] + up] = number
    links = frozenset((int(x), int(y), int(link)) for x, y, link in down)
    return Board(version, cores, entry["wraps"], links, entry["source"])
