"""Where a network runs: `Cpu`, Lava's simulation on this computer, or `Loihi2`, a chip.

All that differs between the two is in these classes. On both, spikes are streamed in by Lava's `Injector`,
one step at a time, and the spikes of outputs come back through its `Extractor`. This needs lava-nc, which
brings numpy and scipy, and nothing else.

**Not executed: nothing of the class `Loihi2` has run on a chip.** It is written from what lava-nc 0.10 itself
says about Intel's extension (`lava.utils.loihi`, `lava.networks.gradedvecnetwork`) and from public programs
that ran on Loihi 2, and tested with stand-ins for the extension that have the same names and ports.
"""

from __future__ import annotations

import mmap
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn

MISSING, BAD_INPUT, FAILED = 4, 2, 1
"""Exit codes: a package or a chip is missing, an option or file is not usable, spikes do not die out."""


def stop(message: str, code: int = BAD_INPUT) -> NoReturn:
    """End with one line on standard error."""
    print(f"network.py: {message}", file=sys.stderr)
    raise SystemExit(code)


try:
    import numpy as np

    if sys.version_info >= (3, 11):
        # lava-nc 0.10 has defaults in its dataclasses that Python 3.11 takes for mutable, because they
        # have no hash. Giving them one while that module is imported is all that it takes.
        import dataclasses

        plain_dataclass: Any = dataclasses.dataclass

        def _hashable_dataclass(cls: Any = None, /, **options: Any) -> Any:
            options.setdefault("unsafe_hash", True)
            return plain_dataclass(cls, **options) if cls else lambda c: plain_dataclass(c, **options)

        dataclasses.dataclass = _hashable_dataclass
        try:
            import lava.magma.compiler.var_model  # noqa: F401
        finally:
            dataclasses.dataclass = plain_dataclass
    from lava.magma.core.run_conditions import RunSteps  # noqa: F401 (for lava_running)
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.models import PyDelayDenseModelBitAcc
    from lava.proc.dense.process import DelayDense
    from lava.proc.io.extractor import Extractor, PyLoihiExtractorModel
    from lava.proc.io.injector import Injector, PyLoihiInjectorModel
    from lava.proc.io.sink import Read
    from lava.proc.lif.models import PyLifModelBitAcc
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.models import PyDelaySparseModelBitAcc
    from lava.proc.sparse.process import DelaySparse
except ImportError as error:
    stop(f"cannot import lava-nc: {error}; pip install lava-nc==0.10.0", MISSING)

IO_MODELS = {Injector: PyLoihiInjectorModel, Extractor: PyLoihiExtractorModel}
"""Lava has two models of each, without the tag that chooses the bit-accurate models of all others."""


class _ConstantDelays:
    """Keeps the matrix, a row for each target and slot, that Lava's models of delays build anew in every step.

    That takes them longer than all else. Nothing learns here, so it is the same in every step but the first, in which
    Lava replaces the weights.
    """

    _weights: Any = None
    _matrix: Any = None

    def get_delay_wgts_mat(self, weights: Any, delays: Any, max_delay: int) -> Any:
        """Lava's own matrix, made anew if the weights are another array."""
        if weights is not self._weights:
            self._weights, self._matrix = weights, super().get_delay_wgts_mat(weights, delays, max_delay)  # type: ignore[misc]
        return self._matrix


class ConstantDelayDense(_ConstantDelays, PyDelayDenseModelBitAcc):  # type: ignore[misc]
    """Lava's own bit-accurate DelayDense, which sorts weights by delay once."""


class ConstantDelaySparse(_ConstantDelays, PyDelaySparseModelBitAcc):  # type: ignore[misc]
    """Lava's own bit-accurate DelaySparse, which sorts weights by delay once."""


SYNAPSE_MODELS = {DelayDense: ConstantDelayDense, DelaySparse: ConstantDelaySparse}
"""Models of the simulation for processes whose own are slow."""

RECORDS: dict[str, tuple[Any, Any, Any]] = {}
"""Population -> its last u, v and spikes, (steps, neurons) each, in memory that forks share."""


class RecordedLif(PyLifModelBitAcc):  # type: ignore[misc]
    """Lava's own bit-accurate LIF; after each of its steps it copies u, v and the spikes to RECORDS."""

    def run_spk(self) -> None:
        """Do one step."""
        super().run_spk()
        records = RECORDS[self.proc_params["name"]]
        for record, values in zip(records, (self.u, self.v, self.s_out_buff)):  # noqa: B905
            record[(self.time_step - 1) % len(record)] = values


def shared_zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros that a process and its forks see alike."""
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype=dtype).reshape(shape)


class Reader(ABC):
    """Frames of one quantity of one population, one a step.

    `buffer` is the largest number of steps of one run. `take(n)` follows every run of n steps; `frames()`,
    asked for after the last run and while the network is still up, is (all steps, neurons).
    """

    def __init__(self, buffer: int) -> None:
        self.buffer, self.elapsed = buffer, 0
        self.taken: list[Any] = []

    def take(self, steps: int) -> Any:
        """Fetch what the last `steps` steps brought, (steps, neurons)."""
        rows = (self.elapsed + np.arange(steps)) % self.buffer
        self.elapsed += steps
        self.taken.append(self.fetch(rows))
        return self.taken[-1]

    @abstractmethod
    def fetch(self, rows: Any) -> Any:
        """Read rows of a ring of `buffer` steps, in this order."""

    def frames(self) -> Any:
        """All that was taken."""
        return np.concatenate(self.taken)


class Spikes(Reader):
    """Spikes that leave a population, as bool."""

    def __init__(self, port: Any, buffer: int) -> None:
        super().__init__(buffer)
        self.extractor = Extractor(shape=port.shape, buffer_size=buffer)
        port.connect(self.extractor.in_port)

    def fetch(self, rows: Any) -> Any:
        """Empty the channel."""
        return np.array([self.extractor.receive() for _ in rows]) != 0


class Voltage(Reader):
    """v of a population at the end of every step, as int32."""

    def __init__(self, lif: Any, buffer: int) -> None:
        super().__init__(buffer)
        self.read = Read(buffer=buffer)
        self.read.connect_var(lif.v)

    def fetch(self, rows: Any) -> Any:
        """Fetch the ring."""
        return self.read.data.get().T[rows].astype(np.int32)


class Recorded(Reader):
    """u, v or spikes (0, 1, 2) of a population whose model is `RecordedLif`."""

    def __init__(self, name: str, quantity: int, buffer: int) -> None:
        super().__init__(buffer)
        self.name, self.quantity = name, quantity

    def fetch(self, rows: Any) -> Any:
        """Copy from shared memory."""
        return RECORDS[self.name][self.quantity][rows]


class ProbedVoltage(Reader):
    """v of a population from a probe of lava-loihi, whose series is whole after the last run. Not executed."""

    def __init__(self, probe: Any, size: int, buffer: int) -> None:
        super().__init__(buffer)
        self.probe, self.size = probe, size

    def fetch(self, rows: Any) -> Any:
        """Nothing: a probe cannot be read between runs."""
        return rows

    def frames(self) -> Any:
        """The series, neuron by neuron in public programs; v is 24 bits and may come without its sign."""
        series = np.asarray(self.probe.time_series)
        if series.size != self.elapsed * self.size:
            stop(
                f"the probe of v has {series.size} values, not those of {self.elapsed} steps of {self.size} neurons; "
                "see `ProbedVoltage` in lava_machines.py",
                FAILED,
            )
        series = series.reshape(self.size, self.elapsed).T.astype(np.int64)
        return (((series & 0xFFFFFF) ^ 0x800000) - 0x800000).astype(np.int32)


class Cpu:
    """Lava's bit-accurate simulation on this computer, the same for both generations, with all states at hand."""

    reset, latency = "vars", 0

    def __init__(self, record: str) -> None:
        self.full = record == "full"

    def enter(self, injector: Any) -> Any:
        """Port that sends what an injector injects."""
        return injector.out_port

    def leave(self, lif: Any) -> Any:
        """Port that sends the spikes of a population to Python."""
        return lif.s_out

    def voltage(self, lif: Any, buffer: int) -> Reader:
        """Reader of v."""
        return Voltage(lif, buffer)

    def configuration(self) -> Any:
        """Bit-accurate models everywhere; those of LIF are recorded where everything is to be."""
        models = {**IO_MODELS, **SYNAPSE_MODELS, **({LIF: RecordedLif} if self.full else {})}
        return Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)


class Loihi2:
    """A Loihi 2 system through lava-loihi, Intel's extension of Lava for members of the INRC. Not executed.

    Between Python and the cores stand processes on the embedded processors of the chip (`PyToNxAdapter`,
    `NxToPyAdapter`), which bring spikes some steps later. u and v stay on the chip: v of a readout is probed
    (`StateProbe`), what waits in delay buffers cannot be set at all. Which board: from the environment
    variables SLURM, PARTITION, BOARD, LOIHI_GEN, or NOSLURM, NXSDKHOST, HOST_BINARY (README.md).
    """

    # Measured on the first sample; PilotNet, Intel's example, says that input takes 2 steps.
    reset, latency = "gap", 16

    def __init__(self, record: str) -> None:
        if record == "full":
            stop("--record full: a chip does not show u and v of all neurons at every step; use --record outputs")
        try:
            from lava.proc.embedded_io.spike import NxToPyAdapter, PyToNxAdapter
            from lava.utils.loihi2_state_probes import StateProbe
        except ImportError as error:
            stop(
                f"--on loihi2 needs lava-loihi, Intel's extension of Lava ({error}); members of the INRC get it: "
                "https://neuromorphic.intel.com or inrc_interest@intel.com. --on cpu simulates the chip",
                MISSING,
            )
        self.to_chip, self.from_chip, self.probe = PyToNxAdapter, NxToPyAdapter, StateProbe
        self.probes: list[Any] = []
        # As lava.utils.system.Loihi2 does, unless the person who runs this has said where the chip is.
        if "NOSLURM" not in os.environ:
            os.environ.setdefault("SLURM", "1")
        os.environ.setdefault("LOIHI_GEN", "N3B3")

    def enter(self, injector: Any) -> Any:
        """Port on the chip that sends what an injector injects."""
        adapter = self.to_chip(shape=injector.out_port.shape)
        injector.out_port.connect(adapter.inp)
        return adapter.out

    def leave(self, lif: Any) -> Any:
        """Port that brings the spikes of a population from the chip to Python."""
        adapter = self.from_chip(shape=lif.s_out.shape)
        lif.s_out.connect(adapter.inp)
        return adapter.out

    def voltage(self, lif: Any, buffer: int) -> Reader:
        """Reader of v."""
        self.probes.append(self.probe(lif.v))
        return ProbedVoltage(self.probes[-1], lif.v.shape[0], buffer)

    def configuration(self) -> Any:
        """Models of the chip where there are, of the CPU for what streams."""
        from lava.magma.core.run_configs import Loihi2HwCfg

        return Loihi2HwCfg(exception_proc_model_map=IO_MODELS, callback_fxs=self.probes)


MACHINES: dict[str, Callable[[str], Any]] = {"cpu": Cpu, "loihi2": Loihi2}
