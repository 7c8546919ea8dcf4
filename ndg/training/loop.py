"""Training loop over epochs."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ndg import __version__, models, seeds
from ndg.config import Experiment, Train
from ndg.data.examples import Splits
from ndg.errors import CheckpointError, ConfigError, DataError, FailureError, OutputError, check_kind
from ndg.models import checkpoint
from ndg.paths import path_of
from ndg.plots import Plot, Series
from ndg.progress import in_total, meter
from ndg.training import checkpoints
from ndg.training.checkpoints import MODEL, STATE, best, chosen
from ndg.training.device import device_of, own_threads_and_randomness, peak_bytes, reseed
from ndg.training.journal import ACCURACY_LEFT, PARAMETERS, UNITS_LOST, Journal, Row, events, remaining
from ndg.training.removal import Lost, MakeRemover, carried, due
from ndg.training.schedules import schedule
from ndg.training.step import Learner, evaluate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Monitor = Callable[[nn.Module], dict[str, Any]]
"""Further columns of an epoch's row, measured on the network."""
MakeMonitor = Callable[[Experiment, Splits, nn.Module, torch.device, Sequence[Lost]], Monitor]


@dataclass(frozen=True)
class TrainResult:
    """Result of a training; accuracies are of the network in `checkpoint`.

    That is the network of `epoch`, the best or the last one. `history` has one row per epoch; `seconds` adds up all
    sessions; `others` are the files of further epochs. `peak_bytes` is the peak memory of the last session. `removed`
    are the units that `train.apoptosis` removed.

    >>> from pathlib import Path
    >>> experiment = ndg.load_config({"data": {"name": "iris"}, "model": {"name": "mlp"}, "train": {"epochs": 2}})
    >>> result = ndg.train(experiment, ndg.data.load(experiment.data), Path("trained"))
    >>> len(result.history)
    2
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
    removed: list[Lost] = field(default_factory=list)

    def plotted(self) -> Plot:
        """Learning curve: accuracy on training and validation examples after each epoch."""
        names = {"training": "accuracy", "validation": "validation_accuracy"}
        series = tuple(Series.of(name, self.history, "epoch", column) for name, column in names.items())
        return Plot(f"Learning curve of {self.network}", "epoch", "accuracy", series)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw `plotted` on matplotlib axes, by default new ones."""
        return self.plotted().plot(ax)

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
    monitor: MakeMonitor | None = None,
    remover: MakeRemover | None = None,
) -> TrainResult:
    """Train a network; the test split is used once.

    The best epoch has the highest validation accuracy, then the lowest validation loss; where units are removed, it is
    one of the smallest network. Training stops after `train.patience` epochs without a better one. `on_epoch` gets each
    row once its epoch is on disk. `resume` continues after the last epoch in `folder`, if any. `monitor` measures what
    `train.fitness` asks for, `remover` removes units by `train.apoptosis`; `ndg.train` passes both.

    Raises CheckpointError if `folder` holds another training (any without `resume`), OutputError if it cannot be
    written, and FailureError if a loss is not finite; the last good checkpoint stays.
    """
    check_kind(experiment, Experiment, "a training needs an ndg.Experiment", "load one: ndg.load_config(path)")
    check_kind(splits, Splits, "a training needs ndg.data.Splits", "load them: ndg.data.load(config)", DataError)
    folder = path_of(folder, "the folder of a training")
    target, state = device_of(device), folder / STATE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}; choose a writable folder") from error
    if state.exists() and not resume:
        raise CheckpointError(f"{folder} already holds a training; resume it or train in another folder")

    settings = experiment.train
    if settings.fitness and monitor is None:
        raise ConfigError("train.fitness needs monitor=, the measure after each epoch; call ndg.train, which passes it")
    if settings.apoptosis.fitness is not None and remover is None:
        raise ConfigError("train.apoptosis needs remover=, which removes units; call ndg.train, which passes it")
    journal = Journal(folder, settings.epochs)
    with own_threads_and_randomness(settings.threads, target):
        with checkpoints.reading(state) as saved:
            network = models.build(experiment.model, splits.form, splits.classes, experiment.seed).to(target)
            remove = remover(experiment, splits, network, target) if remover and settings.apoptosis.fitness else None
            identity = checkpoints.identity_of(experiment, splits)
            removed = checkpoints.adopt(state, network, identity, saved) if remove is not None and saved else []
            learner = Learner.of(network, settings, target)
            history = checkpoints.restore(state, learner, identity, saved) if saved else []

        def watching() -> Monitor | None:
            wanted = monitor is not None and settings.fitness
            return monitor(experiment, splits, learner.network, target, removed) if monitor and wanted else None

        watch = watching()
        with (
            events(folder, settings.tensorboard, len(history)) as event,
            meter(total=len(splits.train), unit="example") as shown,
        ):
            head = _head(learner, experiment, splits, target, len(history)) if _continues(settings, history) else []
            journal.open(head, history)
            while _continues(settings, history):
                sizes: Row = {}
                if remove is not None:
                    if due(settings.apoptosis, len(history)):
                        removal = remove(learner.network, len(history), removed)
                        if removal is not None:
                            learner, removed = carried(learner, removal), [*removed, *removal.lost]
                            watch = watching()
                            _, accuracy = evaluate(learner.network, splits.validation, experiment.extract.compute_batch)
                            sizes[ACCURACY_LEFT] = accuracy
                    sizes |= _sizes(learner.network, removed)
                row = run_epoch(learner, experiment, splits, len(history) + 1, target, shown) | sizes
                if not (math.isfinite(row["loss"]) and math.isfinite(row["validation_loss"])):
                    raise FailureError(_not_finite(row, settings, history, folder))
                if watch is not None:
                    row |= watch(learner.network)
                history.append(row)
                _keep(folder, learner, experiment, splits, history, removed)
                checkpoints.save(state, learner, identity, history, removed)  # last: its epoch is then complete
                journal.epoch(history)
                event(row)
                figures = f"loss {row['loss']:.4f}, validation accuracy {row['validation_accuracy']:.4f}"
                parts = (figures, remaining(history, settings.epochs), in_total())
                shown.set_postfix_str(", ".join(filter(None, parts)))
                if on_epoch is not None:
                    on_epoch(row)
        network = learner.network
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
        peak_bytes=peak_bytes(target),
        history=history,
        checkpoint=folder / MODEL,
        others=[folder / name for name in checkpoints.epoch_files(settings, len(history)).values()],
        examples=splits.sizes(),
        removed=removed,
    )
    journal.end(
        f"kept the network of epoch {result.epoch} (best: {result.best_epoch}): validation accuracy "
        f"{result.validation_accuracy:.4f}, test accuracy {test_accuracy:.4f}; {result.seconds:.1f} s in total"
    )
    return result


def run_epoch(
    learner: Learner, experiment: Experiment, splits: Splits, number: int, device: torch.device, shown: Any
) -> Row:
    """Train for one epoch and return its row of figures."""
    started, settings, seed = time.perf_counter(), experiment.train, experiment.seed
    examples = splits.train
    order = torch.from_numpy(seeds.generator(seed, "order", number).permutation(len(examples)))
    changes = torch.Generator().manual_seed(seeds.integer(seed, "augment", number))
    reseed(seeds.integer(seed, "dropout", number), device)

    batches = _batches(order, settings.batch_size)
    steps = len(batches)
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    rate = 0.0
    learner.network.train()
    shown.reset()
    shown.set_description_str(f"train {experiment.name}, epoch {number}/{settings.epochs}")
    for step, rows in enumerate(batches):
        batch = examples[rows]
        rate = settings.learning_rate * schedule(settings, (number - 1) * steps + step, settings.epochs * steps)
        loss, hits = learner.step(batch.inputs.varied(settings, changes), batch.labels, rate)
        loss_sum += loss * len(batch)
        correct += hits
        shown.update(len(batch))
    loss_mean = loss_sum.item() / len(examples)  # waits for all steps of a GPU
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
    """Rows of each step.

    A single last row joins the previous batch.
    """
    batches = list(torch.split(order, size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _continues(settings: Train, history: list[Row]) -> bool:
    return len(history) < settings.epochs and len(history) - best(history) < settings.patience


def _sizes(network: nn.Module, removed: Sequence[Lost]) -> Row:
    """Columns of the size of a network that loses units."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {PARAMETERS: parameters, UNITS_LOST: sum(len(entry.get("units", ())) for entry in removed)}


def _keep(
    folder: Path,
    learner: Learner,
    experiment: Experiment,
    splits: Splits,
    history: list[Row],
    removed: Sequence[Lost],
) -> None:
    """Write the networks to keep after the last epoch."""
    settings, number = experiment.train, len(history)
    names = [MODEL] if chosen(settings, history) == number else []
    if number in (files := checkpoints.epoch_files(settings, number)):
        names.append(files[number])
    metadata: dict[str, Any] = {"experiment": experiment.to_dict(), "epoch": number}
    metadata |= {checkpoint.REMOVED: list(removed)} if removed else {}
    for name in names:
        checkpoint.save(folder / name, learner.network, experiment.model, splits.form, splits.classes, metadata)


def _head(learner: Learner, experiment: Experiment, splits: Splits, device: torch.device, done: int) -> list[str]:
    """Head of the log: config, device, versions, data, network, optimiser."""
    settings, sizes = experiment.train, splits.sizes()
    parameters = sum(parameter.numel() for parameter in learner.network.parameters())
    trainable = sum(parameter.numel() for parameter in learner.network.parameters() if parameter.requires_grad)
    threads = f"{settings.threads} thread{'s' * (settings.threads > 1)}"
    cut = ", ".join(f"{share:.1%} of {name}" for name, share in splits.cut.items())
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: " + (f"resumed after epoch {done}" if done else "started"),
        f"config {experiment.name}, digest {experiment.digest}, training digest {experiment.training_digest}, seed "
        f"{experiment.seed}",
        f"device {_name(device)}, {threads}, {settings.precision}{', compiled' * settings.compile}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, ndg {__version__}",
        f"data {splits.source}: "
        + ", ".join(f"{count:,} {name}" for name, count in sizes.items())
        + f" examples of {splits.classes} classes"
        + (f"; truncated: {cut}" if any(splits.cut.values()) else ""),
        f"network {_title(learner.network, experiment)}: {parameters:,} parameters, {trainable:,} trainable",
        f"{settings.optimizer}, rate {settings.learning_rate:g}, {settings.schedule}, batches of {settings.batch_size}",
    ]


def _title(network: nn.Module, experiment: Experiment) -> str:
    """Title of a network, or its name in the config."""
    return str(getattr(network, "title", experiment.model.name))


def _name(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _not_finite(row: Row, settings: Train, history: list[Row], folder: Path) -> str:
    name = "loss" if not math.isfinite(row["loss"]) else "validation_loss"
    number = chosen(settings, history)
    kept = f"epoch {number} is kept in {folder / MODEL}" if history else "there is no good epoch to keep"
    return (
        f"losses must be finite; {name} is {row[name]} in epoch {row['epoch']} (learning rate "
        f"{row['learning_rate']:.3g}); {kept}; lower train.learning_rate or train.clip"
    )
