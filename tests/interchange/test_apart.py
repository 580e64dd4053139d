"""Files that are read in a process of their own: what the process ends with becomes one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.interchange.nir_networks import assert_equal
from tests.networks import random_network
from toolchain.errors import InterchangeError
from toolchain.interchange import apart
from toolchain.interchange.apart import read_apart
from toolchain.interchange.nir import NirAssumptions, read_nir, write_nir
from toolchain.interchange.nir.isolated import read_nir_isolated
from toolchain.network import Network, Population, make_projection


def test_a_network_of_nir_comes_through_as_it_was_read(tmp_path: Path) -> None:
    """To the bit, with time constants of each neuron, masks and everything that was assumed."""
    path = tmp_path / "n.nir"
    source = Population("in", "spike_source", 3)
    hidden = Population("a.b", "lif", 2, (7.3, 1 / 3), 2.5, 0.3)
    random = np.random.default_rng(0)
    edges = (
        make_projection("in", "a.b", random.normal(size=(3, 2)), random.random((3, 2)) * 9),
        make_projection("a.b", "out", random.normal(size=(2, 1)), 2, np.array([[True], [False]])),
    )
    write_nir(Network(1 / 3, (source, hidden, Population("out", "leaky_readout", 1)), edges), path)
    assume = NirAssumptions(0.1, "euler", "within-step", "jump")
    expected, found = read_nir(path, assume), read_nir_isolated(path, assume)
    assert_equal(found.network, expected.network)
    assert found.assumed == expected.assumed != ()


def test_an_error_of_the_reader_is_its_own_with_the_path_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_nir(random_network("feedforward", np.random.default_rng(0)), Path("n.nir"))
    with pytest.raises(InterchangeError, match=r"^file n\.nir: node '.*' .* no decay"):
        read_nir_isolated(Path("n.nir"), NirAssumptions(1000.0, "euler"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", r"file .*f\.h5: the library that reads it ended with signal 6; it is damaged"),
        ("import time; time.sleep(60)", r"file .*f\.h5: the library that reads it did not come back within 1 s"),
        ("raise SystemExit('out of luck')", r"file .*f\.h5: the library that reads it ended with out of luck"),
        ("pass", r"file .*f\.h5: the library that reads it ended with no answer"),
    ],
)
def test_a_crash_or_a_hang_is_one_line(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashes.py").write_text(code)
    (tmp_path / "f.h5").write_bytes(b"x")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(apart, "SECONDS", 1.0 if "sleep" in code else 60.0)
    with pytest.raises(InterchangeError, match=message) as caught:
        read_apart("crashes", tmp_path / "f.h5", tmp_path / "out", {})
    assert "\n" not in str(caught.value)
