"""A whole training, epoch by epoch."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ndg import __version__, models, seeds
from ndg.activations.sampling import draw
from ndg.config import Experiment, Train
from ndg.data.augment import Augment
from ndg.data.examples import Splits
from ndg.errors import CheckpointError, FailureError, OutputError
from ndg.importance.fitness.measure import COMPOSITE
from ndg.importance.fitness.monitor import EXAMPLES, Watch
from ndg.models import checkpoint
from ndg.training import checkpoints
from ndg.training.checkpoints import MODEL, STATE, best, chosen
from ndg.training.device import device_of, own_threads_and_randomness, peak_bytes, reseed
from ndg.training.evaluation import evaluate
from ndg.training.journal import Bar, Journal, Row, bar, events
from ndg.training.schedules import schedule
from ndg.training.step import Learner
from ndg.units.resolve import find_layers


@dataclass(frozen=True)
class TrainResult:
    """Accuracies in [0, 1] of the network in `checkpoint`, which is that of `epoch`: the best, or the last one.

    `network` says what was trained. `history` has one row per epoch, `seconds` counts every session; `others` are the
    files of epochs kept apart. `peak_bytes` is the most memory that the last session took: the whole process, or the
    tensors on a GPU.
    """

    network: str
    validation_accuracy: float
    test_accuracy: float
    best_epoch: int
    epoch: int
    epochs: int
    seconds: float
    peak_bytes: int
    history: list[Row]
    checkpoint: Path
    others: list[Path]
    examples: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "checkpoint": str(self.checkpoint), "others": [str(path) for path in self.others]}


def train(
    experiment: Experiment,
    splits: Splits,
    folder: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    on_epoch: Callable[[Row], None] | None = None,
) -> TrainResult:
    """The result of a whole training; the test split is looked at once, at the end, with the network that is kept.

    The best epoch has the highest validation accuracy, ties by the lower validation loss; after `train.patience` epochs
    without a better one training stops. `on_epoch` gets each row once its epoch is safely on disk. With `resume`
    training goes on after the last epoch in `folder`, or starts if there is none.

    Raises CheckpointError if `folder` holds another training (any, without `resume`), OutputError if it cannot be
    written, and FailureError when a loss is not finite; the last good checkpoint stays.
    """
    place = device_of(device)
    state = folder / STATE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; choose a writable folder") from error
    if state.exists() and not resume:
        raise CheckpointError(f"{folder} already holds a training; resume it or train in another folder")

    settings = experiment.train
    journal = Journal(folder, settings.epochs)
    with own_threads_and_randomness(settings.threads, place):
        network = models.build(experiment.model, splits.form, splits.classes, experiment.seed).to(place)
        learner = Learner.of(network, settings, place)
        identity = checkpoints.identity_of(experiment, splits)
        history = checkpoints.restore(state, learner, identity) if state.exists() else []
        watch = _watch(experiment, splits, network, place) if settings.fitness else None
        with (
            events(folder, settings.tensorboard, len(history)) as event,
            bar(experiment.name, len(splits.train), settings.epochs) as shown,
        ):
            head = _head(learner, experiment, splits, place, len(history)) if _goes_on(settings, history) else []
            journal.open(head, history)
            while _goes_on(settings, history):
                row = _epoch(learner, experiment, splits, len(history) + 1, place, shown)
                if not (math.isfinite(row["loss"]) and math.isfinite(row["validation_loss"])):
                    raise FailureError(_not_finite(row, settings, history, folder))
                if watch is not None:
                    row |= watch(network)
                history.append(row)
                _keep(folder, learner, experiment, splits, history)
                checkpoints.save(state, learner, identity, history)  # last, so that an epoch which has one is whole
                journal.epoch(history)
                event(row)
                shown.end(history)
                if on_epoch is not None:
                    on_epoch(row)
        tensors, _ = checkpoint.read(folder / MODEL)
        checkpoint.fill(network, tensors, folder / MODEL)
        _, test_accuracy = evaluate(network, splits.test, experiment.extract.compute_batch)
    result = TrainResult(
        network=_title(network, experiment),
        validation_accuracy=history[chosen(settings, history) - 1]["validation_accuracy"],
        test_accuracy=test_accuracy,
        best_epoch=best(history),
        epoch=chosen(settings, history),
        epochs=len(history),
        seconds=sum(row["seconds"] for row in history),
        peak_bytes=peak_bytes(place),
        history=history,
        checkpoint=folder / MODEL,
        others=[folder / name for name in checkpoints.apart(settings, len(history)).values()],
        examples=splits.sizes(),
    )
    journal.end(
        f"the network of epoch {result.epoch} is kept (best: {result.best_epoch}): validation accuracy "
        f"{result.validation_accuracy:.4f}, test accuracy {test_accuracy:.4f}; {result.seconds:.1f} s in all"
    )
    return result


def _watch(experiment: Experiment, splits: Splits, network: nn.Module, place: torch.device) -> Watch:
    """What measures neurons after every epoch, on some training examples as they are."""
    fresh = models.build(experiment.model, splits.form, splits.classes, experiment.seed).to(place)
    rows = draw(experiment.seed, "fitness", len(splits.train), EXAMPLES)
    layers, batch = experiment.extract.layers, experiment.extract.compute_batch
    return Watch(
        network,
        fresh,
        splits.train[torch.from_numpy(rows)].loader(batch),
        find_layers(network, layers) if layers else (),
        composite=COMPOSITE if experiment.train.fitness is True else experiment.train.fitness,
        batch=batch,
        threads=experiment.train.threads,
    )


def augmentation(settings: Train) -> Augment:
    """How the images of a training are varied."""
    return Augment(settings.flip, settings.pad, settings.shift, settings.erase, settings.noise)


def _epoch(
    learner: Learner, experiment: Experiment, splits: Splits, number: int, place: torch.device, shown: Bar
) -> Row:
    """Train for one pass over the examples; the row of its figures. `number` counts from 1."""
    started, settings, seed = time.perf_counter(), experiment.train, experiment.seed
    examples = splits.train
    order = torch.from_numpy(seeds.generator(seed, "order", number).permutation(len(examples)))
    changes = torch.Generator().manual_seed(seeds.integer(seed, "augment", number))
    how = augmentation(settings)
    reseed(seeds.integer(seed, "dropout", number), place)

    parts = _batches(order, settings.batch_size)
    steps = len(parts)
    loss_sum = torch.zeros((), dtype=torch.float64, device=place)
    correct = torch.zeros((), dtype=torch.int64, device=place)
    rate = 0.0
    learner.network.train()
    shown.begin(number)
    for step, rows in enumerate(parts):
        batch = examples[rows]
        rate = settings.learning_rate * schedule(settings, (number - 1) * steps + step, settings.epochs * steps)
        loss, right = learner.step(batch.inputs.varied(how, changes), batch.labels, rate)
        loss_sum += loss * len(batch)
        correct += right
        shown.step(len(batch))
    loss_mean = loss_sum.item() / len(examples)  # waits until a GPU has done all steps
    trained = time.perf_counter()
    validation_loss, validation_accuracy = evaluate(
        learner.network, splits.validation, experiment.extract.compute_batch
    )
    return {
        "epoch": number,
        "loss": loss_mean,
        "accuracy": correct.item() / len(examples),
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
        "learning_rate": rate,
        "examples_per_second": len(examples) / (trained - started),
        "seconds": time.perf_counter() - started,
    }


def _batches(order: Int64[Tensor, " example"], size: int) -> list[Int64[Tensor, " chosen"]]:
    """The rows of each step; one that is left over joins the others before it, since it has no variance by itself."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _goes_on(settings: Train, history: list[Row]) -> bool:
    return len(history) < settings.epochs and len(history) - best(history) < settings.patience


def _keep(folder: Path, learner: Learner, experiment: Experiment, splits: Splits, history: list[Row]) -> None:
    """Write the networks that the last epoch leaves."""
    settings, number = experiment.train, len(history)
    names = [MODEL] if chosen(settings, history) == number else []
    if number in (others := checkpoints.apart(settings, number)):
        names.append(others[number])
    about = {"experiment": experiment.to_dict(), "epoch": number}
    for name in names:
        checkpoint.save(folder / name, learner.network, experiment.model, splits.form, splits.classes, about)


def _head(learner: Learner, experiment: Experiment, splits: Splits, place: torch.device, done: int) -> list[str]:
    """What is being trained, where, and by which versions."""
    settings, sizes = experiment.train, splits.sizes()
    parameters = sum(parameter.numel() for parameter in learner.network.parameters())
    learns = sum(parameter.numel() for parameter in learner.network.parameters() if parameter.requires_grad)
    threads = f"{settings.threads} thread{'s' * (settings.threads > 1)}"
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: " + (f"resumed after epoch {done}" if done else "started"),
        f"config {experiment.name}, digest {experiment.digest}, training digest {experiment.training_digest}, seed "
        f"{experiment.seed}",
        f"device {_name(place)}, {threads}, {settings.precision}{', compiled' * settings.compile}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, ndg {__version__}",
        f"data {splits.source}: "
        + ", ".join(f"{count:,} {name}" for name, count in sizes.items())
        + f" examples of {splits.classes} classes"
        + (f"; cut at their end: {_shares(splits.cut)}" if any(splits.cut.values()) else ""),
        f"network {_title(learner.network, experiment)}: {parameters:,} parameters, of which {learns:,} learn",
        f"{settings.optimizer}, rate {settings.learning_rate:g}, {settings.schedule}, batches of {settings.batch_size}",
    ]


def _shares(parts: dict[str, float]) -> str:
    return ", ".join(f"{share:.1%} of {name}" for name, share in parts.items())


def _title(network: nn.Module, experiment: Experiment) -> str:
    """What a network says that it is, else its name in the config."""
    return str(getattr(network, "title", experiment.model.name))


def _name(place: torch.device) -> str:
    return f"{place} ({torch.cuda.get_device_name(place)})" if place.type == "cuda" else str(place)


def _not_finite(row: Row, settings: Train, history: list[Row], folder: Path) -> str:
    which = "loss" if not math.isfinite(row["loss"]) else "validation_loss"
    number = chosen(settings, history)
    there = f"epoch {number} is kept in {folder / MODEL}" if history else "no epoch was good, nothing is kept"
    return (
        f"losses must be finite; {which} is {row[which]} in epoch {row['epoch']} (learning rate "
        f"{row['learning_rate']:.3g}); {there}; lower train.learning_rate or train.clip"
    )
