"""Stand-ins for lava-loihi: its names and ports as public programs use them, its behaviour as they describe it.

`write_stand_in` makes a folder that, on the path of Python, is found in the namespace of Lava as the extension is.
Adapters bring spikes late; a probe gives the whole series at the end, neuron by neuron, in 24 bits without a sign;
the hardware configuration simulates, with the models of lava-nc.
"""

from __future__ import annotations

from pathlib import Path

IN, OUT = 2, 1
"""Steps by which the two adapters are late."""

SPIKE = f"""
import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class PyToNxAdapter(AbstractProcess):
    def __init__(self, shape, num_message_bits=0):
        super().__init__(shape=shape)
        self.inp, self.out = InPort(shape=shape), OutPort(shape=shape)


class NxToPyAdapter(PyToNxAdapter):
    pass


class Late(PyLoihiProcessModel):
    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    late = 0

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.waiting = [np.zeros(proc_params["shape"], dtype=np.int32)] * self.late

    def run_spk(self):
        self.waiting.append(self.inp.recv())
        self.out.send(self.waiting.pop(0))


@implements(proc=PyToNxAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPyToNxModel(Late):
    late = {IN}


@implements(proc=NxToPyAdapter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyNxToPyModel(Late):
    late = {OUT}
"""

PROBES = """
import mmap
import numpy as np
import lava.magma.core.run_configs as run_configs
from lava.proc.lif.models import PyLifModelBitAcc
from lava.proc.lif.process import LIF

STEPS = 20_000
PROBED = {}


class StateProbe:
    def __init__(self, var):
        n = var.shape[0]
        self.steps = np.frombuffer(mmap.mmap(-1, 8), dtype=np.int64)
        self.values = np.frombuffer(mmap.mmap(-1, 4 * STEPS * n), dtype=np.int32).reshape(STEPS, n)
        PROBED[var.process.name] = self

    @property
    def time_series(self):
        return (self.values[: self.steps[0]].T & 0xFFFFFF).ravel()


class ProbedLif(PyLifModelBitAcc):
    def run_spk(self):
        super().run_spk()
        probe = PROBED.get(self.proc_params["name"])
        if probe is not None:
            probe.values[self.time_step - 1] = self.v
            probe.steps[0] = self.time_step


class Loihi2HwCfg(run_configs.Loihi2SimCfg):
    def __init__(self, exception_proc_model_map=None, callback_fxs=None):
        assert all(isinstance(probe, StateProbe) for probe in callback_fxs)
        models = {**(exception_proc_model_map or {}), LIF: ProbedLif}
        super().__init__(select_tag="fixed_pt", exception_proc_model_map=models)


run_configs.Loihi2HwCfg = Loihi2HwCfg
"""


def write_stand_in(folder: Path) -> Path:
    """Make the folder; it goes into PYTHONPATH."""
    for name, text in (("proc/embedded_io/spike.py", SPIKE), ("utils/loihi2_state_probes.py", PROBES)):
        path = folder / "lava" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
