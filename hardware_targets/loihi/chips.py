"""How many chips, and cores on them, can be asked for."""

from __future__ import annotations

from hardware_targets.limit_file import ChipLimits
from toolchain.errors import InputError


def chips_available(limits: ChipLimits, chips: int | None) -> int:
    """As many chips as were asked for, or those of the usual board; InputError if no system has so many."""
    if chips is None:
        return limits["chips"]
    largest = limits.table["chips_of_largest_system"]
    if not 1 <= chips <= limits["chips_of_largest_system"]:
        raise InputError(
            f"chips: {chips} of {limits.chip} were asked for; the largest system has {largest.value} "
            f"({largest.source}); give 1 to {largest.value}"
        )
    return chips


def check_budget(limits: ChipLimits, cores: int | None, chips: int | None) -> None:
    """Refuse more chips than any system has, and more cores than these chips have (InputError)."""
    available = chips_available(limits, chips)
    most = available * limits["cores"]
    if cores is None or cores <= most:
        return
    of = f"{available} chip{'' if available == 1 else 's'} of {limits.chip}"
    needed = -(-cores // limits["cores"])
    remedy = f"give --cores of at most {most}"
    if needed <= limits["chips_of_largest_system"]:
        remedy += f", or --chips {needed}"
    raise InputError(f"cores: {cores} were asked for, {of} {'has' if available == 1 else 'have'} {most}; {remedy}")
