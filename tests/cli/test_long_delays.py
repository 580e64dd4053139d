"""Delays beyond the chip's slots, from the command line: refused with the remedies, then extended, or cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.runner import Finished, run_cli

pytestmark = pytest.mark.usefixtures("without_pictures")

Cli = Callable[..., Finished]
RUN = "runs/sequence-1"
LONG = (
    "training.max_slot=150",
    "training.epochs=2",
    "dataset.options={gap: 10, steps: 250, repeats: 4}",
    "network.populations.hidden={kind: lif, size: 5, tau_mem_ms: 20, tau_syn_ms: 5}",
    "network.projections=["
    "{from: input, to: hidden, weight: {uniform: {low: 3, high: 9}}, delay: {uniform: {low: 0, high: 150}}, "
    "learn_delay: true}, "
    "{from: hidden, to: output, weight: {normal: {sd: 3}}, delay: {uniform: {low: 0, high: 70}}}]",
    "deployment.max_loss_points=100",
)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command, in a folder with a run whose delays go up to slot 150."""
    monkeypatch.chdir(tmp_path)
    trained = run_cli(capsys, monkeypatch, "train", "sequence", *(word for s in LONG for word in ("--set", s)))
    assert trained.code == 0, trained.err
    return lambda *arguments: run_cli(capsys, monkeypatch, *arguments)


def test_long_delays_are_refused_with_their_remedies(cli: Cli) -> None:
    refused = cli("deploy", RUN, "--no-vendor")
    assert (refused.code, refused.out) == (3, "")
    message = refused.err.splitlines()[-1]
    for words in ("input->hidden: delay slot", "exceeds 62 on loihi2", "training.max_slot: 62", "--clip-delays"):
        assert words in message
    # A relay for every 63 slots of the longest synapse of each of two inputs and five hidden neurons: at most 2 and 1.
    assert "--extend-delays (adds up to " in message
    assert int(message.split("adds up to ")[1].split()[0]) <= 2 * 2 + 5
    both = cli("deploy", RUN, "--clip-delays", "--extend-delays")
    assert (both.code, both.out) == (2, "")
    assert "--clip-delays cuts long delays, --extend-delays keeps them" in both.err
    assert not Path(RUN, "loihi2").exists()


def test_cut_delays_are_counted_and_cost_nothing(cli: Cli) -> None:
    cut = cli("deploy", RUN, "--no-vendor", "--clip-delays", "--json")
    assert cut.code == 1
    content = json.loads(cut.out)
    assert content["reasons"] == ["not compared with lava: no vendor samples were asked for"]
    assert content["projections"][0]["delays_clipped"] > 0
    assert all(p["delays_extended"] == 0 for p in content["projections"])
    assert not [r for r in content["resources"] if r["name"].startswith("relay")]


def test_extended_delays_have_their_cost_in_the_resources(cli: Cli) -> None:
    dry = cli("deploy", RUN, "--dry-run", "--extend-delays")
    assert dry.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in dry.out.splitlines()}
    assert rows["relay_neurons"][2:] == ["neurons"]
    assert rows["relay_synapses"][0] == rows["relay_neurons"][0]
    assert rows["relay_cores"][::2] == ["3", "cores"]
    assert rows["slot_max"] == ["62", "62", "slots"]
    deployed = cli("deploy", RUN, "--no-vendor", "--extend-delays", "--json")
    assert deployed.code == 1
    content = json.loads(deployed.out)
    # Nothing but the missing comparison: the emulator does the same with relays and without.
    assert content["reasons"] == ["not compared with lava: no vendor samples were asked for"]
    assert all(p["delays_extended"] > 0 for p in content["projections"])
    ladder = {r["rung"]: r["accuracy"] for r in content["ladder"]}
    assert ladder["rounded_delays"] == ladder["float"]
    scored = cli("validate", f"{RUN}/loihi2", "--on", "emulator", "--json")
    assert json.loads(scored.out)["ladder"][0]["accuracy"] == ladder["emulator"]


@pytest.mark.slow
@pytest.mark.lava
def test_extended_delays_pass_against_lava(cli: Cli) -> None:
    deployed = cli("deploy", RUN, "--extend-delays", "--vendor-samples", "1")
    assert deployed.code == 0, deployed.out
    assert deployed.out.startswith("verdict: pass")
    assert "every spike, u and v equals lava on 1 samples" in deployed.out
    again = cli("validate", f"{RUN}/loihi2", "--samples", "1")
    assert again.code == 0, again.out
    assert again.out.count("equals the emulator's") == 1
