"""Training of one experiment, logged as a run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndg import atomic, data, models, runs, training
from ndg.activations.sampling import draw
from ndg.config import Experiment
from ndg.data.examples import Splits
from ndg.data.tokenizer import FILE as TOKENIZER
from ndg.errors import DataError
from ndg.importance.fitness.measure import COMPOSITE
from ndg.importance.fitness.monitor import EXAMPLES, Watch
from ndg.locations import Locations
from ndg.runs.record import RunRecord
from ndg.units.resolve import find_layers
from ndg.workflows.apoptosis import check_method, remover, shrunk
from ndg.workflows.timing import slowness

CONFIG = "config.yaml"
EPOCH_SECONDS = 0.012
"""Writing of an epoch's checkpoint and rows."""

FIGURES = ("network", "validation_accuracy", "test_accuracy", "best_epoch", "epoch", "epochs", "seconds", "peak_bytes")
"""Figures of a training in the run log."""


@dataclass(frozen=True)
class Plan:
    """Size of a training, and `seconds` estimated from timed steps."""

    experiment: Experiment
    examples: dict[str, int]
    parameters: int
    steps: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "experiment": self.experiment.name}


def at_hand(experiments: list[Experiment], where: Locations) -> tuple[list[Experiment], dict[str, str]]:
    """Experiments with their data present, and reasons for the others."""
    missing = {each.name: reason for each in experiments if (reason := absent(where.place(each)))}
    return [each for each in experiments if each.name not in missing], missing


def absent(experiment: Experiment) -> str | None:
    """Why an experiment cannot be trained here, or None."""
    pretrained = getattr(experiment.model, "pretrained", None)
    if pretrained and not os.path.isdir(pretrained):
        return (
            f"model.pretrained is a folder, or the name of one below `models` in the folder of data; there is no "
            f"{pretrained!r}; fetch it (docs/data.md says how), or set model.pretrained=null to begin without"
        )
    return data.absent(experiment.data)


def plan(experiment: Experiment, where: Locations) -> Plan:
    """Plan of a training. Writes nothing. Raises DataError."""
    experiment = where.place(experiment)
    if reason := absent(experiment):
        raise DataError(reason)
    splits = load(experiment)
    network = models.build(experiment.model, splits.form, splits.classes, experiment.seed)
    steps = -(-len(splits.train) // experiment.train.batch_size) * experiment.train.epochs
    evaluated = len(splits.validation) / len(splits.train) / 3  # a pass without a step takes a third
    return Plan(
        experiment=experiment,
        examples=splits.sizes(),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        steps=steps,
        seconds=steps * _step_seconds(network, experiment, splits) * (1 + evaluated)
        + experiment.train.epochs * EPOCH_SECONDS * slowness(),
    )


def run(experiment: Experiment, where: Locations, *, device: str = "cpu", resume: bool = False) -> RunRecord:
    """Train a network; return the run document.

    With `resume`, the newest unfinished run of this config and seed continues. Raises DataError before anything is
    written when the data or the pretrained network are missing.
    """
    placed = where.place(experiment)
    if reason := absent(placed):
        raise DataError(reason)
    if (method := experiment.train.apoptosis.fitness) is not None:
        check_method(method)
    splits, experiment = load(placed), replace(experiment, data=replace(experiment.data, dir=placed.data.dir))
    if resume:
        same_data(runs.unfinished(where.runs, experiment), splits)
    with runs.start_or_resume(resume, where, "train", experiment, device=device) as run:
        run.artefact(atomic.write(run.folder / CONFIG, experiment.to_yaml()))
        if splits.tokenizer is not None:
            run.artefact(splits.tokenizer.save(run.folder))
        run.result("data", splits.facts())
        pretrained = replace(experiment, model=placed.model)
        result = train(pretrained, splits, run.folder, device=device, resume=resume, on_epoch=run.metric)
        if [row["epoch"] for row in run.record["metrics"]] != [row["epoch"] for row in result.history]:
            for row in result.history:  # a crash may lose the row of an epoch whose files are there
                run.metric(row)
        for path in (result.checkpoint, *result.others):
            run.artefact(path)
        for name in (training.METRICS, training.LOG):
            run.artefact(run.folder / name)
        if result.removed:
            run.result("apoptosis", {"removed": result.removed})
        run.result("train", {name: getattr(result, name) for name in FIGURES})
    return run.record


def train(
    experiment: Experiment,
    splits: Splits,
    folder: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    on_epoch: Callable[[training.Row], None] | None = None,
) -> training.TrainResult:
    """`ndg.training.train`, with `train.fitness` and `train.apoptosis` where the experiment asks for them.

    >>> from pathlib import Path
    >>> experiment = ndg.load_config({"data": {"name": "iris"}, "model": {"name": "mlp"}, "train": {"epochs": 2}})
    >>> result = ndg.train(experiment, ndg.data.load(experiment.data), Path("trained"))
    >>> Path("trained/model.safetensors").is_file()
    True
    """
    options: dict[str, Any] = {"device": device, "resume": resume, "on_epoch": on_epoch}
    return training.train(experiment, splits, folder, monitor=fitness_monitor, remover=remover, **options)


def fitness_monitor(
    experiment: Experiment, splits: Splits, network: nn.Module, device: torch.device, removed: Sequence[training.Lost]
) -> Watch:
    """Fitness of neurons on a sample of the training examples."""
    fresh = models.build(experiment.model, splits.form, splits.classes, experiment.seed).to(device)
    fresh = shrunk(experiment, splits, fresh, removed)
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


def load(experiment: Experiment, folder: Path | None = None) -> Splits:
    """The data of an experiment, with the tokenizer of its run."""
    own = folder if folder is not None and (folder / TOKENIZER).is_file() else None
    return data.load(experiment.data, own or experiment.data.tokenizer or getattr(experiment.model, "pretrained", None))


def same_data(record: RunRecord, splits: Splits) -> None:
    """Raise DataError if a run was trained on other data."""
    logged, current = record.figure("results.data.digest"), splits.digest
    if logged not in (None, current):
        raise DataError(
            f"run {record.id} was trained on other data than {splits.source} is now (digest {logged} against "
            f"{current}): "
            "its train examples may be among these test examples; point data.dir at the same files, or train again"
        )


def device(name: str) -> str:
    """The device of a name.

    `auto` is cuda if present. Raises ConfigError.
    """
    if name != "auto":
        return str(training.device_of(name))
    return "cuda" if torch.cuda.is_available() else "cpu"


def _step_seconds(network: nn.Module, experiment: Experiment, splits: Splits, steps: int = 9) -> float:
    """Median seconds of one training step after a warm-up step."""
    settings = experiment.train
    batch = splits.train[: settings.batch_size]
    changes = torch.Generator().manual_seed(0)
    place, times = torch.device("cpu"), []
    with training.own_threads_and_randomness(settings.threads, place):
        learner = training.Learner.of(network.train(), settings, place)
        for _ in range(steps + 1):
            started = time.perf_counter()
            learner.step(batch.inputs.varied(settings, changes), batch.labels, 0.0)
            times.append(time.perf_counter() - started)
    return sorted(times[1:])[steps // 2]
