"""Laws of the house that a machine can check: who imports whom, what a file may hold, how an error speaks."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from toolchain import errors

ROOT = Path(__file__).parent.parent
PACKAGES = ("toolchain", "hardware_targets", "models")
OURS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
HEAVY = (
    *("numba", "numpy", "matplotlib", "pydantic", "sklearn", "rich", "lava", "onnx", "scipy", "safetensors", "yaml"),
    *("h5py", "espeakng_loader", "elephant", "neo", "quantities"),
)


def files(*folders: str) -> list[Path]:
    return sorted(f for folder in folders for f in (ROOT / folder).rglob("*.py"))


SOURCES = files(*PACKAGES)
ALL = files(*PACKAGES, "tests")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, *, top_only: bool = False) -> Iterator[tuple[str, str, int]]:
    """(module, name, line) of every import of a file; the name is empty for ``import module``."""
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    for node in tree(path).body if top_only else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            yield from ((module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            named = node.args[0] if node.args else None
            yield (str(named.value) if isinstance(named, ast.Constant) else "", "", node.lineno)


def below(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def offenders(found: Iterator[str]) -> str:
    """All places that break a rule, one a line; empty if none does."""
    return "\n".join(sorted(set(found)))


@pytest.fixture(params=SOURCES, ids=name_of)
def source(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 40
    assert {module_of(f).split(".")[0] for f in SOURCES} == set(PACKAGES)


def test_the_toolchain_never_names_a_chip() -> None:
    found = (
        f"{name_of(f)}:{line} {module}"
        for f in files("toolchain")
        for module, _, line in imports(f)
        if below(module, "hardware_targets")
    )
    assert not offenders(found)


def test_the_ground_floor_stands_on_itself_alone() -> None:
    floor = {"toolchain.errors", "toolchain.network", "toolchain.spikes"}
    for module in sorted(floor):
        for imported, _, line in imports(ROOT / (module.replace(".", "/") + ".py")):
            assert not below(imported, "toolchain") or imported in floor, f"{module}:{line} imports {imported}"


def test_nothing_stands_on_the_command_line() -> None:
    found = (
        f"{name_of(f)}:{line} {module}"
        for f in SOURCES
        if not below(module_of(f), "toolchain.cli")
        for module, name, line in imports(f)
        if below(module, "toolchain.cli") or (module, name) == ("toolchain", "cli")
    )
    assert not offenders(found)


def test_chips_use_public_modules_and_names_of_the_toolchain_only() -> None:
    """Public: no leading underscore, and there; not the command line, the set-up or the pictures of the report."""
    closed = ("toolchain.cli", "toolchain.bootstrap", "toolchain.report")
    found = (
        f"{name_of(f)}:{line} from {module} import {name}"
        for f in files("hardware_targets")
        for module, name, line in imports(f)
        if below(module, "toolchain")
        and (
            any(below(module, c) for c in closed)
            or any(part.startswith("_") for part in (*module.split("."), name))
            or not hasattr(importlib.import_module(module), name or "__name__")
        )
    )
    assert not offenders(found)


def test_one_chip_family_does_not_import_another() -> None:
    """What families share is a module beside them, which knows none of them."""
    shared = [[f.stem] for f in (ROOT / "hardware_targets").glob("*.py")]
    for f in files("hardware_targets"):
        parts = module_of(f).split(".")
        for module, _, line in imports(f):
            if below(module, "hardware_targets") and len(parts) > 1:
                assert module.split(".")[1:2] in ([], parts[1:2], *shared), f"{name_of(f)}:{line} imports {module}"


def test_imports_run_one_way() -> None:
    """Each floor imports only those at or below it; backends and commands are reached from above only."""
    floors = [
        {"errors"},
        {"kernels", "network", "objective", "observed", "readouts", "spikes", "storage"},
        {"cost", "event_graph", "recipe"},
        {"network_builder", "datasets"},
        {"training", "deployment", "devices", "tuning", "quantization", "interchange"}
        | {"attribution", "diagnosis", "validation", "report"},
        {"cli", "bootstrap"},
    ]
    height = {name: level for level, floor in enumerate(floors) for name in floor}
    for f in files("toolchain"):
        parts = module_of(f).split(".")
        if len(parts) == 1:
            continue
        assert parts[1] in height, f"{parts[1]} is on no floor: say here on which"
        for module, name, line in imports(f):
            if below(module, "toolchain"):
                other = (module.split(".")[1:2] or [name])[0]
                assert height.get(other, -1) <= height[parts[1]], f"{name_of(f)}:{line} imports {module}"


def test_set_up_needs_nothing_but_the_standard_library() -> None:
    """It runs on the Python of the machine, before anything is installed."""
    own = {f.stem for f in files("toolchain/bootstrap")}
    for f in files("toolchain/bootstrap"):
        for module, _, line in imports(f):
            first = module.split(".")[0]
            known = first in sys.stdlib_module_names or first in own or below(module, "toolchain.bootstrap")
            assert known, f"{name_of(f)}:{line} imports {module}"


@pytest.mark.parametrize("module", ["toolchain.cli.app", "toolchain.cli", "toolchain.errors", "toolchain"])
def test_asking_for_help_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{m.split('.')[0] for m in sys.modules}} & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_module_of_a_package_can_be_found() -> None:
    for f in SOURCES:
        assert (f.parent / "__init__.py").is_file(), (
            f"{name_of(f.parent)} has no __init__.py and would not be installed"
        )


def undocumented(node: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    """Public classes, functions and methods without a docstring, nested classes included."""
    for child in node.body:
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
            if not ast.get_docstring(child):
                yield f"{where}:{child.lineno} {child.name}"
            if isinstance(child, ast.ClassDef):
                yield from undocumented(child, where)


def test_everything_public_has_a_docstring(source: Path) -> None:
    assert not offenders(undocumented(tree(source), name_of(source)))
    assert ast.get_docstring(tree(source)) or not tree(source).body, "the module itself"


def test_no_file_is_longer_than_450_lines() -> None:
    lengths = {name_of(f): len(f.read_text(encoding="utf-8").splitlines()) for f in ALL}
    assert {name: n for name, n in lengths.items() if n > 450} == {}


def test_nothing_that_is_read_can_be_executed() -> None:
    """No pickle under any name, no full YAML loader, no eval of text."""
    loaders = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}

    def found() -> Iterator[str]:
        for f in ALL:
            yield from (f"{name_of(f)}:{n} imports {m}" for m, _, n in imports(f) if m.split(".")[0] in loaders)
            for node in ast.walk(tree(f)):
                if not isinstance(node, ast.Call):
                    continue
                called = ast.unparse(node.func)
                allowed = [k.value for k in node.keywords if k.arg == "allow_pickle"]
                if any(not (isinstance(v, ast.Constant) and v.value is False) for v in allowed):
                    yield f"{name_of(f)}:{node.lineno} allow_pickle"
                if re.fullmatch(r"yaml\.((unsafe_|full_)?load(_all)?)", called) or called in ("eval", "exec"):
                    yield f"{name_of(f)}:{node.lineno} {called}"

    assert not offenders(found())


def test_one_module_takes_pickles_apart_and_runs_none() -> None:
    """`pickletools` reads op-codes; even the module that uses it has no way to look up a name, import or call one."""
    users = [f for f in ALL if any(m.split(".")[0] == "pickletools" for m, _, _ in imports(f))]
    assert [module_of(f) for f in users] == ["toolchain.datasets.pickled_data"]
    used = {
        ast.unparse(node)
        for node in ast.walk(tree(users[0]))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickletools"
    }
    assert used == {"pickletools.genops"}
    looked_up = [
        ast.unparse(node)
        for node in ast.walk(tree(users[0]))
        if isinstance(node, ast.Call)
        and re.search(r"(getattr|globals|locals|vars|import|find_class|sys\.)", ast.unparse(node.func))
    ]
    # The method of the machine that belongs to an op-code of `pickletools`: no text of the file.
    assert looked_up == ["getattr(self, f'_{operation.lower()}', None)"]


def test_only_the_command_line_the_set_up_and_the_scripts_of_bundles_print() -> None:
    scripts = ("hardware_targets.loihi.lava_folder", "hardware_targets.spinnaker.spynnaker_folder")
    printing = ("toolchain.cli", "toolchain.bootstrap", *scripts)
    found = (
        f"{name_of(f)}:{node.lineno}"
        for f in SOURCES
        if not any(below(module_of(f), p) for p in printing)
        for node in ast.walk(tree(f))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
    )
    assert not offenders(found)


def test_no_error_is_caught_blindly_or_raised_without_a_name() -> None:
    blind = ("Exception", "BaseException")
    # Code of others is called there, which may raise anything; what it raised is said.
    foreign = ("toolchain/devices/finding.py",)

    def found() -> Iterator[str]:
        for f in SOURCES:
            for node in ast.walk(tree(f)):
                if isinstance(node, ast.ExceptHandler):
                    caught = ast.unparse(node.type) if node.type else ""
                    again = any(isinstance(n, ast.Raise) and n.exc is None for n in node.body)
                    if (not caught or caught in blind) and not again and name_of(f) not in foreign:
                        yield f"{name_of(f)}:{node.lineno} except {caught}"
                elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    raised = ast.unparse(node.exc.func)
                    if raised in (*blind, "RuntimeError", "AssertionError", "DelaylineError"):
                        yield f"{name_of(f)}:{node.lineno} raise {raised}"

    assert not offenders(found())


def test_exit_codes_are_those_of_the_contract() -> None:
    assert {name: getattr(errors, name).exit_code for name in OURS - {"DelaylineError"}} == {
        "InputError": 2,
        "UnstableTrainingError": 2,
        "RecipeError": 2,
        "NetworkError": 2,
        "CheckpointError": 2,
        "DatasetError": 2,
        "BundleError": 2,
        "InterchangeError": 2,
        "ValidationError": 1,
        "TargetLimitError": 3,
        "MissingDependencyError": 4,
        "UnansweredError": 4,
    }
    assert all(issubclass(getattr(errors, name), errors.DelaylineError) for name in OURS)


def messages() -> Iterator[tuple[str, ast.expr]]:
    """(where, expression) of the message of every error of ours that is raised."""
    for f in SOURCES:
        for node in ast.walk(tree(f)):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in OURS:
                yield f"{name_of(f)}:{node.lineno}", node.exc


def text_of(call: ast.expr) -> str:
    """A message with ``{}`` where a value stands."""
    assert isinstance(call, ast.Call)
    assert len(call.args) == 1, ast.unparse(call)
    (message,) = call.args
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


@pytest.mark.parametrize(("where", "call"), [pytest.param(*m, id=m[0]) for m in messages()])
def test_an_error_is_one_line_with_a_value_or_a_way_out(where: str, call: ast.expr) -> None:
    text = text_of(call)
    assert "\n" not in text
    assert not text.endswith((".", "!", " ")), "no sentence, no shout"
    assert text[0] in "{-" or text[0].islower(), "the object first, as in `projection a->b: ...`"
    assert "{}" in text or ";" in text, "a value, or what to do"
    assert not re.search(r"\b(invalid|illegal|bad|wrong|oops|sorry|please|error occurred)\b", text, re.IGNORECASE)
