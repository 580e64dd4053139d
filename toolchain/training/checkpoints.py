"""Checkpoints: the network, its optimisers and the place in the run, in one file.

Format 2 added the state of the schedule and of early stopping. A network is read from either format; training goes on
from the present one only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import CheckpointError, NetworkError
from toolchain.event_graph import flatten, unflatten
from toolchain.network import Network, network_from_description
from toolchain.storage import load_arrays, save_arrays
from toolchain.training.optimiser import Adam
from toolchain.training.patience import Patience
from toolchain.training.schedule import Plateau

FORMAT = 2
READABLE = (1, FORMAT)
MOMENTS = ("first", "second")


@dataclass
class Progress:
    """Where a run stands after `epoch` epochs; `line` is that epoch's entry in metrics.jsonl.

    `plateau` and `early_stop` are what the schedule and early stopping remember from epoch to epoch, `number_format`
    the target's numbers that the network trains in (`StraightThrough.header`).
    """

    epoch: int
    best_epoch: int
    best_accuracy: float
    best_loss: float
    line: dict[str, Any]
    plateau: Plateau = field(default_factory=Plateau)
    early_stop: Patience = field(default_factory=Patience)
    number_format: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("epoch", "best_epoch"):
            _require_count(getattr(self, name), name)
        for name in ("best_accuracy", "best_loss"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} {value!r} is not a number")
        for name in ("line", "number_format"):
            value = getattr(self, name)
            if not isinstance(value, dict) and (name == "line" or value is not None):
                raise ValueError(f"{name} {value!r} is not a mapping")


def progress_from_json(value: Any) -> Progress:
    """The inverse of `dataclasses.asdict`; raises KeyError, TypeError or ValueError if it is none."""
    if "number_format" not in value:
        raise KeyError("number_format")
    plateau = {**value["plateau"]}
    plateau["loss"] = Patience(**plateau["loss"])
    return Progress(**{**value, "plateau": Plateau(**plateau), "early_stop": Patience(**value["early_stop"])})


def _require_count(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} {value!r} is not a whole number of at least 0")


def network_arrays(network: Network) -> dict[str, NDArray[Any]]:
    """Arrays of a network under the names that `network_from_description` expects."""
    arrays: dict[str, NDArray[Any]] = {}
    for projection in network.projections:
        arrays[f"{projection.name}.weight"] = projection.weight
        arrays[f"{projection.name}.delay"] = projection.delay
        if projection.mask is not None:
            arrays[f"{projection.name}.mask"] = projection.mask.astype(np.uint8)
    return arrays


def save_checkpoint(path: Path, network: Network, optimisers: Mapping[str, Adam], progress: Progress) -> None:
    """Write a checkpoint; whatever was at `path` stays whole until the new one is."""
    arrays = network_arrays(network)
    steps = {}
    for name, adam in optimisers.items():
        for moment in MOMENTS:
            arrays[f"adam.{name}.{moment}"] = getattr(adam, moment)
        steps[name] = adam.steps
    header = {
        "format": FORMAT,
        "network": network.describe(),
        "adam_steps": steps,
        "progress": asdict(progress),
    }
    save_arrays(path, arrays, header)


def load_network(path: Path) -> Network:
    """Read the network of a checkpoint; raises CheckpointError."""
    return _read(path)[0]


def load_best(path: Path) -> tuple[Network, dict[str, Any] | None]:
    """Read the network of a checkpoint and the number format that it was trained in, if any; raises CheckpointError."""
    network, _, header = _read(path)
    progress = header.get("progress")
    number_format = progress.get("number_format") if isinstance(progress, dict) else None
    if number_format is not None and not isinstance(number_format, dict):
        raise CheckpointError(f"checkpoint {path}: number_format {number_format!r} is not a mapping; use another")
    return network, number_format


def load_checkpoint(
    path: Path, network: Network, optimisers: Mapping[str, Adam], learned: Mapping[str, Collection[str]] | None = None
) -> tuple[Network, Progress]:
    """Read a checkpoint of a run of `network` and put its moments into `optimisers`.

    `learned` : population -> the fields that training changes, in which the stored network may differ

    Raises
    ------
    CheckpointError
        If it cannot be read, belongs to another network or is of an earlier format.
    """
    stored, arrays, header = _read(path)
    if header["format"] != FORMAT:
        raise CheckpointError(
            f"checkpoint {path}: format {header['format']} lacks what resuming needs since format {FORMAT}; its "
            "network can be deployed, to train it start a new run"
        )
    if _fixed(stored, learned or {}) != _fixed(network, learned or {}):
        raise CheckpointError(f"checkpoint {path}: its network is not that of the recipe; start a new run")
    for ours, theirs in zip(network.projections, stored.projections, strict=True):
        if ours.mask is not None and theirs.mask is not None and not np.array_equal(ours.mask, theirs.mask):
            raise CheckpointError(
                f"checkpoint {path}: projection {ours.name} has other synapses than that of the recipe; start a new run"
            )
    try:
        for name, adam in optimisers.items():
            for moment in MOMENTS:
                array = arrays[f"adam.{name}.{moment}"]
                if array.shape != adam.rate.shape or array.dtype != np.float32:
                    raise CheckpointError(
                        f"checkpoint {path}: adam.{name}.{moment} is {array.dtype}{array.shape}, "
                        f"must be float32{adam.rate.shape}"
                    )
                setattr(adam, moment, array.copy())
            _require_count(header["adam_steps"][name], f"adam_steps.{name}")
            adam.steps = header["adam_steps"][name]
        progress = progress_from_json(header["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path}: {error!r} in its header; it is damaged, use another") from error
    # Through the flat form: what training goes on with is exactly what it would have had.
    grown = replace(network, populations=stored.populations)
    return unflatten(grown, flatten(stored, "weight"), flatten(stored, "delay")), progress


def _fixed(network: Network, learned: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Description of a network without what training changes."""
    description = network.describe()
    for population in description["populations"]:
        for field_name in learned.get(population["name"], ()):
            del population[field_name]
    return description


def _read(path: Path) -> tuple[Network, dict[str, NDArray[Any]], dict[str, Any]]:
    arrays, header = load_arrays(path)
    number = header.get("format")
    if isinstance(number, bool) or number not in READABLE:
        raise CheckpointError(
            f"checkpoint {path}: format {number!r}, this version reads {' and '.join(map(str, READABLE))}; use the "
            "version that wrote it"
        )
    try:
        network = network_from_description(header["network"], arrays)
    except (NetworkError, KeyError) as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error
    return network, arrays, header
