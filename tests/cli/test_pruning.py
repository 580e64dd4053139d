"""Pruning from the command line: a share, a number of cores, and what is said where neither can be had."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hardware_targets.loihi import target
from hardware_targets.loihi.limits import ChipLimits, read_limits
from tests.cli.runner import Finished, run_cli
from toolchain.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")

Cli = Callable[..., Finished]
RUN = "runs/sequence-1"
SMALL = (
    "training.epochs=2",
    "training.max_slot=62",
    # Two cores with the deepest delay buffers, one without.
    "network.populations.hidden={kind: lif, size: 140, tau_mem_ms: 20, tau_syn_ms: 5}",
    "network.projections=["
    "{from: input, to: hidden, weight: {uniform: {low: 3, high: 9}}, delay: {uniform: {low: 0, high: 45}}}, "
    "{from: hidden, to: output, weight: {normal: {sd: 3}}}]",
    "deployment.max_loss_points=100",
)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command, in a folder with a small run."""
    monkeypatch.chdir(tmp_path)
    trained = run_cli(capsys, monkeypatch, "train", "sequence", *(word for s in SMALL for word in ("--set", s)))
    assert trained.code == 0, trained.err
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def test_a_share_is_pruned_and_said(cli: Cli) -> None:
    done = cli("deploy", RUN, "--no-vendor", "--prune", "0.5")
    assert done.code == 1, done.err
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines if "samples" in line and "%" in line][:3] == [
        "float",
        "pruned",
        "rounded_delays",
    ]
    removed = [int(line.split()[1]) for line in lines if line.startswith("  pruned ") and "synapses of" in line]
    assert sum(removed) == 280
    assert any(line.startswith("  synaptic memory before and after pruning: ") for line in lines)
    again = cli("report", f"{RUN}/loihi2")
    assert again.out == done.out.replace("\n\n", "\n")
    scored = cli("validate", f"{RUN}/loihi2", "--on", "emulator", "--json")
    content = json.loads(cli("report", f"{RUN}/loihi2", "--json").out)
    assert json.loads(scored.out)["ladder"][0]["accuracy"] == next(
        r["accuracy"] for r in content["ladder"] if r["rung"] == "emulator"
    )


def test_a_number_of_cores_is_met_or_refused(cli: Cli) -> None:
    def cores(*more: str) -> str:
        dry = cli("deploy", RUN, "--dry-run", *more)
        assert dry.code == 0, dry.err
        return next(line.split()[1] for line in dry.out.splitlines() if line.split()[0] == "cores")

    assert cores() == "3"
    assert cores("--cores", "2") == "2"
    done = cli("deploy", RUN, "--no-vendor", "--cores", "2")
    assert "pruned all synapses with a delay beyond slot 30" in done.out
    assert "cores before and after pruning: 3, 2 cores" in done.out
    refused = cli("deploy", RUN, "--no-vendor", "--cores", "1")
    assert (refused.code, refused.out) == (3, "")
    assert "takes 2 cores of loihi2 with 98% of its synapses pruned, 1 were asked for" in refused.err


def chips_of_one_core(name: str) -> ChipLimits:
    """The chip with a single core, so that what spreads over chips can be small."""
    limits = read_limits(name)
    return replace(limits, table={**limits.table, "cores": replace(limits.table["cores"], value=1)})


def test_a_number_of_cores_is_spread_over_chips(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--cores` says how far to prune, `--chips` over how many chips the cores that are left may be spread."""
    monkeypatch.setattr(target, "read_limits", chips_of_one_core)

    def chips(*more: str) -> dict[str, str]:
        dry = cli("deploy", RUN, "--dry-run", *more)
        assert dry.code == 0, dry.err
        return {line.split()[0]: line.split()[1] for line in dry.out.splitlines() if line.startswith("  c")}

    assert chips() == {"chips": "3", "cores": "3"}
    too_few = cli("deploy", RUN, "--dry-run", "--chips", "2")
    assert (too_few.code, too_few.out) == (3, "")
    assert "network: needs 3 cores, loihi2 has 2 on 2 chips" in too_few.err
    assert chips("--cores", "2", "--chips", "2") == {"chips": "2", "cores": "2"}
    assert chips("--cores", "2", "--chips", "7") == {"chips": "2", "cores": "2"}, "no more chips than it takes"
    done = cli("deploy", RUN, "--no-vendor", "--cores", "2", "--chips", "2", "--prune", "0.1")
    assert "cores before and after pruning: 3, 2 cores" in done.out
    content = json.loads(cli("report", f"{RUN}/loihi2", "--json").out)
    assert {r["name"]: (r["used"], r["limit"]) for r in content["resources"]}["chips"] == (2, 2)
    assert {core["chip"] for core in content["cores"]} == {0, 1}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ("--cores", "129", "--chips", "1"),
            "cores: 129 were asked for, 1 chip of loihi2 has 128; give --cores of at most 128, or --chips 2",
        ),
        (
            ("--cores", "1025"),
            "cores: 1025 were asked for, 8 chips of loihi2 have 1024; give --cores of at most 1024, or --chips 9",
        ),
        (
            ("--cores", "1000000", "--chips", "2", "--target", "loihi1"),
            "cores: 1000000 were asked for, 2 chips of loihi1 have 256; give --cores of at most 256",
        ),
        (("--cores", "2", "--chips", "5000"), "chips: 5000 of loihi2 were asked for; the largest system has 1152 "),
    ],
)
@pytest.mark.parametrize("more", [("--dry-run",), ("--no-vendor",)])
def test_more_than_the_chips_have_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trained_run: RunFolder,
    asked: tuple[str, ...],
    message: str,
    more: tuple[str, ...],
) -> None:
    refused = run_cli(capsys, monkeypatch, "deploy", str(trained_run.path), *asked, *more)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"InputError: {message}")
    assert len(refused.err.splitlines()) == 1, "nothing was begun"


@pytest.mark.parametrize("share", ["1", "-0.5"])
def test_a_share_that_is_none_is_refused(cli: Cli, share: str) -> None:
    refused = cli("deploy", RUN, "--no-vendor", "--prune", share)
    assert (refused.code, refused.out) == (2, "")
    assert f"--prune {share}: must be a share of the synapses, 0 or more and below 1" in refused.err
    assert not Path(RUN, "loihi2").exists()
