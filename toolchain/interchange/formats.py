"""Which format a file has, and reading it, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from toolchain.deployment.abilities import StepGraphTarget, TunableTarget
from toolchain.errors import InterchangeError
from toolchain.interchange.imported import Imported
from toolchain.recipe import Recipe, parse_recipe

Format = Literal["onnx", "nir", "mlgenn"]
FORMATS: tuple[str, ...] = get_args(Format)
HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Assumptions:
    """What a format leaves open; None where the file must say it, or the usual is meant.

    Attributes
    ----------
    dt_ms : length of a step, ms, of NIR
    discretisation : of NIR: how the tool that it is from steps in time, ``exponential`` or ``euler``
    hop : of NIR: steps that a connection takes without a delay, ``step`` or ``within-step``
    synapse : of NIR: what a spike is to a current, ``pulse`` or ``jump``
    epoch : of mlGeNN: key of the checkpoint; the last epoch if left out
    names : of mlGeNN: population of the recipe -> what it is called there, where that is otherwise
    """

    dt_ms: float | None = None
    discretisation: str | None = None
    hop: str | None = None
    synapse: str | None = None
    epoch: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes
    ----------
    number_format : `StraightThrough.header` of a network in a target's integers, else None
    target : name of that target
    """

    imported: Imported
    format: str
    number_format: dict[str, Any] | None = None
    target: str | None = None


def recognise(path: Path) -> str:
    """The format of a file or folder, by its content; raises InterchangeError if it is none of ours."""
    if path.is_dir():
        return "mlgenn"
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise InterchangeError(f"file {path}: {error.strerror or error}; give a file or folder to import") from error
    if begin == HDF5:
        return "nir"
    # An ONNX file begins with its field 1, the version of its format, a number.
    if begin[:1] == b"\x08":
        return "onnx"
    raise InterchangeError(
        f"file {path}: is neither ONNX nor NIR (HDF5), by its first bytes; a folder is read as checkpoints of mlGeNN"
    )


def read_network(path: Path, recipe: Recipe, assume: Assumptions) -> Read:
    """Read a network in any format.

    Parameters
    ----------
    recipe : what it is imported for; gives the names and sizes of mlGeNN's populations
    assume : what the file does not say; what is given and means nothing for its format is refused

    Raises
    ------
    InterchangeError
        If the file is damaged or means something that no network here can.
    """
    kind = recognise(path)
    _refuse_needless(path, kind, assume)
    if kind == "onnx":
        return _from_onnx(path)
    if kind == "nir":
        from toolchain.interchange.nir import NirAssumptions
        from toolchain.interchange.nir.isolated import read_nir_isolated

        given = {key: getattr(assume, key) for key in ("dt_ms", "discretisation", "hop", "synapse")}
        assumptions = NirAssumptions(**{k: v for k, v in given.items() if v is not None})
        return Read(read_nir_isolated(path, assumptions), kind)
    from toolchain.interchange.mlgenn import read_mlgenn

    return Read(read_mlgenn(path, _with_sizes(recipe), epoch=assume.epoch, names=assume.names), kind)


def _refuse_needless(path: Path, kind: str, assume: Assumptions) -> None:
    for_format = dict.fromkeys(("dt_ms", "discretisation", "hop", "synapse"), "nir")
    for_format |= dict.fromkeys(("epoch", "names"), "mlgenn")
    for name, wanted in for_format.items():
        if getattr(assume, name) not in (None, {}) and kind != wanted:
            option = {"names": "--name"}.get(name, f"--{name.replace('_', '-')}")
            raise InterchangeError(f"{path}: {option} is for {wanted}, and this is {kind}; leave it out")


def _with_sizes(recipe: Recipe) -> Recipe:
    """The recipe with the sizes of input and output that its data have: arrays of a checkpoint may be flat."""
    from toolchain.datasets import load_dataset

    dataset = load_dataset(recipe.dataset.task, recipe.dataset.options)
    data: dict[str, Any] = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, population in data["network"]["populations"].items():
        if population["kind"] == "spike_source":
            population.setdefault("size", dataset.n_inputs)
        elif name == recipe.network.output:
            population.setdefault("size", dataset.n_classes)
    return parse_recipe(data, recipe.name)


def _from_onnx(path: Path) -> Read:
    from toolchain.interchange.onnx.reading import read_onnx
    from toolchain.training.straight_through import StraightThrough

    found = read_onnx(path)
    if found.target is None or found.quantised is None:
        return Read(Imported(found.network), "onnx")
    name = found.target.name
    said = f"read as the network that the integers of {name} stand for, with that number format"
    assert isinstance(found.target, StepGraphTarget), "what was read is in its integers"
    if not isinstance(found.target, TunableTarget):
        return Read(Imported(found.network, (said,)), "onnx", None, name)
    header = StraightThrough.over(found.network, found.target.format_of(found.quantised)).header()
    header["hint"] = dict(found.target.exact_hint(found.quantised))
    return Read(Imported(found.network, (said,)), "onnx", header, name)
