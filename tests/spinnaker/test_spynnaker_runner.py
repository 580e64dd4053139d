"""The runner: sPyNNaker's own words against ours, and scripts that hang, fail and lie."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hardware_targets import vendor_python
from hardware_targets.spinnaker.emulator import emulate
from hardware_targets.spinnaker.integer_network import IntegerNetwork
from hardware_targets.spinnaker.limits import read_limits
from hardware_targets.spinnaker.plan import Plan, make_plan
from hardware_targets.spinnaker.problem import problem_of_network
from hardware_targets.spinnaker.spynnaker_export import write_spynnaker_folder
from hardware_targets.spinnaker.spynnaker_runner import (
    INTERPRETER_VARIABLE,
    SPYNNAKER,
    compare_tables,
    describe_exported,
    exported_tables,
    run_board,
)
from hardware_targets.spinnaker.table_comparison import compare_words, read_written
from hardware_targets.spinnaker.tables import TableCore, Tables, build_tables, restore_tables
from tests.oracles.spynnaker_board import installed
from tests.spinnaker.exported import ROOT, export, extended_plan, run_script, samples, small_network
from tests.spinnaker.mapped import plan_of, population, projection
from tests.spinnaker.pynn_stand_in import write_stand_in
from toolchain.errors import BundleError, InputError, MissingDependencyError, TargetLimitError

needs_spynnaker = pytest.mark.skipif(not installed(), reason="sPyNNaker is not installed; pip install -e .[spinnaker]")


@pytest.fixture(autouse=True)
def our_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def network() -> IntegerNetwork:
    return small_network()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, network: IntegerNetwork) -> Path:
    return export(tmp_path_factory.mktemp("bundle"), network, samples(network))


@pytest.fixture
def folder(tmp_path: Path, original: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "spinnaker"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """What sPyNNaker itself wrote for the exported script, with nothing of ours on its path."""
    scratch = tmp_path_factory.mktemp("virtual")
    before = sorted(original.rglob("*"))
    done = run_script(original, scratch, "--virtual", "tables", stand_in=False)
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
    assert sorted(p.name for p in scratch.iterdir()) == ["home", "tables"]
    assert list((scratch / "home").iterdir()) == [], "no file of the user is touched"
    assert sorted(original.rglob("*")) == before
    return scratch / "tables"


@needs_spynnaker
def test_the_exported_script_leads_to_our_tables(written: Path, network: IntegerNetwork) -> None:
    """Delays beyond the slots of a core: two delay extensions, and every word of every core.

    `compare_tables` itself, which runs the script and reads what it wrote, is part of tests/deployment.
    """
    tables = build_tables(network, extended_plan(network))
    assert {c.core.vertex for c in tables.cores if c.core.extension} == {"in_delayed", "hidden layer_delayed"}
    found = compare_words(read_written(written), tables)
    assert found.difference is None
    assert found.equal
    assert found.words == sum(words.size for c in tables.cores for words in c.regions.values())
    assert found.synapses == sum(p.n_synapses for p in network.projections)


@needs_spynnaker
def test_parameters_reach_the_core_as_the_integers_that_they_are(written: Path, network: IntegerNetwork) -> None:
    """Neurons that differ from each other are written by the host: each parameter of each neuron is among its words."""
    words = read_written(written)["hidden layer", 0, 59]["neuron_params"].view(np.int32)
    parameters = network["hidden layer"].parameters
    assert parameters is not None
    starts = np.flatnonzero(words == parameters.tau_m[0])
    spans = [(start, step) for start in starts for step in range(1, 20) if start + 59 * step < words.size]
    assert any((words[start : start + 59 * step + 1 : step] == parameters.tau_m).all() for start, step in spans)


def tampered(tables: Tables, vertex: str, region: str, word: int, change: Any) -> Tables:
    """The tables with one word changed."""
    cores = []
    for c in tables.cores:
        if c.core.vertex == vertex and region in c.regions:
            words = c.regions[region].copy()
            words[word] = change(int(words[word]))
            c = TableCore(c.core, {**c.regions, region: words})
        cores.append(c)
    return replace(tables, cores=tuple(cores))


@needs_spynnaker
def test_a_changed_word_is_named_with_what_it_means(written: Path, network: IntegerNetwork) -> None:
    theirs, tables = read_written(written), build_tables(network, extended_plan(network))
    assert compare_words(theirs, tables).equal
    core = tables.of("hidden layer")[0]
    first = int(core.regions["SynBlocks"][3])
    heavier = tampered(tables, "hidden layer", "SynBlocks", 3, lambda w: w + (1 << 16))
    found = compare_words(theirs, heavier)
    assert not found.equal
    weight, where = first >> 16, f"to {first & 63}, excitatory"
    assert found.difference == (
        f"core 0 of hidden layer (neurons 0..59), SynBlocks, row 0 of in: sPyNNaker has {first:08x} "
        f"({where} {weight}, {first >> 7 & 127} ticks), ours is {first + (1 << 16):08x} "
        f"({where} {weight + 1}, {first >> 7 & 127} ticks)"
    )
    found = compare_words(theirs, tampered(tables, "in_delayed", "delay_params", 6, lambda w: w * 2))
    assert found.difference == (
        "core 0 of in_delayed (neurons 0..19), delay_params, word 6: sPyNNaker has 00000080, ours is 00000100"
    )
    count = int(core.regions["SynBlocks"][1])
    found = compare_words(theirs, tampered(tables, "hidden layer", "SynBlocks", 1, lambda w: w - 1))
    assert found.difference is not None
    assert found.difference.endswith(f"(row 0 of in: {count} and {count - 1} synapses)")
    found = compare_words(theirs, replace(tables, cores=tables.cores[1:]))
    assert found.difference == "sPyNNaker has neurons 0..19 of in on a core, the plan has not"
    missing = {key: regions for key, regions in theirs.items() if key[0] != "out"}
    assert compare_words(missing, tables).difference == "core 0 of out (neurons 0..2): sPyNNaker has no such core"
    shorter = {key: {n: w[:-1] for n, w in of.items()} for key, of in theirs.items()}
    assert "SynapseParams: sPyNNaker has 8 words, ours are 9" in str(compare_words(shorter, tables).difference)
    none: dict[tuple[str, int, int], dict[str, NDArray[np.uint32]]] = {key: {} for key in theirs}
    assert "SynapseParams: sPyNNaker has no such region" in str(compare_words(none, tables).difference)


@needs_spynnaker
def test_the_order_of_synapses_within_a_row_is_no_difference(written: Path, network: IntegerNetwork) -> None:
    tables = build_tables(network, extended_plan(network))
    words = tables.of("hidden layer")[0].regions["SynBlocks"]
    assert words[1] > 2
    third, fourth = int(words[3]), int(words[4])
    swapped = tampered(tables, "hidden layer", "SynBlocks", 3, lambda _: fourth)
    swapped = tampered(swapped, "hidden layer", "SynBlocks", 4, lambda _: third)
    assert compare_words(read_written(written), swapped).equal


def misplaced_network() -> tuple[IntegerNetwork, Plan]:
    """Two extension stages between cores of unequal size."""
    rng = np.random.default_rng(5)
    shape = (90, 70)
    weight = np.where(rng.random(shape) < 0.2, rng.integers(1, 500, shape), 0)
    delay = rng.integers(1, 385, shape)
    weight[0, 0], delay[0, 0] = 9, 384
    populations = (population("in", 90, kind="spike_source"), population("hidden", 70))
    network = IntegerNetwork(1.0, populations, (projection("in", "hidden", weight, delay),))
    return network, plan_of(network, {"in": 40, "hidden": 50})


def test_what_spynnaker_would_misplace_is_not_written(tmp_path: Path) -> None:
    network, plan = misplaced_network()
    spikes = samples(network, 1, 5)
    with pytest.raises(
        TargetLimitError, match=r"projection in->hidden: .* into rows that no core .*; leave the neurons a core"
    ):
        write_spynnaker_folder(network, plan, spikes, None, tmp_path / "x", readout="first_spike")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TargetLimitError, match=r"sPyNNaker 7.4.1 would put synapses of in->hidden into wrong rows"):
        make_plan(problem_of_network(network), read_limits(), neurons={"in": 40, "hidden": 50})


@pytest.mark.slow
@needs_spynnaker
def test_rows_that_spynnaker_misplaces_are_named_as_its_defect(tmp_path: Path) -> None:
    network, plan = misplaced_network()
    assert plan.misplaced == ("in->hidden",)
    spikes = samples(network, 1, 5)
    write_spynnaker_folder(network, plan, spikes, None, tmp_path / "x", readout="first_spike", allow_misplaced=True)
    found = compare_tables(tmp_path / "x", build_tables(network, plan), timeout_s=300)
    assert not found.equal
    assert found.difference is not None
    assert "a known defect of sPyNNaker 7.4.1, which misplaces synapses of in->hidden" in found.difference


@pytest.mark.slow
@needs_spynnaker
@pytest.mark.parametrize("dt_ms", [1.0, 0.1])
def test_networks_without_extension_lead_to_our_tables(tmp_path: Path, dt_ms: float) -> None:
    """As the planner lays them out, several cores a population, at either step."""
    network = small_network(longest=300, dt_ms=dt_ms)
    plan = plan_of(network)
    assert plan.layout.cores("hidden layer") > 1
    write_spynnaker_folder(network, plan, samples(network), None, tmp_path / "x", readout="sum")
    assert compare_tables(tmp_path / "x", build_tables(network, plan), timeout_s=300).difference is None


@pytest.mark.slow
@needs_spynnaker
def test_a_network_for_three_boards_is_mapped_on_as_many(tmp_path: Path) -> None:
    populations = (population("in", 4, kind="spike_source"), population("hidden", 1000))
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((4, 1000)) < 0.3, 7, 0)
    network = IntegerNetwork(1.0, populations, (projection("in", "hidden", weight, np.ones_like(weight)),))
    plan = make_plan(problem_of_network(network), read_limits(), boards=3, neurons={"in": 4, "hidden": 1})
    write_spynnaker_folder(network, plan, samples(network, 1, 5), None, tmp_path / "x", readout="first_spike")
    assert compare_tables(tmp_path / "x", build_tables(network, plan), timeout_s=500).difference is None


def use_script(folder: Path, text: str) -> None:
    (folder / "network.py").write_text("import pathlib, sys, time\noutput = pathlib.Path(sys.argv[-1])\n" + text)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in for sPyNNaker, found by whatever the runner starts."""
    monkeypatch.setenv("PYTHONPATH", f"{write_stand_in(tmp_path / 'stand-in')}{os.pathsep}{ROOT}")


@pytest.mark.usefixtures("board")
def test_a_board_is_read_of_spikes_and_v(folder: Path, network: IntegerNetwork) -> None:
    truth = emulate(network, samples(network), traces=True, threads=1)
    found = run_board(folder, samples=2, timeout_s=300)
    assert found.u == {}
    assert set(found.v) == {"out"}
    np.testing.assert_array_equal(found.v["out"], truth.readout_v[:2])
    for name in ("hidden layer", "out"):
        np.testing.assert_array_equal(found.spikes[name], truth.spikes[name][:2])


def test_traces_that_are_not_usable_are_refused(folder: Path) -> None:
    good = {
        "s/hidden layer": np.zeros((1, 60, 60), dtype=np.bool_),
        "s/out": np.zeros((1, 60, 3), dtype=np.bool_),
        "v/out": np.zeros((1, 60, 3), dtype=np.int32),
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({"v/out": good["v/out"].astype(np.float32)}, "is float32 of shape"),
        ({"v/out": good["v/out"][:, 1:]}, "expected int32 of"),
        ({"s/out": good["s/out"][:, :, 1:].copy()}, "not those of the network"),
        ({"v/hidden layer": np.zeros((1, 60, 60), dtype=np.int32)}, "not those of the network"),
        ({"u/out": good["v/out"]}, "unexpected entry 'u/out.npy'"),
    ]
    for changes, message in cases:
        with (folder / "prepared.npz").open("wb") as file:
            np.savez(file, **{**good, **changes})
        use_script(folder, f"import shutil; shutil.copy({str(folder / 'prepared.npz')!r}, output)")
        with pytest.raises(BundleError, match=message):
            run_board(folder, samples=1, timeout_s=60)
    use_script(folder, "pass")
    with pytest.raises(BundleError, match="No such file"):
        run_board(folder, samples=1, timeout_s=60)


def test_a_hang_ends_at_the_limit_and_an_error_is_its_last_line(folder: Path, network: IntegerNetwork) -> None:
    tables = build_tables(network, extended_plan(network))
    left = folder.parent / "left.txt"
    make = f"import tempfile; pathlib.Path({str(left)!r}).write_text(tempfile.mkdtemp(prefix='virtual-board-'))"
    use_script(folder, f"{make}; print('mapping', flush=True); time.sleep(600)")
    with pytest.raises(MissingDependencyError) as caught:
        compare_tables(folder, tables, timeout_s=2)
    assert str(caught.value) == (
        "sPyNNaker: no result after the limit of 2 s (last: mapping); raise it with --vendor-timeout"
    )
    assert not Path(left.read_text()).exists(), "what a killed script has left goes too"
    use_script(folder, "raise RuntimeError('no board\\nanswers')")
    with pytest.raises(
        MissingDependencyError, match="sPyNNaker: the run failed with exit code 1: answers; name a board"
    ):
        run_board(folder, samples=1, timeout_s=60)
    use_script(folder, "print('all is well', file=sys.stderr); output.mkdir()")
    with pytest.raises(MissingDependencyError, match=r"what it wrote for its virtual board cannot be read"):
        compare_tables(folder, tables, timeout_s=60)


def test_a_missing_spynnaker_is_named_with_the_remedy(
    folder: Path, network: IntegerNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    tables = build_tables(network, extended_plan(network))
    with pytest.raises(MissingDependencyError, match=r"cannot import it .*pip install 'delayline\[spinn") as caught:
        compare_tables(folder, tables, timeout_s=60, python=str(bare))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(MissingDependencyError, match=r"absent does not start \(No such file or directory\)"):
        run_board(folder, samples=1, timeout_s=60)
    assert SPYNNAKER.status().startswith(f"{INTERPRETER_VARIABLE}={tmp_path / 'absent'} does not run")
    monkeypatch.setattr(vendor_python, "version_in", lambda python, package: None)
    assert SPYNNAKER.version() is None
    assert SPYNNAKER.status().endswith(
        "; `pip install 'delayline[spinnaker]'`, or set DELAYLINE_SPYNNAKER_PYTHON to a Python that has it"
    )


@needs_spynnaker
def test_status_names_version_and_interpreter() -> None:
    assert SPYNNAKER.status() == f"sPyNNaker {SPYNNAKER.version()} in {sys.executable}"


def test_unusable_requests_and_folders_are_refused(folder: Path, network: IntegerNetwork) -> None:
    tables = build_tables(network, extended_plan(network))
    with pytest.raises(InputError, match="4 samples asked for, the folder has 3"):
        run_board(folder, samples=4, timeout_s=60)
    for limit in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="--vendor-timeout"):
            compare_tables(folder, tables, timeout_s=limit)
    (folder / "samples.npz").write_bytes(b"PK")
    with pytest.raises(BundleError, match=r"samples\.npz: not usable"):
        run_board(folder, samples=1, timeout_s=60)
    (folder / "network.json").write_text('{"simulated": []}')
    with pytest.raises(BundleError, match=r"network\.json: not usable"):
        run_board(folder, samples=1, timeout_s=60)
    (folder / "network.py").unlink()
    with pytest.raises(BundleError, match=r"network\.py is missing"):
        compare_tables(folder, tables, timeout_s=60)


def test_tables_of_the_folder_are_read_back_and_described(folder: Path, network: IntegerNetwork) -> None:
    tables = build_tables(network, extended_plan(network))
    stored = exported_tables(folder)
    assert stored.keys == tables.keys
    for ours, theirs in zip(tables.cores, stored.cores, strict=True):
        assert ours.core == theirs.core
        assert {n: w.tolist() for n, w in ours.regions.items()} == {n: w.tolist() for n, w in theirs.regions.items()}
    text = describe_exported(folder, rows=1)
    assert "delay extension in_delayed: 20 neurons" in text
    assert text.count("        row ") < describe_exported(folder, rows=3).count("        row ")
    assert "        row " not in describe_exported(folder, rows=0)
    header = json.loads((folder / "tables.json").read_text())
    del header["cores"][1]["last"]
    (folder / "tables.json").write_text(json.dumps(header))
    with pytest.raises(BundleError, match="deploy again"):
        describe_exported(folder, rows=1)
    (folder / "tables.npz").write_bytes(b"PK garbage")
    with pytest.raises(BundleError, match=r"tables in .*: not usable"):
        exported_tables(folder)
    (folder / "tables.json").unlink()
    with pytest.raises(BundleError, match="No such file"):
        exported_tables(folder)


NO_NUMBERS: tuple[object, ...] = (float("nan"), "a", -5, 10**30, True, None)
NO_PLACES: tuple[object, ...] = ("x", [], {"x": "a", "y": 0, "core": 3})
NO_NAMES: tuple[object, ...] = (["a"], None, "other")
NO_CORES: tuple[object, ...] = ([], {}, 3, [[]])
NO_KEYS: tuple[object, ...] = ([], 3, {"in": 3})


def change(path: tuple[str | int, ...], value: Any) -> Any:
    """What changes one entry of the header of tables."""

    def changed(header: Any) -> None:
        for step in path[:-1]:
            header = header[step]
        header[path[-1]] = value

    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((("cores", 0, "first"), value) for value in NO_NUMBERS),
        *((("cores", 0, "place"), value) for value in NO_PLACES),
        *((("cores", 0, "index"), value) for value in (99, 1)),
        *((("cores", 0, "vertex"), value) for value in NO_NAMES),
        *((("cores",), value) for value in NO_CORES),
        *((("keys",), value) for value in NO_KEYS),
        *((("keys", "in", "atom_bits"), value) for value in (-1, 10**9)),
        *((("keys", "in", "core_keys"), value) for value in ([], ["a"], 3)),
        *((("keys", "in", "key"), value) for value in ("zz", -1, 2**32)),
        *((("misplaced",), value) for value in (3, [3])),
    ],
)
def test_a_header_of_tables_that_says_anything_is_refused(
    original: Path, path: tuple[str | int, ...], value: Any
) -> None:
    header = json.loads((original / "tables.json").read_text())
    with np.load(original / "tables.npz") as archive:
        arrays = dict(archive)
    assert restore_tables(arrays, header).cores
    change(path, value)(header)
    with pytest.raises(BundleError, match=r"damaged: .*; deploy again"):
        restore_tables(arrays, header)


@pytest.mark.parametrize("region", ["SynapseParams", "PopTable", "SynBlocks"])
def test_a_core_without_one_of_its_regions_is_refused(original: Path, region: str) -> None:
    header = json.loads((original / "tables.json").read_text())
    with np.load(original / "tables.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != f"out.0.{region}"}
    with pytest.raises(BundleError, match=r"core 0 of out has .* alone"):
        restore_tables(arrays, header)
