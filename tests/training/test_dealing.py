"""Samples of lanes are dealt once each, in order, and the threads end together."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.training.backends.cpu.dealing import Dealer, Pace, Share

SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=8)


@given(SIZES, st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_every_sample_once_and_in_order_whichever_thread_is_next(
    sizes: list[int], at_once: int, threads: int, random: Random
) -> None:
    dealer = Dealer(sizes, at_once)
    done: list[list[int]] = [[] for _ in sizes]
    held: list[Share] = []
    while True:
        share = dealer.take() if len(held) < threads else None
        if share is not None:
            assert share.lane not in {other.lane for other in held}
            held.append(share)
        elif held:
            back = held.pop(random.randrange(len(held)))
            done[back.lane] += range(back.begin, back.end)
            dealer.give_back(back)
        else:
            break
    assert done == [list(range(size)) for size in sizes]


@given(SIZES, st.integers(2, 4))
def test_no_thread_waits_longer_than_one_share_or_one_lane(sizes: list[int], threads: int) -> None:
    """Samples that all take one unit of time: the last ends when it must, with lanes that are not split."""
    dealer, clock, at_work = Dealer(sizes, 1), 0, True
    while at_work:
        held = [share for _ in range(threads) if (share := dealer.take()) is not None]
        at_work = bool(held)
        clock += at_work
        for share in held:
            dealer.give_back(share)
    assert clock == max(max(sizes), -(-sum(sizes) // threads))


def test_small_samples_are_taken_together_and_large_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr("toolchain.training.backends.cpu.dealing.time.monotonic", lambda: now)
    pace = Pace()
    assert Dealer([7], pace.samples()).take() == Share(0, 0, 7, 10.0)
    now = 10.0 + 4 * 50e-6
    pace.timed(Share(0, 0, 4, 10.0))
    assert pace.samples() == pytest.approx(10, abs=1)
    now = 10.0 + 4 * 3e-3
    pace.timed(Share(0, 0, 4, 10.0))
    assert pace.samples() == 1
