"""A GPU of this machine, asked of its driver: whether there is one, and how much memory it has.

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
    """A GPU: `name`, and memory, bytes."""

    name: str
    memory: int


Loader = Callable[[str], Any]


def find_gpu(code: str, index: int = 0, load: Loader = ctypes.CDLL) -> Gpu | str:
    """The GPU of this number that code of this kind (``cuda`` or ``hip``) would run on, or why there is none."""
    library, asked = {"cuda": ("libcuda.so.1", _cuda), "hip": ("libamdhip64.so", _hip)}[code]
    try:
        driver = load(library)
    except OSError:
        return f"its driver, {library}, is not installed"
    return asked(driver, index)


def _cuda(driver: Any, index: int) -> Gpu | str:
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
    return Gpu(name.value.decode(errors="replace"), memory.value)


def _hip(driver: Any, index: int) -> Gpu | str:
    """By HIP, whose calls for the same are named like CUDA's."""
    count, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    if status := driver.hipInit(0):
        return f"its driver does not start (error {status})"
    if driver.hipGetDeviceCount(ctypes.byref(count)) or count.value <= index:
        return _too_few(count.value, index)
    driver.hipDeviceGetName(name, len(name), index)
    driver.hipDeviceTotalMem(ctypes.byref(memory), index)
    return Gpu(name.value.decode(errors="replace"), memory.value)


def _too_few(count: int, index: int) -> str:
    return (
        f"its driver sees {count}, and this is process {index + 1} of this machine" if count else "its driver sees none"
    )
