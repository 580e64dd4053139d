"""The tasks: published splits by their hashes, encodings undone again, and what each task needs to be solved."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.datasets import Dataset, Samples, load_dataset
from toolchain.datasets.digits import read_images
from toolchain.datasets.yin_yang import points
from toolchain.errors import InputError, RecipeError
from toolchain.network import Network, NeuronConstants, Population, make_projection
from toolchain.training.backends import Engine, make_engine

TASKS = ("yin_yang", "sequence", "digits")


@pytest.fixture(scope="module")
def sets() -> dict[str, Dataset]:
    """Each task with its default options."""
    return {task: load_dataset(task, {}) for task in TASKS}


def splits(dataset: Dataset) -> tuple[Samples, Samples, Samples]:
    return dataset.train, dataset.valid, dataset.test


def first_times(samples: Samples) -> NDArray[np.int64]:
    """(n_samples, n_units) step of the only spike of each unit; -1 where it is silent."""
    spikes = samples.spikes
    times = np.full((spikes.n_samples, spikes.n_units), -1, dtype=np.int64)
    sample = np.repeat(np.arange(spikes.n_samples), np.diff(spikes.offsets))
    assert len(set(zip(sample.tolist(), spikes.units.tolist(), strict=True))) == spikes.units.size, "one spike a unit"
    times[sample, spikes.units] = spikes.times
    return times


@pytest.mark.parametrize("task", TASKS)
def test_every_task_keeps_its_promises(task: str, sets: dict[str, Dataset]) -> None:
    dataset, again = sets[task], load_dataset(task, {})
    assert dataset.n_inputs == dataset.train.spikes.n_units
    assert (dataset.binning.merged, dataset.binning.late) == (0, 0)
    assert "\n" not in dataset.provenance
    assert ("synthetic" in dataset.provenance) != ("real" in dataset.provenance), "a report says which"
    for ours, theirs in zip(splits(dataset), splits(again), strict=True):
        assert ours.labels.shape == (ours.spikes.n_samples,)
        assert ours.labels.dtype == np.int64
        assert set(ours.labels.tolist()) == set(range(dataset.n_classes))
        assert (ours.spikes.n_units, ours.spikes.n_steps) == (dataset.n_inputs, dataset.n_steps)
        assert np.array_equal(ours.labels, theirs.labels)
        assert np.array_equal(ours.spikes.times, theirs.spikes.times)
        assert np.array_equal(ours.spikes.units, theirs.spikes.units)


@pytest.mark.parametrize(
    ("seed", "size", "digest"),
    [(42, 5000, "f5a4054d56f2a058"), (41, 1000, "5eac358bdf212276"), (40, 1000, "7bab3ed668ed4992")],
)
def test_yin_yang_points_are_the_published_ones_bit_for_bit(seed: int, size: int, digest: str) -> None:
    """Hashes of the authors' float64 (n, 4) arrays."""
    values, labels = points(seed, size)
    assert values.shape == (size, 4)
    assert values.dtype == np.float64
    assert hashlib.sha256(values.tobytes()).hexdigest().startswith(digest)
    x, y = values[:, 0] - 0.5, values[:, 1] - 0.5
    right, left = np.hypot(x - 0.25, y), np.hypot(x + 0.25, y)
    dot = (right < 0.1) | (left < 0.1)
    upper = ((y > 0) & (right > 0.25)) | (left <= 0.25)
    assert (np.hypot(x, y) <= 0.5).all()
    assert np.array_equal(labels, np.where(dot, 2, upper.astype(np.int64)))


def test_yin_yang_splits_have_the_published_sizes_and_classes(sets: dict[str, Dataset]) -> None:
    train, valid, test = splits(sets["yin_yang"])
    assert [s.labels.size for s in (train, valid, test)] == [5000, 1000, 1000]
    assert np.bincount(train.labels).tolist() == [1681, 1702, 1617]


@pytest.mark.parametrize("options", [{}, {"early": 5, "late": 90, "steps": 91}, {"early": 3, "late": 4, "steps": 5}])
def test_yin_yang_instants_are_the_values_to_half_a_step(options: dict[str, Any]) -> None:
    dataset = load_dataset("yin_yang", options)
    early, late = options.get("early", 0), options.get("late", 60)
    for samples, (seed, size) in zip(splits(dataset), ((42, 5000), (41, 1000), (40, 1000)), strict=True):
        values, labels = points(seed, size)
        assert np.abs(first_times(samples) - early - (late - early) * values).max() <= 0.5 + 1e-9
        assert np.array_equal(samples.labels, labels)


def test_yin_yang_spikes_past_a_short_sample_are_counted(sets: dict[str, Dataset]) -> None:
    full, short = sets["yin_yang"], load_dataset("yin_yang", {"steps": 40})
    late = sum(int(np.count_nonzero(s.spikes.times >= 40)) for s in splits(full))
    assert late > 0
    assert (short.binning.late, short.binning.merged) == (late, 0)
    assert sum(s.spikes.times.size for s in splits(short)) == 4 * 7000 - late


def test_sequence_is_two_orders_of_two_spikes(sets: dict[str, Dataset]) -> None:
    dataset = sets["sequence"]
    assert dataset.train.labels.tolist() == [0, 1, 0, 1]
    assert first_times(dataset.train).tolist() == [[0, 10], [10, 0]] * 2
    other = load_dataset("sequence", {"gap": 3, "steps": 4, "repeats": 3})
    assert first_times(other.test).tolist() == [[0, 3], [3, 0]] * 3
    cut = load_dataset("sequence", {"gap": 5, "steps": 5})
    assert (cut.binning.late, cut.train.spikes.times.tolist()) == (4, [0, 0, 0, 0])


@pytest.mark.parametrize(
    "options", [{"gap": 2**31}, {"gap": 2**32, "steps": 2**33}, {"steps": 2**31 + 5, "gap": 2**31 + 1}]
)
def test_no_spike_of_a_sequence_is_moved_by_the_width_of_an_integer(options: dict[str, int]) -> None:
    try:
        dataset = load_dataset("sequence", options)
    except InputError:
        return
    assert dataset.train.spikes.times.size + dataset.binning.late == 8
    assert set(dataset.train.spikes.times.tolist()) <= {0, options["gap"]}


def sequence_engine(delays: list[list[int]], dataset: Dataset) -> tuple[Engine, Network]:
    """The network of the published experiment: weights all 1, tau_mem 10 ms, tau_syn 5 ms."""
    populations = (Population("in", "spike_source", 2), Population("out", "leaky_readout", 2, 10.0, 5.0))
    network = Network(1.0, populations, (make_projection("in", "out", np.ones((2, 2)), np.array(delays)),))
    return make_engine("cpu", network, dataset.n_steps, max_slot=15), network


@pytest.mark.parametrize("slot", [0, 7, 15])
def test_with_equal_delays_both_outputs_see_the_same_in_either_order(slot: int, sets: dict[str, Dataset]) -> None:
    engine, _ = sequence_engine([[slot, slot], [slot, slot]], sets["sequence"])
    traces = [engine.trace(sets["sequence"].train.spikes, sample).readout_v for sample in range(4)]
    for trace in traces:
        assert np.array_equal(trace[0], trace[1])
        assert np.array_equal(trace, traces[0])


def test_delays_of_the_gap_make_both_spikes_meet_at_the_right_output(sets: dict[str, Dataset]) -> None:
    """The published answer: the output whose spikes arrive together has the highest peak."""
    dataset = sets["sequence"]
    engine, _ = sequence_engine([[10, 0], [0, 10]], dataset)
    peaks = [engine.trace(dataset.train.spikes, s).readout_v.max(axis=1).argmax() for s in range(4)]
    assert peaks == dataset.train.labels.tolist()


def test_the_weighted_average_prefers_arrivals_that_do_not_meet(sets: dict[str, Dataset]) -> None:
    """Under our readout the answer is the other way round, and by little: an average is linear in its arrivals.

    An arrival at step a adds f(a) = sum over t of exp(-t/T) h(t - a). Arrivals at 1 and 21 beat two at 11
    because f is convex; f is computed here from the step equations, in float64.
    """
    dataset = sets["sequence"]
    engine, network = sequence_engine([[0, 10], [10, 0]], dataset)
    c = NeuronConstants.of(network["out"], 1.0)

    def value(*arrivals: int) -> float:
        current = voltage = total = 0.0
        for t in range(dataset.n_steps):
            current = float(c.beta * current + arrivals.count(t))
            voltage = float(c.alpha * voltage + c.gain * current)
            total += float(np.exp(-t / dataset.n_steps)) * voltage / dataset.n_steps
        return total

    right, wrong = value(1, 21), value(11, 11)
    assert right > wrong
    responses = engine.respond(dataset.train.spikes, dataset.train.labels)
    assert responses.prediction.tolist() == dataset.train.labels.tolist()
    assert responses.loss == pytest.approx([np.log1p(np.exp(wrong - right))] * 4, abs=1e-6)


def digits() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(1797, 64) pixels and labels as scikit-learn has them."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data.astype(np.int64), bunch.target.astype(np.int64)


def test_digits_are_split_without_a_loss_or_an_overlap(sets: dict[str, Dataset]) -> None:
    """Latencies of the default encoding are 2 (16 - pixel), so the images can be read back; all are there once."""
    dataset = sets["digits"]
    assert [s.labels.size for s in splits(dataset)] == [1197, 300, 300]
    found: Counter[tuple[int, ...]] = Counter()
    for samples in splits(dataset):
        times = first_times(samples)
        assert not (times % 2 * (times >= 0)).any()
        pixels = np.where(times < 0, 0, 16 - times // 2)
        found.update((*row, label) for row, label in zip(pixels.tolist(), samples.labels.tolist(), strict=True))
    images, labels = digits()
    expected = Counter((*row, label) for row, label in zip(images.tolist(), labels.tolist(), strict=True))
    assert sum(expected.values()) == 1797
    assert found == expected


@pytest.mark.parametrize("late", [1, 7, 15, 30, 1000])
def test_brighter_pixels_of_a_digit_spike_earlier_and_every_lit_one_once(late: int) -> None:
    dataset = load_dataset("digits", {"late": late, "steps": late + 1})
    images, _ = digits()
    assert sum(s.spikes.times.size for s in splits(dataset)) == np.count_nonzero(images)
    assert (dataset.binning.merged, dataset.binning.late) == (0, 0)
    order = load_dataset("digits", {"late": 15, "steps": 16})  # latency is 16 - pixel there
    for samples, plain in zip(splits(dataset), splits(order), strict=True):
        pixels = np.where(first_times(plain) < 0, 0, 16 - first_times(plain))
        times = first_times(samples)
        by_value = [np.unique(times[pixels == value]) for value in range(17)]
        assert all(len(t) <= 1 for t in by_value), "the same value, the same step"
        latencies = [int(by_value[value][0]) for value in range(16, 0, -1)]
        assert latencies == sorted(latencies)
        assert (latencies[0], latencies[-1]) == (0, late)
        assert by_value[0].tolist() == [-1]
        if late >= 15:
            assert len(set(latencies)) == 16


def test_digits_past_a_short_sample_are_counted(sets: dict[str, Dataset]) -> None:
    full, short = sets["digits"], load_dataset("digits", {"steps": 20})
    late = sum(int(np.count_nonzero(s.spikes.times >= 20)) for s in splits(full))
    assert late > 0
    assert short.binning.late == late


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("ying_yang", {}, "'ying_yang' does not exist; did you mean 'yin_yang'?"),
        ("xyz", {}, "'xyz' does not exist; known: yin_yang, sequence, digits, waveform"),
        ("sequence", {"gapp": 3}, "unknown key 'dataset.options.gapp'; did you mean 'gap'"),
        ("sequence", {"gap": 0}, "dataset.options.gap: .* got 0"),
        ("sequence", {"gap": "3"}, "dataset.options.gap: .*valid integer, got '3'"),
        ("sequence", {"gap": True}, "dataset.options.gap: .*valid integer, got True"),
        ("sequence", {"gap": 2.5}, "dataset.options.gap: .* got 2.5"),
        ("yin_yang", {"early": -1}, "dataset.options.early: .* got -1"),
        ("digits", {"steps": 1}, "dataset.options.steps: .* got 1"),
    ],
)
def test_unknown_tasks_and_options_are_refused_by_name(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_dataset(task, options)
    assert "\n" not in str(caught.value)


def test_digits_are_read_without_their_file_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another scikit-learn has put the file elsewhere."""
    monkeypatch.setattr("toolchain.datasets.digits.find_spec", lambda name: None)
    for found, expected in zip(read_images(), digits(), strict=True):
        assert np.array_equal(found, expected)
