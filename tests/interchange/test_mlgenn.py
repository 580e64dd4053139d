"""mlGeNN's checkpoints: its own network comes in and does what mlGeNN did, and what cannot be meant is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from hardware_targets.trained_spikes import trained_spikes
from tests.oracles.reference import simulate
from toolchain.errors import InterchangeError, RecipeError
from toolchain.interchange.imported import Imported
from toolchain.interchange.mlgenn import read_mlgenn
from toolchain.recipe import Recipe, parse_recipe
from toolchain.spikes import SpikeTrains, bin_events

GOLDEN = Path(__file__).parents[1] / "training" / "golden" / "golden_mlgenn_A.npz"


def recipe(sizes: tuple[int | None, int, int | None] = (None, 4, None), **changes: Any) -> Recipe:
    """Recurrent, delays learned onto the hidden population; `changes` of the projections by name, such as in_hid."""
    kinds = {"in": "spike_source", "hid": "lif", "out": "leaky_readout"}
    populations: dict[str, dict[str, Any]] = {
        name: {"kind": kind, **({"size": size} if size else {}), **changes.get(name, {})}
        for (name, kind), size in zip(kinds.items(), sizes, strict=True)
    }
    projections = [
        {"from": "in", "to": "hid", "weight": 1.0, "learn_delay": True, **changes.get("in_hid", {})},
        {"from": "hid", "to": "hid", "weight": 1.0, "learn_delay": True, **changes.get("hid_hid", {})},
        {"from": "hid", "to": "out", "weight": 1.0, **changes.get("hid_out", {})},
    ]
    return parse_recipe(
        {
            "name": "theirs",
            "dataset": {"task": "shd"},
            "network": {"dt_ms": 1.0, "populations": populations, "projections": projections},
            "training": {"max_slot": 62, **changes.get("training", {})},
        },
        "test",
    )


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


def save(folder: Path, key: str = "", **arrays: NDArray[Any]) -> Path:
    """As mlGeNN's serialiser names files: keys, connection and variable with dashes between, arrays flat."""
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        connection, _, variable = name.rpartition("_")
        np.save(folder / f"{f'{key}-' if key else ''}Conn_{connection}-{variable}.npy", array)
    return folder


def golden_folder(folder: Path, golden: dict[str, Any], key: str = "") -> Path:
    names = {"in_hid_g": "w_in", "hid_hid_g": "w_rec", "hid_out_g": "w_out", "in_hid_d": "d_in", "hid_hid_d": "d_rec"}
    return save(folder, key, **{name: golden[theirs].astype(np.float32).ravel() for name, theirs in names.items()})


def golden_spikes(golden: dict[str, Any]) -> SpikeTrains:
    samples = [(golden[f"in_t{s}"].astype(np.int64), golden[f"in_i{s}"].astype(np.int64)) for s in (0, 1)]
    return bin_events(samples, int(golden["N_IN"]), int(golden["T"]))[0]


def test_mlgenns_own_network_does_here_what_it_did_there(tmp_path: Path, golden: dict[str, Any]) -> None:
    """Spikes of every hidden neuron, and every voltage, of its forward pass: same weights, slot d for its delay d."""
    read = read_mlgenn(golden_folder(tmp_path / "checkpoints", golden), recipe())
    assert [p.size for p in read.network.populations] == [5, 4, 3]
    spikes = golden_spikes(golden)
    ours = trained_spikes(read.network, spikes)["hid"]
    theirs = sorted(zip(golden["A/s_hid_t0"], golden["A/s_hid_i0"], strict=True))
    # mlGeNN clears its inputs at the beginning of the last step of a sample, so that nothing arrives in it.
    found = [
        e for e in zip(*(a[: ours.offsets[1]].tolist() for a in (ours.times, ours.units)), strict=True) if e[0] < 39
    ]
    assert found == theirs
    assert len(found) > 10
    first = simulate(read.network, {"in": spikes.dense(0).T}, mlgenn=True)
    second = simulate(read.network, {"in": spikes.dense(1).T}, before=first, mlgenn=True)
    for sample, state in enumerate((first, second)):
        assert np.abs(state.voltage["out"] - golden["A/v_out"][sample]).max() < 1e-6


@pytest.mark.parametrize("by", [-1, 1])
def test_a_slot_more_or_less_would_be_seen(tmp_path: Path, golden: dict[str, Any], by: int) -> None:
    folder = golden_folder(tmp_path / "checkpoints", golden)
    for name in ("Conn_in_hid-d.npy", "Conn_hid_hid-d.npy"):
        np.save(folder / name, np.maximum(np.rint(np.load(folder / name)) + by, 0))
    read = read_mlgenn(folder, recipe())
    state = simulate(read.network, {"in": golden_spikes(golden).dense(0).T}, mlgenn=True)
    assert np.abs(state.voltage["out"] - golden["A/v_out"][0]).max() > 1e-3


def small(folder: Path, key: str = "", **more: NDArray[Any]) -> Path:
    """2 inputs, 4 hidden, 3 outputs; weights count up, so that their order is seen."""
    arrays: dict[str, NDArray[Any]] = {
        "in_hid_g": np.arange(8, dtype=np.float32),
        "hid_hid_g": np.arange(16, dtype=np.float32),
        "hid_out_g": np.arange(12, dtype=np.float32),
        "in_hid_d": np.array([0, 0.5, 1.5, 2.5, 2.4, 61.6, 62, 3.7], dtype=np.float32),
        "hid_hid_d": np.zeros(16, dtype=np.float32),
    }
    return save(folder, key, **{name: array for name, array in {**arrays, **more}.items() if array.size})


def test_arrays_are_pre_by_post_and_sizes_follow_from_them(tmp_path: Path) -> None:
    read = read_mlgenn(small(tmp_path / "c"), recipe())
    first, _, last = read.network.projections
    assert [p.size for p in read.network.populations] == [2, 4, 3]
    assert first.weight.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert last.weight[1].tolist() == [3, 4, 5]
    assert last.mask is None


def test_delays_are_rounded_half_to_even_and_counted(tmp_path: Path) -> None:
    read = read_mlgenn(small(tmp_path / "c"), recipe())
    assert read.network.projections[0].delay.tolist() == [[0, 0, 2, 2], [2, 62, 62, 4]]
    assert any("in->hid: 6 of 8 delays are rounded to the nearest slot, 3 from half way" in a for a in read.assumed)
    assert any("a checkpoint of mlGeNN has none" in a for a in read.assumed)
    assert any("default_params of its event_prop_compiler" in a for a in read.assumed)


def test_names_are_matched_without_case_and_can_be_given(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    small(folder)
    for path in sorted(folder.iterdir()):
        path.rename(folder / path.name.replace("in_", "INPUT_").replace("hid", "Hid"))
    (folder / "Conn_Hid_Hid-g.npy").rename(folder / "Conn_HID_hid-g.npy")
    assert read_mlgenn(folder, recipe(), names={"in": "Input"}).network.projections[0].weight[1, 3] == 7


def test_the_latest_epoch_is_taken_or_the_one_that_is_named(tmp_path: Path) -> None:
    for epoch in (0, 9, 10):
        small(tmp_path / "c", str(epoch), hid_out_g=np.full(12, epoch, dtype=np.float32))
    latest = read_mlgenn(tmp_path / "c", recipe())
    assert latest.network.projections[2].weight[0, 0] == 10
    assert any("checkpoint 10 of 3 in" in a and "latest" in a for a in latest.assumed)
    assert read_mlgenn(tmp_path / "c", recipe(), epoch=9).network.projections[2].weight[0, 0] == 9


def test_sparse_connections_have_a_mask(tmp_path: Path) -> None:
    pre, post = np.array([0, 0, 1], dtype=np.uint32), np.array([1, 3, 0], dtype=np.uint32)
    folder = small(
        tmp_path / "c",
        in_hid_g=np.array([5.0, 0.0, 7.0]),
        in_hid_d=np.array([1.0, 2.0, 3.0]),
    )
    np.save(folder / "Conn_in_hid-pre_ind.npy", pre)
    np.save(folder / "Conn_in_hid-post_ind.npy", post)
    first = read_mlgenn(folder, recipe((2, 4, 3), in_hid={"density": 0.5})).network.projections[0]
    assert first.weight.tolist() == [[0, 5, 0, 0], [7, 0, 0, 0]]
    assert first.delay.tolist() == [[0, 1, 0, 2], [3, 0, 0, 0]]
    assert first.mask is not None
    assert np.argwhere(first.mask).tolist() == [[0, 1], [0, 3], [1, 0]]


@pytest.mark.parametrize(
    ("pre", "post", "words"),
    [
        ([0, 0, 2], [1, 3, 0], r"pre_ind.npy: has indices 0 to 2, outside 0..1 of its population"),
        ([0, 0, 1], [1, 4, 0], r"post_ind.npy: has indices 0 to 4, outside 0..3 of its population"),
        ([0, 0, 1], [1, 1, 0], "Conn_in_hid has two synapses of one pair of neurons"),
        ([0, 0], [1, 1, 0], "has 2 pre_ind and 3 post_ind"),
    ],
)
def test_synapses_that_cannot_be_there_are_refused(tmp_path: Path, pre: list[int], post: list[int], words: str) -> None:
    folder = small(tmp_path / "c", in_hid_g=np.ones(3), in_hid_d=np.ones(3))
    np.save(folder / "Conn_in_hid-pre_ind.npy", np.array(pre))
    np.save(folder / "Conn_in_hid-post_ind.npy", np.array(post))
    with pytest.raises(InterchangeError, match=words):
        read_mlgenn(folder, recipe((2, 4, 3), in_hid={"density": 0.5}))


def test_arrays_in_the_order_of_fortran_and_of_64_bits_are_read_and_what_that_rounds_is_said(tmp_path: Path) -> None:
    weights = np.arange(8).reshape(2, 4) + np.where(np.arange(4) == 3, 0.1, 0.0)  # 3.1 and 7.1 are none of 32 bits
    read = read_mlgenn(small(tmp_path / "c", in_hid_g=np.asfortranarray(weights)), recipe())
    assert np.array_equal(read.network.projections[0].weight, weights.astype(np.float32))
    assert "in->hid: 2 weights are rounded from float64 to float32" in read.assumed


def test_a_delay_that_rounds_to_the_largest_slot_is_within_it(tmp_path: Path) -> None:
    read = read_mlgenn(small(tmp_path / "c", in_hid_d=np.full(8, 62.4, dtype=np.float32)), recipe())
    assert (read.network.projections[0].delay == 62).all()


def test_what_does_not_learn_is_that_of_the_recipe_and_said(tmp_path: Path) -> None:
    folder = small(tmp_path / "c", in_hid_d=np.zeros(0))
    read = read_mlgenn(folder, recipe(in_hid={"learn_delay": False, "delay": 3.0}))
    assert (read.network.projections[0].delay == 3).all()
    assert any("in->hid: delays 3, as recipe theirs says" in a for a in read.assumed)


def change(name: str, array: Any) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, array)


def copied(name: str, other: str) -> Callable[[Path], object]:
    return lambda folder: (folder / other).write_bytes((folder / name).read_bytes())


def removed(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def longer(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + b"\0")


def long_header(name: str) -> Callable[[Path], object]:
    """Version 1.0 has a header of any length up to 65 535, and spaces at its end mean nothing."""

    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        header = content[10:-32].rstrip(b"\n").ljust(60_000)
        (folder / name).write_bytes(content[:8] + (60_000).to_bytes(2, "little") + header + content[-32:])

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (removed("Conn_hid_out-g.npy"), "has no weights of hid->out, Conn_hid_out-g.npy; there are Conn_hid_hid-d.npy"),
        (removed("Conn_in_hid-d.npy"), "has no delays of in->hid"),
        (copied("Conn_in_hid-g.npy", "Conn_in_out-g.npy"), "not have: Conn_in_out-g.npy; .* --name POPULATION=NAME"),
        (copied("Conn_in_hid-g.npy", "conn_IN_hid-g.npy"), "Conn_in_hid-g.npy and conn_IN_hid-g.npy are one variable"),
        (
            copied("Conn_in_hid-g.npy", "best-Conn_in_hid-g.npy"),
            "holds 2 checkpoints that are not epochs alone.* --epoch KEY",
        ),
        (change("Conn_in_hid-g.npy", np.zeros(9)), r"Conn_in_hid-g.npy: is of shape \(9,\), the recipe says \(8,\)"),
        (change("Conn_in_hid-g.npy", np.zeros((4, 2))), r"shape \(4, 2\).* \(post, pre\): transpose it"),
        (change("Conn_in_hid-g.npy", np.array([None] * 8)), r"holds '\|O'; only floating-point numbers, integers"),
        (change("Conn_in_hid-g.npy", np.zeros(8, dtype="f4,i4")), "its header|holds"),
        (change("Conn_in_hid-g.npy", np.full(8, np.nan)), "8 of 8 weights are not finite"),
        (change("Conn_in_hid-g.npy", np.full(8, 1e300)), "8 of 8 weights are not finite in 32 bits"),
        (
            change("Conn_in_hid-d.npy", np.full(8, -0.25)),
            r"8 of 8 delays are outside 0..62 steps, .*\(0, 0\): -0.25.* take an epoch",
        ),
        (
            change("Conn_in_hid-d.npy", np.arange(8) * 10.0),
            r"1 of 8 delays are outside .*\(1, 3\): 70.* training.max_slot of 70",
        ),
        (change("Conn_in_hid-d.npy", np.full(8, np.nan)), "8 of 8 delays are outside"),
        (change("hid-Bias.npy", np.ones(4)), "4 of 4 neurons have a bias"),
        (change("hid-Bias.npy", np.array([0.0, 0.0, 2.0, 0.0])), "1 of 4 neurons have a bias"),
        (longer("Conn_in_hid-g.npy"), "is float32 of shape .* 32 bytes, but has 33; it is truncated or damaged"),
        (long_header("Conn_in_hid-g.npy"), "says that its header has 60000 bytes; at most 1024 are read"),
        (change("Conn_in_hid-pre_ind.npy", np.ones(4)), "has one of Conn_in_hid-pre_ind.npy and"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_file(tmp_path: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(small(tmp_path / "c"))
    with pytest.raises(InterchangeError, match=words) as caught:
        read_mlgenn(tmp_path / "c", recipe((2, 4, 3)))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_what_is_not_of_a_checkpoint_is_left_out_and_said(tmp_path: Path) -> None:
    folder = small(tmp_path / "c")
    for name in ("spikes.npy", "hid-Bias.npy", "Conn_in_hid-Gradient.npy"):
        np.save(folder / name, np.zeros(4))
    assumed = " ".join(read_mlgenn(folder, recipe()).assumed)
    assert "nothing here is like it: Conn_in_hid-Gradient.npy, hid-Bias.npy" in assumed
    assert "no files of a checkpoint: spikes.npy" in assumed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hid": {"tau_mem_ms": {"uniform": {"low": 10, "high": 30}}}}, "tau_mem_ms of population hid is drawn"),
        ({"in_hid": {"density": 0.5}}, "a density of 0.5, but there is no Conn_in_hid-pre_ind.npy"),
        ({"in_hid": {"learn_delay": False, "delay": {"uniform": {"high": 9}}}}, None),
    ],
)
def test_recipes_that_say_what_a_checkpoint_does_not_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str | None
) -> None:
    folder = small(tmp_path / "c")
    if words is None:  # The delays are in the folder, whatever they started from.
        assert read_mlgenn(folder, recipe(**changes)).network.projections[0].delay[0, 2] == 2
        return
    with pytest.raises(InterchangeError, match=words):
        read_mlgenn(folder, recipe(**changes))


def test_sizes_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InterchangeError, match=r"Conn_hid_hid-g.npy: is of shape \(16,\)"):
        read_mlgenn(small(tmp_path / "c"), recipe((1, 8, 3)))
    with pytest.raises(InterchangeError, match="size of population out follows from no array"):
        read_mlgenn(small(tmp_path / "c"), recipe((None, 8, None)))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = small(tmp_path / "c")
    (folder / "Conn_in_hid-g.npy").rename(tmp_path / "elsewhere.npy")
    (folder / "Conn_in_hid-g.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(InterchangeError, match="is a link out of the folder"):
        read_mlgenn(folder, recipe())


@pytest.mark.parametrize("folder", ["nowhere", "empty", "full"])
def test_folders_without_checkpoints_are_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    np.save(tmp_path / "full" / "x.npy", np.zeros(3))
    with pytest.raises(
        InterchangeError,
        match=r"cannot be read, No such|holds no checkpoint of mlGeNN.* Conn_in_hid-g.npy; there are (x.npy|none)",
    ):
        read_mlgenn(tmp_path / folder, recipe())


def refused_or_read(folder: Path, recipe: Recipe, named: str) -> Imported | None:
    """A network, or None after an error in one line that names what it is about."""
    message = ""
    try:
        return read_mlgenn(folder, recipe)
    except (InterchangeError, RecipeError) as error:
        message = str(error)
    assert "\n" not in message
    assert named in message or "population" in message
    return None


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_array_is_an_error_that_names_it_or_still_a_network(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed, cut off and put in anywhere in the file, its header above all."""
    folder = small(tmp_path_factory.mktemp("mlgenn") / "c")
    name = data.draw(st.sampled_from(["Conn_in_hid-g.npy", "Conn_in_hid-d.npy"]))
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(100, len(content) - 1)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "flip":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[max(at, 1) :]
        else:
            content[at:at] = data.draw(st.sampled_from([b"9" * 12, b"(", b"'|O'", b"\x00", b"-", b"\n", b"[" * 300]))
    (folder / name).write_bytes(content)
    read = refused_or_read(folder, recipe(), "Conn_")
    if read is not None:
        assert read.network.projections[0].delay.max() <= 62


@given(
    array=npst.arrays(
        st.sampled_from(["<f4", ">f8", "<i8", "|b1", "<c16", "<U3", "|S2", "<M8[s]"]),
        st.sampled_from([(8,), (2, 4), (4, 2), (), (8, 1), (0,), (2, 2, 2)]),
        elements=None,
        fill=st.nothing(),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_array_is_taken_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[Any]
) -> None:
    folder = small(tmp_path_factory.mktemp("mlgenn") / "c")
    np.save(folder / "Conn_in_hid-d.npy", array)
    read = refused_or_read(folder, recipe((2, 4, 3)), "Conn_in_hid-d.npy")
    if read is not None:
        assert array.shape in ((8,), (2, 4))
        assert np.array_equal(read.network.projections[0].delay, np.rint(array.astype(float).reshape(2, 4)))
