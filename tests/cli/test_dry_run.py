"""`delayline deploy --dry-run`: the answer before training, from a recipe alone, and that of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.runner import Finished, run_cli
from tests.conftest import MODELS
from toolchain.training.run_folder import RunFolder

ROOT = MODELS.parent
SHIPPED = sorted(path.stem for path in MODELS.glob("*.yaml"))
Cli = Callable[..., Finished]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command, run in an empty folder, where no data are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DELAYLINE_DATA", raising=False)
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_answered_without_data(cli: Cli, name: str, tmp_path: Path) -> None:
    finished = cli("deploy", name, "--dry-run", "--clip-delays")
    assert list(tmp_path.iterdir()) == []
    if name == "yin_yang_first_spike":
        assert finished.code == 3
        assert "its neurons spike once a sample" in finished.err
        return
    assert finished.code == 0, finished.err
    chip = "spinnaker1" if name.endswith("_spinnaker") else "loihi2"
    assert re.match(rf"{name} on {chip}: fits, \d+ cores? of 1 chip\n", finished.out)
    assert finished.err == ""


def test_the_table_says_use_limit_and_what_is_assumed(cli: Cli) -> None:
    out = cli("deploy", "shd_loihi", "--dry-run", "--set", "network.populations.hidden.size=128").out
    assert "  hidden: 128 neurons, 2 cores with 64 of them\n" in out or "1 core with 128 of them" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("  ")}
    assert rows["axons_in_per_core"] == ["828", "4096", "axons", "(assumed", "limit)"]
    assert rows["synapse_formats_per_core"] == ["2", "unknown", "formats"]
    assert rows["slot_max"] == ["62", "62", "slots"]
    assert "  assumed: 700 channels and 20 classes; the files of task shd may have others" in out
    assert "  assumed: delays that learn may become any slot up to training.max_slot, 62" in out
    table = [line for line in out.splitlines() if re.match(r"  \w+_per_\w+ ", line)]
    # Names to the left, numbers to the right: both columns end where their headings do.
    (heading,) = [line for line in out.splitlines() if line.split() == ["used", "limit"]]
    for line in table:
        for end in (heading.index("used") + 4, heading.index("limit") + 5):
            assert line[end - 1] != " ", line
            assert line[end] == " ", line


def test_json_holds_cores_and_resources(cli: Cli) -> None:
    found = json.loads(cli("deploy", "shd_loihi", "--dry-run", "--json").out)
    assert (found["fits"], found["network"], found["target"]) == (True, "shd_loihi", "loihi2")
    assert len(found["assumptions"]) == 3
    hidden = [core for core in found["cores"] if core["population"] == "hidden"]
    assert sum(core["last"] - core["first"] + 1 for core in hidden) == 256
    assert hidden[0]["chip"] == 0
    assert hidden[0]["formats"]["hidden->hidden"] == "dense, 8 weight + 6 delay bits"
    assert {"name", "used", "limit", "unit", "note"} == set(found["resources"][0])


def test_a_recipe_that_does_not_fit_fits_with_what_the_message_says(cli: Cli) -> None:
    """Each line is done as a person would, with --set or an option."""
    size = ["deploy", "shd_loihi", "--dry-run", "--chips", "1", "--set", "network.populations.hidden.size=3390"]
    finished = cli(*size)
    assert finished.code == 3
    assert finished.out == ""
    head, *changes = finished.err.splitlines()
    assert re.match(r"TargetLimitError: network: needs \d+ cores, loihi2 has 128 \(\d+ too many, ", head)
    assert len(changes) == 3
    for change in changes:
        if found := re.match(r"  hidden of (\d+) neurons", change):
            again = cli(*size, "--set", f"network.populations.hidden.size={found[1]}")
        elif found := re.match(r"  delays of at most (\d+) slots", change):
            slots = [f"training.max_slot={found[1]}", f"network.projections.0.delay.uniform.high={found[1]}"]
            again = cli(*size, *(part for one in slots for part in ("--set", one)))
        elif found := re.search(r"--chips (\d+)", change):
            again = cli(*size, "--chips", found[1])
        else:
            # Nothing in a recipe makes weights of fewer bits; the mapper's own tests look at these.
            assert re.match(r"  weights of \d bits", change), change
            continue
        assert again.code == 0, (change, again.err)


def test_delays_that_a_chip_does_not_hold(cli: Cli) -> None:
    finished = cli("deploy", "shd_recurrent", "--dry-run")
    assert finished.code == 3
    assert "projection input->hidden: delay slot 1000 exceeds 62 on loihi2" in finished.err
    assert "training.max_slot or --clip-delays" in finished.err
    assert cli("deploy", "shd_recurrent", "--dry-run", "--set", "training.max_slot=62").code == 2
    sets = ["--set", "training.max_slot=62", "--set", "network.projections.0.delay=0"]
    assert cli("deploy", "shd_recurrent", "--dry-run", *sets).code == 0


def test_own_files_need_sizes_in_the_recipe(cli: Cli) -> None:
    sets = ["--set", "dataset={task: spikes, options: {train: mine.h5, test: {fraction: 0.2}}}"]
    finished = cli("deploy", "shd_loihi", "--dry-run", *sets)
    assert finished.code == 2
    assert "only the files of task spikes say" in finished.err
    assert "network.populations.input.size and network.populations.output.size" in finished.err
    sets += ["--set", "network.populations.input.size=12", "--set", "network.populations.output.size=4"]
    finished = cli("deploy", "shd_loihi", "--dry-run", *sets)
    assert finished.code == 0
    assert "assumed: 12 channels and 4 outputs, as the recipe says" in finished.out


def test_a_recipe_file_and_a_name_that_is_none(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text((MODELS / "digits.yaml").read_text())
    assert cli("deploy", "mine.yaml", "--dry-run").out == cli("deploy", "digits", "--dry-run").out
    finished = cli("deploy", "nothing", "--dry-run")
    assert (finished.code, len(finished.err.splitlines())) == (2, 1)
    assert "recipe 'nothing' does not exist" in finished.err


def test_before_training_no_less_is_needed_than_after(cli: Cli, trained_run: RunFolder) -> None:
    """What fits before training fits after it: of a run the weights and slots are known."""
    after = json.loads(cli("deploy", str(trained_run.path), "--dry-run", "--json").out)
    before = json.loads(cli("deploy", str(trained_run.recipe_file), "--dry-run", "--json").out)
    assert after["assumptions"] == []
    used = {row["name"]: row["used"] for row in before["resources"]}
    for row in after["resources"]:
        if "per_core" in row["name"] or row["name"] in ("cores", "chips", "slot_max"):
            assert row["used"] <= used[row["name"]], row["name"]
    assert not (trained_run.path / "loihi2").exists()


def test_a_recipe_is_answered_without_anything_heavy(tmp_path: Path) -> None:
    heavy = ("numba", "scipy", "h5py", "sklearn", "matplotlib", "rich", "safetensors", "lava")
    code = (
        "import sys; from toolchain.cli.dry_run_command import run; from toolchain.deployment.options import Options; "
        "run('shd_loihi', [], 'loihi2', Options(), False); "
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & set({heavy!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_does_not_fit_is_said_to_programs_too(cli: Cli) -> None:
    """JSON on standard output; exit code and standard error are what a person gets without it."""
    size = ["deploy", "shd_loihi", "--dry-run", "--chips", "1", "--set", "network.populations.hidden.size=3390"]
    person, program = cli(*size), cli(*size, "--json")
    assert (person.code, person.out) == (3, "")
    assert (program.code, program.err) == (person.code, person.err)
    found = json.loads(program.out)
    assert (found["fits"], found["network"], found["target"]) == (False, "shd_loihi", "loihi2")
    assert person.err == f"TargetLimitError: {found['message']}\n"
    exceeded = found["exceeded"]
    head, *lines = person.err.splitlines()
    (needs, has, over) = re.findall(r"needs (\d+) cores, loihi2 has (\d+) \((\d+) too many", head)[0]
    assert (exceeded["name"], exceeded["unit"]) == ("cores", "cores")
    assert [exceeded[k] for k in ("used", "limit", "over")] == [int(needs), int(has), int(over)]
    assert exceeded["times"] == int(needs) / int(has)
    assert (exceeded["population"], exceeded["projection"], exceeded["neurons"]) == ("hidden", None, None)
    assert [f"  {change['text']}" for change in found["changes"]] == lines
    for change in found["changes"]:
        assert change["outcome"]["fits"] is True
        if size_left := re.match(r"hidden of (\d+) neurons", change["text"]):
            again = cli(*size, "--json", "--set", f"network.populations.hidden.size={size_left[1]}")
        elif chips := re.search(r"--chips (\d+)", change["text"]):
            again = cli(*size, "--json", "--chips", chips[1])
        else:
            continue
        fitting = json.loads(again.out)
        assert fitting["fits"] is True
        used = {row["name"]: row["used"] for row in fitting["resources"]}
        assert change["outcome"] == {"fits": True, "cores": used["cores"], "chips": used["chips"]}, change


def test_a_delay_that_does_not_fit_names_its_projection_to_programs(cli: Cli) -> None:
    finished = cli("deploy", "shd_recurrent", "--dry-run", "--json")
    assert finished.code == 3
    exceeded = json.loads(finished.out)["exceeded"]
    assert (exceeded["name"], exceeded["used"], exceeded["limit"], exceeded["over"]) == ("slot_max", 1000, 62, 938)
    assert (exceeded["projection"], exceeded["population"]) == ("input->hidden", None)


def test_a_limit_of_a_core_names_population_and_neurons_to_programs(cli: Cli) -> None:
    wide = ("--set", "dataset={task: spikes, options: {train: mine.h5, test: {fraction: 0.2}}}")
    sizes = ("--set", "network.populations.input.size=5000", "--set", "network.populations.output.size=4")
    finished = cli("deploy", "shd_loihi", "--dry-run", "--json", *wide, *sizes)
    assert finished.code == 3
    found = json.loads(finished.out)
    exceeded = found["exceeded"]
    # 5000 channels and 256 neurons, all of which reach neuron 0.
    assert (exceeded["name"], exceeded["used"], exceeded["limit"]) == ("axons_in_per_core", 5256, 4096)
    assert (exceeded["population"], exceeded["neurons"]) == ("hidden", [0, 0])
    assert found["changes"]
    for change in found["changes"]:
        assert change["outcome"]["chips"] == -(-change["outcome"]["cores"] // 128), change


def test_a_run_that_does_not_fit_is_said_to_programs_too(cli: Cli, trained_run: RunFolder) -> None:
    """By deploying and by asking only; neurons that the chip does not have are no matter of figures."""
    for more in (("--dry-run",), ("--no-vendor",)):
        finished = cli("deploy", str(trained_run.path), "--prune", "0.1", "--cores", "1", "--json", *more)
        assert finished.code == 3, finished.err
        found = json.loads(finished.out)
        assert (found["fits"], found["target"]) == (False, "loihi2")
        assert {k: found["exceeded"][k] for k in ("name", "used", "limit", "over", "times")} == {
            "name": "cores",
            "used": 2,
            "limit": 1,
            "over": 1,
            "times": 2.0,
        }
        assert finished.err.splitlines()[-1] == f"TargetLimitError: {found['message']}"
    once = cli("deploy", "yin_yang_first_spike", "--dry-run", "--json")
    assert once.code == 3
    content = json.loads(once.out)
    assert (content["fits"], content["exceeded"], content["changes"]) == (False, None, [])
    assert "its neurons spike once a sample" in content["message"]


def test_neurons_a_core_can_be_asked_for(cli: Cli) -> None:
    on_spinnaker = ("deploy", "digits", "--dry-run", "--target", "spinnaker1", "--neurons-per-core")
    out = cli(*on_spinnaker, "hidden=50", "--neurons-per-core", "input=30").out
    assert "  hidden: 128 neurons, 3 cores with 28 to 50 of them\n    50 neurons a core, as was asked for" in out
    assert "  input: 64 neurons, 3 cores with 4 to 30 of them\n    30 neurons a core, as was asked for" in out
    for asked, target, words in (
        ("hiden=50", "spinnaker1", "--neurons-per-core hiden=50: no such population; did you mean 'hidden'?"),
        ("hidden", "spinnaker1", "--neurons-per-core hidden: must be a population, = and a whole number"),
        ("hidden=300", "spinnaker1", "neurons per core of hidden: 300 is not in 1..256"),
        ("hidden=50", "loihi2", "--neurons-per-core hidden=50: on loihi2 a core takes as many neurons as"),
    ):
        refused = cli("deploy", "digits", "--dry-run", "--target", target, "--neurons-per-core", asked)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(f"InputError: {words}")
        assert refused.err.count("\n") == 1


def test_chips_of_several_boards_are_counted(cli: Cli) -> None:
    """Which chips of several boards are taken only the vendor's tools know, but not that it is one."""
    many = ("deploy", "digits", "--dry-run", "--target", "spinnaker1", "--chips", "96", "--neurons-per-core")
    assert cli(*many, "hidden=1").out.startswith("digits on spinnaker1: fits, 130 cores of 9 chips\n")
