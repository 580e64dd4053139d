"""ONNX files that are not ours, or no longer: refused in one line that names the part, and never run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.interchange.test_onnx_files import assert_same_network
from tests.networks import random_network, random_spikes
from toolchain.deployment.target import find_target
from toolchain.errors import InputError, InterchangeError
from toolchain.interchange.onnx import reading, wire
from toolchain.interchange.onnx.assemble import assemble, digest
from toolchain.interchange.onnx.float_step import float_graph
from toolchain.interchange.onnx.reading import read_onnx
from toolchain.network import Network

NETWORK = random_network("skip", np.random.default_rng(4))
MODEL = assemble(float_graph(NETWORK))
CONTENT: bytes = MODEL.SerializeToString(deterministic=True)


def quantised_content(name: str) -> bytes:
    random, target = np.random.default_rng(4), find_target(name)
    quantised = target.quantise(NETWORK, random_spikes(random, 4, 5, 40, 0.2), clip_delays=False)
    content: bytes = assemble(target.step_graph(quantised)).SerializeToString(deterministic=True)  # type: ignore[attr-defined]
    return content


CONTENTS = {"float": CONTENT, "loihi2": quantised_content("loihi2"), "spinnaker1": quantised_content("spinnaker1")}


def refusal(content: bytes, folder: Path) -> str:
    """The message with which a file is refused."""
    path = folder / "file.onnx"
    path.write_bytes(content)
    with pytest.raises(InterchangeError) as caught:
        read_onnx(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"file {path}")
    return message


def changed(change: Callable[[Any], Any]) -> bytes:
    """The file after a change of its model."""
    model = onnx.ModelProto.FromString(CONTENT)
    change(model)
    content: bytes = model.SerializeToString()
    return content


def scan_body(model: Any) -> Any:
    (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
    return scan.attribute[0].g


def function(model: Any, name: str) -> Any:
    return next(f for f in model.functions if f.name == name)


def node_called(nodes: Any, name: str) -> Any:
    return next(node for node in nodes if name in (node.name, node.op_type))


def foreign(*nodes: Any) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    content: bytes = helper.make_model(helper.make_graph(list(nodes), "g", [x], [y])).SerializeToString()
    return content


def test_the_first_operator_that_is_not_ours_is_named(tmp_path: Path) -> None:
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["h"], "fc1")
    relu = helper.make_node("Relu", ["h"], ["y"], "act")
    first = helper.make_node("Identity", ["x"], ["z"], "start")
    assert "node fc1 is operator Gemm, which no network of delayline has" in refusal(
        foreign(first, gemm, relu), tmp_path
    )
    nameless = helper.make_node("Relu", ["x"], ["y"])
    assert "node without a name that makes y is operator Relu" in refusal(foreign(nameless), tmp_path)
    custom = helper.make_node("Spike", ["x"], ["y"], "s", domain="com.example")
    assert "node s is operator Spike of domain com.example" in refusal(foreign(custom), tmp_path)


def test_an_operator_inside_another_graph_is_named(tmp_path: Path) -> None:
    inner = helper.make_graph([helper.make_node("Conv", ["x", "k"], ["y"], "deep")], "inner", [], [])
    content = changed(lambda m: scan_body(m).node[0].attribute.append(helper.make_attribute("extra", inner)))
    assert "node deep is operator Conv" in refusal(content, tmp_path)


def test_ours_without_metadata_is_none_of_ours(tmp_path: Path) -> None:
    assert "has no delayline.format in its metadata" in refusal(
        changed(lambda m: m.ClearField("metadata_props")), tmp_path
    )


def swap_operator(name: str, old: str, new: str) -> Callable[[Any], Any]:
    return lambda model: setattr(node_called(function(model, name).node, old), "op_type", new)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (swap_operator("LeakyIntegrateAndFire", "GreaterOrEqual", "Less"), "a Less in function LeakyIntegrateAndFire"),
        (swap_operator("AddAtSlot", "Add", "Mul"), "a Mul in function AddAtSlot"),
        (lambda m: node_called(scan_body(m).node, "in->a").input.reverse(), "node in->a"),
        (lambda m: scan_body(m).node[1].input.__setitem__(3, "b/alpha"), "node a"),
        (lambda m: scan_body(m).node.pop(), "node"),
        (lambda m: m.graph.node.add(op_type="Identity", input=["a/shape"], output=["more"]), "the number of nodes"),
        (lambda m: m.graph.input[0].type.tensor_type.shape.dim[2].__setattr__("dim_value", 6), "an input or output"),
        (lambda m: m.functions.pop(), "the model around its graph"),
        (lambda m: setattr(m, "ir_version", 9), "the model around its graph"),
        (lambda m: setattr(m, "producer_version", "9.9"), "the model around its graph"),
    ],
)
def test_a_graph_that_computes_something_else_is_refused_by_its_node(
    change: Callable[[Any], Any], named: str, tmp_path: Path
) -> None:
    message = refusal(changed(change), tmp_path)
    assert named in message
    assert "the graph does not compute what its metadata say" in message


def initializer(model: Any, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def with_weight(model: Any, value: float) -> None:
    """Change a weight and the hash of the tensors with it, as somebody does who means it."""
    tensor = initializer(model, "in->a/weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight[0, 0] = value
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))


def external(model: Any) -> None:
    tensor = initializer(model, "in->a/weight")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def as_float_data(model: Any) -> None:
    tensor = initializer(model, "in->a/weight")
    values = numpy_helper.to_array(tensor).ravel()
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values.tolist())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: with_weight(m, 7.0), ["its tensors are not those that were written"]),
        (external, ["tensor 'in->a/weight'", "lies in another file, which is not read"]),
        (as_float_data, ["tensor 'in->a/weight'", "not as raw bytes"]),
        (
            lambda m: initializer(m, "in->a/delay").dims.append(2**40),
            ["tensor 'in->a/delay' says float32(5, ", "holds"],
        ),
        (lambda m: initializer(m, "in->a/delay").dims.__setitem__(0, 4), ["says float32(4, ", "and holds"]),
        (lambda m: initializer(m, "in->a/delay").dims.extend([1] * 9), ["more than 8 dimensions"]),
        (lambda m: setattr(initializer(m, "in->a/delay"), "data_type", TensorProto.STRING), ["is of data type 8"]),
        (lambda m: m.graph.initializer.pop(), ["its tensors are not those that were written"]),
        (lambda m: m.graph.initializer.append(m.graph.initializer[0]), ["tensor", "is there twice"]),
        (lambda m: m.graph.initializer.add(), ["which has no name"]),
    ],
)
def test_damaged_tensors_are_named(change: Callable[[Any], Any], words: list[str], tmp_path: Path) -> None:
    message = refusal(changed(change), tmp_path)
    for word in words:
        assert word in message


def test_truth_values_are_0_or_1(tmp_path: Path) -> None:
    """NumPy takes any byte for one, and counts 2 as true here and as another number there."""
    model = assemble(float_graph(random_network("recurrent_masked", np.random.default_rng(4))))
    tensor = initializer(model, "in->a/mask")
    tensor.raw_data = b"\x02" + tensor.raw_data[1:]
    assert "tensor 'in->a/mask' holds bytes other than 0 and 1" in refusal(model.SerializeToString(), tmp_path)


def test_the_digest_knows_names_types_and_shapes() -> None:
    array = np.arange(6, dtype=np.float32)
    same = {"a": array}, {"b": array}, {"a": array.reshape(2, 3)}, {"a": array.view(np.int32)}, {"a": array + 1}
    assert len({digest(tensors) for tensors in same}) == len(same)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", "99", "is of format 99, this version reads 1"),
        ("description", "{", "metadata delayline.description is missing or damaged"),
        ("description", "[" * 100_000, "metadata delayline.description is missing or damaged"),
        ("description", "{}", "make no network (KeyError: 'network')"),
        ("states", '"yes"', "metadata delayline.states is missing or damaged"),
        ("sha256", "", "its tensors are not those"),
        ("numbers", "", "target '' does not exist"),
    ],
)
def test_damaged_metadata_are_named(key: str, value: str, words: str, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        entry = next(p for p in model.metadata_props if p.key == f"delayline.{key}")
        entry.value = value

    path = tmp_path / "file.onnx"
    path.write_bytes(changed(change))
    with pytest.raises(InputError) as caught:
        read_onnx(path)
    assert words in str(caught.value)


def test_a_description_of_another_network_is_refused(tmp_path: Path) -> None:
    def change(model: Any) -> None:
        entry = next(p for p in model.metadata_props if p.key == "delayline.description")
        description = json.loads(entry.value)
        description["network"]["populations"][1]["tau_mem_ms"] *= 1.5
        entry.value = json.dumps(description, sort_keys=True)

    assert "tensor a/alpha is not that of the network" in refusal(changed(change), tmp_path)


def test_a_description_of_more_than_the_file_has_is_not_assembled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 000 populations in the metadata took a minute and 2 GB."""

    def change(model: Any) -> None:
        entry = next(p for p in model.metadata_props if p.key == "delayline.description")
        description = json.loads(entry.value)
        populations = description["network"]["populations"]
        populations += [{**populations[1], "name": f"p{i}"} for i in range(200)]
        entry.value = json.dumps(description, sort_keys=True)

    monkeypatch.delattr(reading, "assemble")
    assert "tensor p0/alpha is missing" in refusal(changed(change), tmp_path)


def test_what_a_file_says_is_cut_to_a_line(tmp_path: Path) -> None:
    name = b"x" * 1_000_000
    for content in (field(7, field(5, field(8, name))), field(7, field(1, field(4, name)))):
        assert len(refusal(b"\x08\x08" + content, tmp_path)) < 500


def field(number: int, content: bytes) -> bytes:
    return wire._varint(number << 3 | 2) + wire._varint(len(content)) + content


def test_graphs_nested_thousands_deep_end_at_once(tmp_path: Path) -> None:
    graph = b""
    for _ in range(3000):
        graph = field(1, field(5, field(6, graph)))
    assert "is no ONNX model" in refusal(b"\x08\x08" + field(7, graph), tmp_path)
    graph = b""
    for _ in range(12):
        graph = field(1, field(4, b"Identity") + field(5, field(6, graph)))
    assert "graphs lie more than 8 deep in each other" in refusal(b"\x08\x08" + field(7, graph), tmp_path)


def test_thousands_of_graphs_beside_each_other_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LARGEST_REST", 1 << 16)
    monkeypatch.setattr(wire, "MOST_FIELDS", 1 << 12)
    many = field(7, field(1, b"") * 5000)
    assert "has more than 4096 parts" in refusal(b"\x08\x08" + many, tmp_path)
    large = field(7, field(1, field(3, b"x" * 70_000)))
    assert "takes more than 65536 bytes besides its tensors" in refusal(b"\x08\x08" + large, tmp_path)
    assert "has a second graph" in refusal(b"\x08\x08" + field(7, b"") * 2, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x08", b"not ONNX at all", b"\x00" * 100, b"\xff" * 100, CONTENT[1:]])
def test_other_files_are_no_onnx_model(content: bytes, tmp_path: Path) -> None:
    refusal(content, tmp_path)


def test_an_absent_file_and_a_folder_are_said_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(InterchangeError, match="give the path of an ONNX file"):
            read_onnx(path)


def read_or_refused(content: bytes, path: Path) -> Network | None:
    path.write_bytes(content)
    try:
        return read_onnx(path).network
    except InputError:
        return None


@settings(max_examples=100, deadline=None)
@given(data=st.data(), which=st.sampled_from(sorted(CONTENTS)))
def test_flipped_and_missing_bytes_are_refused_or_change_nothing(
    data: st.DataObject, which: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file.onnx"
    content = bytearray(CONTENTS[which])
    if data.draw(st.booleans()):
        assert read_or_refused(bytes(content[: data.draw(st.integers(0, len(content) - 1))]), path) is None
        return
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    found = read_or_refused(bytes(content), path)
    if found is not None:
        whole = read_or_refused(CONTENTS[which], path)
        assert whole is not None
        assert_same_network(found, whole)


NODE = st.builds(
    lambda op, inputs, outputs, domain: helper.make_node(op, inputs, outputs, domain=domain),
    st.sampled_from(["Scan", "Identity", "AtRest", "TakeNext", "Transpose"]),
    st.lists(st.sampled_from(["in/spikes", "a/V/start", "a/shape", "a/V/first", ""]), max_size=4),
    st.lists(st.sampled_from(["a/V/start", "a/V", "a/spikes", "x"]), min_size=1, max_size=3),
    st.sampled_from(["", "delayline"]),
)


@settings(max_examples=60, deadline=None)
@given(
    nodes=st.lists(NODE, max_size=6),
    where=st.integers(0, 40),
    inside=st.booleans(),
    removed=st.integers(0, 6),
)
def test_other_graphs_of_our_operators_are_refused(
    nodes: list[Any], where: int, inside: bool, removed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cycles, missing values, shadowed names: whatever the structure, it is not that of the network."""
    model = onnx.ModelProto.FromString(CONTENT)
    graph = scan_body(model) if inside else model.graph
    kept = list(graph.node)
    at = where % (len(kept) + 1)
    different = [*kept[:at], *nodes, *kept[at + removed :]]
    del graph.node[:]
    graph.node.extend(different)
    content: bytes = model.SerializeToString()
    same = [n.SerializeToString() for n in different] == [n.SerializeToString() for n in kept]
    found = read_or_refused(content, tmp_path_factory.mktemp("graph") / "file.onnx")
    assert (found is not None) == same
