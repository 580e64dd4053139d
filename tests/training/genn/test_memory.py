"""Memory is planned before anything is built."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_network
from toolchain.errors import InputError
from toolchain.network import Network, Population, make_projection
from toolchain.training.backends.genn import memory
from toolchain.training.backends.genn.describe import describe
from toolchain.training.backends.genn.description import ModelDescription
from toolchain.training.backends.genn.memory import USABLE, Plan, buffers, device_bytes, plan, require_indexable

NETWORK = random_network("recurrent_masked", np.random.default_rng(0))


def model(batch: int, slots: int = 1, network: Network = NETWORK) -> ModelDescription:
    return describe(network, 50, max_slot=9, min_slope=0.05, learn_tau=["a"], batch=batch, slots=slots, room=8)


def test_speech_network_by_hand() -> None:
    """700-256-20, 1000 steps, 62 slots, 32 samples at once: the buffers that matter, worked out on paper."""
    sizes = (700, 256, 20)
    names = ("in", "hid", "out")
    kinds = ("spike_source", "lif", "leaky_readout")
    populations = tuple(Population(n, k, s) for n, k, s in zip(names, kinds, sizes, strict=True))  # type: ignore[arg-type]
    dense = [
        make_projection(a, b, np.ones((m, n))) for a, b, m, n in (("in", "hid", 700, 256), ("hid", "out", 256, 20))
    ]
    network = Network(1.0, populations, tuple(dense))
    described = describe(network, 1000, max_slot=62, min_slope=0.05, learn_tau=[], batch=32, slots=1, room=128)
    found = {(b.of, b.what): b.size for b in buffers(described)}
    assert found["in->hid", "gradients of each sample"] == 32 * 700 * 256 * 2 * 4
    assert found["in->hid", "gradients of the batch"] == 700 * 256 * 2 * 4
    assert found["in->hid", "weights and delays"] == 700 * 256 * (4 + 1)
    assert found["hid", "tape"] == 32 * 256 * (4 + 128 * (4 + 4))
    assert found["hid", "adjoints, over the longest delay"] == 32 * 256 * 2 * 4 * 63
    assert found["in", "spikes in, voltage, losses"] == 32 * 1000 * 22 * 4  # 700 bits are 22 words
    assert found["out", "spikes in, voltage, losses"] == 32 * 20 * 1000 * 4
    assert found["in->hid", "arrivals, over the longest delay"] > 32 * 256 * 63 * 4
    assert device_bytes(described) == sum(found.values())


def test_sparse_network_with_adam_by_hand() -> None:
    """Rows of 3, 1 and 0 synapses, each held as long as the longest, with where it leads to and how many it has."""
    populations = (Population("in", "spike_source", 3), Population("out", "leaky_readout", 5))
    mask = np.zeros((3, 5), dtype=np.bool_)
    mask[0, [0, 2, 4]] = mask[1, 1] = True
    network = Network(1.0, populations, (make_projection("in", "out", np.ones((3, 5)), 0.0, mask),))
    described = describe(
        network, 50, max_slot=9, min_slope=0.05, learn_tau=[], batch=2, slots=1, room=8, adam_betas=(0.9, 0.999)
    )
    found = {b.what: b.size for b in buffers(described) if b.of == "in->out"}
    assert found["gradients of each sample"] == 2 * 9 * 2 * 4
    assert found["weights and delays"] == 9 * (4 + 1) + 4 * (9 + 3)
    assert found["optimiser"] == 36 * 9


def chosen(batch: int, memory: int | None, at_once: int | None = None, all_before: bool = False) -> Plan:
    return plan(model, batch=batch, at_once=at_once, all_before=all_before, memory=memory, single=False)


@given(st.integers(1, 40), st.integers(0, 400_000), st.booleans())
@settings(deadline=None, max_examples=40)
def test_the_most_that_fits_is_taken(batch: int, memory: int, all_before: bool) -> None:
    def size(samples: int) -> int:
        return device_bytes(model(samples, -(-batch // samples) if all_before else 1))

    fitting = [n for n in range(1, batch + 1) if size(n) <= USABLE * memory]
    if not fitting:
        with pytest.raises(InputError, match="a single sample takes"):
            chosen(batch, memory, all_before=all_before)
        return
    found = chosen(batch, memory, all_before=all_before)
    # Held slots go up as samples go down, so that what fits need not be all below some number.
    assert found.at_once in fitting
    assert found.bytes == size(found.at_once) <= USABLE * memory
    if not all_before:
        assert found.at_once == max(fitting)
    assert found.at_once * found.slots >= (batch if all_before else 1)


def test_what_does_not_fit_is_refused_with_what_does() -> None:
    memory = int(device_bytes(model(5)) / USABLE) + 1
    with pytest.raises(InputError, match=r"samples_at_once: 6 take .* MiB; 5 fit"):
        chosen(8, memory, at_once=6)
    assert chosen(8, memory, at_once=3).most == 5
    with pytest.raises(InputError, match=r"9 is above training.batch_size 8"):
        chosen(8, None, at_once=9)
    assert chosen(8, None).at_once == 8


def test_a_batch_that_fits_whole_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """With rates all samples of a batch are held: 8 at once are 8 of them, but 5 or 6 at once, twice, are more."""
    monkeypatch.setattr(memory, "device_bytes", lambda model: model.batch * model.slots)
    for at_once in (None, 8):
        assert chosen(8, 10, at_once=at_once, all_before=True).at_once == 8
    assert chosen(8, 11, at_once=3, all_before=True).at_once == 3
    with pytest.raises(InputError, match="5 take"):
        chosen(8, 11, at_once=5, all_before=True)


def test_processors_run_one_sample_at_a_time() -> None:
    assert plan(model, batch=8, at_once=None, all_before=True, memory=None, single=True).slots == 8
    with pytest.raises(InputError, match="runs one sample at a time"):
        plan(model, batch=8, at_once=2, all_before=False, memory=None, single=True)


def long(batch: int, slots: int, room: int = 128) -> ModelDescription:
    return describe(NETWORK, 2**22, max_slot=9, min_slope=0.05, learn_tau=["a"], batch=batch, slots=slots, room=room)


def test_arrays_that_32_bits_do_not_index_are_not_planned() -> None:
    most = plan(long, batch=1000, at_once=None, all_before=False, memory=None, single=False).at_once
    items = max(n for part in long(1, 1).populations for n in part.items.values())
    assert 0 < most == (2**31 - 1) // items < 1000
    # It is what is said, and not that memory is short.
    for single, at_once, rates in ((False, 1000, False), (False, None, True), (True, None, True)):
        with pytest.raises(InputError, match=r"items, and what GeNN generates counts 2147483647; give fewer"):
            plan(long, batch=1000, at_once=at_once, all_before=rates, memory=2**50, single=single)


def test_gradients_that_32_bits_do_not_index_are_not_planned() -> None:
    """2^22 synapses, whose gradients of 512 samples would be 2^31."""
    populations = (Population("in", "spike_source", 2**11), Population("out", "leaky_readout", 2**11))
    wide = Network(1.0, populations, (make_projection("in", "out", np.ones((2**11, 2**11))),))
    found = plan(
        lambda batch, slots: model(batch, slots, wide),
        batch=1024,
        at_once=None,
        all_before=False,
        memory=2**50,
        single=False,
    )
    assert found.at_once == 511


def test_a_tape_does_not_grow_beyond_what_32_bits_index() -> None:
    require_indexable(long(1, 1))
    with pytest.raises(InputError, match=r"array TapeTime of a would have \d+ items"):
        require_indexable(long(8, 8, room=2**24))
