"""Spikes through a model in onnxruntime, some samples at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError, MissingDependencyError
from toolchain.interchange.onnx.assemble import PREFIX
from toolchain.interchange.onnx.package import REMEDY
from toolchain.spikes import SpikeTrains

LARGEST_BATCH = 32
"""Above this a batch saves no time."""
ROOM = 1 << 28
"""Bytes that inputs and outputs of a batch may take."""


def runtime_missing() -> str | None:
    """What is missing to run a model, with the remedy; None where nothing is."""
    from importlib import metadata

    for package in ("onnx", "onnxruntime"):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return f"{package} is not installed; {REMEDY}"
    return None


class OnnxSession:
    """A model in onnxruntime, on processors.

    Parameters
    ----------
    model : an `onnx.ModelProto` that `assemble` made, or its bytes
    threads : of onnxruntime within an operator: these are small, so that one is mostly fastest

    Raises
    ------
    MissingDependencyError
        If onnxruntime is not installed, or cannot load the model.
    """

    def __init__(self, model: Any, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependencyError(f"onnxruntime cannot be imported ({error}); {REMEDY}") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        content = model if isinstance(model, bytes) else model.SerializeToString()
        errors = onnxruntime.capi.onnxruntime_pybind11_state
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.NotImplemented) as error:
            why = " ".join(str(error).split())
            raise MissingDependencyError(
                f"onnxruntime {onnxruntime.__version__} cannot load the model ({why}); install 1.20 or newer"
            ) from error
        self._sources = {i.name.removesuffix("/spikes"): int(i.shape[2]) for i in self._session.get_inputs()}
        self._outputs = {o.name: int(o.shape[2]) for o in self._session.get_outputs()}
        self.metadata: Mapping[str, str] = {
            key.removeprefix(PREFIX): value
            for key, value in self._session.get_modelmeta().custom_metadata_map.items()
            if key.startswith(PREFIX)
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the model offers, ``<population>/<quantity>``."""
        return tuple(self._outputs)

    def run(self, spikes: SpikeTrains, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run all samples, each from rest.

        Parameters
        ----------
        spikes : units numbered through all spike sources, in the order of the network
        wanted : names among `outputs`

        Returns
        -------
        name -> (n_samples, n_steps, size)

        Raises
        ------
        InputError
            If the spikes have another number of units than the sources.
        """
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
        for inputs in self._batches(spikes, wanted):
            for name, found in zip(wanted, self._session.run(list(wanted), inputs), strict=True):
                parts[name].append(found)
        return {name: np.concatenate(found) for name, found in parts.items()}

    def _batches(self, spikes: SpikeTrains, wanted: Sequence[str]) -> Iterator[dict[str, NDArray[np.bool_]]]:
        n_units = sum(self._sources.values())
        if spikes.n_units != n_units:
            raise InputError(
                f"spikes: {spikes.n_units} units, the model has {n_units} in {', '.join(self._sources)}; give the "
                "samples that it was made for"
            )
        # Eight bytes hold any number that a state is made of.
        each = spikes.n_steps * (n_units + 8 * sum(self._outputs[name] for name in wanted))
        batch = int(np.clip(ROOM // max(1, each), 1, LARGEST_BATCH))
        firsts = np.cumsum([0, *self._sources.values()])
        # Without samples one empty batch, so that what comes back has the right shape.
        for begin in range(0, max(1, spikes.n_samples), batch):
            samples = range(begin, min(begin + batch, spikes.n_samples))
            raster = np.zeros((len(samples), spikes.n_steps, n_units), dtype=np.bool_)
            for row, sample in enumerate(samples):
                events = slice(spikes.offsets[sample], spikes.offsets[sample + 1])
                raster[row, spikes.times[events], spikes.units[events]] = True
            yield {
                f"{name}/spikes": np.ascontiguousarray(raster[:, :, first : first + size])
                for (name, size), first in zip(self._sources.items(), firsts[:-1], strict=True)
            }
