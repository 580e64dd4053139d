"""The embedded CPU backend: event-driven numba kernels, samples in parallel, nothing to compile but once."""

from toolchain.training.backends.cpu.engine import CpuEngine

__all__ = ["CpuEngine"]
