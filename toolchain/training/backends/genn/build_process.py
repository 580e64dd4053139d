"""A process that generates and compiles one model: ``python -m ...build_process FOLDER``.

Where a compiler fails GeNN may end its whole process (`std::terminate` while it looks for block sizes on a GPU), which
shall not be the one that trains. The folder holds the description and what it is generated for, as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.storage import write_atomically
from toolchain.training.backends.genn.description import (
    Array,
    ModelDescription,
    NeuronModel,
    PopulationPart,
    ProjectionPart,
    SynapseModel,
    UpdateModel,
    Variable,
)
from toolchain.training.backends.genn.installation import Installation

FILE = "model.json"


def write(folder: Path, description: ModelDescription, installation: Installation) -> None:
    """Leave what the process needs in a folder."""
    populations = [asdict(part) for part in description.populations]
    projections = []
    for part in description.projections:
        plain = {k: v for k, v in vars(part).items() if k not in ("pairs", "model", "update")}
        # Code depends on the longest row alone.
        plain |= {"model": asdict(part.model), "row": None if part.pairs is None else part.row_length}
        projections.append(plain | {"update": None if part.update is None else asdict(part.update)})
    sizes = {name: getattr(description, name) for name in ("batch", "slots", "steps", "room")}
    of = {"version": installation.version, "code": installation.code, "options": installation.options}
    content = {"populations": populations, "projections": projections, "sizes": sizes, "installation": of}
    write_atomically(folder / FILE, json.dumps(content).encode())


def read(folder: Path) -> tuple[ModelDescription, Installation]:
    """What `write` left, without the memory of arrays: one item each."""
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    populations = [
        PopulationPart(**{**part, "model": _neuron(part["model"]), "items": dict.fromkeys(part["items"], 1)})
        for part in content["populations"]
    ]
    projections = []
    for part in content["projections"]:
        row = part.pop("row")
        part["pairs"] = None if row is None else (np.zeros(row, dtype=np.int64), np.arange(row))
        part["shape"] = tuple(part["shape"])
        part["model"] = SynapseModel(**_typed(part["model"], ("source_refs", "target_refs")))
        if part["update"] is not None:
            part["update"] = UpdateModel(**_typed(part["update"], ("params", "dynamic", "references")))
        projections.append(ProjectionPart(**part))
    description = ModelDescription(tuple(populations), tuple(projections), **content["sizes"])
    return description, Installation(gpu=None, **content["installation"])


def _neuron(model: dict[str, Any]) -> NeuronModel:
    arrays = tuple(Array(**array) for array in model["arrays"])
    return NeuronModel(**_typed(model, ("params", "dynamic")) | {"arrays": arrays})


def _typed(model: dict[str, Any], pairs: tuple[str, ...]) -> dict[str, Any]:
    """Lists of JSON as the tuples and variables that they were."""
    variables = tuple(Variable(**variable) for variable in model["variables"])
    return {**model, "variables": variables, **{name: tuple(tuple(p) for p in model[name]) for name in pairs}}


def main(folder: Path) -> None:
    """Generate and compile."""
    from toolchain.training.backends.genn.program import to_pygenn

    description, installation = read(folder)
    to_pygenn(description, installation).build(str(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
