"""What is missing is said in one line, before training starts; drivers and PyGeNN are played by stand-ins."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from toolchain.errors import MissingDependencyError
from toolchain.training.backends.genn import installation
from toolchain.training.backends.genn.gpu import Gpu, find_gpu
from toolchain.training.backends.genn.installation import Code, find_installation

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a PyGeNN of a version, built for some generators, where it is imported from."""

    def make(version: str = "5.4.0", *generators: str) -> None:
        package, model = ModuleType("pygenn"), ModuleType("pygenn.genn_model")
        package.__version__ = version  # type: ignore[attr-defined]
        model.backend_modules = dict.fromkeys(generators or ("single_threaded_cpu",))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "pygenn", package)
        monkeypatch.setitem(sys.modules, "pygenn.genn_model", model)

    monkeypatch.setattr("shutil.which", lambda name: name)
    return make


def test_absent_pygenn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygenn", None)
    with pytest.raises(MissingDependencyError, match=r"PyGeNN .* docs/genn.md says how to install it; --backend cpu"):
        find_installation()


def test_pygenn_that_does_not_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Built for another Python or without libffi: its own words are passed on."""
    (tmp_path / "pygenn").mkdir()
    (tmp_path / "pygenn" / "__init__.py").write_text("import libgenn_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.split(".")[0] == "pygenn"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingDependencyError, match=r"cannot be imported \(No module named 'libgenn_that_is"):
        find_installation()


@pytest.mark.parametrize("version", ["4.9.0", "5.3.0", "6.0.1", "unknown"])
def test_other_versions(install: Install, version: str) -> None:
    install(version)
    with pytest.raises(MissingDependencyError, match=f"PyGeNN {version} is not a version that this backend knows"):
        find_installation()


def test_something_else_of_that_name(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.delattr(sys.modules["pygenn"], "__version__")
    with pytest.raises(MissingDependencyError, match="PyGeNN without a version is not a version"):
        find_installation()


def test_processor(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("5.4.0")
    codes: tuple[Code, ...] = ("auto", "cpu")
    for code in codes:
        found = find_installation(code)
        assert (found.code, found.generator, found.gpu) == ("cpu", "single_threaded_cpu", None)
        assert found.options == {"optimize_code": True}
    monkeypatch.setenv("CXX", "clang++ -v")
    monkeypatch.setattr("shutil.which", lambda name: None if name == "clang++" else name)
    with pytest.raises(MissingDependencyError, match=r"clang\+\+ -v is not found, .* install it"):
        find_installation()
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="make is not found"):
        find_installation()


@pytest.mark.parametrize(
    ("code", "variable", "compiler"), [("cuda", "CUDA_PATH", "bin/nvcc"), ("hip", "HIP_PATH", "bin/hipcc")]
)
def test_gpus(
    install: Install, code: Code, variable: str, compiler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("5.4.1", "single_threaded_cpu")
    with pytest.raises(MissingDependencyError, match=f"no part for {code} .*{variable} set"):
        find_installation(code)
    install("5.4.1", code, "single_threaded_cpu")
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(MissingDependencyError, match=f"{variable} is not set"):
        find_installation(code)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: None if name.endswith(compiler) else name)
    with pytest.raises(MissingDependencyError, match=f"{compiler} is not found"):
        find_installation(code)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(installation, "find_gpu", lambda kind, index: "its driver sees none")
    with pytest.raises(MissingDependencyError, match=f"no GPU for {code}: its driver sees none"):
        find_installation(code)
    assert find_installation("auto").code == "cpu"
    monkeypatch.setattr(installation, "find_gpu", lambda kind, index: Gpu("G", 2**30))
    codes: tuple[Code, ...] = (code, "auto")
    for asked in codes:
        found = find_installation(asked)
        assert (found.code, found.generator, found.where) == (code, code, "G")
    assert find_installation(code, 3).options == {"manual_device_id": 3}


class Driver:
    """The C interface of a driver with some GPUs."""

    def __init__(self, prefix: str, gpus: int, status: int = 0) -> None:
        self._prefix, self._gpus, self._status = prefix, gpus, status

    def __getattr__(self, name: str) -> Any:
        call = name.removeprefix(self._prefix).removeprefix("Device").removesuffix("_v2")
        return {
            "Init": lambda flags: self._status,
            "GetCount": self._count,
            "GetDeviceCount": self._count,
            "Get": lambda device, index: 0,
            "GetName": self._name,
            "TotalMem": self._memory,
            "GetPCIBusId": self._bus,
            "SetDevice": lambda index: 0 if index == 1 else 1,
            "MemGetInfo": self._free,
        }[call]

    def _count(self, place: Any) -> int:
        place._obj.value = self._gpus
        return 0

    def _name(self, buffer: Any, size: int, device: Any) -> int:
        assert size == len(buffer)
        buffer.value = b"A GPU"
        return 0

    def _memory(self, place: Any, device: Any) -> int:
        assert isinstance(place._obj, ctypes.c_size_t)
        place._obj.value = 80 * 2**30
        return 0

    def _bus(self, buffer: Any, size: int, device: Any) -> int:
        buffer.value = b"0000:0B:00.0"
        return 0

    def _free(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = 30 * 2**30, 80 * 2**30
        return 0


class Nvml:
    """The C interface of NVIDIA's management library; `status` is what it answers to the question for memory."""

    def __init__(self, status: int = 0) -> None:
        self._status, self.open = status, 0

    def __getattr__(self, name: str) -> Any:
        return {
            "nvmlInit_v2": lambda: self._count(1),
            "nvmlShutdown": lambda: self._count(-1),
            "nvmlDeviceGetHandleByPciBusId_v2": self._handle,
            "nvmlDeviceGetMemoryInfo": self._memory,
        }[name]

    def _count(self, more: int) -> int:
        self.open += more
        return 0

    def _handle(self, bus: Any, handle: Any) -> int:
        handle._obj.value = 77
        return 0 if bus.value == b"0000:0B:00.0" else 6

    def _memory(self, handle: Any, memory: Any) -> int:
        assert handle.value == 77
        if not self._status:
            # nvmlMemory_t: total, free, used
            ctypes.memmove(ctypes.byref(memory._obj), (ctypes.c_ulonglong * 3)(80 * 2**30, 30 * 2**30, 50 * 2**30), 24)
        return self._status


@pytest.mark.parametrize(("code", "prefix"), [("cuda", "cu"), ("hip", "hip")])
def test_a_driver_is_asked(code: str, prefix: str) -> None:
    nvml = Nvml()

    def load(library: str) -> Any:
        return nvml if "nvidia-ml" in library else Driver(prefix, 2)

    assert find_gpu(code, 1, load) == Gpu("A GPU", 80 * 2**30, 30 * 2**30)
    assert nvml.open == 0
    assert find_gpu(code, 0, lambda library: Driver(prefix, 0)) == "its driver sees none"
    assert (
        find_gpu(code, 2, lambda library: Driver(prefix, 2))
        == "its driver sees 2, and this is process 3 of this machine"
    )
    assert find_gpu(code, 0, lambda library: Driver(prefix, 1, 35)) == "its driver does not start (error 35)"

    def missing(library: str) -> Any:
        raise OSError(library)

    found = find_gpu(code, 0, missing)
    assert isinstance(found, str)
    assert found.endswith("is not installed")


def test_a_driver_that_does_not_say_what_is_free() -> None:
    """All of it is planned with: without NVML, on GPUs that it knows nothing of, and where HIP fails."""

    def load(library: str, nvml: Nvml | None = None) -> Any:
        if "nvidia-ml" in library and nvml is None:
            raise OSError(library)
        return nvml if "nvidia-ml" in library else Driver("hip" if "hip" in library else "cu", 2)

    found = [find_gpu("cuda", 0, load), find_gpu("cuda", 0, lambda name: load(name, Nvml(3))), find_gpu("hip", 0, load)]
    assert found == 3 * [Gpu("A GPU", 80 * 2**30, None)]
    assert [gpu.available for gpu in (Gpu("", 8), Gpu("", 8, 5), Gpu("a slice of one", 8, 50))] == [8, 5, 8]
