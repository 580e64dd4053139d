"""The Braille letters: every form of the published files, damaged and hostile ones, the task and its split."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.pickle_text import Call, pickled
from toolchain.datasets import load_dataset
from toolchain.datasets.braille_file import LETTERS, read_braille
from toolchain.datasets.checks import Item, inspect_item, items
from toolchain.datasets.pickled_data import KNOWN, MAX_BYTES, read_pickled_data
from toolchain.datasets.pickled_tables import PickledTable
from toolchain.errors import DatasetError, RecipeError

PICKLES = Path(__file__).parent / "pickles"
FORMS = sorted(PICKLES.glob("*.pkl"))


def silent() -> list[list[list[float]]]:
    return [[[], []] for _ in range(12)]


def trials(repeats: int) -> list[dict[str, Any]]:
    """Every letter so often; on at taxel 3 at 0.5 s, off at taxel 1 at 0.25 s and at a time of its own."""
    made = []
    for i in range(27 * repeats):
        events = silent()
        events[3][0] = [0.5]
        events[1][1] = [0.25, 1 + i / 10000]
        made.append({"letter": LETTERS[i % 27], "events": events})
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DELAYLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A file of the published name with 20 trials a letter."""
    path = tmp_path / "data_braille_letters_th_2.pkl"
    path.write_bytes(pickled(trials(20)))
    return path


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.stem)
def test_every_form_gives_the_same_trials(form: Path) -> None:
    """Written by pandas 1.5, 2.2 and 3.1 and NumPy 1 and 2 in several protocols; expected are the trials as JSON."""
    expected = json.loads((PICKLES / "trials.json").read_text())
    recordings = read_braille(form).recordings
    assert [LETTERS[label] for label in recordings.labels] == [trial["letter"] for trial in expected]
    events = recordings.read(np.arange(6))
    for i, trial in enumerate(expected):
        wanted = sorted(
            (time, taxel + 12 * polarity)
            for taxel, polarities in enumerate(trial["events"])
            for polarity, times in enumerate(polarities)
            for time in times
        )
        part = slice(events.offsets[i], events.offsets[i + 1])
        assert list(zip(events.times[part].tolist(), events.units[part].tolist(), strict=True)) == wanted
    assert recordings.origin.real


def test_there_are_forms_to_read() -> None:
    assert len(FORMS) == 14


def test_channels_are_taxel_and_polarity_and_remarks_say_what_is_not_as_published(published: Path) -> None:
    file = read_braille(published)
    events = file.recordings.read(np.array([2]))
    assert events.units.tolist() == [13, 3, 13]
    assert events.times.tolist() == [0.25, 0.5, 1.0002]
    assert file.recordings.n_units == 24
    assert file.threshold == 2
    assert file.remarks == (
        "540 trials, published are 5400",
        "trials a letter other than 200: Space 20, A 20, B 20, C 20, D 20 ...",
    )
    assert file.remarks[0] in str(file.recordings.origin)


@pytest.mark.parametrize(
    "thing",
    [
        Call("os", "system", ("true",)),
        Call("posix", "system", ("true",)),
        Call("builtins", "eval", ("1",)),
        Call("builtins", "getattr", ("a", "b")),
        Call("builtins", "exec", ("1",)),
        Call("__builtin__", "getattr", ("a", "b")),
        Call("subprocess", "Popen", ("true",)),
        Call("numpy", "load", ("file",)),
        Call("numpy.testing._private.utils", "runstring", ("1", {})),
        Call("numpy", "core", ()),
        Call("pandas", "read_pickle", ("file",)),
        Call("pandas.core.frame", "DataFrame.eval", ("1",)),
        Call("pandas.io.common", "os.system", ("true",)),
        Call("_codecs", "lookup", ("x",)),
        Call("copyreg", "_reconstructor", ()),
        Call("functools", "partial", ()),
    ],
    ids=lambda c: f"{c.module}.{c.name}",
)
def test_a_pickle_that_would_run_something_is_refused_by_its_name(thing: Call, tmp_path: Path) -> None:
    path = tmp_path / "data_braille_letters_th_1.pkl"
    path.write_bytes(pickled([{"letter": "A", "events": thing}]))
    with pytest.raises(DatasetError, match=rf"would run '{thing.module}\.{thing.name}'"):
        read_braille(path)


def test_what_may_be_mentioned_is_called_by_nobody(tmp_path: Path) -> None:
    """The allowed names are notes in the result; each is a container, a number or text of NumPy or pandas."""
    for module, names in KNOWN.items():
        for name in names:
            made = read_pickled_data(pickled(Call(module, name, ("x",))), "test")
            assert type(made).__name__ == "Made"
            assert str(made.by) == f"{module}.{name}"
    assert {m.split(".")[0] for m in KNOWN} == {"builtins", "__builtin__", "_codecs", "numpy", "pandas"}
    assert KNOWN["builtins"] == KNOWN["__builtin__"] == {"slice", "bytes"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole pickle"),
        (b"hello", "not a whole pickle"),
        (pickled(trials(1))[:-40], "not a whole pickle"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f", "not a whole pickle"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "not a whole pickle"),
        (b"\x80\x02h\x07.", "not a whole pickle"),
        (b"\x80\x02(K\x01e.", "not a whole pickle"),
        (b"S'\\w'\n.", "holds str"),
        (b"\x80\x02]K\x01R.", "not a whole pickle"),
        (b"\x80\x02}K\x01K\x02s.", "keys are not all text"),
        (b"\x80\x02\x8f.", "EMPTY_SET at byte 2"),
        (b"Pname\n.", "PERSID at byte 0"),
        (b"\x80\x02\x82\x01.", "EXT1 at byte 2"),
        (b"(S'true'\nios\nsystem\n.", "INST at byte"),
        (pickled(7), "holds int"),
        (pickled({"letter": ["A"]}), "no column 'events'"),
        (pickled({"letter": ["A", "B"], "events": [silent()]}), "do not belong together"),
        (pickled([]), "no column 'letter'|no trials"),
        (pickled([{"letter": "Ä", "events": silent()}]), "trial 0 is of letter 'Ä'"),
        (pickled([{"letter": "A", "events": silent()[:11]}]), "11 taxels"),
        (pickled([{"letter": "A", "events": [[[]]] * 12}]), "1 polarities"),
        (pickled([{"letter": "A", "events": [[[-0.1], []]] * 12}]), "event at -0.1 s"),
        (pickled([{"letter": "A", "events": [[[float("nan")], []]] * 12}]), "event at nan s"),
        (pickled([{"letter": "A", "events": [[["1"], []]] * 12}]), "event at 1 s"),
        (pickled([{"letter": "A", "events": [[1, 2]] * 12}]), "int where a list"),
        (pickled(Call("pandas", "DataFrame")), "without the block manager"),
        (pickled({"letter": ["A"], "events": [Call("numpy", "dtype", ("O8",))]}), "numpy.dtype where a list"),
    ],
)
def test_a_file_that_is_not_of_the_letters_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data_braille_letters_th_1.pkl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_braille(path)


def test_a_short_pickle_cannot_grow(tmp_path: Path) -> None:
    """Lists of lists of the same list, 10 deep, are 10^10 values for whoever walks through them."""
    layers = b"]q\x00(" + b"G?\xe0\0\0\0\0\0\0" * 10 + b"e"
    for depth in range(9):
        layers += b"0]q" + bytes([depth + 1]) + b"(" + (b"h" + bytes([depth])) * 10 + b"e"
    read_pickled_data(b"\x80\x02" + layers + b".", "bomb")
    many = b"](" + b"G?\xe0\0\0\0\0\0\0" * 1000 + b"e"
    shared = many + b"q\x010" + b"](h\x01h\x01eq\x020" + b"](" + b"h\x02" * 12 + b"eq\x030"
    rows = b"}(X\x06\0\0\0letterX\x01\0\0\0AX\x06\0\0\0eventsh\x03uq\x040"
    path = tmp_path / "data_braille_letters_th_1.pkl"
    path.write_bytes(b"\x80\x02" + shared + rows + b"](" + b"h\x04" * 5000 + b"e.")
    assert path.stat().st_size < 20_000
    with pytest.raises(DatasetError, match="so often"):
        read_braille(path)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(FORMS))
def test_a_damaged_pickle_is_read_or_refused(data: st.DataObject, form: Path, tmp_path: Path) -> None:
    content = bytearray(form.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at, end = (data.draw(st.integers(0, len(content))) for _ in range(2))
        content[at : min(end, at + 8)] = data.draw(st.binary(max_size=4) | st.just(bytes(content[end : end + 40])))
    path = tmp_path / "data_braille_letters_th_1.pkl"
    path.write_bytes(content)
    with contextlib.suppress(DatasetError):
        recordings = read_braille(path).recordings
        assert recordings.events.offsets[-1] == recordings.events.times.size <= len(content)


def test_an_array_is_as_large_as_what_is_there() -> None:
    huge = Call("numpy.core.numeric", "_frombuffer", ("ab", Call("numpy", "dtype", ("f8", False, True)), (2**30,), "C"))
    for array in (huge, huge._replace(arguments=("", huge.arguments[1], (-1,), "C"))):
        taken_apart = read_pickled_data(pickled(array), "test")
        with pytest.raises(DatasetError, match="array"):
            PickledTable(taken_apart, "test").values(taken_apart)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "data_braille_letters_th_1.pkl"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 2**30)
    with pytest.raises(DatasetError, match=f"exceed {MAX_BYTES}"):
        read_braille(path)


def test_archive_folder_and_file_are_the_same(published: Path, tmp_path: Path) -> None:
    archive = tmp_path / "zipped" / "reading_braille_data.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(published, "data/data_braille_letters_th_2.pkl")
        packed.writestr("data_braille_letters_th_10.pkl", pickled(trials(1)))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "data_braille_letters_th2").write_bytes(published.read_bytes())
    digests = {read_braille(p, 2).sha256 for p in (published, archive, archive.parent, tmp_path / "old")}
    assert len(digests) == 1
    assert read_braille(archive, 10).recordings.labels.size == 27
    with pytest.raises(DatasetError, match="no threshold chosen; thresholds that are there: 2, 10"):
        read_braille(archive)
    with pytest.raises(DatasetError, match=r"th_5.pkl; thresholds that are there: 2$"):
        read_braille(published, 5)
    with pytest.raises(DatasetError, match="zenodo"):
        read_braille(tmp_path / "nothing")
    damaged = tmp_path / "damaged.zip"
    content = bytearray(archive.read_bytes())
    content[60:90] = b"\xff" * 30
    damaged.write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        read_braille(damaged, 2)


def test_the_task_keeps_letters_apart_in_three_parts(
    published: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DELAYLINE_DATA", raising=False)
    options: dict[str, Any] = {"path": str(published), "dt_ms": 5.0, "steps": 200, "seed": 3}
    dataset, again = load_dataset("braille", options), load_dataset("braille", options)
    sizes = [np.bincount(s.labels).tolist() for s in (dataset.train, dataset.test, dataset.valid)]
    assert sizes == [[14] * 27, [4] * 27, [2] * 27]
    assert dataset.n_inputs == 24
    # Of three events of a trial one is at 1 s and more, which is step 200 and later.
    assert (dataset.binning.late, dataset.binning.merged) == (540, 0)
    assert "real recordings" in dataset.provenance
    assert "data_braille_letters_th_2.pkl" in dataset.provenance
    assert f"{published.stat().st_size} bytes" in dataset.provenance
    assert np.array_equal(dataset.test.labels, again.test.labels)
    with pytest.raises(RecipeError, match="threshold"):
        load_dataset("braille", {**options, "threshold": 3})
    del options["path"]
    with pytest.raises(DatasetError, match="DELAYLINE_DATA"):
        load_dataset("braille", options)
    monkeypatch.setenv("DELAYLINE_DATA", str(published.parent))
    assert np.array_equal(load_dataset("braille", options).test.labels, dataset.test.labels)


def test_the_split_is_kept_and_is_that_of_its_seed(published: Path, cache: Path) -> None:
    options = {"path": str(published), "steps": 1300, "seed": 3}
    first = load_dataset("braille", options)
    (file,) = (cache / "braille").iterdir()
    content = json.loads(file.read_text())
    assert sorted(i for part in content["samples"].values() for i in part) == list(range(540))
    file.unlink()
    second = load_dataset("braille", options)
    assert json.loads(file.read_text()) == content
    # Each trial has a time of its own, so equal events are equal trials.
    assert np.array_equal(first.test.spikes.times, second.test.spikes.times)
    other = load_dataset("braille", {**options, "seed": 4})
    assert not np.array_equal(first.test.spikes.times, other.test.spikes.times)

    content["samples"]["test"][0], content["samples"]["train"][0] = (
        content["samples"]["train"][0],
        content["samples"]["test"][0],
    )
    file.write_text(json.dumps(content))
    swapped = load_dataset("braille", options)
    assert not np.array_equal(first.test.labels, swapped.test.labels), "the file is what counts"
    for change, message in (
        ({"sha256": "0"}, "other data"),
        ({"samples": {**content["samples"], "valid": []}}, "each of 540 samples once"),
        ({"samples": 7}, "cannot be read"),
    ):
        file.write_text(json.dumps({**content, **change}))
        with pytest.raises(DatasetError, match=message):
            load_dataset("braille", options)


def test_data_check_counts_trials_and_says_what_is_not_as_published(published: Path, tmp_path: Path) -> None:
    (item,) = items(published)
    found = inspect_item(item)
    assert (found.kind, found.real, found.samples, found.channels) == ("Braille letters", True, 540, 24)
    assert found.classes == dict.fromkeys(LETTERS, 20)
    assert found.events == {"min": 3, "mean": 3.0, "max": 3}
    assert found.duration_s["max"] == pytest.approx(1.0539)
    assert not found.failed
    assert [f.text[:10] for f in found.findings] == ["540 trials", "trials a l"]
    assert found.about == {"events a trial at threshold 2": 3.0}


def test_data_check_looks_at_every_threshold_of_an_archive(published: Path, tmp_path: Path) -> None:
    archive = tmp_path / "reading_braille_data.zip"
    hostile = pickled([{"letter": "A", "events": Call("os", "system", ("true",))}])
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(published, published.name)
        packed.writestr("data_braille_letters_th_5.pkl", hostile)
        packed.writestr("data_braille_letters_th_1.pkl", pickled(trials(200)[:5399]))
    published.unlink()
    (item,) = items(tmp_path)
    found = inspect_item(item)
    assert found.failed
    assert found.samples == 5399
    errors = [f.text for f in found.findings if f.level == "error"]
    assert len(errors) == 1
    assert errors[0].startswith("threshold 5: data_braille_letters_th_5.pkl: it would run 'os.system'")
    assert "threshold 1: trials a letter other than 200: Z 199" in [f.text for f in found.findings]
    # A pickle of anything else is one line, and so is an archive of other things.
    (tmp_path / "weights.pkl").write_bytes(pickled([1, 2]))
    assert inspect_item(Item(tmp_path / "weights.pkl")).findings[0].level == "error"
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("a.txt", "a")
    assert inspect_item(Item(tmp_path / "other.zip")).kind == "of no known kind"
