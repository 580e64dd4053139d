"""Pruning from the command line: a share, a number of cores, and what is said where neither can be had."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.runner import Finished, run_cli

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
    assert json.loads(scored.out)["accuracy"] == next(
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


@pytest.mark.parametrize("share", ["1", "-0.5"])
def test_a_share_that_is_none_is_refused(cli: Cli, share: str) -> None:
    refused = cli("deploy", RUN, "--no-vendor", "--prune", share)
    assert (refused.code, refused.out) == (2, "")
    assert f"--prune {share}: must be a share of the synapses, 0 or more and below 1" in refused.err
    assert not Path(RUN, "loihi2").exists()
