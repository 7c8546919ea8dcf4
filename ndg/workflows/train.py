"""A training run, from an experiment to a completed run document."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ndg import atomic, data, models, runs, training
from ndg.config import Experiment
from ndg.data.examples import Splits
from ndg.data.tokenizer import FILE as TOKENIZER
from ndg.errors import DataError
from ndg.locations import Locations
from ndg.runs.record import RunRecord

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Plan:
    """What a training would do. `seconds` is an estimate for all epochs from a few steps timed here."""

    experiment: Experiment
    examples: dict[str, int]
    parameters: int
    steps: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "experiment": self.experiment.name}


def at_hand(experiments: list[Experiment], where: Locations) -> tuple[list[Experiment], dict[str, str]]:
    """The experiments whose data can be read here, and for the others the reason why not, by name."""
    missing = {e.name: reason for e in experiments if (reason := absent(where.place(e)))}
    return [e for e in experiments if e.name not in missing], missing


def absent(experiment: Experiment) -> str | None:
    """Why an experiment whose folders are placed cannot be trained here, with the remedy; None where it can."""
    pretrained = getattr(experiment.model, "pretrained", None)
    if pretrained and not Path(pretrained).is_dir():
        return (
            f"model.pretrained is a folder, or the name of one below `models` in the folder of data; there is no "
            f"{pretrained!r}; fetch it (docs/data.md says how), or set model.pretrained=null to begin without"
        )
    return data.absent(experiment.data)


def plan(experiment: Experiment, where: Locations) -> Plan:
    """What `run` would do. Reads the data and times a few steps; writes nothing."""
    experiment = where.place(experiment)
    if reason := absent(experiment):
        raise DataError(reason)
    splits = load(experiment)
    network = models.build(experiment.model, splits.form, splits.classes, experiment.seed)
    steps = -(-len(splits.train) // experiment.train.batch_size) * experiment.train.epochs
    return Plan(
        experiment=experiment,
        examples=splits.sizes(),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        steps=steps,
        seconds=steps * _step_seconds(network, experiment, splits),
    )


def run(experiment: Experiment, where: Locations, *, device: str = "cpu", resume: bool = False) -> RunRecord:
    """The document of a finished training. With `resume` the newest unfinished run of the same config and seed goes on.

    Raises DataError before anything is written when the data, or the pretrained network, are not at hand.
    """
    placed = where.place(experiment)
    if reason := absent(placed):
        raise DataError(reason)
    splits = load(placed)
    if resume:
        same_data(runs.unfinished(where.runs, experiment), splits)
        context = runs.resume(where.store, experiment, where.runs, device=device)
    else:
        context = runs.start(where.store, "train", experiment, where.runs, device=device)
    with context as one:
        one.artefact(atomic.write(one.folder / CONFIG, experiment.to_yaml()))
        if splits.tokenizer is not None:
            one.artefact(splits.tokenizer.save(one.folder))
        one.result("data", splits.facts())
        by = replace(experiment, model=placed.model)
        result = training.train(by, splits, one.folder, device=device, resume=resume, on_epoch=one.metric)
        if [row["epoch"] for row in one.record["metrics"]] != [row["epoch"] for row in result.history]:
            for row in result.history:  # a crash between an epoch's files and its row in the log lost one
                one.metric(row)
        for path in (result.checkpoint, *result.others):
            one.artefact(path)
        for name in (training.METRICS, training.LOG):
            one.artefact(one.folder / name)
        figures = (
            "network",
            "validation_accuracy",
            "test_accuracy",
            "best_epoch",
            "epoch",
            "epochs",
            "seconds",
            "peak_bytes",
        )
        one.result("train", {key: getattr(result, key) for key in figures})
    return one.record


def load(experiment: Experiment, folder: Path | None = None) -> Splits:
    """The data of an experiment whose folders are placed.

    Texts become tokens by the tokenizer of a run's folder, where it has one; else by the one asked for, that of the
    pretrained network, or a new one.
    """
    kept = folder if folder is not None and (folder / TOKENIZER).is_file() else None
    return data.load(
        experiment.data, kept or experiment.data.tokenizer or getattr(experiment.model, "pretrained", None)
    )


def same_data(record: RunRecord, splits: Splits) -> None:
    """Raise DataError when a run saw other data, or another division of them, than these."""
    seen, found = record.figure("results.data.digest"), splits.digest
    if seen not in (None, found):
        raise DataError(
            f"run {record.id} was trained on other data than {splits.source} is now (digest {seen} against {found}): "
            "its train examples may be among these test examples; point data.dir at the same files, or train again"
        )


def device(name: str) -> str:
    """`auto` as the device that is there; ConfigError when cuda is asked for and is not there."""
    if name != "auto":
        return str(training.device_of(name))
    return "cuda" if torch.cuda.is_available() else "cpu"


def _step_seconds(network: torch.nn.Module, experiment: Experiment, splits: Splits, steps: int = 9) -> float:
    """Median seconds of a whole training step on one batch, after a first one that is not counted."""
    settings = experiment.train
    batch = splits.train[: settings.batch_size]
    changes = torch.Generator().manual_seed(0)
    place, times = torch.device("cpu"), []
    with training.own_threads_and_randomness(settings.threads, place):
        learner = training.Learner.of(network.train(), settings, place)
        for _ in range(steps + 1):
            started = time.perf_counter()
            learner.step(batch.inputs.varied(training.augmentation(settings), changes), batch.labels, 0.0)
            times.append(time.perf_counter() - started)
    return sorted(times[1:])[steps // 2]
