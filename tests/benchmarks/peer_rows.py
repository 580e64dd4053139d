"""Our training step against other frameworks, each in a process of its own on one core, on the same input spikes.

`train_vs_dcls`: DCLS is feedforward, so ours is the feedforward network too (700-256-20, delays of 0 to 62 slots on the
input synapses); the time of our recurrent one is printed beside it. `train_vs_snntorch`: both recurrent, ours with
delays, snnTorch without. `train_memory`: growth of the largest resident size for each further sample in flight, ours
recurrent, against DCLS. What each peer runs, and how it is timed, stands in its script in `tests/benchmarks/peers`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.environment import ROOT, PeersMissingError, peers_python
from tests.benchmarks.rows import Row, smaller_is_better
from tests.benchmarks.training import default_workload, our_ms_per_sample
from tests.benchmarks.workload import save
from toolchain.bootstrap.process import run

LIMIT_S = 900.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def measure_dcls() -> list[Row]:
    """The row train_vs_dcls, or none and a line that says why."""
    peer = _peer("train_vs_dcls", "dcls_train")
    if peer is None:
        return []
    ours = our_ms_per_sample(recurrent=False)
    print(
        f"train_vs_dcls: both feedforward, {_said(peer)}; our recurrent step takes "
        f"{our_ms_per_sample(recurrent=True):.3g} ms a sample"
    )
    return [smaller_is_better("train_vs_dcls", ours, peer["ms_per_sample"], "ms a sample", peer["name"])]


def measure_snntorch() -> list[Row]:
    """The row train_vs_snntorch, or none and a line that says why."""
    peer = _peer("train_vs_snntorch", "snntorch_train")
    if peer is None:
        return []
    print(f"train_vs_snntorch: both recurrent, delays in ours alone, {_said(peer)}")
    ours = our_ms_per_sample(recurrent=True)
    return [smaller_is_better("train_vs_snntorch", ours, peer["ms_per_sample"], "ms a sample", peer["name"])]


def measure_memory() -> list[Row]:
    """The row train_memory; without a peer the figure of ours is printed alone."""
    ours = _run(Path(sys.executable), "tests.benchmarks.memory")
    print(f"train_memory: {ours['mib_per_lane']:.2f} MiB a sample in flight, {ours['lanes']} in flight")
    peer = _peer("train_memory", "dcls_train")
    if peer is None:
        return []
    return [
        smaller_is_better("train_memory", ours["mib_per_lane"], peer["mib_per_sample"], "MiB a sample", peer["name"])
    ]


def _said(peer: dict[str, Any]) -> str:
    return (
        f"{peer['name']} in batches of {peer['batch']:.0f}, {peer['ms_per_sample']:.4g} ms a sample "
        f"({peer['ms_alone']:.4g} of one alone), {peer['mib_per_sample']:.3g} MiB a sample, {peer['rate']:.1f} spikes "
        "a hidden neuron"
    )


@cache
def _python() -> Path | PeersMissingError:
    try:
        return peers_python()
    except PeersMissingError as error:
        return error


def _peer(row: str, script: str) -> dict[str, Any] | None:
    """What a peer's script measured; None after a line that says why it could not."""
    python = _python()
    if isinstance(python, PeersMissingError):
        print(f"{row}: left out, {python}")
        return None
    measured = _outcome(python, f"tests.benchmarks.peers.{script}")
    if isinstance(measured, PeersMissingError):
        print(f"{row}: left out, {measured}")
        return None
    return measured


@cache
def _outcome(python: Path, module: str) -> dict[str, Any] | PeersMissingError:
    """Run a peer once for all of its rows, also where it fails."""
    try:
        return _run(python, module)
    except PeersMissingError as error:
        return error


def _run(python: Path, module: str) -> dict[str, Any]:
    """Run a module on the workload in a process of its own; return the JSON of its last line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        save(default_workload(), path)
        result = run([str(python), "-m", module, str(path)], timeout=LIMIT_S, env=_environment())
    if not result.ok:
        raise PeersMissingError(f"{module} failed: {result.reason()}")
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
