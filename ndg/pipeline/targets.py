"""Which trained networks to align: the best completed run of a config, or a run by its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ndg import config, runs
from ndg.config import Experiment
from ndg.errors import ConfigError, RunNotFoundError
from ndg.locations import Locations
from ndg.runs.record import RunRecord


@dataclass(frozen=True)
class Target:
    """A completed train run, the experiment to align it by (its own seed, one alpha), and why this run."""

    experiment: Experiment
    run: RunRecord
    why: str


def find(names: Sequence[str], overrides: Sequence[str], where: Locations) -> list[Target]:
    """The targets of configs and run ids, in their order; the best completed run of every shipped config without any.

    A list of alphas becomes a target each. Raises RunNotFoundError that says how to train when no run is there.
    """
    if not names:
        found = [target for name in config.configs() for target in _of_config(name, overrides, where, required=False)]
        if not found:
            raise RunNotFoundError(
                f"{where.store} has no completed training of a shipped config; "
                "train one first, as in `ndg train digits_mlp`"
            )
        return found
    return [target for name in names for target in _of(name, overrides, where)]


def _of(name: str, overrides: Sequence[str], where: Locations) -> list[Target]:
    shipped = Path(name).stem in config.configs()
    if Path(name).is_file() or shipped or Path(name).suffix in (".yaml", ".yml"):
        return _of_config(name, overrides, where, required=True)
    with runs.open(where.store, local=where.runs) as log:
        record = log.get(name)
        if record["kind"] == "align":
            record = log.get(record["parent"])
    if record["status"] != "COMPLETED" or record["kind"] != "train":
        raise RunNotFoundError(
            f"run {record.id} is {record.state()} and has no finished network; finish it with "
            f"`ndg train {record['name']} --resume`, or choose a completed run (`ndg runs`)"
        )
    trained = {**record["config"], "store": {}}  # where it was logged is known, and its password is not
    return _spread(config.load(trained, overrides), record, "asked for")


def _of_config(name: str, overrides: Sequence[str], where: Locations, *, required: bool) -> list[Target]:
    experiment = config.load(config.find(name), overrides)
    with runs.open(where.store_of(experiment), local=where.runs) as log:
        try:
            seed = experiment.seed if any(word.startswith("seed=") for word in overrides) else None
            record = log.best(experiment.training_digest, name=" ".join([name, *overrides]), seed=seed)
        except RunNotFoundError:
            if required:
                raise
            return []
    accuracy = record.figure("results.train.validation_accuracy")
    why = f"best of the completed runs of {experiment.name}, validation accuracy {accuracy:.4f}"
    return _spread(replace(experiment, seed=record["seeds"]["seed"]), record, why)


def _spread(experiment: Experiment, record: RunRecord, why: str) -> list[Target]:
    if experiment.training_digest != record["training_digest"]:
        raise ConfigError(
            f"run {record.id} was trained by other settings than these overrides give (digest "
            f"{record['training_digest']} against {experiment.training_digest}); "
            "change data, model or train only when training"
        )
    several = experiment.criterion.name in ("paper", "ratio")
    alphas = experiment.criterion.alpha if several else experiment.criterion.alpha[:1]
    return [
        Target(replace(experiment, criterion=replace(experiment.criterion, alpha=[alpha])), record, why)
        for alpha in alphas
    ]
