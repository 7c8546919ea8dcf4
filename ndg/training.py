"""Training of one network: AdamW, a schedule per step, early stopping, and a folder from which it can go on.

    result = train(experiment, data.load(experiment.data), Path("runs/mine"))

The folder gets `model.safetensors` (the best epoch so far), `resume.safetensors` (the last epoch: weights, optimiser
and history) and `metrics.csv`. Everything random in an epoch comes from the seed and the epoch's number, so a training
that was stopped and resumed equals one that was not, to the last bit on a CPU.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ndg import atomic, config, models, progress, seeds
from ndg.activations.compute import compute_batches, fixed, forward
from ndg.config import Experiment
from ndg.data.augment import Augment
from ndg.data.examples import Examples, Splits
from ndg.errors import CheckpointError, ConfigError, FailureError, OutputError
from ndg.models import checkpoint

MODEL, STATE, METRICS = "model.safetensors", "resume.safetensors", "metrics.csv"

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainResult:
    """Accuracies in [0, 1] of the best epoch; `history` has one row per epoch, `seconds` counts every session."""

    validation_accuracy: float
    test_accuracy: float
    best_epoch: int
    epochs: int
    seconds: float
    history: list[Row]
    checkpoint: Path
    examples: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "checkpoint": str(self.checkpoint)}


def train(
    experiment: Experiment,
    splits: Splits,
    folder: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    on_epoch: Callable[[Row], None] | None = None,
) -> TrainResult:
    """The result of a whole training; the test split is looked at once, at the end, with the best checkpoint.

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
    portable = replace(experiment, store=config.Store())  # the store's address may hold a password
    with own_threads_and_randomness(settings.threads, place):
        network = models.build(experiment.model, splits.form, splits.classes, experiment.seed).to(place)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay, fused=True)
        history = _restore(state, network, optimizer, experiment) if state.exists() else []
        with _bar(settings.epochs, len(history), experiment.name) as show:
            while len(history) < settings.epochs and len(history) - _best(history) < settings.patience:
                row = _epoch(network, optimizer, experiment, splits, len(history) + 1, place)
                if not (math.isfinite(row["loss"]) and math.isfinite(row["validation_loss"])):
                    raise FailureError(_not_finite(row, history, folder))
                history.append(row)
                if _best(history) == len(history):
                    about = {"experiment": asdict(portable), "epoch": row["epoch"]}
                    checkpoint.save(folder / MODEL, network, experiment.model, splits.form, splits.classes, about)
                _save(state, network, optimizer, experiment, history)
                atomic.write(folder / METRICS, _csv(history), parents=False)
                show(row)
                if on_epoch is not None:
                    on_epoch(row)
        tensors, _ = checkpoint.read(folder / MODEL)
        checkpoint.fill(network, tensors, folder / MODEL)
        _, test_accuracy = evaluate(network, splits.test)
    best = _best(history)
    return TrainResult(
        validation_accuracy=history[best - 1]["validation_accuracy"],
        test_accuracy=test_accuracy,
        best_epoch=best,
        epochs=len(history),
        seconds=sum(row["seconds"] for row in history),
        history=history,
        checkpoint=folder / MODEL,
        examples=splits.sizes(),
    )


def load_model(folder: Path) -> tuple[nn.Module, Experiment]:
    """The best network of a run folder, on the CPU in evaluation mode, and its experiment (without a store)."""
    path = folder / MODEL
    network, about = checkpoint.load(path)
    if "experiment" not in about:
        raise CheckpointError(
            f"{path} must name its experiment; got {', '.join(about)}; give a folder that `train` wrote"
        )
    return network, config.load(about["experiment"])


def evaluate(network: nn.Module, examples: Examples) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of a network in evaluation mode, in fixed compute batches."""
    loss, correct = 0.0, 0
    with fixed(network, torch.get_num_threads()):
        for batch in compute_batches(examples.loader()):
            assert batch.labels is not None
            logits = forward(network, batch.inputs)[: batch.count].cpu()
            loss += F.cross_entropy(logits, batch.labels, reduction="sum").item()
            correct += int((logits.argmax(1) == batch.labels).sum())
    return loss / len(examples), correct / len(examples)


def _epoch(
    network: nn.Module, optimizer: Any, experiment: Experiment, splits: Splits, number: int, place: torch.device
) -> Row:
    """Train for one pass over the examples; the row of its figures. `number` counts from 1."""
    started, settings, seed = time.perf_counter(), experiment.train, experiment.seed
    examples = splits.train
    order = torch.from_numpy(seeds.generator(seed, "order", number).permutation(len(examples)))
    changes = torch.Generator().manual_seed(seeds.integer(seed, "augment", number))
    how = augmentation(settings)
    _reseed(seeds.integer(seed, "dropout", number), place)

    steps = -(-len(examples) // settings.batch_size)
    loss_sum = torch.zeros((), dtype=torch.float64, device=place)
    correct = torch.zeros((), dtype=torch.int64, device=place)
    rate = 0.0
    network.train()
    for step in range(steps):
        batch = examples[order[step * settings.batch_size : (step + 1) * settings.batch_size]]
        inputs = batch.inputs.varied(how, changes)
        labels = batch.labels.to(place)
        rate = settings.learning_rate * schedule(settings, (number - 1) * steps + step, settings.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = forward(network, inputs)
        loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        loss_sum += loss.detach() * len(labels)
        correct += (logits.detach().argmax(1) == labels).sum()
    validation_loss, validation_accuracy = evaluate(network, splits.validation)
    return {
        "epoch": number,
        "loss": loss_sum.item() / len(examples),
        "accuracy": correct.item() / len(examples),
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
        "learning_rate": rate,
        "seconds": time.perf_counter() - started,
    }


def schedule(settings: config.Train, step: int, steps: int) -> float:
    """The learning rate at a step, as a fraction of `learning_rate`: linear warm-up, then a half cosine or constant."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def augmentation(settings: config.Train) -> Augment:
    """How the images of a training are varied."""
    return Augment(settings.flip, settings.pad, settings.shift, settings.erase, settings.noise)


def _best(history: list[Row]) -> int:
    """Number of the best epoch so far, the first among equals; 0 before the first."""
    if not history:
        return 0
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))["epoch"]


def _save(path: Path, network: nn.Module, optimizer: Any, experiment: Experiment, history: list[Row]) -> None:
    tensors = {f"model/{name}": tensor for name, tensor in network.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": tensor for slot, tensor in slots.items()}
    checkpoint.write(path, tensors, {**_identity(experiment), "history": history})


def _restore(path: Path, network: nn.Module, optimizer: Any, experiment: Experiment) -> list[Row]:
    """Put weights and optimiser back as they were after the last epoch of the returned history."""
    tensors, about = checkpoint.read(path)
    expected, got = _identity(experiment), {key: about.get(key) for key in _identity(experiment)}
    if got != expected:
        raise CheckpointError(
            f"{path} belongs to another training: expected {_words(expected)}, got {_words(got)}; "
            "resume with the config and seed it was started with, or train in another folder"
        )
    weights: dict[str, Tensor] = {}
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "model":
            weights[rest] = tensor
        else:
            index, _, slot = rest.partition("/")
            slots.setdefault(int(index), {})[slot] = tensor
    checkpoint.fill(network, weights, path)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    return about["history"]


def _identity(experiment: Experiment) -> dict[str, Any]:
    return {"training_digest": experiment.training_digest, "seed": experiment.seed}


def _words(identity: dict[str, Any]) -> str:
    return f"config {identity['training_digest']} with seed {identity['seed']}"


def _csv(history: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def _not_finite(row: Row, history: list[Row], folder: Path) -> str:
    which = "loss" if not math.isfinite(row["loss"]) else "validation_loss"
    kept = f"epoch {_best(history)} is kept in {folder / MODEL}" if history else "no epoch was good, nothing is kept"
    return (
        f"losses must be finite; {which} is {row[which]} in epoch {row['epoch']} (learning rate "
        f"{row['learning_rate']:.3g}); {kept}; lower train.learning_rate or train.clip"
    )


def device_of(name: str) -> torch.device:
    """The device of that name; ConfigError when there is none."""
    try:
        place = torch.device(name)
    except RuntimeError:
        place = torch.device("meta")
    if place.type not in ("cpu", "cuda"):
        raise ConfigError(f"a device is cpu or cuda; got {name!r}; choose one of them")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda needs a GPU that torch can see; it sees none; train on the device cpu")
    return place


def _reseed(seed: int, place: torch.device) -> None:
    """Seed what networks draw from while they train (dropout)."""
    torch.default_generator.manual_seed(seed)
    if place.type == "cuda":
        with torch.cuda.device(place):
            torch.cuda.manual_seed(seed)


@contextmanager
def own_threads_and_randomness(threads: int, place: torch.device) -> Iterator[None]:
    """A fixed number of threads, since float results depend on it; the caller's threads and generators come back."""
    before = torch.get_num_threads()
    devices = [torch.cuda.current_device() if place.index is None else place.index] if place.type == "cuda" else []
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bar(epochs: int, done: int, label: str) -> Iterator[Callable[[Row], None]]:
    """A function that shows the figures of an epoch, on a bar when a person is watching."""
    if not progress.visible():
        yield lambda row: None
        return
    from tqdm import tqdm

    title = f"train {label}"
    with tqdm(
        desc=title, total=epochs, initial=done, unit="epoch", file=sys.stderr, dynamic_ncols=True, leave=False
    ) as bar:

        def show(row: Row) -> None:
            bar.update()
            bar.set_postfix_str(f"loss {row['loss']:.4f}, validation accuracy {row['validation_accuracy']:.4f}")

        yield show
