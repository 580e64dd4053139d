"""What the chips' ONNX steps have in common: tensors as they are stored, and the frame of a network from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.interchange.onnx.step_graph import Array

MAX_NEURONS = 1 << 20
"""More than any chip or recipe has: an array that a file only declares is no larger."""


def narrow_slots(slots: NDArray[np.int64]) -> Array:
    """Slots (pre, post) in the smallest type that holds them."""
    largest = int(slots.max(initial=0))
    if largest < 1 << 8:
        return slots.astype(np.uint8)
    return slots.astype(np.uint16) if largest < 1 << 16 else slots.astype(np.int32)


def projection_names(description: Mapping[str, Any]) -> list[str]:
    """Names of the projections of `Network.describe`, from a file; KeyError or TypeError if it is none."""
    return [f"{entry['source']}->{entry['target']}" for entry in description["projections"]]


def blank_network(
    description: Mapping[str, Any], slots: Mapping[str, Array], masks: Mapping[str, Array]
) -> dict[str, NDArray[Any]]:
    """Arrays ``trained.<projection>.<field>`` of a described network, with weights of 0.

    Parameters
    ----------
    description : `Network.describe`, from a file
    slots, masks : projection -> (pre, post); masks are taken where the description says that there is one

    Raises
    ------
    KeyError, TypeError
        If one is missing or the description is none.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in zip(projection_names(description), description["projections"], strict=True):
        arrays[f"trained.{name}.weight"] = np.zeros(slots[name].shape, dtype=np.float32)
        arrays[f"trained.{name}.delay"] = slots[name].astype(np.float32)
        if entry["masked"]:
            arrays[f"trained.{name}.mask"] = masks[name].astype(np.uint8)
    return arrays


def by_quantity(states: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    """Outputs ``<population>/<quantity>`` of a model as quantity -> population -> array."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for output, array in states.items():
        population, _, quantity = output.partition("/")
        found.setdefault(quantity, {})[population] = array
    return found
