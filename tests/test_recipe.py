"""Recipes: what can be read can be run, all else is refused in one line with the key and a way out."""

from __future__ import annotations

import copy
import itertools
import math
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import RecipeError
from toolchain.network_builder import build_network
from toolchain.recipe import Recipe, Section, parse_recipe, read_recipe

MODELS = sorted((Path(__file__).parent.parent / "models").glob("*.yaml"))
quick = settings(deadline=None, max_examples=50)

FULL: dict[str, Any] = {
    "name": "full",
    "about": "every section there is",
    "published": "nowhere",
    "dataset": {"task": "sequence", "options": {"gap": 5}},
    "network": {
        "dt_ms": 1.0,
        "populations": {
            "in": {"kind": "spike_source"},
            "hid": {"kind": "lif", "size": 3, "tau_mem_ms": 10.0, "tau_syn_ms": 4.0, "threshold": 0.5},
            "out": {"kind": "leaky_readout"},
        },
        "projections": [
            {"from": "in", "to": "hid", "weight": {"normal": {"mean": 1.0, "sd": 0.5}}, "learn_delay": True},
            {"from": "hid", "to": "out", "weight": 1.5, "delay": {"uniform": {"low": 1.0, "high": 7.0}}},
        ],
    },
    "training": {
        "epochs": 2,
        "rates": {"target_spikes": 10.0, "strength": 1e-9, "strength_of": {"hid": 1e-8}},
        "augmentation": {"channel_shift": 1},
        "schedule": {"warm_up": {"batches": 5, "from": 0.01}},
        "early_stop": {"patience": 3},
        "validation": {"fraction": 0.25},
        "max_slot": 62,
        "quantise": {"from_epoch": 1},
        "genn": {"code": "auto", "samples_at_once": 8, "adam": "host"},
    },
    "deployment": {"target": "loihi2"},
}
# Where FULL has a section of each type. Every other section of the schema is found by its annotation.
PLACES: dict[str, tuple[str | int, ...]] = {
    "Recipe": (),
    "DatasetRecipe": ("dataset",),
    "NetworkRecipe": ("network",),
    "PopulationRecipe": ("network", "populations", "hid"),
    "ProjectionRecipe": ("network", "projections", 0),
    "Initial": ("network", "projections", 0, "weight"),
    "Normal": ("network", "projections", 0, "weight", "normal"),
    "Uniform": ("network", "projections", 1, "delay", "uniform"),
    "TrainingRecipe": ("training",),
    "RatesSection": ("training", "rates"),
    "AugmentationSection": ("training", "augmentation"),
    "ScheduleSection": ("training", "schedule"),
    "WarmUpSection": ("training", "schedule", "warm_up"),
    "EarlyStopSection": ("training", "early_stop"),
    "QuantiseSection": ("training", "quantise"),
    "GennSection": ("training", "genn"),
    "ValidationSection": ("training", "validation"),
    "DeploymentRecipe": ("deployment",),
}


def sections(model: type[Section] = Recipe) -> Iterator[type[Section]]:
    """All sections that can be reached from a model, itself first."""

    def inside(annotation: Any) -> Iterator[type[Section]]:
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from sections(annotation)
        for argument in typing.get_args(annotation):
            yield from inside(argument)

    yield model
    for field in model.model_fields.values():
        yield from inside(field.annotation)


SECTIONS = {s.__name__: s for s in sections()}
KEYS = [(name, field.alias or key) for name, s in SECTIONS.items() for key, field in s.model_fields.items()]


def keys_of(*types: type) -> list[tuple[str, str]]:
    """(section, key) of every key whose value is, or may be, of one of these types; not lists or mappings of them."""
    found = []
    for name, section in SECTIONS.items():
        hints = typing.get_type_hints(section)
        for key, field in section.model_fields.items():
            choices = () if typing.get_origin(hints[key]) in (list, dict) else typing.get_args(hints[key])
            if hints[key] in types or any(a in types for a in choices):
                found.append((name, field.alias or key))
    return found


def changed(path: tuple[str | int, ...], value: Any, data: dict[str, Any] = FULL) -> dict[str, Any]:
    """A copy of recipe data with one value put in place."""
    result: Any = copy.deepcopy(data)
    node = result
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return typing.cast("dict[str, Any]", result)


def refusal(data: dict[str, Any]) -> str:
    """The message with which recipe data are refused; one line."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(data, "R")
    message = str(caught.value)
    assert message.startswith("recipe R: ")
    assert "\n" not in message
    return message


def dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path))


def slips(word: str) -> set[str]:
    """Every way to get one letter of a word wrong: left out, doubled, replaced, exchanged with the next."""
    found = set()
    for i in range(len(word)):
        found |= {word[:i] + word[i + 1 :], word[:i] + word[i] + word[i:], word[:i] + "q" + word[i + 1 :]}
        found.add(word[:i] + word[i : i + 2][::-1] + word[i + 2 :])
    return found - {word, ""}


def test_every_section_of_the_schema_is_tested_here() -> None:
    assert set(SECTIONS) == set(PLACES)


@pytest.mark.parametrize(("section", "key"), KEYS, ids=lambda k: str(k))
def test_a_key_with_one_letter_wrong_is_refused_and_the_right_key_suggested(section: str, key: str) -> None:
    place = PLACES[section]
    for wrong in sorted(slips(key)):
        data = changed((*place, wrong), 1) if place else {**copy.deepcopy(FULL), wrong: 1}
        node: Any = data
        for part in place:
            node = node[part]
        node.pop(key, None)
        assert f"unknown key {dotted((*place, wrong))!r}; did you mean {key!r}?" in refusal(data)


def test_a_key_like_no_other_gets_the_list_of_known_keys() -> None:
    message = refusal(changed(("training", "xyzzy"), 1))
    assert "unknown key 'training.xyzzy'; known: backend, readout, loss, epochs" in message


def test_a_misspelt_key_is_named_beside_the_missing_one() -> None:
    data = {k: v for k, v in FULL.items() if k != "dataset"}
    assert refusal(data) == "recipe R: key 'dataset' is missing"


@pytest.mark.parametrize(("section", "key"), keys_of(int, float), ids=str)
@pytest.mark.parametrize("value", [True, "5", [1], {}], ids=repr)
def test_a_number_is_not_made_from_anything_else(section: str, key: str, value: Any) -> None:
    message = refusal(changed((*PLACES[section], key), value, alone(section, key)))
    assert dotted((*PLACES[section], key)) in message


@pytest.mark.parametrize(("section", "key"), keys_of(float), ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=repr)
def test_numbers_are_finite(section: str, key: str, value: float) -> None:
    message = refusal(changed((*PLACES[section], key), value, alone(section, key)))
    assert dotted(PLACES[section]) in message


@pytest.mark.parametrize(("section", "key"), keys_of(bool), ids=str)
@pytest.mark.parametrize("value", ["yes", "true", 1, 0, 1.0], ids=repr)
def test_a_switch_is_true_or_false(section: str, key: str, value: Any) -> None:
    assert dotted((*PLACES[section], key)) in refusal(changed((*PLACES[section], key), value))


def alone(section: str, key: str) -> dict[str, Any]:
    """FULL, but where `key` excludes the others of its section, without them."""
    return changed(PLACES[section], {}) if section == "Initial" else FULL


OUT_OF_RANGE = """
name='' | name=../up | name=a b | name="a\\n" | network.dt_ms=0 | network.projections=[]
network.populations.hid.kind=alif | network.populations.hid.size=0 | network.populations.hid.size=1000001
network.populations.hid.size=2.5 | network.populations.hid.tau_mem_ms=0 | network.populations.hid.tau_syn_ms=-1
network.populations.hid.threshold=0 | network.projections.0.density=0 | network.projections.0.density=1.01
network.projections.0.weight_rate_factor=0 | network.projections.0.weight.normal.sd=-1
network.projections.0.weight=null | network.projections.0.delay=-0.5 | network.projections.0.delay=62.5
network.projections.0.delay={uniform: {low: -1, high: 1}} | network.projections.0.delay={uniform: {high: 63}}
network.projections.0.delay={normal: {mean: 5, sd: 1}} | training.backend=gpu | training.epochs=-1
training.batch_size=0 | training.weight_rate=-1.0e-9 | training.rate_decay=0 | training.rate_decay=1.5
training.quantise.from_epoch=-1 | training.quantise.calibration_samples=0
training.revive=-1 | training.temperature_ms=0 | training.rates.target_spikes=-1 | training.rates.strength=-1
training.rates.strength_of.hid=-1 | training.augmentation.channel_shift=-1 | training.augmentation.time_shift=1.5
training.augmentation.blend=-1 | training.augmentation.dropout=1 | training.schedule.decay=linear
training.schedule.warm_up.batches=0 | training.schedule.warm_up.from=0 | training.schedule.warm_up.from=1.5
training.schedule.warm_up.which=delays | training.schedule.final=2 | training.schedule.factor=1
training.schedule.patience=0 | training.early_stop.patience=0 | training.early_stop.watch=test_accuracy
training.validation.fraction=0 | training.validation.fraction=1 | training.validation.speaker=[]
training.validation.speaker=true | training.validation.speaker=[1.5] | training.readout=median | training.loss=hinge
network.populations.hid.tau_mem_ms={uniform: {low: 0, high: 5}} | network.populations.hid.tau_syn_ms={normal: {sd: 1}}
training.max_slot=65535 | training.min_slope=0 | training.stop_at_accuracy=1.1 | training.seed=-1
deployment.vendor_samples=-1 | deployment.calibration_samples=0 | deployment.max_loss_points=-1
"""


@pytest.mark.parametrize("entry", re.split(r" \| |\n", OUT_OF_RANGE.strip()))
def test_a_value_out_of_range_is_refused_where_it_stands(entry: str) -> None:
    path, _, value = entry.partition("=")
    parts = [int(part) if part.isdecimal() else part for part in path.split(".")]
    assert path in refusal(changed(tuple(parts), yaml.safe_load(value)))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("network", "projections", 0, "to"), "hidd", "population 'hidd' does not exist; did you mean 'hid'?"),
        (("network", "projections", 0, "from"), "xyz", "population 'xyz' does not exist; known: in, hid, out"),
        (("network", "projections", 0, "to"), "in", "in is a spike_source and takes no input"),
        (("network", "projections", 1, "from"), "out", "out is a leaky_readout and never spikes"),
        (("network", "projections", 1), FULL["network"]["projections"][0], "in->hid is given twice"),
        (("network", "populations", "out2"), {"kind": "leaky_readout"}, "2 outputs (out, out2), must be exactly 1"),
        (("network", "populations", "last"), {"kind": "lif", "size": 1}, "2 outputs (out, last), must be exactly 1"),
        (("network", "populations", "in2"), {"kind": "spike_source"}, "2 of kind spike_source, must be exactly 1"),
        (("network", "populations", "hid"), {"kind": "lif"}, "populations.hid.size: a lif population needs a size"),
        (("network", "projections", 0, "to"), "out", "populations.hid: no projection leads to it"),
        (("network", "projections", 0, "weight"), {}, "exactly one of constant, normal, uniform, not none"),
        (("network", "projections", 0, "weight"), {"constant": 1, "normal": {}}, "not ['constant', 'normal']"),
        (("network", "projections", 0, "weight"), {"uniform": {"low": 2, "high": 1}}, "high 1.0 is below low 2.0"),
        (("training", "readout"), "trace", "loss: cross_entropy does not go with readout trace; give mse"),
        (("training", "loss"), "mse", "loss: mse does not go with readout exp_weighted_average; give cross_entropy"),
        (("training", "readout"), "first_spike", "reads a lif population, but the output out is of kind leaky_readout"),
        (("training", "margin_ms"), 2, "margin_ms: loss cross_entropy of readout exp_weighted_average does not use it"),
        (("training", "temperature_ms"), 2, "does not use it, cross_entropy of first_spike does; leave it out"),
        (("training", "rates", "strength_of"), {"hidd": 1}, "'hidd' is no hidden lif population; did you mean 'hid'?"),
        (("training", "rates", "strength_of"), {"out": 1}, "'out' is no hidden lif population"),
        (("training", "schedule", "final"), 0.1, "final: decay exponential does not use it, cosine does"),
        (("training", "schedule"), {"decay": "cosine", "patience": 3}, "decay cosine does not use it, plateau does"),
        (("training",), {"rate_decay": 0.9, "schedule": {"decay": "cosine"}}, "is of schedule.decay exponential"),
        (("training", "validation"), {"fraction": 0.1, "speaker": 3}, "give exactly one of fraction, speaker"),
        (("training", "validation"), {}, "give exactly one of fraction, speaker"),
        (("training", "max_slot"), 6, "starts at up to slot 7, above training.max_slot 6"),
    ],
)
def test_contradictions_are_refused(path: tuple[str | int, ...], value: Any, message: str) -> None:
    assert message in refusal(changed(path, value))


@pytest.mark.parametrize("name", ["a b", "a/b", "a>b", ".", "", "a\nb", "a\\b", "\ud800"])
def test_a_population_name_that_no_network_can_have_is_refused(name: str) -> None:
    populations = {(name if k == "hid" else k): v for k, v in FULL["network"]["populations"].items()}
    data = changed(("network", "populations"), populations)
    data["network"]["projections"][0]["to"] = data["network"]["projections"][1]["from"] = name
    refusal(data)


@pytest.mark.parametrize("path", MODELS, ids=lambda p: str(p.stem))
def test_shipped_recipes_are_read_and_survive_their_dump(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    again = tmp_path / "again.yaml"
    again.write_text(recipe.dump(), encoding="utf-8")
    assert read_recipe(again) == recipe


def test_a_dump_is_complete() -> None:
    """Every key of the schema is there, but those that are off by being absent."""
    dumped = yaml.safe_load(parse_recipe(FULL, "R").dump())
    absent = {("PopulationRecipe", "size"), ("TrainingRecipe", "stop_at_accuracy"), ("ValidationSection", "speaker")}
    absent |= {("TrainingRecipe", k) for k in ("temperature_ms", "late_penalty_ms", "margin_ms")}
    absent |= {("ScheduleSection", k) for k in ("final", "factor", "patience")}
    absent |= {("Initial", k) for k in ("constant", "normal", "uniform")}
    absent |= {("DeploymentRecipe", "cores"), ("TrainingRecipe", "epoch_samples"), ("ValidationSection", "seed")}
    for section, key in KEYS:
        node = dumped
        for part in PLACES[section]:
            node = node[part]
        assert key in node or (section, key) in absent, (section, key)


numbers: st.SearchStrategy[Any] = st.floats(0.001, 60).map(lambda x: round(x, 3)) | st.integers(1, 60)
initials: st.SearchStrategy[Any] = st.one_of(
    numbers,
    st.fixed_dictionaries({"constant": numbers}),
    st.fixed_dictionaries({"uniform": st.fixed_dictionaries({"low": st.just(0), "high": numbers})}),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = st.from_regex(r"[A-Za-z0-9_.:#-]{1,8}", fullmatch=True).filter(lambda n: not n.startswith("."))


@st.composite
def recipes(draw: st.DrawFn) -> dict[str, Any]:
    """Recipe data of any form that is allowed, with values left out at random."""

    def some(**values: st.SearchStrategy[Any]) -> dict[str, Any]:
        return draw(st.fixed_dictionaries({}, optional=values))

    source, *hidden, readout = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    neuron = {"tau_mem_ms": numbers, "tau_syn_ms": numbers, "threshold": numbers}
    populations = {source: {"kind": "spike_source"}, readout: {"kind": "leaky_readout", **some(**neuron)}}
    populations |= {h: {"kind": "lif", "size": draw(st.integers(1, 99)), **some(**neuron)} for h in hidden}
    learning = {"learn_weight": st.booleans(), "learn_delay": st.booleans(), "weight_rate_factor": numbers}
    learning |= {"delay": initials, "density": st.floats(0.01, 1)}
    chain = [source, *hidden, readout]
    projections = [
        {"from": a, "to": b, "weight": draw(initials), **some(**learning)} for a, b in itertools.pairwise(chain)
    ]
    return {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True)),
        "dataset": {"task": draw(texts), "options": draw(st.dictionaries(texts, plain, max_size=3))},
        "network": {"populations": populations, "projections": projections, **some(dt_ms=numbers)},
        "training": some(epochs=st.integers(0, 9), stop_at_accuracy=st.floats(0.1, 1), seed=st.integers(0, 2**70)),
        **some(about=texts, published=texts, deployment=st.fixed_dictionaries({}, optional={"target": texts})),
    }


@given(recipes())
@quick
def test_what_is_dumped_reads_back_equal_and_can_be_built(recipes_folder: Path, data: dict[str, Any]) -> None:
    recipe = parse_recipe(data, "R")
    path = recipes_folder / "dumped.yaml"
    path.write_text(recipe.dump(), encoding="utf-8", newline="")
    assert read_recipe(path) == recipe
    network = build_network(recipe, n_inputs=2, n_classes=2)
    assert [p.name for p in network.populations] == list(data["network"]["populations"])


@pytest.fixture(scope="module")
def recipes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def outcome(read: Callable[..., Recipe], *given: object) -> str:
    """Empty if a recipe came out, the message if it was refused; any other exception is a failure."""
    message = ""
    try:
        read(*given)
    except RecipeError as error:
        message = str(error)
    assert "\n" not in message
    return message


@given(
    st.binary(max_size=40)
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "ignore"))
    | st.text("&*!|>{}[]:,-? \n'\"#%@`abe019.~<=_", max_size=40).map(str.encode)
)
@settings(deadline=None, max_examples=300)
def test_garbage_is_refused_in_one_line(recipes_folder: Path, content: bytes) -> None:
    path = recipes_folder / "garbage.yaml"
    path.write_bytes(content)
    assert outcome(read_recipe, path).startswith(f"recipe {path}")


@given(recipes(), st.data())
@settings(deadline=None, max_examples=50)
def test_a_recipe_with_a_damaged_part_is_refused_or_still_a_recipe(
    recipes_folder: Path, data: dict[str, Any], draw: st.DataObject
) -> None:
    text = yaml.safe_dump(data, sort_keys=False)
    start = draw.draw(st.integers(0, len(text)))
    stop = draw.draw(st.integers(start, min(len(text), start + 6)))
    junk = draw.draw(st.text("&*!|>{}[]:,-? \n'\"#~<=_019.exinf", max_size=6))
    path = recipes_folder / "damaged.yaml"
    path.write_text(text[:start] + junk + text[stop:], encoding="utf-8")
    outcome(read_recipe, path)


CHOKING = """
2001-99-99 | 2001-01-01T25:00:00Z | 2001-01-01T00:00:00+99:99 | 0b_ | 0x_ | !!int x | !!float x | !!bool x
!!timestamp x | !!binary x | !!python/object/apply:os.getcwd [] | "\\ud800" | *nobody | &a [*a] | @
"""
DIGITS = ("1" * 5000, "0x" + "f" * 6000)


@pytest.mark.parametrize("value", [*re.split(r" \| |\n", CHOKING.strip()), *DIGITS, "[" * 600], ids=lambda v: v[:20])
def test_values_that_yaml_chokes_on_are_refused_in_file_and_override(value: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"name: {value}\n", encoding="utf-8")
    assert outcome(read_recipe, path)
    path.write_text(yaml.safe_dump(FULL), encoding="utf-8")
    assert outcome(read_recipe, path, [f"training.epochs={value}"])


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: Zürich".encode("latin-1"))
    (tmp_path / "list.yaml").write_text("- 1\n", encoding="utf-8")
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    for name, message in (
        ("absent.yaml", "No such file"),
        (".", "Is a directory"),
        ("latin.yaml", "not UTF-8 text"),
        ("list.yaml", "holds list, must be a mapping"),
        ("empty.yaml", "holds NoneType, must be a mapping"),
    ):
        with pytest.raises(RecipeError, match=message) as caught:
            read_recipe(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
