"""The ARM code that the installed sPyNNaker loads onto SpiNNaker, run on this machine under unicorn.

An .aplx is a list of records (operation, destination, source, length): 2 copies, 3 clears, anything else ends it. The
addresses in this package are those of sPyNNaker 7.4.1 alone, so any other version counts as absent.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = "1!7.4.1"

SDRAM, STACK_TOP, RETURN = 0x60000000, 0x40F000, 0xFFF0
COMMUNICATIONS, TIMERS = 0x20000000, 0x21000000
TRANSMIT_READY = 0x10000000


def arm_is_missing() -> str | None:
    """Why the ARM code cannot be run here, and the remedy; None if it can."""
    for package, wanted in (("sPyNNaker", VERSION), ("unicorn", None)):
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return f"{package} is not installed, so the chip's code cannot be run; `pip install 'delayline[spinnaker]'`"
        if wanted not in (None, found):
            return f"sPyNNaker {found} is installed; where its ARM code has what is known for {VERSION} only"
    return None


def binary(name: str) -> bytes:
    """A file of the installed sPyNNaker; importing the package itself would take seconds."""
    found = importlib.util.find_spec("spynnaker")
    assert found is not None
    assert found.submodule_search_locations is not None
    return (Path(found.submodule_search_locations[0]) / "pyNN" / "model_binaries" / name).read_bytes()


class Machine:
    """One core with its memories and the two devices that a spike needs: nothing interrupts it.

    Parameters
    ----------
    name : file to load
    sdram : bytes of shared memory
    """

    def __init__(self, name: str, sdram: int = 0x100000) -> None:
        # Its types are incomplete.
        unicorn: Any = importlib.import_module("unicorn")
        arm_const = self._constants = importlib.import_module("unicorn.arm_const")
        self._registers: list[int] = [getattr(arm_const, f"UC_ARM_REG_R{i}") for i in range(4)]
        self._sp, self._lr = arm_const.UC_ARM_REG_SP, arm_const.UC_ARM_REG_LR
        self._uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        for base, size in ((0, 0x10000), (0x400000, 0x10000), (SDRAM, sdram), (TIMERS, 0x1000)):
            self._uc.mem_map(base, size)
        self._free = SDRAM
        self.sent: list[tuple[int, int | None]] = []
        """Keys that were sent, each with its payload, or None without one."""
        self._payload: int | None = None
        self._uc.mmio_map(COMMUNICATIONS, 0x1000, self._read_device, None, self._write_device, None)
        image, at = binary(name), 0
        while True:
            operation, destination, source, length = struct.unpack_from("<4I", image, at)
            if operation == 2:
                self._uc.mem_write(destination, image[at + source : at + source + length])
            elif operation == 3:
                self._uc.mem_write(destination, bytes(source))
            else:
                break
            at += 16

    def _read_device(self, _uc: object, offset: int, _size: int, _data: object) -> int:
        return TRANSMIT_READY if offset == 0 else 0

    def _write_device(self, _uc: object, offset: int, _size: int, value: int, _data: object) -> None:
        if offset == 4:
            self._payload = value & 0xFFFFFFFF
        elif offset == 8:
            self.sent.append((value & 0xFFFFFFFF, self._payload))
            self._payload = None

    def call(self, address: int, *arguments: int, stacked: int | None = None) -> int:
        """Call a function, the fifth argument on the stack; returns register 0."""
        self._uc.reg_write(self._sp, STACK_TOP)
        self._uc.reg_write(self._lr, RETURN)
        for register, value in zip(self._registers, arguments, strict=False):
            self._uc.reg_write(register, value & 0xFFFFFFFF)
        if stacked is not None:
            self.write(STACK_TOP, stacked)
        self._uc.emu_start(address, RETURN)
        found: int = self._uc.reg_read(self._registers[0])
        return found

    def run(self, begin: int, end: int, **registers: int) -> None:
        """Run a stretch of code between two addresses, with registers such as r4 set before."""
        for name, value in registers.items():
            self._uc.reg_write(getattr(self._constants, f"UC_ARM_REG_{name.upper()}"), value & 0xFFFFFFFF)
        self._uc.emu_start(begin, end)

    def allocate(self, n_bytes: int) -> int:
        """Address of so much unused shared memory, all zero."""
        at = self._free
        self._free += (n_bytes + 15) & ~15
        return at

    def write(self, address: int, *words: int) -> None:
        """Write words, signed or not."""
        self._uc.mem_write(address, struct.pack(f"<{len(words)}I", *(w & 0xFFFFFFFF for w in words)))

    def write_byte(self, address: int, value: int) -> None:
        """Write one byte."""
        self._uc.mem_write(address, bytes((value,)))

    def put(self, address: int, array: NDArray[np.generic]) -> None:
        """Write an array as it lies in memory."""
        self._uc.mem_write(address, np.ascontiguousarray(array).tobytes())

    def word(self, address: int) -> int:
        """Return an unsigned word."""
        found: int = struct.unpack("<I", self._uc.mem_read(address, 4))[0]
        return found

    def words(self, address: int, *shape: int) -> NDArray[np.int32]:
        """Copy of signed words of a shape."""
        size = int(np.prod(shape))
        return np.frombuffer(bytes(self._uc.mem_read(address, 4 * size)), dtype="<i4").reshape(shape).astype(np.int32)

    def halfwords(self, address: int, size: int) -> NDArray[np.uint16]:
        """Copy of unsigned halfwords, (size,)."""
        return np.frombuffer(bytes(self._uc.mem_read(address, 2 * size)), dtype="<u2").astype(np.uint16)
