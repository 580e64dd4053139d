"""A GPU of this machine, asked of its driver: whether there is one, how much memory it has, and how much is free.

GeNN itself finds out by failing in the middle of building a model. Drivers are asked through their C interfaces, which
are stable; no package is needed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes
    ----------
    memory : all of it, bytes
    free : what nobody had taken when it was asked, bytes; None where the driver does not say
    """

    name: str
    memory: int
    free: int | None = None

    @property
    def available(self) -> int:
        """Memory to plan with, bytes."""
        return self.memory if self.free is None else min(self.free, self.memory)


Loader = Callable[[str], Any]


def find_gpu(code: str, index: int = 0, load: Loader = ctypes.CDLL) -> Gpu | str:
    """The GPU of this number that code of this kind (``cuda`` or ``hip``) would run on, or why there is none."""
    library, asked = {"cuda": ("libcuda.so.1", _cuda), "hip": ("libamdhip64.so", _hip)}[code]
    try:
        driver = load(library)
    except OSError:
        return f"its driver, {library}, is not installed"
    return asked(driver, index, load)


def _cuda(driver: Any, index: int, load: Loader) -> Gpu | str:
    """By the driver interface of CUDA."""
    count, device, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    if status := driver.cuInit(0):
        return f"its driver does not start (error {status})"
    if driver.cuDeviceGetCount(ctypes.byref(count)) or count.value <= index:
        return _too_few(count.value, index)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    bus = ctypes.create_string_buffer(32)
    free = None if driver.cuDeviceGetPCIBusId(bus, len(bus), device) else _free_by_nvml(bus, load)
    return Gpu(name.value.decode(errors="replace"), memory.value, free)


class _NvmlMemory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _free_by_nvml(bus: Any, load: Loader) -> int | None:
    """Free memory of the GPU at a place of the bus: CUDA itself says it only to who takes some of it for a context.

    The number of a GPU is not the same to CUDA, which may see some of them only or sort them by speed.
    """
    try:
        nvml = load("libnvidia-ml.so.1")
    except OSError:
        return None
    handle, memory = ctypes.c_void_p(), _NvmlMemory()
    if nvml.nvmlInit_v2():
        return None
    known = not nvml.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(handle)) and not nvml.nvmlDeviceGetMemoryInfo(
        handle, ctypes.byref(memory)
    )
    nvml.nvmlShutdown()
    return memory.free if known else None


def _hip(driver: Any, index: int, load: Loader) -> Gpu | str:
    """By HIP, whose calls for the same are named like CUDA's; free memory is that of the current device."""
    count, memory, free, total = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    if status := driver.hipInit(0):
        return f"its driver does not start (error {status})"
    if driver.hipGetDeviceCount(ctypes.byref(count)) or count.value <= index:
        return _too_few(count.value, index)
    driver.hipDeviceGetName(name, len(name), index)
    driver.hipDeviceTotalMem(ctypes.byref(memory), index)
    known = not driver.hipSetDevice(index) and not driver.hipMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return Gpu(name.value.decode(errors="replace"), memory.value, free.value if known else None)


def _too_few(count: int, index: int) -> str:
    return (
        f"its driver sees {count}, and this is process {index + 1} of this machine" if count else "its driver sees none"
    )
