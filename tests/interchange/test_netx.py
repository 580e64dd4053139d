"""NetX files: what is in them, what is refused, and Lava's processes made from them alone against the emulator."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hardware_targets.loihi
from hardware_targets.loihi import loihi2
from hardware_targets.loihi.emulator import emulate
from hardware_targets.loihi.integer_network import READOUT_VTH, IntegerNetwork, IntegerPopulation
from hardware_targets.loihi.lava_runner import LAVA
from hardware_targets.loihi.netx_export import write_netx
from hardware_targets.loihi.netx_synapses import delivered_weights
from hardware_targets.vendor_process import run_session
from tests.interchange.chains import quantised_of, random_chain
from tests.loihi.small_networks import READOUT, projection, trains
from toolchain.deployment.abilities import NetxTarget
from toolchain.errors import InterchangeError

IN, HID = IntegerPopulation("in", "spike_source", 2), IntegerPopulation("hid", "lif", 2, 818, 199, 100, 25.0)


def chain(weight: list[list[int]], exponent: int = 0, slots: int | list[list[int]] = 0) -> IntegerNetwork:
    """Two sources, two neurons, one readout."""
    return IntegerNetwork(
        1.0,
        (IN, HID, READOUT),
        (projection("in", "hid", weight, slots, exponent), projection("hid", "out", [[20], [-30]])),
    )


def entries(path: Path) -> dict[str, Any]:
    """Every dataset of a file, read after the description of lava-dl's README."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_a_file_says_what_the_readme_of_netx_describes(tmp_path: Path) -> None:
    written = write_netx(quantised_of(chain([[10, -20], [30, 40]], 0, [[0, 5], [62, 1]])), tmp_path / "a.net")
    found = entries(tmp_path / "a.net")
    assert (written.layers, written.synapses, written.largest_slot) == (("in", "hid", "out"), 6, 62)
    assert (written.lowered, written.notes) == ({}, ())
    assert [found[f"layer/{i}/type"].tolist() for i in range(3)] == [[b"input"], [b"dense"], [b"dense"]]
    assert [found[f"layer/{i}/shape"].tolist() for i in range(3)] == [[2], [2], [1]]
    assert found["layer/1/weight"].tolist() == [[10, 30], [-20, 40]]  # (post, pre)
    assert found["layer/1/delay"].tolist() == [[0, 62], [5, 1]]
    assert "layer/2/delay" not in found
    neuron = {k: found[f"layer/1/neuron/{k}"] for k in ("iDecay", "vDecay", "vThMant", "refDelay", "gradedSpike")}
    assert neuron == {"iDecay": 819, "vDecay": 199, "vThMant": 100, "refDelay": 1, "gradedSpike": False}
    assert found["layer/2/neuron/vThMant"] == READOUT_VTH
    assert (found["layer/1/inFeatures"], found["layer/2/outFeatures"], found["simulation/Ts"]) == (2, 1, 1)
    assert not any("bias" in name or "rec" in name or "messageBits" in name for name in found)


def test_the_unit_of_v_stands_in_the_file(tmp_path: Path) -> None:
    write_netx(quantised_of(chain([[10, -20], [30, 40]])), tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r") as file:
        assert file["layer/1"].attrs["v_unit"] == 64 * 25.0
        assert file["layer/1"].attrs["population"] == "hid"


def test_the_same_network_gives_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = quantised_of(random_chain(5)[0])
    write_netx(network, tmp_path / "a.net")
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_netx(network, tmp_path / "b.net")
    assert (tmp_path / "a.net").read_bytes() == (tmp_path / "b.net").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.net", "b.net"]


def test_the_pipeline_finds_the_ability_and_other_chips_lack_it() -> None:
    from hardware_targets.spinnaker import spinnaker1

    assert isinstance(loihi2, NetxTarget)
    assert isinstance(hardware_targets.loihi.loihi1, NetxTarget)
    assert not isinstance(spinnaker1, NetxTarget)


def refusal(network: IntegerNetwork, path: Path, **options: bool) -> str:
    with pytest.raises(InterchangeError) as caught:
        write_netx(quantised_of(network), path, **options)
    assert not path.exists()
    return str(caught.value)


def with_more(network: IntegerNetwork, *more: Any, populations: tuple[IntegerPopulation, ...] = ()) -> IntegerNetwork:
    return replace(network, populations=network.populations + populations, projections=network.projections + more)


PLAIN = chain([[10, -20], [30, 40]])
MORE = IntegerPopulation("more", "lif", 2, 818, 199, 100, 25.0)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            with_more(PLAIN, projection("hid", "hid", [[2, 4], [6, 8]], [[0, 0], [3, 0]])),
            r"hid->hid: is recurrent, and synapse \(1, 0\) of hid->hid has delay slot 3: .* recurrent synapses too",
        ),
        (
            with_more(chain([[10, -20], [30, 40]], 0, 2), projection("hid", "hid", [[2, 4], [6, 8]])),
            r"hid->hid: is recurrent, and synapse \(0, 0\) of in->hid has delay slot 2",
        ),
        (
            with_more(PLAIN, projection("hid", "hid", [[2, 4], [254, 8]], 0, 1)),
            r"hid->hid: synapse \(1, 0\) adds 508, which lava-dl reads as 254",
        ),
        (
            IntegerNetwork(
                1.0,
                (IN, HID, MORE),
                tuple(
                    projection(*ends, [[2, 4], [6, 8]]) for ends in (("in", "hid"), ("hid", "more"), ("more", "hid"))
                ),
            ),
            "more->hid: in->hid comes from in too",
        ),
        (with_more(PLAIN, projection("in", "out", [[2], [4]])), "in->out: hid->out comes from hid too"),
        (
            with_more(PLAIN, projection("in", "more", [[2, 4], [6, 8]]), populations=(MORE,)),
            "in->more: in->hid leads to hid too",
        ),
        (
            with_more(
                PLAIN,
                projection("x", "hid", [[2, 4]]),
                populations=(IntegerPopulation("x", "spike_source", 1),),
            ),
            "populations in, x: 2 spike sources",
        ),
        (with_more(PLAIN, populations=(MORE,)), "population more: no projections lead to it"),
        (chain([[10, -20], [30, 40]], 0, [[0, 0], [63, 0]]), r"in->hid: delay slot 63 of synapse \(1, 0\) exceeds 62"),
        (chain([[2, -4], [254, 8]], 1), r"in->hid: synapse \(1, 0\) adds 508, which lava-dl reads as 254: .*lower"),
        (chain([[254, 4], [2, 8]], 1), r"in->hid: synapse \(0, 0\) adds 508, which lava-dl fails on"),
        (chain([[-256, -4], [-2, -8]]), r"in->hid: synapse \(0, 0\) adds -256, which lava-dl reads as -254"),
        (chain([[0, 0], [0, 0]]), "in->hid: all its weights are 0, on which lava-dl's reader fails"),
        (
            IntegerNetwork(1.0, (IN, HID, MORE), (projection("hid", "more", [[2, 4], [6, 8]]),)),
            "population hid: no projections lead to it from in",
        ),
        (replace(PLAIN, thresholds={"hid": np.array([1, 2], dtype=np.int32)}), "population hid: has a threshold for"),
    ],
)
def test_what_lava_dl_reads_otherwise_is_refused_by_name(network: IntegerNetwork, words: str, tmp_path: Path) -> None:
    message = refusal(network, tmp_path / "a.net")
    assert re.search(words, message)
    assert "Lava folder of the bundle" in message or "was deployed" in message


def test_relays_of_long_delays_cannot_be_written(tmp_path: Path) -> None:
    quantised = quantised_of(chain([[10, -20], [30, 40]], 0, [[0, 0], [100, 0]]))
    with pytest.raises(InterchangeError, match="delay slot 100"):
        loihi2.write_netx(quantised, tmp_path / "a.net")


def test_lower_scales_keep_every_weight_and_round_the_threshold(tmp_path: Path) -> None:
    network = chain([[254, -20], [30, 40]], 7)
    network = replace(network, populations=(IN, replace(HID, vth=100_001, scale=100_001.0), READOUT))
    written = write_netx(quantised_of(network), tmp_path / "a.net", lower_scales=True)
    found = entries(tmp_path / "a.net")
    assert found["layer/1/weight"].tolist() == [[254, 30], [-20, 40]]
    assert found["layer/1/neuron/vThMant"] == 781  # 100001 / 128 = 781.26
    assert written.lowered == {"hid": 7}
    assert [p.exponent for p in written.as_written.integers.projections] == [0, 0]  # type: ignore[attr-defined]
    assert written.as_written.integers["hid"].scale == 100_001 / 128  # type: ignore[attr-defined]
    assert written.notes == (
        "population hid: its scale was divided by 128, its threshold 100001 became 781 (-0.033 %)",
    )
    spikes = trains(np.random.default_rng(0).random((30, 2)) < 0.5)
    assert loihi2.emulate(written.as_written, spikes).readout_v.shape == (1, 30, 1)


def test_lower_scales_are_as_little_lower_as_can_be(tmp_path: Path) -> None:
    written = write_netx(quantised_of(chain([[60, -20], [30, 40]], 3)), tmp_path / "a.net", lower_scales=True)
    assert written.lowered == {"hid": 1}  # 60 << 2 is 240
    assert entries(tmp_path / "a.net")["layer/1/weight"].tolist() == [[240, 120], [-80, 160]]


@pytest.mark.parametrize("lower_scales", [False, True])
def test_where_no_smaller_scale_would_do_none_is_recommended(tmp_path: Path, lower_scales: bool) -> None:
    """Recurrent weights of exponent 1 keep their bits when halved once, and 254 << 4 would need four halvings."""
    network = with_more(chain([[254, -20], [30, 40]], 4), projection("hid", "hid", [[60, -4], [6, 8]], 0, 1))
    message = refusal(network, tmp_path / "a.net", lower_scales=lower_scales)
    assert "in->hid: synapse (0, 0) adds 4064" in message
    assert "a scale divided by more than 2 would cut bits off the weights of hid->hid" in message
    assert "--lower-scales" not in message


def test_a_lowered_threshold_is_the_nearest(tmp_path: Path) -> None:
    network = replace(chain([[254, -20], [30, 40]], 2), populations=(IN, replace(HID, vth=103), READOUT))
    write_netx(quantised_of(network), tmp_path / "a.net", lower_scales=True)
    assert entries(tmp_path / "a.net")["layer/1/neuron/vThMant"] == 26  # 103 / 4 = 25.75


def test_a_threshold_that_would_vanish_is_refused(tmp_path: Path) -> None:
    network = replace(chain([[254, -20], [30, 40]], 7), populations=(IN, replace(HID, vth=50), READOUT))
    assert "its threshold 50 divided by 128" in refusal(network, tmp_path / "a.net", lower_scales=True)


def test_absent_synapses_are_counted(tmp_path: Path) -> None:
    mask = np.array([[True, False], [True, True]])
    network = replace(
        PLAIN, projections=(projection("in", "hid", [[10, 0], [30, 40]], mask=mask), PLAIN.projections[1])
    )
    written = write_netx(quantised_of(network), tmp_path / "a.net")
    assert written.synapses == 5
    assert written.notes == ("projection in->hid: 1 synapses that do not exist are written as weight 0",)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_file_holds_exactly_what_the_synapses_add(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Weights, slots and constants of every layer, in the order of the chain; or a refusal, and then no file."""
    network, _ = random_chain(seed, exponents=(-1, 0, 1, 2))
    path = tmp_path_factory.mktemp("netx") / "a.net"
    try:
        written = write_netx(quantised_of(network), path)
    except InterchangeError:
        assert not path.exists()
        return
    found = entries(path)
    by_target = {p.target: p for p in network.projections}
    for i, name in enumerate(written.layers[1:], 1):
        weight = found[f"layer/{i}/weight"]
        assert np.array_equal(weight, by_target[name].weight.T * 2.0 ** by_target[name].exponent)
        assert np.array_equal(found.get(f"layer/{i}/delay", 0 * weight), by_target[name].slots.T)
        constants = [int(found[f"layer/{i}/neuron/{k}"]) for k in ("iDecay", "vDecay", "vThMant")]
        assert constants == [network[name].du + 1, network[name].dv, network[name].vth]


@given(st.lists(st.integers(-256, 255), min_size=1, max_size=6))
def test_weights_of_one_sign_and_both_arrive_whole_but_where_lava_clips(weights: list[int]) -> None:
    """By hand: -256 is lost where no weight is above 0, and so is a power of two that is shifted up to it.

    Without weights below 0 nothing can be lost; with both signs Lava's range begins at -256 and nothing is.
    """
    found = delivered_weights(np.array(weights))
    least = -min(weights)
    if not any(weights):
        assert found is None
    elif max(weights) > 0:
        expected = [min(w, 254) for w in weights] if least > 0 else weights
        assert found is not None
        assert found[0].tolist() == expected
    elif found is None:
        # The reader counts a bit for a sign that Lava does not see; of 8 bits none is left to give.
        assert max(weights) == 0
        assert least > 128
        assert any(w % 2 for w in weights)
    else:
        assert (found[0].tolist() != weights) == (least & (least - 1) == 0)


def test_a_recurrent_layer_without_delays_has_its_weights_beside_the_others(tmp_path: Path) -> None:
    network = with_more(PLAIN, projection("hid", "hid", [[2, -4], [6, 8]], 0, 1))
    written = write_netx(quantised_of(network), tmp_path / "a.net")
    found = entries(tmp_path / "a.net")
    assert found["layer/1/type"].tolist() == [b"dense_rec"]
    assert found["layer/1/weight_rec"].tolist() == [[4, 12], [-8, 16]]
    assert (written.layers, written.synapses) == (("in", "hid", "out"), 10)


def test_weights_of_a_layer_and_its_recurrent_ones_are_lowered_together(tmp_path: Path) -> None:
    network = with_more(chain([[100, -20], [30, 40]], 2), projection("hid", "hid", [[60, -4], [6, 8]], 0, 3))
    written = write_netx(quantised_of(network), tmp_path / "a.net", lower_scales=True)
    assert written.lowered == {"hid": 1}  # 60 << 3 is 480; 100 << 2 is 400
    found = entries(tmp_path / "a.net")
    assert found["layer/1/weight"].tolist() == [[200, 60], [-40, 80]]
    assert found["layer/1/weight_rec"].tolist() == [[240, 24], [-16, 32]]


def outputs(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def assert_like_the_emulator(network: IntegerNetwork, spikes: Any, layers: tuple[str, ...], ran: dict[str, Any]) -> int:
    """U, v and spikes of all steps; returns how many spikes there were."""
    ours = emulate(network, spikes, traces=True)
    spiked = 0
    # Lava's Monitor of a port sees spikes in the step in which they are sent.
    for i, name in enumerate(layers[1:], 1):
        assert np.array_equal(ran[f"{i}/s"].astype(bool), ours.spikes[name][0]), f"spikes of {name}"
        assert np.array_equal(ran[f"{i}/u"], ours.u[name][0]), f"u of {name}"
        assert np.array_equal(ran[f"{i}/v"], ours.v[name][0]), f"v of {name}"
        spiked += int(ours.spikes[name].sum())
    return spiked


@pytest.mark.lava
def test_lavas_processes_made_from_the_file_alone_do_what_the_emulator_does(tmp_path: Path) -> None:
    """Bit for bit: the layout as its README has it, read with h5py, in lava-nc's DelayDense and LIF."""
    cases = []
    for seed in (8, 17):
        network, spikes = random_chain(seed)
        written = write_netx(quantised_of(network), tmp_path / f"{seed}.net")
        arrays = {k.removeprefix("layer/"): v for k, v in entries(written.path).items() if k.startswith("layer/")}
        layers = {k: v for k, v in arrays.items() if not k.startswith("0/") and not k.endswith("type")}
        np.savez(tmp_path / f"{seed}.npz", **layers, raster=spikes.dense(0).astype(np.int32))
        cases.append((seed, network, spikes, written.layers))
    script = Path(__file__).with_name("lava_nc_script.py")
    lava_folder = Path(hardware_targets.loihi.__file__).parent / "lava_folder"
    ended = run_session([LAVA.interpreter(), str(script), str(lava_folder), str(tmp_path)], tmp_path, 200)
    assert ended.code == 0, ended
    spiked = [
        assert_like_the_emulator(n, s, order, outputs(tmp_path / f"{seed}.ran.npz")) for seed, n, s, order in cases
    ]
    assert min(spiked) > 10
