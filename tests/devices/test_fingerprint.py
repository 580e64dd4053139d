"""Fingerprints of traces: equal for equal traces, whatever holds them; different for any difference."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.deployment.target import Traces
from toolchain.devices.fingerprint import differing, fingerprints

RANDOM = np.random.default_rng(3)
V = RANDOM.integers(-(2**23), 2**23, (5, 12, 3))
SPIKES = RANDOM.random((5, 12, 3)) < 0.2


def traces(v: np.ndarray, spikes: np.ndarray) -> Traces:  # type: ignore[type-arg]
    return Traces({}, {"a": v}, {"a": spikes})


def test_it_does_not_matter_how_numbers_are_held() -> None:
    ours = fingerprints(traces(V, SPIKES))
    theirs = fingerprints(traces(np.asfortranarray(V.astype(np.int32)), np.asfortranarray(SPIKES)))
    assert set(ours) == {"v/a", "spikes/a"}
    assert all((ours[name] == theirs[name]).all() for name in ours)


@pytest.mark.parametrize("quantity", ["v", "spikes"])
def test_every_difference_is_seen_and_no_other(quantity: str) -> None:
    ours = fingerprints(traces(V, SPIKES))
    for sample in range(5):
        v, spikes = V.copy(), SPIKES.copy()
        if quantity == "v":
            v[sample, sample, sample % 3] ^= 1 << 4 * sample
        else:
            spikes[sample, sample, sample % 3] ^= True
        unequal, compared = differing(ours, fingerprints(traces(v, spikes)))
        assert unequal.tolist() == [sample]
        assert compared == ["v/a", "spikes/a"]


def test_shapes_count() -> None:
    """The same bits in another shape are something else."""
    turned = fingerprints(traces(V.reshape(5, 3, 12), SPIKES.reshape(5, 3, 12)))
    unequal, _ = differing(fingerprints(traces(V, SPIKES)), turned)
    assert unequal.tolist() == [0, 1, 2, 3, 4]


def test_what_one_of_both_does_not_report_is_not_compared() -> None:
    ours, theirs = fingerprints(traces(V, SPIKES)), fingerprints(Traces({}, {"a": V[:3]}, {}))
    unequal, compared = differing(ours, theirs)
    assert (unequal.size, compared) == (0, ["v/a"])
    unequal, compared = differing(ours, {})
    assert (unequal.size, compared) == (0, [])
