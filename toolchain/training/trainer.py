"""The training loop: epochs of batches, validation, checkpoints, and resuming to the bit.

Every random number of an epoch comes from a generator seeded by the run's seed, the epoch and what it is for; every
checkpoint is taken between epochs and holds all that an epoch leaves to the next. So a run that was killed and resumed
ends in the same weights as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets import Dataset, Samples, load_dataset
from toolchain.datasets.augmentation import Augmented, plan_epoch
from toolchain.datasets.splits import split_validation
from toolchain.errors import CheckpointError, RecipeError, UnstableTrainingError
from toolchain.event_graph import EventGraph, build_event_graph, flatten, unflatten
from toolchain.network import Network
from toolchain.network_builder import build_network, generator
from toolchain.observed import Observed
from toolchain.recipe import Recipe
from toolchain.storage import write_json
from toolchain.training.backends import Engine, LearningEngine, Responses
from toolchain.training.checkpoints import Progress, load_best, load_checkpoint, save_checkpoint
from toolchain.training.chip import ChipNumbers, Machine, complete_recipe, held
from toolchain.training.engines import training_engine
from toolchain.training.optimiser import Adam
from toolchain.training.patience import Patience
from toolchain.training.revival import Revival
from toolchain.training.run_folder import RunFolder
from toolchain.training.schedule import epoch_factor, warm_up_factors
from toolchain.training.straight_through import StraightThrough
from toolchain.training.time_constants import TimeConstants


class Listener(Protocol):
    """Told how training goes; the command line draws a progress bar from it."""

    def batch(self, epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
        """After each batch: samples done of this epoch, running mean loss and accuracy."""

    def epoch(self, line: dict[str, Any]) -> None:
        """After each epoch: its entry in metrics.jsonl."""


class Silent:
    """A listener that says nothing."""

    def batch(self, epoch: int, done: int, total: int, loss: float, accuracy: float) -> None:
        """Ignore."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Ignore."""


@dataclass(frozen=True)
class TrainingResult:
    """The best checkpoint of a run, and what it does on the test set, `test_prediction` (test_samples,).

    `ended` says why training did: "epochs", "accuracy" (`stop_at_accuracy`) or "early_stop".
    """

    network: Network
    best_epoch: int
    valid_accuracy: float
    test_accuracy: float
    test_samples: int
    ended: str
    test_prediction: NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A recipe together with the data and the untrained network that it describes."""

    recipe: Recipe
    dataset: Dataset
    network: Network


def prepare(recipe: Recipe, dataset: Dataset | None = None) -> Task:
    """Load the data of a recipe, unless `dataset` is what `load_dataset` makes of it, and build its network.

    Raises
    ------
    RecipeError
        If the task or one of its options does not exist, a size contradicts the data, or the data lack what the
        recipe asks for: target traces, speakers, a validation set.
    """
    recipe = complete_recipe(recipe)
    dataset = dataset or load_dataset(recipe.dataset.task, recipe.dataset.options)
    settings = recipe.training
    n_traces = None
    if settings.loss == "mse":
        if dataset.targets is None:
            raise RecipeError(
                f"recipe training.loss: mse needs target traces, which task {recipe.dataset.task} has not; give another"
            )
        n_traces = dataset.targets.shape[1]
    if settings.validation is not None:
        dataset = split_validation(dataset, settings.validation, recipe.dataset.task, settings.seed)
    if dataset.valid.labels.size == 0:
        raise RecipeError(
            f"recipe training.validation: is left out, but task {recipe.dataset.task} has no validation set of its "
            "own; give {fraction: 0.1}, or {speaker: ...} where it knows who spoke"
        )
    if dataset.dt_ms is not None and dataset.dt_ms != recipe.network.dt_ms:
        raise RecipeError(
            f"recipe network.dt_ms: {recipe.network.dt_ms:g}, but dataset.options.dt_ms is {dataset.dt_ms:g}; give "
            "both the same"
        )
    network = build_network(recipe, n_inputs=dataset.n_inputs, n_classes=dataset.n_classes, n_traces=n_traces)
    return Task(recipe, dataset, network)


def train(
    run: RunFolder,
    task: Task,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    threads: int | None = None,
    chip: ChipNumbers | None = None,
    engine: Engine | None = None,
) -> TrainingResult:
    """Train the network of a recipe in a run folder, to the end.

    Parameters
    ----------
    run : an existing run folder
    task : what `prepare` made of its recipe
    resume : go on from ``checkpoints/last.safetensors``; without one there, start from the beginning
    threads : None for one per core; the result does not depend on it
    chip : numbers and machine of the forward pass, in place of those that the recipe asks for
    engine : what `training_engine` makes of the task, where that has been done

    Raises
    ------
    CheckpointError
        If a checkpoint to resume from is damaged or belongs to another recipe.
    UnstableTrainingError
        If the loss is no longer a finite number.
    """
    return _Trainer(run, task, listener or Silent(), threads, chip, engine).fit(resume=resume)


class _Trainer:
    def __init__(
        self,
        run: RunFolder,
        task: Task,
        listener: Listener,
        threads: int | None,
        chip: ChipNumbers | None,
        engine: Engine | None,
    ) -> None:
        recipe, dataset, network = task.recipe, task.dataset, task.network
        settings = recipe.training
        self.run, self.dataset, self.network, self.listener = run, dataset, network, listener
        self.settings = settings
        self.graph: EventGraph = build_event_graph(network)
        self.weights, self.delays = flatten(network, "weight"), flatten(network, "delay")
        weight_rate, delay_rate = _rates(network, recipe)
        betas = (settings.adam_betas[0], settings.adam_betas[1])
        self.optimisers = {"weight": Adam(weight_rate, *betas), "delay": Adam(delay_rate, *betas)}
        self.taus = TimeConstants(network, self.graph, recipe)
        if self.taus.learned:
            self.network = self.taus.onto(network)
            self.optimisers["tau"] = Adam(self.taus.rate, *betas)
        self.revival = Revival(network, self.graph, weight_rate > 0, settings.revive)
        self.engine: Engine = engine or training_engine(recipe, dataset, network, threads)
        self.chip = chip or ChipNumbers.of(recipe, dataset, network)
        self.grid: StraightThrough | None = None

    def fit(self, *, resume: bool) -> TrainingResult:
        progress = self._start(resume)
        while (ended := self._ended(progress)) is None:
            progress = self._epoch(progress)
        best, number_format = load_best(self.run.checkpoint("best"))
        self._use_grid(number_format)
        self.taus.take(best)
        self._use_taus()
        self.weights, self.delays = flatten(best, "weight"), flatten(best, "delay")
        test = self.dataset.test
        prediction = self._respond(test).prediction
        result = TrainingResult(
            best,
            progress.best_epoch,
            progress.best_accuracy,
            float(np.mean(prediction == test.labels)),
            test.labels.size,
            ended,
            prediction,
        )
        write_json(
            self.run.summary_file,
            {
                "best_epoch": result.best_epoch,
                "epochs": progress.epoch,
                "ended": ended,
                "valid_accuracy": result.valid_accuracy,
                "test_accuracy": result.test_accuracy,
                "test_samples": result.test_samples,
                "data": self.dataset.provenance,
                "binning": vars(self.dataset.binning),
            },
        )
        return result

    def _start(self, resume: bool) -> Progress:
        """The state after the checkpoint to resume from, or after zero epochs."""
        last = self.run.checkpoint("last")
        if resume and last.exists():
            network, progress = load_checkpoint(last, self.network, self.optimisers, self.taus.learned)
            self.taus.take(network)
            self.weights, self.delays = flatten(network, "weight"), flatten(network, "delay")
            self._use_grid(progress.number_format)
            if not self.run.checkpoint("best").exists():
                raise CheckpointError(
                    f"run folder {self.run.path}: checkpoints/best.safetensors is missing; start anew"
                )
            # A kill may have come between the checkpoint and its line, or in the middle of the line.
            lines = [line for line in self.run.metrics() if line["epoch"] < progress.epoch]
            self.run.write_metrics([*lines, progress.line] if progress.epoch else lines)
            return progress
        self.run.write_metrics([])
        if self.chip is not None and self.chip.begin_in is not None:
            self._use_grid(StraightThrough.over(self.network, self.chip.begin_in).header())
        number_format = None if self.grid is None else self.grid.header()
        progress = Progress(0, 0, *self._validate(), {}, number_format=number_format)
        for which in ("best", "last"):
            self._save(which, progress)
        return progress

    def _epoch(self, before: Progress) -> Progress:
        epoch = before.epoch + 1
        started = time.monotonic()
        before = self._quantised(before, epoch)
        factor = epoch_factor(self.settings, epoch, before.plateau)
        plan = plan_epoch(self.dataset.train, self.settings.augmentation, self.settings.seed, epoch)
        order = generator(self.settings.seed, "order", epoch).permutation(plan.size)[: self.settings.epoch_samples]
        augmented = Augmented()
        loss, correct, done, guarded, clipped, taus_clipped, outgrown = 0.0, 0, 0, 0, 0, 0, 0
        neuron_spikes = np.zeros(self.graph.n_neurons, dtype=np.int64)
        learner = self._learner()
        if learner is not None:
            learner.begin(self.weights, self.delays, self.optimisers)
        for index, chosen in enumerate(_batches(order, self.settings.batch_size)):
            batch = plan.batch(index, chosen)
            augmented += batch.augmented
            weight_factor, delay_factor = warm_up_factors(self.settings, self.optimisers["weight"].steps)
            if learner is not None:
                factors = (factor * weight_factor, factor * delay_factor)
                gradient = learner.learn(batch.spikes, batch.labels, batch.which, factors)
            else:
                # The gradient belongs to the parameters of its own forward pass, and no batch is left out.
                weights, beyond = held(self.weights, self.grid)
                outgrown += beyond
                self.engine.set_parameters(weights, self.delays)
                self._use_taus()
                spikes, labels, which = batch.spikes, batch.labels, batch.which
                if self._machine is not None:
                    spikes, labels, which = spikes.select(which), labels[which], np.arange(which.size)
                observed = self._observed(Samples(spikes, labels), weights)
                gradient = self.engine.gradients(spikes, labels, which, observed)
                self.optimisers["weight"].step(self.weights, gradient.weight, factor * weight_factor)
                self.optimisers["delay"].step(self.delays, gradient.delay, factor * delay_factor)
                clipped += self._clip_delays()
                if self.taus.learned:
                    taus_clipped += self.taus.step(self.optimisers["tau"], gradient, factor * delay_factor)
            done += chosen.size
            loss += gradient.loss * chosen.size
            correct += gradient.correct
            guarded += gradient.guarded
            neuron_spikes += gradient.neuron_spikes
            self._require_finite(loss, "loss", epoch)
            self.listener.batch(epoch, done, order.size, loss / done, correct / done)
        if learner is not None:
            clipped += learner.finish(self.weights, self.delays, self.optimisers)
        revived = self.revival.revive(self.weights, neuron_spikes)
        accuracy, valid_loss = self._validate()
        self._require_finite(valid_loss, "validation loss", epoch)
        line = {
            "epoch": epoch,
            "train_loss": loss / done,
            "train_accuracy": correct / done,
            "valid_loss": valid_loss,
            "valid_accuracy": accuracy,
            "spikes_per_neuron": self._rate(neuron_spikes / done),
            "silent_neurons": self._silent(neuron_spikes),
            "slopes_guarded": guarded,
            "delays_clipped": clipped,
            "taus_clipped": taus_clipped,
            "weights_clipped": outgrown,
            "revived": revived,
            "augmentation": vars(augmented),
            "rate_factor": factor,
            "seconds": round(time.monotonic() - started, 3),
        }
        progress = replace(
            before,
            epoch=epoch,
            line=line,
            plateau=before.plateau.after(valid_loss, self.settings),
            early_stop=self._waited(before.early_stop, line),
        )
        if (accuracy, -valid_loss) > (before.best_accuracy, -before.best_loss):
            progress = replace(progress, best_epoch=epoch, best_accuracy=accuracy, best_loss=valid_loss)
            self._save("best", progress)
        if outgrown:
            # The next epoch chooses a format that holds the weights as they are by now.
            self._use_grid(None)
            progress = replace(progress, number_format=None)
        self._save("last", progress)
        self.run.write_metrics([*self.run.metrics(), line])
        self.listener.epoch(line)
        return progress

    def _quantised(self, before: Progress, epoch: int) -> Progress:
        """Begin to train in the target's numbers if it is time, or choose them anew if a weight outgrew them."""
        if self.chip is None or epoch <= self.chip.from_epoch or self.grid is not None:
            return before
        self.grid = self.chip.choose(unflatten(self.network, self.weights, self.delays))
        self.engine.set_constants(self.grid.format.constants)
        before = replace(before, number_format=self.grid.header())
        if epoch == self.chip.from_epoch + 1:
            # What was best in fine numbers does not count here: it is not what the chip would do.
            before = replace(before, best_accuracy=-1.0, best_loss=0.0, early_stop=Patience())
        return before

    def _use_grid(self, number_format: dict[str, Any] | None) -> None:
        """Train in the format of a checkpoint, or in fine numbers."""
        self.grid = None if number_format is None else StraightThrough.restore(self.network, number_format)
        self.engine.set_constants({} if self.grid is None else self.grid.format.constants)

    def _use_taus(self) -> None:
        if self.taus.learned:  # a recipe that trains in the numbers of a chip has none of these
            self.engine.set_constants(self.taus.constants())

    def _ended(self, progress: Progress) -> str | None:
        """Why training is over, or None while it is not."""
        goal, early = self.settings.stop_at_accuracy, self.settings.early_stop
        if self.chip is not None and progress.epoch <= self.chip.from_epoch:
            return None  # before the target's numbers have been trained in at all
        if goal is not None and progress.best_accuracy >= goal:
            return "accuracy"
        if early is not None and progress.early_stop.waited >= early.patience:
            return "early_stop"
        return "epochs" if progress.epoch >= self.settings.epochs else None

    def _waited(self, before: Patience, line: dict[str, Any]) -> Patience:
        early = self.settings.early_stop
        if early is None:
            return before
        return before.after(line[early.watch], larger_is_better=early.watch != "valid_loss")

    def _require_finite(self, loss: float, what: str, epoch: int) -> None:
        if not np.isfinite(loss):
            raise UnstableTrainingError(
                f"run folder {self.run.path}: the {what} of epoch {epoch} is {loss}; lower training.weight_rate "
                f"{self.settings.weight_rate:g} or the initial weights; the checkpoint of epoch {epoch - 1} is whole"
            )

    def _validate(self) -> tuple[float, float]:
        responses = self._respond(self.dataset.valid)
        return float(np.mean(responses.prediction == self.dataset.valid.labels)), float(responses.loss.mean())

    def _respond(self, samples: Samples) -> Responses:
        """What the network as it is now does on samples; in the arithmetic of the chip where it trains in it."""
        weights = held(self.weights, self.grid)[0]
        self.engine.set_parameters(weights, self.delays)
        self._use_taus()
        return self.engine.respond(samples.spikes, samples.labels, self._observed(samples, weights))

    def _learner(self) -> LearningEngine | None:
        """The engine, where it takes the steps of the optimisers itself."""
        engine = self.engine
        if isinstance(engine, LearningEngine) and engine.learns and self.chip is None and not self.taus.learned:
            return engine
        return None

    @property
    def _machine(self) -> Machine | None:
        """What runs the forward pass by now; None where the engine itself does."""
        return None if self.grid is None or self.chip is None else self.chip.machine

    def _observed(self, samples: Samples, weights: NDArray[np.float32]) -> Observed | None:
        """What the machine does with these weights, or None where the forward pass is the engine's own."""
        if self._machine is None or self.grid is None:
            return None
        return self._machine.observe(unflatten(self.network, weights, self.delays), self.grid.format, samples)

    def _clip_delays(self) -> int:
        limit = np.float32(self.settings.largest_slot)
        outside = int(np.count_nonzero((self.delays < 0) | (self.delays > limit)))
        np.clip(self.delays, 0, limit, out=self.delays)
        return outside

    def _save(self, which: str, progress: Progress) -> None:
        # Training goes on from the fine weights; the best network is the one that was validated.
        weights = held(self.weights, self.grid)[0] if which == "best" else self.weights
        network = unflatten(self.taus.onto(self.network), weights, self.delays)
        save_checkpoint(self.run.checkpoint(which), network, self.optimisers, progress)

    def _spiking(self) -> Iterator[tuple[str, slice]]:
        for population in self.network.of_kind("lif"):
            yield population.name, self.graph.neurons(population)

    def _rate(self, per_sample: NDArray[np.float64]) -> dict[str, float]:
        return {name: round(float(per_sample[part].mean()), 4) for name, part in self._spiking()}

    def _silent(self, counts: NDArray[np.int64]) -> dict[str, int]:
        return {name: int(np.count_nonzero(counts[part] == 0)) for name, part in self._spiking()}


def _batches(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, order.size, size):
        yield order[start : start + size]


def _rates(network: Network, recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Step size of each weight and each delay, in canonical order; 0 where it does not learn."""
    entries = {f"{p.source}->{p.target}": p for p in recipe.network.projections}
    weights, delays = [], []
    for projection in network.projections:
        entry = entries[projection.name]
        n = projection.n_synapses
        weight_rate = recipe.training.weight_rate * entry.weight_rate_factor if entry.learn_weight else 0.0
        weights.append(np.full(n, weight_rate, dtype=np.float32))
        delays.append(np.full(n, recipe.training.delay_rate if entry.learn_delay else 0.0, dtype=np.float32))
    return np.concatenate(weights), np.concatenate(delays)
